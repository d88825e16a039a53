//! The thread that serves the socket: it accepts connections, reads questions, has them answered by threads, and sends answers,
//! and never waits for any one of those who ask.
//!
//! In: a listener, and an [`Endpoint`] that knows the answers. **Invariant:** the number of connections is bounded; where there is no
//! room for one more, the one is closed that has kept everybody waiting for longest, so that nobody can close the socket to others.

use crate::connection::{Connection, EvictionClass, refusal};
use crate::endpoint::Endpoint;
use crate::peer::{Peer, our_uid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Questions that are answered at once, by a thread each. Who asks is a person with a few terminals.
pub(crate) const MAX_CONCURRENT_REQUESTS: usize = 8;

/// Connections at once, those included that have not asked yet and those whose answers are being read.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// Connections that are accepted before those that are there have their turn.
const MAX_ACCEPTS_PER_TURN: usize = 16;

/// How long to wait when connections cannot be accepted, for want of file descriptors mostly.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until the endpoint has ended and those who had asked by then have their answers.
pub(crate) struct EventLoop {
    endpoint: Arc<Endpoint>,
    /// `None` once it has ended.
    listener: Option<UnixListener>,
    /// By their numbers: the oldest first.
    connections: BTreeMap<u64, Connection>,
    next_number: u64,
    /// Until when nothing is accepted.
    accept_paused_until: Option<Instant>,
}

/// What there is to be done.
#[derive(Default)]
struct Ready {
    has_ended: bool,
    may_accept: bool,
    connections: Vec<u64>,
}

impl EventLoop {
    pub(crate) fn new(endpoint: Arc<Endpoint>, listener: UnixListener) -> Self {
        let (connections, next_number, accept_paused_until) = (BTreeMap::new(), 0, None);
        Self { endpoint, listener: Some(listener), connections, next_number, accept_paused_until }
    }

    pub(crate) fn run(mut self) {
        while self.listener.is_some() || !self.connections.is_empty() {
            let ready = self.wait();
            for (number, line) in self.endpoint.take_responses() {
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.respond(line);
                }
            }
            let now = Instant::now();
            for (number, connection) in &mut self.connections {
                connection.advance(ready.connections.contains(number), now);
            }
            // Whoever has asked before somebody new came is not given up for them.
            if ready.may_accept {
                self.accept();
            }
            if ready.has_ended && self.listener.take().is_some() {
                self.end();
            }
            self.start_requests();
            self.connections.retain(|_, connection| !connection.is_closed());
            let busy = self.connections.values().filter(|connection| connection.is_busy()).count();
            self.endpoint.set_pending(busy);
        }
        self.endpoint.set_pending(0);
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> Ready {
        let now = Instant::now();
        self.accept_paused_until = self.accept_paused_until.filter(|deadline| *deadline > now);
        let mut numbers = Vec::new();
        let mut fds = vec![PollFd::new(self.endpoint.response_ready(), PollFlags::IN)];
        // Once it has ended, that is no news.
        if let Some(listener) = &self.listener {
            fds.push(PollFd::new(self.endpoint.end(), PollFlags::IN));
            let accepts = self.accept_paused_until.is_none() && self.has_room();
            let accepts = if accepts { PollFlags::IN } else { PollFlags::empty() };
            fds.push(PollFd::new(listener, accepts));
        }
        let fixed = fds.len();
        for (number, connection) in &self.connections {
            if !connection.poll_flags().is_empty() {
                numbers.push(*number);
                fds.push(PollFd::new(&**connection.stream(), connection.poll_flags()));
            }
        }
        let untils =
            self.connections.values().filter_map(Connection::deadline).chain(self.accept_paused_until);
        let left = untils.min().map(|deadline| deadline.saturating_duration_since(now));
        // Rounded up, so that what is waited for is over.
        let left = left.map(|left| left + Duration::from_millis(1));
        match poll(&mut fds, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ready::default(),
            // There is no memory for a moment.
            Err(_) => {
                thread::sleep(RETRY_DELAY);
                return Ready::default();
            }
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ready {
            has_ended: fixed > 1 && is_ready(&fds[1]),
            may_accept: fixed > 1 && is_ready(&fds[2]),
            connections: numbers
                .into_iter()
                .zip(&fds[fixed..])
                .filter(|(_, fd)| is_ready(fd))
                .map(|(n, _)| n)
                .collect(),
        }
    }

    fn accept(&mut self) {
        for _ in 0..MAX_ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_ref().filter(|_| self.has_room()) else { return };
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.make_room();
                    self.accept_paused_until = Some(Instant::now() + RETRY_DELAY);
                    return;
                }
            }
        }
    }

    /// Takes somebody in, if they may ask.
    fn admit(&mut self, stream: UnixStream) {
        if !Peer::of(&stream).is_ok_and(|peer| peer.may_ask(our_uid())) {
            return;
        }
        let Ok(mut connection) = Connection::new(stream) else { return };
        if self.connections.len() >= MAX_CONNECTIONS {
            self.make_room();
        }
        // Most have asked by now.
        connection.advance(true, Instant::now());
        self.connections.insert(self.next_number, connection);
        self.next_number += 1;
    }

    /// Whether one more can be taken in, perhaps in place of another. If all have asked, they have their answers soon: meanwhile
    /// those who come wait in the kernel's queue.
    fn has_room(&self) -> bool {
        self.connections.len() < MAX_CONNECTIONS
            || self.connections.values().any(|connection| connection.eviction_class().is_some())
    }

    /// Closes the connection that is given up most readily, the oldest of several.
    fn make_room(&mut self) {
        let idle = |(number, connection): (&u64, &Connection)| Some((connection.eviction_class()?, *number));
        let idle = self.connections.iter().filter_map(idle);
        let Some((_, number)) = idle.max_by_key(|(readily, number)| (*readily, u64::MAX - number)) else {
            return;
        };
        if let Some(mut connection) = self.connections.remove(&number)
            && connection.eviction_class() == Some(EvictionClass::Reading)
        {
            connection.refuse("the question did not arrive, and others were waiting: try again");
        }
    }

    /// Has as many questions answered as may be at once, those first that came first.
    fn start_requests(&mut self) {
        let answering = self.connections.values().filter(|connection| connection.is_answering()).count();
        let asked = self.connections.iter_mut().filter(|(_, connection)| connection.is_queued());
        for (number, connection) in asked.take(MAX_CONCURRENT_REQUESTS.saturating_sub(answering)) {
            let Some(line) = connection.take_request() else { continue };
            let (endpoint, stream, number) = (self.endpoint.clone(), connection.stream().clone(), *number);
            let thread = thread::Builder::new().name("belljar-answer".into());
            let answer = move || {
                let answer = endpoint.answer(&line, &stream).or_else(|reason| refusal(&reason).ok_or(()));
                endpoint.queue_response(number, answer.unwrap_or_default());
            };
            if let Err(error) = thread.spawn(answer) {
                connection.refuse(&format!("it could not start a thread to answer: {error}"));
            }
        }
    }

    /// Nobody is accepted any more: those who have not asked yet are late.
    fn end(&mut self) {
        for connection in self.connections.values_mut() {
            match connection.is_busy() {
                true if connection.is_queued() => connection.refuse("the process is about to end"),
                true => {}
                false => connection.close(),
            }
        }
    }
}
