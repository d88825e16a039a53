//! The thread that listens, and those that answer.
//!
//! ```text
//! start ─▶ waits ─▶ bound ─▶ accepts, one thread for each question ─▶ ended: the socket is gone
//!            └────────┴──── the last subject left, or the socket cannot be had ──┘
//! ```
//!
//! **Invariant:** the socket is bound and removed under the lock, and never bound after the end: so it is gone for certain when the
//! last subject has left.

use crate::client;
use crate::directory::RuntimeDirectory;
use crate::line::{has_hung_up, read_line, write_line};
use crate::message::{Answer, LONGEST_QUESTION, Question};
use crate::peer::{Peer, our_uid};
use crate::report::StoreReport;
use crate::subject::{Detail, ProfileRequest, Subject};
use crate::vitals;
use belljar_core::OutsideText;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::value::RawValue;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Questions that are answered at once. Who asks is a person with a few terminals, and each has a thread.
pub(crate) const MOST_AT_ONCE: usize = 8;

/// How long a question may take to arrive: those who ask have it ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may take to be read.
const PATIENCE_FOR_ANSWERS: Duration = Duration::from_secs(30);

/// How long to wait when connections cannot be accepted, for want of file descriptors mostly.
const RESPITE: Duration = Duration::from_millis(100);

/// Sockets in the directory from which on those of dead processes are looked for: nobody may ever list them.
const MANY: usize = 100;

/// What a process shows of itself.
pub(crate) struct Endpoint {
    /// The process that made it. Its forks have it in memory, and must keep their hands off.
    pid: u32,
    /// Becomes readable when it ends. Forks share it.
    end: OwnedFd,
    state: Mutex<State>,
    /// Signalled when one question fewer is being answered.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    subjects: Vec<(u64, Weak<dyn Subject>)>,
    next_number: u64,
    /// Questions that are being answered.
    answering: usize,
    has_ended: bool,
    socket: Option<PathBuf>,
    problem: Option<String>,
}

impl Endpoint {
    /// Starts the thread. Returns the number that the subject leaves with.
    pub(crate) fn start(
        directory: impl FnOnce() -> io::Result<RuntimeDirectory> + Send + 'static,
        subject: Weak<dyn Subject>,
        delay: Duration,
    ) -> io::Result<(Arc<Self>, u64)> {
        let endpoint = Arc::new(Self {
            pid: std::process::id(),
            end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: Mutex::new(State { subjects: vec![(0, subject)], next_number: 1, ..State::default() }),
            answered: Condvar::new(),
        });
        let listening = endpoint.clone();
        thread::Builder::new()
            .name("belljar-inspect".into())
            .spawn(move || listening.listen(directory, delay))?;
        Ok((endpoint, 0))
    }

    /// Takes one more subject in; `None` if it has ended, or is another process's.
    pub(crate) fn add(&self, subject: &Weak<dyn Subject>) -> Option<u64> {
        if !self.is_ours() {
            return None;
        }
        let mut state = self.lock();
        if state.has_ended {
            return None;
        }
        let number = state.next_number;
        state.next_number += 1;
        state.subjects.push((number, subject.clone()));
        Some(number)
    }

