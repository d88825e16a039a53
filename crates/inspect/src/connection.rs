//! A client's connection: a request arrives, is handled, and the response is sent, without blocking the event loop.
//!
//! ```text
//! Reading ─▶ Queued ─▶ Answering ─▶ Writing ─▶ Closed
//!    │         └── no thread in time ─▶ │
//!    └── too long, too slow ───────────▶┘
//! ```

use crate::message::{MAX_REQUEST_BYTES, Response};
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The timeout for a request to arrive: clients have it ready.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may wait in the queue for a thread.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for the client to read the response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Bytes that one connection may send before other connections get a turn.
const MAX_BYTES_PER_TURN: usize = 1 << 20;

/// A connection to a client.
pub(crate) struct Connection {
    stream: Arc<UnixStream>,
    state: State,
    /// When the current state times out; `None`: never.
    deadline: Option<Instant>,
}

/// The states in which a connection waits for the client and can be evicted, ordered from last to first to be evicted.
// ORDER: EventLoop::make_room
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum EvictionClass {
    Writing,
    Reading,
    Closed,
}

enum State {
    /// The request is arriving.
    Reading(Vec<u8>),
    /// The request is complete and waits for a thread.
    Queued(Vec<u8>),
    /// A thread computes the response.
    Answering,
    /// The response is being sent.
    Writing {
        line: Vec<u8>,
        sent: usize,
    },
    Closed,
}

impl Connection {
    /// Creates a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the stream cannot be made non-blocking.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let state = State::Reading(Vec::new());
        Ok(Self { stream: Arc::new(stream), state, deadline: Some(Instant::now() + REQUEST_TIMEOUT) })
    }

    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// Returns the events to poll for.
    pub(crate) fn poll_flags(&self) -> PollFlags {
        match self.state {
            State::Reading(_) => PollFlags::IN,
            State::Writing { .. } => PollFlags::OUT,
            State::Queued(_) | State::Answering | State::Closed => PollFlags::empty(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued(_))
    }

    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering)
    }

    /// Returns whether a request is queued or being handled, or its response being sent.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Reading(_) | State::Closed)
    }

    /// Returns how early the connection is evicted; `None` if it does not wait for the client.
    pub(crate) fn eviction_class(&self) -> Option<EvictionClass> {
        match self.state {
            State::Closed => Some(EvictionClass::Closed),
            State::Reading(_) => Some(EvictionClass::Reading),
            State::Writing { .. } => Some(EvictionClass::Writing),
            State::Queued(_) | State::Answering => None,
        }
    }

    /// Reads or writes as much as possible without blocking, and closes the connection if its state timed out.
    pub(crate) fn advance(&mut self, is_ready: bool, now: Instant) {
        if is_ready {
            match self.state {
                State::Reading(_) => self.read(),
                State::Writing { .. } => self.write(),
                State::Queued(_) | State::Answering | State::Closed => {}
            }
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            match self.state {
                State::Reading(_) => self.refuse("the request did not arrive: the other side takes too long"),
                State::Queued(_) => self.refuse("too many requests at the moment: try again"),
                State::Answering | State::Writing { .. } | State::Closed => self.state = State::Closed,
            }
        }
    }

    /// Takes the request if it is complete; the caller must answer it.
    pub(crate) fn take_request(&mut self) -> Option<Vec<u8>> {
        let State::Queued(line) = &mut self.state else { return None };
        let line = std::mem::take(line);
        (self.state, self.deadline) = (State::Answering, None);
        Some(line)
    }

    /// Sends a line, which must not contain a line end, and closes the connection afterwards.
    pub(crate) fn respond(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.state = State::Writing { line, sent: 0 };
        self.deadline = Some(Instant::now() + RESPONSE_TIMEOUT);
        self.write();
    }

    /// Sends the reason why there is no response.
    pub(crate) fn refuse(&mut self, reason: &str) {
        match refusal(reason) {
            Some(line) => self.respond(line),
            None => self.state = State::Closed,
        }
    }

    /// Closes the connection, whatever its state.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }

    fn read(&mut self) {
        let State::Reading(line) = &mut self.state else { return };
        let mut chunk = [0; CHUNK_BYTES];
        let read = match recv(&*self.stream, &mut chunk[..], RecvFlags::DONTWAIT) {
            // The client only checked whether the socket is served.
            Ok((_, 0)) if line.is_empty() => return self.state = State::Closed,
            Ok((_, 0)) => return self.refuse("the request did not arrive: the line has no end"),
            Ok((_, read)) => &chunk[..read],
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(_) => return self.state = State::Closed,
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        if line.len() > MAX_REQUEST_BYTES {
            return self.refuse(&format!(
                "the request did not arrive: expected a line of at most {MAX_REQUEST_BYTES} bytes, found a longer one"
            ));
        }
        if end.is_some() {
            let line = std::mem::take(line);
            (self.state, self.deadline) = (State::Queued(line), Some(Instant::now() + QUEUE_TIMEOUT));
        }
    }

    fn write(&mut self) {
        let State::Writing { line, sent } = &mut self.state else { return };
        let end = line.len().min(*sent + MAX_BYTES_PER_TURN);
        while *sent < end {
            // Without NOSIGNAL, the process could get a SIGPIPE that it handles or dies of.
            match send(&*self.stream, &line[*sent..end], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(n) => *sent += n,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // The client no longer wants the response.
                Err(_) => return self.state = State::Closed,
            }
        }
        if *sent == line.len() {
            self.state = State::Closed;
        }
    }
}

/// Returns the line that says why there is no response.
pub(crate) fn refusal(reason: &str) -> Option<Vec<u8>> {
    serde_json::to_vec(&Response::<()>::Error(reason.into())).ok()
}
