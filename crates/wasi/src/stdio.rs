//! Ready-made streams: the process's own standard streams, files, and empty ones.
//!
//! All of them pass each call straight to the operating system: the guest's C library buffers already, and
//! bytes that the guest has not requested stay unread.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{ioctl_fionread, readv, writev};
// Not the standard library's streams, whose buffers would stay unused here.
use rustix::stdio;

use crate::stream::{InputStream, OutputStream};

/// Reads straight from a host descriptor.
struct Source<T>(T);
/// Writes straight to a host descriptor.
struct Target<T>(T);

impl<T: AsFd + Send + Sync> InputStream for Source<T> {
    fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(readv(&self.0, buffers)?)
    }
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
    fn available(&self) -> u64 {
        ioctl_fionread(&self.0).unwrap_or(0)
    }
    fn is_terminal(&self) -> bool {
        self.0.as_fd().is_terminal()
    }
}

impl<T: AsFd + Send + Sync> OutputStream for Target<T> {
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(writev(&self.0, buffers)?)
    }
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
    fn is_terminal(&self) -> bool {
        self.0.as_fd().is_terminal()
    }
}

macro_rules! standard_streams {
    ($($(#[$doc:meta])* $name:ident $function:ident $wrapper:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name($wrapper<BorrowedFd<'static>>);

        $(#[$doc])*
        pub fn $function() -> $name {
            $name($wrapper(stdio::$function()))
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

standard_streams! {
    /// The process's standard input, unbuffered.
    Stdin stdin Source;
    /// The process's standard output, unbuffered. The host's own buffered output is not flushed first.
    Stdout stdout Target;
    /// The process's standard error.
    Stderr stderr Target;
}

macro_rules! inputs {
    ($($name:ident)*) => {$(
        impl InputStream for $name {
            fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read(buffers)
            }
            fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
                self.0.poll_fd()
            }
            fn available(&self) -> u64 {
                self.0.available()
            }
            fn is_terminal(&self) -> bool {
                self.0.is_terminal()
            }
        }
    )*};
}

macro_rules! outputs {
    ($($name:ident)*) => {$(
        impl OutputStream for $name {
            fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.write(buffers)
            }
            fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
                self.0.poll_fd()
            }
            fn is_terminal(&self) -> bool {
                self.0.is_terminal()
            }
        }
    )*};
}

inputs! { Stdin InputFile }
outputs! { Stdout Stderr OutputFile }

/// Reads from an open file, pipe or device, at its own position.
pub struct InputFile(Source<File>);

impl InputFile {
    /// Wraps the file; the guest reads from its current position on.
    pub fn new(file: File) -> InputFile {
        InputFile(Source(file))
    }
}

/// Writes to an open file, pipe or device, at its own position.
pub struct OutputFile(Target<File>);

impl OutputFile {
    /// Wraps the file; the guest writes from its current position on.
    pub fn new(file: File) -> OutputFile {
        OutputFile(Target(file))
    }
}

/// An input that is at its end; the default standard input.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

impl InputStream for Empty {
    fn read(&self, _: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(0)
    }
}

/// An output that discards everything; the default standard output and error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sink;

impl OutputStream for Sink {
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }
}

/// An output that is closed: writing fails with "broken pipe".
#[derive(Debug, Clone, Copy, Default)]
pub struct ClosedOutputStream;

impl OutputStream for ClosedOutputStream {
    fn write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl InputStream for io::Empty {
    fn read(&self, _: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(0)
    }
}

macro_rules! discarding {
    ($($name:ty)*) => {$(
        impl OutputStream for $name {
            fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                Sink.write(buffers)
            }
        }
    )*};
}

discarding! { io::Empty io::Sink }

macro_rules! buffered {
    ($($name:ty)*) => {$(
        /// Writes through the host's buffer, and flushes it each time.
        impl OutputStream for $name {
            fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                let mut locked = self.lock();
                let written = locked.write_vectored(buffers)?;
                locked.flush()?;
                Ok(written)
            }
            fn is_terminal(&self) -> bool {
                IsTerminal::is_terminal(self)
            }
        }
    )*};
}

buffered! { io::Stdout io::Stderr }
