//! Byte streams behind standard input, output and error.
//!
//! In: a type of the embedder. Out: vectored reads and writes, and what `poll_oneoff` may wait on. Streams take
//! `&self`, because the threads of one guest share them.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A source of bytes for a guest's standard input.
pub trait InputStream: Send + Sync {
    /// Reads into the buffers, blocking until there is at least one byte. Zero means the end of the stream.
    fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Returns what to wait on until a read will not block; `None` for a stream that never blocks.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns how many bytes a read would return now, as far as known.
    fn available(&self) -> u64 {
        0
    }

    /// Returns whether the guest should treat it as a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// A destination of a guest's standard output or error.
pub trait OutputStream: Send + Sync {
    /// Writes at least one byte of the buffers if they contain any, in order, and returns the count.
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Returns what to wait on until a write will not block; `None` for a stream that never blocks.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns whether the guest should treat it as a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

macro_rules! pointers {
    ($($pointer:ident)*) => {$(
        impl<S: InputStream + ?Sized> InputStream for $pointer<S> {
            fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (**self).read(buffers)
            }
            fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
                (**self).poll_fd()
            }
            fn available(&self) -> u64 {
                (**self).available()
            }
            fn is_terminal(&self) -> bool {
                (**self).is_terminal()
            }
        }

        impl<S: OutputStream + ?Sized> OutputStream for $pointer<S> {
            fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                (**self).write(buffers)
            }
            fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
                (**self).poll_fd()
            }
            fn is_terminal(&self) -> bool {
                (**self).is_terminal()
            }
        }
    )*};
}

pointers! { Box Arc }