    /// Lets a subject go; with the last one the endpoint ends.
    pub(crate) fn remove(&self, number: u64) {
        if !self.is_ours() {
            return;
        }
        let mut state = self.lock();
        state.subjects.retain(|(other, _)| *other != number);
        if !state.subjects.is_empty() || state.has_ended {
            return;
        }
        state.has_ended = true;
        if let Some(socket) = state.socket.take() {
            // If somebody else has removed it, all the better.
            let _ = fs::remove_file(socket);
        }
        // A counter at 0 takes it.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }

    /// Waits until no question is being answered.
    pub(crate) fn wait_for_answers(&self, patience: Duration) {
        // In a fork nobody answers any more.
        if self.is_ours() {
            let is_busy = |state: &mut State| state.answering > 0;
            drop(self.answered.wait_timeout_while(self.lock(), patience, is_busy));
        }
    }

    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.lock().socket.clone()
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    fn listen(self: &Arc<Self>, directory: impl FnOnce() -> io::Result<RuntimeDirectory>, delay: Duration) {
        self.wait_for_end(delay);
        let Some((listener, directory)) = self.open(directory) else { return };
        if directory.pids().is_ok_and(|pids| pids.len() > MANY) {
            client::remove_stale(&directory);
        }
        while self.wait_for_connection(&listener) {
            match listener.accept() {
                Ok((stream, _)) => self.receive(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.wait_for_end(RESPITE),
            }
        }
    }

    /// Makes the socket, unless it has ended meanwhile. What goes wrong is kept.
    fn open(
        &self,
        directory: impl FnOnce() -> io::Result<RuntimeDirectory>,
    ) -> Option<(UnixListener, RuntimeDirectory)> {
        let mut state = self.lock();
        if state.has_ended {
            return None;
        }
        let opened = directory().and_then(|directory| {
            directory.make()?;
            let path = directory.socket(self.pid)?;
            Ok((bind(&directory, &path)?, directory, path))
        });
        match opened {
            Ok((listener, directory, path)) => {
                state.socket = Some(path);
                Some((listener, directory))
            }
            Err(error) => {
                state.problem =
                    Some(format!("other processes cannot look at the guests of this one: {error}"));
                None
            }
        }
    }

    /// Returns early if it ends.
    fn wait_for_end(&self, time: Duration) {
        // A time that the clock cannot hold is for ever.
        let _ = poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Timespec::try_from(time).ok().as_ref());
    }

    /// Waits until somebody connects; `false` if it ends.
    fn wait_for_connection(&self, listener: &UnixListener) -> bool {
        let mut look = [PollFd::new(&self.end, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut look, None) {
            Ok(_) => look[0].revents().is_empty(),
            Err(rustix::io::Errno::INTR) => true,
            Err(_) => {
                self.wait_for_end(RESPITE);
                !self.has_ended()
            }
        }
    }

    /// Has a question answered, if whoever connected may ask.
    fn receive(self: &Arc<Self>, stream: UnixStream) {
        if !Peer::of(&stream).is_ok_and(|peer| peer.may_ask(our_uid())) {
            return;
        }
        let Some(place) = Place::take(self) else {
            let text = format!("{MOST_AT_ONCE} others are asking it at this moment: try again");
            return refuse(&stream, text);
        };
        let stream = Arc::new(stream);
        let answering = stream.clone();
        let thread = thread::Builder::new().name("belljar-answer".into());
        if let Err(error) = thread.spawn(move || place.endpoint.answer(&answering)) {
            refuse(&stream, format!("it could not start a thread to answer: {error}"));
        }
    }

    /// Answers one question.
    fn answer(&self, stream: &UnixStream) {
        let line = match read_line(stream, LONGEST_QUESTION, Instant::now() + PATIENCE) {
            Ok(Some(line)) => line,
            // Somebody who only wanted to know whether there is somebody.
            Ok(None) => return,
            Err(error) => return refuse(stream, format!("the question did not arrive: {error}")),
        };
        let reply = catch_unwind(AssertUnwindSafe(|| self.reply(&line, stream)));
        let reply = reply.unwrap_or_else(|_| Err("a bug: it panicked when it looked at itself".into()));
        match reply {
            // Whoever does not read it does not want it.
            Ok(line) => drop(write_line(stream, &line, Instant::now() + PATIENCE_FOR_ANSWERS)),
            Err(reason) => refuse(stream, reason),
        }
    }

    /// The line that answers a question, or why there is none.
    fn reply(&self, line: &[u8], stream: &UnixStream) -> Result<Vec<u8>, String> {
        let line = match Question::of_line(line)? {
            Question::Stores { detail } => {
                serde_json::to_vec(&Answer::Ok(vitals::report(self.stores(detail))))
            }
            Question::Profile(wanted) => {
                let go_on = || !has_hung_up(stream) && !self.has_ended();
                serde_json::to_vec(&Answer::Ok(self.profiles(&wanted, &go_on)?))
            }
            Question::Kill { store, reason } => {
                let killed: usize = self.subjects().iter().map(|subject| subject.kill(store, &reason)).sum();
                serde_json::to_vec(&Answer::Ok(killed))
            }
        };
        line.map_err(|error| format!("the answer cannot be written as JSON: {error}"))
    }

    /// Those that are still there.
    fn subjects(&self) -> Vec<Arc<dyn Subject>> {
        self.lock().subjects.iter().filter_map(|(_, subject)| subject.upgrade()).collect()
    }

    fn stores(&self, detail: Detail) -> Vec<StoreReport> {
        let mut stores: Vec<_> = self.subjects().iter().flat_map(|subject| subject.stores(detail)).collect();
        stores.sort_by_key(|store| store.id);
        stores
    }

    /// Profiles of all subjects, recorded at the same time. Those that have none are left out, unless nobody has one.
    fn profiles(
        &self,
        wanted: &ProfileRequest,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Box<RawValue>>, String> {
        let subjects = self.subjects();
        let record = |subject: &Arc<dyn Subject>| {
            let recorded = subject.profile(wanted, &|| go_on()).map_err(|error| format!("{error:#}"));
            recorded.and_then(raw_json)
        };
        let recorded: Vec<Result<_, String>> = match &*subjects {
            [only] => vec![record(only)],
            _ => thread::scope(|scope| {
                let start = |subject| thread::Builder::new().spawn_scoped(scope, move || record(subject));
                let threads: Vec<_> = subjects.iter().map(start).collect();
                let end = |thread: io::Result<thread::ScopedJoinHandle<'_, _>>| match thread.map(|t| t.join())
                {
                    Ok(Ok(recorded)) => recorded,
                    Ok(Err(_)) => Err("a bug: it panicked when it recorded a profile".into()),
                    Err(error) => Err(format!("it could not start a thread to record: {error}")),
                };
                threads.into_iter().map(end).collect()
            }),
        };
        let mut profiles = Vec::new();
        let mut problem = None;
        for recorded in recorded {
            match recorded {
                Ok(profile) => profiles.push(profile),
                Err(why) => problem = problem.or(Some(why)),
            }
        }
        match profiles.is_empty() {
            false => Ok(profiles),
            true => Err(problem.unwrap_or_else(|| "it has no guests to record".into())),
        }
    }
}

/// JSON that is passed on, on one line: between its values a line end is as good as a space, and within texts there is none.
fn raw_json(mut json: Vec<u8>) -> Result<Box<RawValue>, String> {
    for byte in json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    let text = String::from_utf8(json).map_err(|error| error.to_string());
    let checked = text.and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()));
    checked.map_err(|problem| format!("a bug: its profile is no JSON: {problem}"))
}

/// Makes the socket of this process, in place of one that a dead process of the same number left.
fn bind(directory: &RuntimeDirectory, path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && directory.has_socket(path) => {
            if client::connect(path).is_ok() {
                let text = format!("{} is the socket of another process", OutsideText::new(path));
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let tell = |error: io::Error| {
        io::Error::new(error.kind(), format!("could not make the socket {}: {error}", OutsideText::new(path)))
    };
    let listener = listener.map_err(tell)?;
    // Until here the directory keeps others out.
    let ready = fs::set_permissions(path, Permissions::from_mode(0o600));
    ready.and_then(|()| listener.set_nonblocking(true)).map_err(|error| {
        let _ = fs::remove_file(path);
        tell(error)
    })?;
    Ok(listener)
}

/// Says why there is no answer.
fn refuse(stream: &UnixStream, reason: String) {
    if let Ok(line) = serde_json::to_vec(&Answer::<()>::Error(reason)) {
        // It fits the socket's buffer, so that nobody waits.
        let _ = write_line(stream, &line, Instant::now() + PATIENCE);
    }
}

/// One of the few that are answered at once.
struct Place {
    endpoint: Arc<Endpoint>,
}

impl Place {
    fn take(endpoint: &Arc<Endpoint>) -> Option<Self> {
        let mut state = endpoint.lock();
        if state.answering == MOST_AT_ONCE {
            return None;
        }
        state.answering += 1;
        Some(Self { endpoint: endpoint.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.lock().answering -= 1;
        self.endpoint.answered.notify_all();
    }
}
