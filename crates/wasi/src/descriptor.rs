//! What a guest's descriptor number refers to.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::dir::Dir;
use crate::fd_flags::FdFlags;
use crate::file::File;
use crate::socket::Socket;
use crate::stat::FileKind;
use crate::stream::{InputStream, OutputStream};

/// An open descriptor.
pub(crate) enum Descriptor {
    Input(Stream<dyn InputStream>),
    Output(Stream<dyn OutputStream>),
    File(File),
    Dir(Dir),
    Socket(Socket),
}

/// A standard stream and the flags that this guest set on it. The host's descriptor may be shared with other
/// programs, so its own flags are not changed.
pub(crate) struct Stream<T: ?Sized> {
    pub(crate) stream: Arc<T>,
    flags: AtomicU16,
}

impl<T: ?Sized> Stream<T> {
    pub(crate) fn new(stream: Arc<T>) -> Stream<T> {
        Stream { stream, flags: AtomicU16::new(0) }
    }

    pub(crate) fn flags(&self) -> FdFlags {
        FdFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    pub(crate) fn set_flags(&self, flags: FdFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }
}

impl Descriptor {
    /// Returns what to wait on before a call that might block; `None` if no call blocks.
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Descriptor::Input(input) => input.stream.poll_fd(),
            Descriptor::Output(output) => output.stream.poll_fd(),
            Descriptor::File(file) if file.kind != FileKind::RegularFile => Some(file.as_fd()),
            Descriptor::File(_) | Descriptor::Dir(_) => None,
            Descriptor::Socket(socket) => Some(socket.as_fd()),
        }
    }

    /// Returns how many bytes a read would return now, as far as known.
    pub(crate) fn available(&self) -> u64 {
        match self {
            Descriptor::Input(input) => input.stream.available(),
            Descriptor::File(file) => file.available(),
            Descriptor::Socket(socket) => socket.available(),
            Descriptor::Output(_) | Descriptor::Dir(_) => 0,
        }
    }
}
