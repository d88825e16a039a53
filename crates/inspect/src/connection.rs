//! A connection of somebody who asks: a question arrives, is answered, and the answer goes out, without anybody waiting for it.
//!
//! ```text
//! Reading ─▶ Asked ─▶ Answering ─▶ Writing ─▶ over
//!    │         └── nobody had time ──▶ │
//!    └── too long, too slow ──────────▶┘
//! ```

use crate::message::{MAX_REQUEST_BYTES, Response};
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a question may take to arrive: those who ask have it ready.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question may wait until one of those before it has been answered.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take to be read.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Bytes that one connection may send before others have their turn.
const MAX_BYTES_PER_TURN: usize = 1 << 20;

/// Somebody who asks.
pub(crate) struct Connection {
    stream: Arc<UnixStream>,
    state: State,
    /// When it has taken too long in its state; `None`: never.
    deadline: Option<Instant>,
}

/// What a connection is about that waits for the other side, in the order in which those are given up last.
// ORDER: EventLoop::make_room
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum EvictionClass {
    Writing,
    Reading,
    Closed,
}

enum State {
    /// The question is arriving.
    Reading(Vec<u8>),
    /// It is there, and waits for its turn.
    Queued(Vec<u8>),
    /// A thread makes the answer.
    Answering,
    /// The answer goes out.
    Writing {
        line: Vec<u8>,
        sent: usize,
    },
    Closed,
}

impl Connection {
    /// # Errors
    ///
    /// Where it cannot be made one that is not waited for.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let state = State::Reading(Vec::new());
        Ok(Self { stream: Arc::new(stream), state, deadline: Some(Instant::now() + REQUEST_TIMEOUT) })
    }

    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// What is to be waited for until there is something to do.
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

    /// Whether it has a question, which is not answered yet or whose answer is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Reading(_) | State::Closed)
    }

    /// How readily it is given up for others, if at all: it is the other side that it waits for.
    pub(crate) fn eviction_class(&self) -> Option<EvictionClass> {
        match self.state {
            State::Closed => Some(EvictionClass::Closed),
            State::Reading(_) => Some(EvictionClass::Reading),
            State::Writing { .. } => Some(EvictionClass::Writing),
            State::Queued(_) | State::Answering => None,
        }
    }

    /// Reads or writes as much as can be now, and gives up what takes too long.
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
                State::Reading(_) => {
                    self.refuse("the question did not arrive: the other side takes too long")
                }
                State::Queued(_) => self.refuse("too many others are asking it at this moment: try again"),
                State::Answering | State::Writing { .. } | State::Closed => self.state = State::Closed,
            }
        }
    }

    /// The question, if it is there: it is being answered from now on.
    pub(crate) fn take_request(&mut self) -> Option<Vec<u8>> {
        let State::Queued(line) = &mut self.state else { return None };
        let line = std::mem::take(line);
        (self.state, self.deadline) = (State::Answering, None);
        Some(line)
    }

    /// Sends a line, which has no line end in it, and then is over.
    pub(crate) fn respond(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.state = State::Writing { line, sent: 0 };
        self.deadline = Some(Instant::now() + RESPONSE_TIMEOUT);
        self.write();
    }

    /// Says why there is no answer.
    pub(crate) fn refuse(&mut self, reason: &str) {
        match refusal(reason) {
            Some(line) => self.respond(line),
            None => self.state = State::Closed,
        }
    }

    /// Ends it, whatever it was about.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }

    fn read(&mut self) {
        let State::Reading(line) = &mut self.state else { return };
        let mut chunk = [0; CHUNK_BYTES];
        let read = match recv(&*self.stream, &mut chunk[..], RecvFlags::DONTWAIT) {
            // Somebody who only wanted to know whether there is somebody.
            Ok((_, 0)) if line.is_empty() => return self.state = State::Closed,
            Ok((_, 0)) => return self.refuse("the question did not arrive: the line has no end"),
            Ok((_, read)) => &chunk[..read],
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(_) => return self.state = State::Closed,
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        if line.len() > MAX_REQUEST_BYTES {
            return self.refuse(&format!(
                "the question did not arrive: expected a line of at most {MAX_REQUEST_BYTES} bytes, found a longer one"
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
            // A process that handles SIGPIPE, or dies of it, is told by the error alone.
            match send(&*self.stream, &line[*sent..end], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(n) => *sent += n,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // Whoever does not read it does not want it.
                Err(_) => return self.state = State::Closed,
            }
        }
        if *sent == line.len() {
            self.state = State::Closed;
        }
    }
}

/// The line that says why there is no answer.
pub(crate) fn refusal(reason: &str) -> Option<Vec<u8>> {
    serde_json::to_vec(&Response::<()>::Error(reason.into())).ok()
}
