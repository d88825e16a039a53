//! UDP sockets of a guest.

use super::address::address;
use super::tcp::{bind_to, buffer_size, hop_limit, open, set_hop_limit};
use super::{Family, NetworkPolicy, Result, SocketAddrUse, SocketError};
use crate::wait::Event;
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, SocketType, connect, connect_unspec, getsockname, recvfrom, send, sendto, sockopt,
};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A UDP socket.
pub(crate) struct UdpSocket {
    fd: Arc<OwnedFd>,
    family: Family,
    state: State,
    remote: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unbound,
    BindStarted,
    Bound,
}

/// One of the two directions of a socket.
#[derive(Clone)]
pub(crate) struct Datagrams {
    fd: Arc<OwnedFd>,
    family: Family,
    remote: Option<SocketAddr>,
}

impl UdpSocket {
    /// Opens a socket.
    pub(crate) fn new(policy: &NetworkPolicy, family: Family) -> Result<Self> {
        policy.check_udp()?;
        let fd = Arc::new(open(family, SocketType::DGRAM)?);
        Ok(Self { fd, family, state: State::Unbound, remote: None })
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn start_bind(&mut self, policy: &NetworkPolicy, local: SocketAddr) -> Result {
        if self.state != State::Unbound {
            return Err(SocketError::InvalidState);
        }
        self.family.check(&local)?;
        policy.check(local, SocketAddrUse::UdpBind)?;
        bind_to(&self.fd, &local)?;
        self.state = State::BindStarted;
        Ok(())
    }

    pub(crate) fn finish_bind(&mut self) -> Result {
        if self.state != State::BindStarted {
            return Err(SocketError::NotInProgress);
        }
        self.state = State::Bound;
        Ok(())
    }

    /// Returns the socket's datagrams, if `remote` is given only those from and to it.
    pub(crate) fn datagrams(
        &mut self,
        policy: &NetworkPolicy,
        remote: Option<SocketAddr>,
    ) -> Result<Datagrams> {
        if self.state != State::Bound {
            return Err(SocketError::InvalidState);
        }
        if let Some(remote) = remote {
            self.family.check_remote(&remote)?;
            policy.check(remote, SocketAddrUse::UdpConnect)?;
        }
        if self.remote.take().is_some() {
            match connect_unspec(&*self.fd) {
                // BSD's way to say that it has worked.
                Err(Errno::AFNOSUPPORT) => {}
                done => done?,
            }
        }
        if let Some(remote) = remote {
            connect(&*self.fd, &remote)?;
        }
        self.remote = remote;
        Ok(Datagrams { fd: self.fd.clone(), family: self.family, remote })
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        match self.state {
            State::Unbound => Err(SocketError::InvalidState),
            State::BindStarted => Err(SocketError::ConcurrencyConflict),
            State::Bound => address(getsockname(&*self.fd)?),
        }
    }

    pub(crate) fn remote_address(&self) -> Result<SocketAddr> {
        self.remote.ok_or(SocketError::InvalidState)
    }

    pub(crate) fn hop_limit(&self) -> Result<u8> {
        hop_limit(&self.fd, self.family)
    }

    pub(crate) fn set_hop_limit(&self, limit: u8) -> Result {
        set_hop_limit(&self.fd, self.family, limit)
    }

    // The kernel tells twice the size that was set.
    pub(crate) fn receive_buffer_size(&self) -> Result<u64> {
        Ok(sockopt::socket_recv_buffer_size(&*self.fd)? as u64 / 2)
    }

    pub(crate) fn set_receive_buffer_size(&self, bytes: u64) -> Result {
        Ok(sockopt::set_socket_recv_buffer_size(&*self.fd, buffer_size(bytes)?)?)
    }

    pub(crate) fn send_buffer_size(&self) -> Result<u64> {
        Ok(sockopt::socket_send_buffer_size(&*self.fd)? as u64 / 2)
    }

    pub(crate) fn set_send_buffer_size(&self, bytes: u64) -> Result {
        Ok(sockopt::set_socket_send_buffer_size(&*self.fd, buffer_size(bytes)?)?)
    }
}

impl Datagrams {
    /// Receives a datagram, if there is one.
    pub(crate) fn receive(&self) -> Result<Option<(Vec<u8>, SocketAddr)>> {
        let mut bytes = vec![0; MAX_DATAGRAM];
        loop {
            let (count, from) = match recvfrom(&*self.fd, &mut bytes[..], RecvFlags::empty()) {
                Ok((count, _, from)) => (count, from),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let from = address(from.ok_or(SocketError::Unknown)?)?;
            // Some may have arrived before the socket was connected.
            if self.remote.is_none_or(|remote| remote == from) {
                bytes.truncate(count);
                bytes.shrink_to_fit();
                return Ok(Some((bytes, from)));
            }
        }
    }

    /// Sends a datagram. Returns whether the system has taken it.
    pub(crate) fn send(&self, policy: &NetworkPolicy, bytes: &[u8], to: Option<SocketAddr>) -> Result<bool> {
        let sent = match (self.remote, to) {
            (None, None) => return Err(SocketError::InvalidArgument),
            (Some(remote), Some(to)) if remote != to => return Err(SocketError::InvalidArgument),
            (Some(_), _) => send(&*self.fd, bytes, SendFlags::NOSIGNAL),
            (None, Some(to)) => {
                self.family.check_remote(&to)?;
                policy.check(to, SocketAddrUse::UdpOutgoingDatagram)?;
                sendto(&*self.fd, bytes, SendFlags::NOSIGNAL, &to)
            }
        };
        match sent {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn receivable(&self) -> Event<'_> {
        Event::Readable(self.fd.as_fd())
    }

    pub(crate) fn sendable(&self) -> Event<'_> {
        Event::Writable(self.fd.as_fd())
    }
}
