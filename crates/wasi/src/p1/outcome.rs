//! Results of a WASI 0.1 call other than success.

use std::fmt;
use std::io;

use crate::I32Exit;
use crate::memory::Fault;
use crate::p1::Errno;

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The guest gets this number and continues.
    Errno(Errno),
    /// The guest called `proc_exit` and ends.
    Exit(I32Exit),
    /// The guest ends with a trap, for this reason.
    Trap(Box<str>),
}

/// The result of a WASI function; values are written to the guest's memory.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::Errno(errno)
    }
}

impl From<Fault> for Error {
    fn from(_: Fault) -> Error {
        Error::Errno(Errno::Fault)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Errno(error.into())
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        Error::Errno(errno.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Errno(errno) => errno.fmt(f),
            Error::Exit(exit) => exit.fmt(f),
            Error::Trap(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// The value that a WASI function returns to wasm: its errno as an `i32`, or nothing.
pub trait WasmResult {
    /// Returns the value for this errno.
    fn from_errno(errno: Errno) -> Self;
}

impl WasmResult for i32 {
    fn from_errno(errno: Errno) -> i32 {
        i32::from(errno as u16)
    }
}

impl WasmResult for () {
    fn from_errno(_: Errno) {}
}
