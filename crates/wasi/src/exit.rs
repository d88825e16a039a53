//! The guest's own end: `proc_exit`.

use std::fmt;

/// The guest called `proc_exit` with this code. Not a failure: the embedder decides what the code means.
///
/// The code is the guest's 32 bits unchanged; a command-line host usually passes on the low eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct I32Exit(pub i32);

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program exited with code {}", self.0)
    }
}

impl std::error::Error for I32Exit {}
