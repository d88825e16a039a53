//! The endpoint of a process: its subjects, the socket that clients connect to, and the responses.
//!
//! ```text
//! start ─▶ waits ─▶ bound ─▶ serves, one thread for each request ─▶ ended: the socket is removed
//!            └────────┴──── the last subject left, or the socket cannot be created ──┘
//! ```
//!
//! **Invariant:** the socket is bound and removed under the lock, and never bound after the end: so it is removed for
//! certain once the last subject has left.

use crate::client;
use crate::directory::RuntimeDirectory;
use crate::line::has_hung_up;
use crate::message::{Request, Response};
use crate::process_info;
use crate::report::StoreReport;
use crate::subject::{Detail, ProfileRequest, Subject};
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
use std::time::Duration;

/// The number of sockets in the directory from which stale ones are removed at start: nothing else may ever list them.
const STALE_CHECK_THRESHOLD: usize = 100;

/// The endpoint of a process.
pub(crate) struct Endpoint {
    /// The process that created it. Forks inherit the memory, but must not act on it.
    pid: u32,
    /// Becomes readable when the endpoint ends. Forks share it.
    end: OwnedFd,
    /// Readable while there are responses to send.
    response_ready: OwnedFd,
    state: Mutex<State>,
    /// Signalled when no request is pending.
    no_requests_pending: Condvar,
}

#[derive(Default)]
struct State {
    subjects: Vec<(u64, Weak<dyn Subject>)>,
    next_number: u64,
    /// The number of requests being handled, or whose responses are being sent.
    pending: usize,
    /// Responses to send, with the numbers of their connections.
    responses: Vec<(u64, Vec<u8>)>,
    has_ended: bool,
    socket: Option<PathBuf>,
    problem: Option<String>,
}

impl Endpoint {
    /// Starts the thread, which calls `serve` with the listener. Returns the number by which the subject is removed.
    pub(crate) fn start(
        directory: impl FnOnce() -> io::Result<RuntimeDirectory> + Send + 'static,
        subject: Weak<dyn Subject>,
        delay: Duration,
        serve: fn(Arc<Self>, UnixListener),
    ) -> io::Result<(Arc<Self>, u64)> {
        let endpoint = Arc::new(Self {
            pid: std::process::id(),
            end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            response_ready: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: Mutex::new(State { subjects: vec![(0, subject)], next_number: 1, ..State::default() }),
            no_requests_pending: Condvar::new(),
        });
        let listening = endpoint.clone();
        thread::Builder::new()
            .name("belljar-inspect".into())
            .spawn(move || listening.listen(directory, delay, serve))?;
        Ok((endpoint, 0))
    }

