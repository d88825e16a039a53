//! Why a process cannot be asked.

use belljar_core::OutsideText;
use std::fmt;
use std::io;

/// Why a process did not tell what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// There is no such process.
    NoProcess {
        /// The number that was asked for.
        pid: u32,
    },
    /// It is another user's.
    OtherUser {
        /// Its number.
        pid: u32,
        /// Whose it is.
        uid: u32,
    },
    /// It has no socket: it is no belljar program, or one that does not let others look.
    NotServed {
        /// Its number.
        pid: u32,
    },
    /// What answers is not the process that the socket is named after, or is in a pid namespace that cannot be seen from here.
    WrongPeer {
        /// The number that was asked for.
        pid: u32,
    },
    /// It did not answer, or not in time.
    NoResponse {
        /// Its number.
        pid: u32,
        /// What happened to the conversation.
        error: io::Error,
    },
    /// It answered something that is no answer.
    InvalidResponse {
        /// Its number.
        pid: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// It said why it does not tell. The text comes from that process, as it is; printed as an error it is escaped.
    Refused {
        /// Its number.
        pid: u32,
        /// Its sentence.
        reason: String,
    },
    /// Where sockets are cannot be looked at.
    Directory(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess { pid } => write!(f, "there is no process {pid}"),
            Self::OtherUser { pid, uid } => write!(
                f,
                "process {pid} belongs to user {uid}: only that user and root can look at its guests"
            ),
            Self::NotServed { pid } => write!(
                f,
                "process {pid} lets nobody look at its guests: it is no belljar program, or an embedder that did not ask for it, \
                 or it has another BELLJAR_RUNTIME_DIR"
            ),
            Self::WrongPeer { pid } => {
                write!(
                    f,
                    "what answers for process {pid} is another process, or one that a container hides: it was not asked anything"
                )
            }
            Self::NoResponse { pid, error } => write!(f, "process {pid} does not answer: {error}"),
            Self::InvalidResponse { pid, problem } => {
                write!(f, "process {pid} gave no proper answer: {}", OutsideText::new(problem))
            }
            Self::Refused { pid, reason } => {
                write!(f, "process {pid} does not tell: {}", OutsideText::new(reason))
            }
            Self::Directory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoResponse { error, .. } => Some(error),
            Self::Directory(error) => error.source(),
            _ => None,
        }
    }
}
