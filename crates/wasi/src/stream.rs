//! Byte streams behind standard input, output and error.
//!
//! In: an embedder's type. Out: vectored reads and writes, and what `poll_oneoff` may wait on. Streams take
//! `&self`, as the threads of one guest share them.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

/// A source of bytes for a guest's standard input.
pub trait InputStream: Send + Sync {
    /// Reads into the buffers, blocking until there is at least one byte. Zero means the end.
    fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// What to wait on until a read will not block; `None` for a stream that never blocks.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How many bytes a read would give now, as far as known.
    fn available(&self) -> u64 {
        0
    }

    /// Whether the guest should take it for a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// A destination of a guest's standard output or error.
pub trait OutputStream: Send + Sync {
    /// Writes at least one byte of the buffers, where they hold any, in order, and gives the count.
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// What to wait on until a write will not block; `None` for a stream that never blocks.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether the guest should take it for a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}
