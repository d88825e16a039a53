//! A connection of somebody who asks: a question arrives, is answered, and the answer goes out, without anybody waiting for it.
//!
//! ```text
//! Reading ─▶ Asked ─▶ Answering ─▶ Writing ─▶ over
//!    │         └── nobody had time ──▶ │
//!    └── too long, too slow ──────────▶┘
//! ```

use crate::message::{Answer, LONGEST_QUESTION};
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a question may take to arrive: those who ask have it ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a question may wait until one of those before it has been answered.
const PATIENCE_IN_LINE: Duration = Duration::from_secs(10);

/// How long an answer may take to be read.
const PATIENCE_FOR_ANSWERS: Duration = Duration::from_secs(30);

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// Bytes that one connection may send before others have their turn.
const MOST_IN_TURN: usize = 1 << 20;

/// Somebody who asks.
pub(crate) struct Connection {
    stream: Arc<UnixStream>,
    state: State,
    /// When it has taken too long in its state; `None`: never.
    until: Option<Instant>,
}

/// What a connection is about that waits for the other side, in the order in which those are given up last.
// ORDER: EventLoop::make_room
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Idle {
    Writing,
    Reading,
    Over,
}

enum State {
    /// The question is arriving.
    Reading(Vec<u8>),
    /// It is there, and waits for its turn.
    Asked(Vec<u8>),
    /// A thread makes the answer.
    Answering,
    /// The answer goes out.
    Writing {
        line: Vec<u8>,
        sent: usize,
    },
    Over,
}

impl Connection {
    /// # Errors
    ///
    /// Where it cannot be made one that is not waited for.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let state = State::Reading(Vec::new());
        Ok(Self { stream: Arc::new(stream), state, until: Some(Instant::now() + PATIENCE) })
    }

    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// What is to be waited for until there is something to do.
    pub(crate) fn awaits(&self) -> PollFlags {
        match self.state {
            State::Reading(_) => PollFlags::IN,
            State::Writing { .. } => PollFlags::OUT,
            State::Asked(_) | State::Answering | State::Over => PollFlags::empty(),
        }
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked(_))
    }

    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.state, State::Answering)
    }

    /// Whether it has a question, which is not answered yet or whose answer is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, State::Reading(_) | State::Over)
    }

    /// How readily it is given up for others, if at all: it is the other side that it waits for.
    pub(crate) fn is_idle(&self) -> Option<Idle> {
        match self.state {
            State::Over => Some(Idle::Over),
            State::Reading(_) => Some(Idle::Reading),
            State::Writing { .. } => Some(Idle::Writing),
            State::Asked(_) | State::Answering => None,
        }
    }

    /// Reads or writes as much as can be now, and gives up what takes too long.
    pub(crate) fn go_on(&mut self, is_ready: bool, now: Instant) {
        if is_ready {
            match self.state {
                State::Reading(_) => self.read(),
                State::Writing { .. } => self.write(),
                State::Asked(_) | State::Answering | State::Over => {}
            }
        }
        if self.until.is_some_and(|until| until <= now) {
            match self.state {
                State::Reading(_) => {
                    self.refuse("the question did not arrive: the other side takes too long")
                }
                State::Asked(_) => self.refuse("too many others are asking it at this moment: try again"),
                State::Answering | State::Writing { .. } | State::Over => self.state = State::Over,
            }
        }
    }

    /// The question, if it is there: it is being answered from now on.
    pub(crate) fn take_question(&mut self) -> Option<Vec<u8>> {
        let State::Asked(line) = &mut self.state else { return None };
        let line = std::mem::take(line);
        (self.state, self.until) = (State::Answering, None);
        Some(line)
    }

    /// Sends a line, which has no line end in it, and then is over.
    pub(crate) fn answer(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.state = State::Writing { line, sent: 0 };
        self.until = Some(Instant::now() + PATIENCE_FOR_ANSWERS);
        self.write();
    }

    /// Says why there is no answer.
    pub(crate) fn refuse(&mut self, reason: &str) {
        match refusal(reason) {
            Some(line) => self.answer(line),
            None => self.state = State::Over,
        }
    }

    /// Ends it, whatever it was about.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Over;
    }

    fn read(&mut self) {
        let State::Reading(line) = &mut self.state else { return };
        let mut chunk = [0; CHUNK];
        let read = match recv(&*self.stream, &mut chunk[..], RecvFlags::DONTWAIT) {
            // Somebody who only wanted to know whether there is somebody.
            Ok((_, 0)) if line.is_empty() => return self.state = State::Over,
            Ok((_, 0)) => return self.refuse("the question did not arrive: the line has no end"),
            Ok((_, read)) => &chunk[..read],
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(_) => return self.state = State::Over,
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        if line.len() > LONGEST_QUESTION {
            return self.refuse(&format!(
                "the question did not arrive: expected a line of at most {LONGEST_QUESTION} bytes, found a longer one"
            ));
        }
        if end.is_some() {
            let line = std::mem::take(line);
            (self.state, self.until) = (State::Asked(line), Some(Instant::now() + PATIENCE_IN_LINE));
        }
    }

    fn write(&mut self) {
        let State::Writing { line, sent } = &mut self.state else { return };
        let end = line.len().min(*sent + MOST_IN_TURN);
        while *sent < end {
            // A process that handles SIGPIPE, or dies of it, is told by the error alone.
            match send(&*self.stream, &line[*sent..end], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(n) => *sent += n,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // Whoever does not read it does not want it.
                Err(_) => return self.state = State::Over,
            }
        }
        if *sent == line.len() {
            self.state = State::Over;
        }
    }
}

/// The line that says why there is no answer.
pub(crate) fn refusal(reason: &str) -> Option<Vec<u8>> {
    serde_json::to_vec(&Answer::<()>::Error(reason.into())).ok()
}
