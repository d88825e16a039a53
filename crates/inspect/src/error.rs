//! Errors of a client.

use belljar_core::OutsideText;
use std::fmt;
use std::io;

/// The reason why a process did not provide what was requested.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// There is no such process.
    NoProcess {
        /// The process id that was requested.
        pid: u32,
    },
    /// The process belongs to another user.
    OtherUser {
        /// The process id.
        pid: u32,
        /// The user.
        uid: u32,
    },
    /// The process has no socket: it is not a belljar program, or one that does not serve inspection.
    NotServed {
        /// The process id.
        pid: u32,
    },
    /// The socket is served by another process than the one it is named after, or by one in a pid namespace that is not
    /// visible from here.
    WrongPeer {
        /// The process id that was requested.
        pid: u32,
    },
    /// There was no response, or none in time.
    NoResponse {
        /// The process id.
        pid: u32,
        /// The error of the connection.
        error: io::Error,
    },
    /// The response is malformed.
    InvalidResponse {
        /// The process id.
        pid: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// The process refused the request. The reason is unescaped text from that process; printing the error escapes it.
    Refused {
        /// The process id.
        pid: u32,
        /// The reason, as a sentence.
        reason: String,
    },
    /// The directory of sockets cannot be read.
    Directory(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess { pid } => write!(f, "there is no process {pid}"),
            Self::OtherUser { pid, uid } => write!(
                f,
                "process {pid} belongs to user {uid}: only that user and root can inspect its guests"
            ),
            Self::NotServed { pid } => write!(
                f,
                "process {pid} offers no inspection of its guests: it is not a belljar program, or an embedder that does not serve inspection, \
                 or it has another BELLJAR_RUNTIME_DIR"
            ),
            Self::WrongPeer { pid } => {
                write!(
                    f,
                    "the socket of process {pid} is served by another process, or by one that a container hides: nothing was requested of it"
                )
            }
            Self::NoResponse { pid, error } => write!(f, "process {pid} does not answer: {error}"),
            Self::InvalidResponse { pid, problem } => {
                write!(f, "process {pid} sent an invalid response: {}", OutsideText::new(problem))
            }
            Self::Refused { pid, reason } => {
                write!(f, "process {pid} refused: {}", OutsideText::new(reason))
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