    /// Adds a subject. Returns `None` if the endpoint has ended, or belongs to another process.
    pub(crate) fn add(&self, subject: &Weak<dyn Subject>) -> Option<u64> {
        if !self.is_own_process() {
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

    /// Removes a subject. Removing the last one ends the endpoint.
    pub(crate) fn remove(&self, number: u64) {
        if !self.is_own_process() {
            return;
        }
        let mut state = self.lock();
        state.subjects.retain(|(other, _)| *other != number);
        if !state.subjects.is_empty() || state.has_ended {
            return;
        }
        state.has_ended = true;
        if let Some(socket) = state.socket.take() {
            // If the socket has already been removed, there is nothing to do.
            let _ = fs::remove_file(socket);
        }
        // A write of 1 to an eventfd at 0 cannot fail.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }

    /// Waits until no request is pending.
    pub(crate) fn wait_for_responses(&self, patience: Duration) {
        // A fork has no thread that answers.
        if self.is_own_process() {
            let is_busy = |state: &mut State| state.pending > 0;
            drop(self.no_requests_pending.wait_timeout_while(self.lock(), patience, is_busy));
        }
    }

    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.lock().socket.clone()
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    fn is_own_process(&self) -> bool {
        self.pid == std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    fn listen(
        self: Arc<Self>,
        directory: impl FnOnce() -> io::Result<RuntimeDirectory>,
        delay: Duration,
        serve: fn(Arc<Self>, UnixListener),
    ) {
        self.wait_for_end(delay);
        let Some((listener, directory)) = self.bind_socket(directory) else { return };
        if directory.pids().is_ok_and(|pids| pids.len() > STALE_CHECK_THRESHOLD) {
            client::remove_stale(&directory);
        }
        serve(self, listener);
    }

    /// Returns the eventfd that becomes readable when the endpoint ends.
    pub(crate) fn end(&self) -> &OwnedFd {
        &self.end
    }

    /// Returns the eventfd that is readable while there are responses to send.
    pub(crate) fn response_ready(&self) -> &OwnedFd {
        &self.response_ready
    }

    /// Queues a response for the event loop to send.
    pub(crate) fn queue_response(&self, connection: u64, line: Vec<u8>) {
        self.lock().responses.push((connection, line));
        // The eventfd's counter is far from overflowing.
        let _ = rustix::io::write(&self.response_ready, &1_u64.to_ne_bytes());
    }

    /// Takes the responses to send.
    pub(crate) fn take_responses(&self) -> Vec<(u64, Vec<u8>)> {
        // If there are none, the read fails, which is fine.
        let _ = rustix::io::read(&self.response_ready, &mut [0; 8]);
        std::mem::take(&mut self.lock().responses)
    }

    /// Records how many requests are pending.
    pub(crate) fn set_pending(&self, count: usize) {
        self.lock().pending = count;
        if count == 0 {
            self.no_requests_pending.notify_all();
        }
    }

    /// Creates the socket, unless the endpoint has ended meanwhile. Stores the problem if that fails.
    fn bind_socket(
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
                    Some(format!("other processes cannot inspect the guests of this one: {error}"));
                None
            }
        }
    }

    /// Waits for a time, or until the endpoint ends.
    fn wait_for_end(&self, time: Duration) {
        // A time that does not fit a timespec means forever.
        let _ = poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Timespec::try_from(time).ok().as_ref());
    }

    /// Returns the line that answers a request, or the reason why there is none.
    pub(crate) fn answer(&self, line: &[u8], stream: &UnixStream) -> Result<Vec<u8>, String> {
        let handled = catch_unwind(AssertUnwindSafe(|| self.handle(line, stream)));
        handled.unwrap_or_else(|_| Err("a bug: it panicked while it handled the request".into()))
    }

    fn handle(&self, line: &[u8], stream: &UnixStream) -> Result<Vec<u8>, String> {
        let line = match Request::of_line(line)? {
            Request::Stores { detail } => {
                serde_json::to_vec(&Response::Ok(process_info::report(self.stores(detail))))
            }
            Request::Profile(wanted) => {
                let keep_recording = || !has_hung_up(stream) && !self.has_ended();
                serde_json::to_vec(&Response::Ok(self.profiles(&wanted, &keep_recording)?))
            }
            Request::Kill { store, reason } => {
                let killed: usize = self.subjects().iter().map(|subject| subject.kill(store, &reason)).sum();
                serde_json::to_vec(&Response::Ok(killed))
            }
        };
        line.map_err(|error| format!("the response cannot be written as JSON: {error}"))
    }

    /// Returns the subjects that are still alive.
    fn subjects(&self) -> Vec<Arc<dyn Subject>> {
        self.lock().subjects.iter().filter_map(|(_, subject)| subject.upgrade()).collect()
    }

    fn stores(&self, detail: Detail) -> Vec<StoreReport> {
        let mut stores: Vec<_> = self.subjects().iter().flat_map(|subject| subject.stores(detail)).collect();
        stores.sort_by_key(|store| store.id);
        stores
    }

    /// Records profiles of all subjects concurrently. Subjects without one are left out, unless none has one.
    fn profiles(
        &self,
        wanted: &ProfileRequest,
        keep_recording: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Box<RawValue>>, String> {
        let subjects = self.subjects();
        let record = |subject: &Arc<dyn Subject>| {
            let recorded =
                subject.profile(wanted, &|| keep_recording()).map_err(|error| format!("{error:#}"));
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

/// Puts JSON on one line: between values a line end is equivalent to a space, and strings contain none.
fn raw_json(mut json: Vec<u8>) -> Result<Box<RawValue>, String> {
    for byte in json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    let text = String::from_utf8(json).map_err(|error| error.to_string());
    let checked = text.and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()));
    checked.map_err(|problem| format!("a bug: its profile is not JSON: {problem}"))
}

/// Binds this process's socket, replacing one that a dead process with the same id left.
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
    let with_path = |error: io::Error| {
        io::Error::new(error.kind(), format!("could not make the socket {}: {error}", OutsideText::new(path)))
    };
    let listener = listener.map_err(with_path)?;
    // Until here the directory's permissions keep other users out.
    let ready = fs::set_permissions(path, Permissions::from_mode(0o600));
    ready.and_then(|()| listener.set_nonblocking(true)).map_err(|error| {
        let _ = fs::remove_file(path);
        with_path(error)
    })?;
    Ok(listener)
}
