//! The thread that serves the socket: it accepts connections, reads requests, hands them to threads, and sends
//! responses. It never blocks on a single client.
//!
//! In: a listener, and an [`Endpoint`] that computes the responses. **Invariant:** the number of connections is
//! bounded; if there is no room for a new one, the connection that has kept the process waiting for longest is closed,
//! so that no client can block the socket for others.

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

/// Requests handled at once, each by a thread. A client is typically a person with a few terminals.
pub(crate) const MAX_CONCURRENT_REQUESTS: usize = 8;

/// Open connections, including those without a request yet and those whose response is being read.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// Connections accepted before existing connections get a turn.
const MAX_ACCEPTS_PER_TURN: usize = 16;

/// How long to back off when connections cannot be accepted, mostly for lack of file descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until the endpoint has ended and every request received by then is answered.
pub(crate) struct EventLoop {
    endpoint: Arc<Endpoint>,
    /// `None` once the endpoint has ended.
    listener: Option<UnixListener>,
    /// By number, so the oldest is first.
    connections: BTreeMap<u64, Connection>,
    next_number: u64,
    /// Until when no connection is accepted.
    accept_paused_until: Option<Instant>,
}

/// What poll reported.
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
            // Existing connections are advanced first, so that a complete request is not evicted for a new connection.
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
        // Once the endpoint has ended, its eventfd stays readable.
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
        // Rounded up, so that the deadline has passed after the wait.
        let left = left.map(|left| left + Duration::from_millis(1));
        match poll(&mut fds, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ready::default(),
            // A temporary lack of memory.
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

    /// Adds a connection if the peer is permitted.
    fn admit(&mut self, stream: UnixStream) {
        if !Peer::of(&stream).is_ok_and(|peer| peer.may_ask(our_uid())) {
            return;
        }
        let Ok(mut connection) = Connection::new(stream) else { return };
        if self.connections.len() >= MAX_CONNECTIONS {
            self.make_room();
        }
        // Most clients have sent their request by now.
        connection.advance(true, Instant::now());
        self.connections.insert(self.next_number, connection);
        self.next_number += 1;
    }

    /// Returns whether there is room for one more connection, possibly by evicting another. If all have sent requests,
    /// these are answered soon; meanwhile new connections wait in the kernel's queue.
    fn has_room(&self) -> bool {
        self.connections.len() < MAX_CONNECTIONS
            || self.connections.values().any(|connection| connection.eviction_class().is_some())
    }

    /// Closes the first connection to be evicted, the oldest of several.
    fn make_room(&mut self) {
        let idle = |(number, connection): (&u64, &Connection)| Some((connection.eviction_class()?, *number));
        let idle = self.connections.iter().filter_map(idle);
        let Some((_, number)) = idle.max_by_key(|(readily, number)| (*readily, u64::MAX - number)) else {
            return;
        };
        if let Some(mut connection) = self.connections.remove(&number)
            && connection.eviction_class() == Some(EvictionClass::Reading)
        {
            connection.refuse("the request did not arrive, and others were waiting: try again");
        }
    }

    /// Starts handling as many queued requests as allowed, oldest first.
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
                connection.refuse(&format!("could not start a thread to answer: {error}"));
            }
        }
    }

    /// Stops accepting, and closes connections without a complete request.
    fn end(&mut self) {
        for connection in self.connections.values_mut() {
            match connection.is_busy() {
                true if connection.is_queued() => connection.refuse("the process is about to exit"),
                true => {}
                false => connection.close(),
            }
        }
    }
}
