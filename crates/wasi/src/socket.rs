//! Stream sockets that the embedder grants to a guest, and those that the guest accepts from them.
//!
//! Never: opens, binds or connects a socket; WASI 0.1 has no such function.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::OFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, accept_with,
    recvmsg, sendmsg, shutdown,
};

use crate::fd_flags::FdFlags;

/// A listening or connected socket to give to a guest, created with `From` from the standard library's types.
#[derive(Debug)]
pub struct PreopenSocket(pub(crate) Socket);

/// A socket in the guest's table.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    pub(crate) listening: bool,
}

macro_rules! preopens {
    ($($ty:ty => $listening:literal;)*) => {$(
        impl From<$ty> for PreopenSocket {
            fn from(socket: $ty) -> PreopenSocket {
                PreopenSocket(Socket { fd: socket.into(), listening: $listening })
            }
        }
    )*};
}

preopens! {
    TcpListener => true;
    UnixListener => true;
    TcpStream => false;
    UnixStream => false;
}

impl Socket {
    pub(crate) fn flags(&self) -> io::Result<FdFlags> {
        let nonblock = rustix::fs::fcntl_getfl(&self.fd)?.contains(OFlags::NONBLOCK);
        Ok(if nonblock { FdFlags::NONBLOCK } else { FdFlags::empty() })
    }

    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        let mut host = rustix::fs::fcntl_getfl(&self.fd)?;
        host.set(OFlags::NONBLOCK, on);
        Ok(rustix::fs::fcntl_setfl(&self.fd, host)?)
    }

    pub(crate) fn accept(&self, nonblocking: bool) -> io::Result<Socket> {
        let mut flags = SocketFlags::CLOEXEC;
        flags.set(SocketFlags::NONBLOCK, nonblocking);
        Ok(Socket { fd: accept_with(&self.fd, flags)?, listening: false })
    }

    /// Returns the count and whether a datagram was truncated.
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        peek: bool,
        wait_all: bool,
    ) -> io::Result<(usize, bool)> {
        let mut flags = RecvFlags::empty();
        flags.set(RecvFlags::PEEK, peek);
        flags.set(RecvFlags::WAITALL, wait_all);
        // Without room for control messages, the kernel closes descriptors that were sent along.
        let mut space: [MaybeUninit<u8>; 0] = [];
        let message = recvmsg(&self.fd, buffers, &mut RecvAncillaryBuffer::new(&mut space), flags)?;
        Ok((message.bytes, message.flags.contains(rustix::net::ReturnFlags::TRUNC)))
    }

    pub(crate) fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        // A closed peer is an error here, not a signal to the host.
        let flags = SendFlags::NOSIGNAL;
        Ok(sendmsg(&self.fd, buffers, &mut SendAncillaryBuffer::default(), flags)?)
    }

    pub(crate) fn shut(&self, how: Shutdown) -> io::Result<()> {
        Ok(shutdown(&self.fd, how)?)
    }

    pub(crate) fn available(&self) -> u64 {
        if self.listening { 0 } else { rustix::io::ioctl_fionread(&self.fd).unwrap_or(0) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
