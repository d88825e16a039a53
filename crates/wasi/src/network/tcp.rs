//! TCP sockets of a guest: a state machine around a socket of the host that never blocks.

use super::address::address;
use super::{Family, NetworkPolicy, Result, SocketAddrUse, SocketError};
use crate::wait::{Event, is_writable};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, bind, connect, getpeername,
    getsockname, listen, recv, send, shutdown, socket_with, sockopt,
};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How many connections wait to be accepted, unless the guest sets another number: Linux's own default.
const DEFAULT_BACKLOG: i32 = 4096;

/// A TCP socket.
pub(crate) struct TcpSocket {
    connection: Arc<Connection>,
    family: Family,
    state: State,
    backlog: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unbound,
    BindStarted,
    Bound,
    ListenStarted,
    Listening,
    Connecting,
    Connected,
    /// An attempt to connect has failed.
    Closed,
}

/// A connection, as its streams use it.
pub(crate) struct Connection {
    fd: OwnedFd,
    no_input: AtomicBool,
    no_output: AtomicBool,
}

/// What a stream of a connection has done.
pub(crate) enum Moved {
    Bytes(usize),
    /// Nothing: it would have to wait.
    Nothing,
    /// Nothing: the stream is at its end.
    End,
}

impl Connection {
    fn new(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self { fd, no_input: AtomicBool::new(false), no_output: AtomicBool::new(false) })
    }

    /// Receives bytes.
    pub(crate) fn receive(&self, into: &mut [u8]) -> std::result::Result<Moved, Errno> {
        if self.no_input.load(Relaxed) {
            return Ok(Moved::End);
        }
        match recv(&self.fd, into, RecvFlags::empty()) {
            Ok((0, _)) => Ok(Moved::End),
            Ok((count, _)) => Ok(Moved::Bytes(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Sends bytes.
    pub(crate) fn send(&self, bytes: &[u8]) -> std::result::Result<Moved, Errno> {
        if self.no_output.load(Relaxed) {
            return Ok(Moved::End);
        }
        match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => Ok(Moved::Bytes(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(Errno::PIPE) => Ok(Moved::End),
            Err(error) => Err(error),
        }
    }

    /// Returns when bytes can be received.
    pub(crate) fn receivable(&self) -> Event<'_> {
        match self.no_input.load(Relaxed) {
            true => Event::Now,
            false => Event::Readable(self.fd.as_fd()),
        }
    }

    /// Returns when bytes can be sent.
    pub(crate) fn sendable(&self) -> Event<'_> {
        match self.no_output.load(Relaxed) {
            true => Event::Now,
            false => Event::Writable(self.fd.as_fd()),
        }
    }
}

fn seconds(nanoseconds: u64) -> Result<Duration> {
    // The kernel counts in seconds, of which there may be 32767.
    match nanoseconds.div_ceil(1_000_000_000) {
        0 => Err(SocketError::InvalidArgument),
        seconds => Ok(Duration::from_secs(seconds.min(32_767))),
    }
}

/// Returns a size of a buffer as the kernel takes it, which is at most half an `i32` since it doubles it.
pub(super) fn buffer_size(bytes: u64) -> Result<usize> {
    match bytes {
        0 => Err(SocketError::InvalidArgument),
        bytes => Ok(bytes.min(i32::MAX as u64 / 2) as usize),
    }
}

pub(super) fn open(family: Family, ty: SocketType) -> Result<OwnedFd> {
    let fd = socket_with(family.into(), ty, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    if family == Family::V6 {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    Ok(fd)
}

/// Binds a socket to an address.
pub(super) fn bind_to(fd: &OwnedFd, address: &SocketAddr) -> Result {
    bind(fd, address).map_err(|errno| match errno {
        // The kernel has no port that is free.
        Errno::NOBUFS => SocketError::AddressInUse,
        // The family was checked, so the socket has an address already.
        Errno::INVAL => SocketError::InvalidState,
        errno => errno.into(),
    })
}

pub(super) fn hop_limit(fd: &OwnedFd, family: Family) -> Result<u8> {
    Ok(match family {
        Family::V4 => sockopt::ip_ttl(fd)?.try_into().unwrap_or(u8::MAX),
        Family::V6 => sockopt::ipv6_unicast_hops(fd)?,
    })
}

pub(super) fn set_hop_limit(fd: &OwnedFd, family: Family, limit: u8) -> Result {
    match (family, limit) {
        (_, 0) => Err(SocketError::InvalidArgument),
        (Family::V4, limit) => Ok(sockopt::set_ip_ttl(fd, limit.into())?),
        (Family::V6, limit) => Ok(sockopt::set_ipv6_unicast_hops(fd, Some(limit))?),
    }
}

impl TcpSocket {
    /// Opens a socket.
    pub(crate) fn new(policy: &NetworkPolicy, family: Family) -> Result<Self> {
        policy.check_tcp()?;
        let connection = Connection::new(open(family, SocketType::STREAM)?);
        Ok(Self { connection, family, state: State::Unbound, backlog: DEFAULT_BACKLOG })
    }

    fn fd(&self) -> &OwnedFd {
        &self.connection.fd
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    fn finish(&mut self, from: State, to: State) -> Result {
        if self.state != from {
            return Err(SocketError::NotInProgress);
        }
        self.state = to;
        Ok(())
    }

    pub(crate) fn start_bind(&mut self, policy: &NetworkPolicy, local: SocketAddr) -> Result {
        if self.state != State::Unbound {
            return Err(SocketError::InvalidState);
        }
        self.family.check(&local)?;
        policy.check(local, SocketAddrUse::TcpBind)?;
        // Otherwise a server that starts anew would have to wait until its old connections are forgotten.
        sockopt::set_socket_reuseaddr(self.fd(), local.port() != 0)?;
        bind_to(self.fd(), &local)?;
        self.state = State::BindStarted;
        Ok(())
    }

    pub(crate) fn finish_bind(&mut self) -> Result {
        self.finish(State::BindStarted, State::Bound)
    }

    pub(crate) fn start_connect(&mut self, policy: &NetworkPolicy, remote: SocketAddr) -> Result {
        match self.state {
            State::Unbound | State::Bound => {}
            State::BindStarted | State::ListenStarted | State::Connecting => {
                return Err(SocketError::ConcurrencyConflict);
            }
            State::Listening | State::Connected | State::Closed => return Err(SocketError::InvalidState),
        }
        self.family.check_remote(&remote)?;
        policy.check(remote, SocketAddrUse::TcpConnect)?;
        match connect(self.fd(), &remote) {
            // Whether it has succeeded is asked when it is finished.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {
                self.state = State::Connecting;
                Ok(())
            }
            Err(errno) => {
                self.state = State::Closed;
                Err(errno.into())
            }
        }
    }

    /// Ends an attempt to connect. Returns the connection.
    pub(crate) fn finish_connect(&mut self) -> Result<Arc<Connection>> {
        if self.state != State::Connecting {
            return Err(SocketError::NotInProgress);
        }
        if !is_writable(self.fd().as_fd()) {
            return Err(SocketError::WouldBlock);
        }
        match sockopt::socket_error(self.fd())? {
            Ok(()) => {
                self.state = State::Connected;
                Ok(self.connection.clone())
            }
            Err(errno) => {
                self.state = State::Closed;
                Err(errno.into())
            }
        }
    }

    pub(crate) fn start_listen(&mut self) -> Result {
        match self.state {
            State::Bound => {}
            State::BindStarted | State::ListenStarted | State::Connecting => {
                return Err(SocketError::ConcurrencyConflict);
            }
            _ => return Err(SocketError::InvalidState),
        }
        listen(self.fd(), self.backlog)?;
        self.state = State::ListenStarted;
        Ok(())
    }

    pub(crate) fn finish_listen(&mut self) -> Result {
        self.finish(State::ListenStarted, State::Listening)
    }

    /// Accepts a connection.
    pub(crate) fn accept(&self) -> Result<Self> {
        if self.state != State::Listening {
            return Err(SocketError::InvalidState);
        }
        let fd = accept_with(self.fd(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).map_err(|errno| {
            match errno {
                // Linux tells errors of the new connection here.
                Errno::CONNRESET
                | Errno::NETRESET
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::NONET
                | Errno::OPNOTSUPP => SocketError::ConnectionAborted,
                Errno::INTR => SocketError::WouldBlock,
                errno => errno.into(),
            }
        })?;
        let connection = Connection::new(fd);
        Ok(Self { connection, family: self.family, state: State::Connected, backlog: self.backlog })
    }

    /// Returns the connection of a socket that was accepted.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        match self.state {
            State::Unbound => Err(SocketError::InvalidState),
            State::BindStarted => Err(SocketError::ConcurrencyConflict),
            _ => address(getsockname(self.fd())?),
        }
    }

    pub(crate) fn remote_address(&self) -> Result<SocketAddr> {
        match self.state {
            State::Connected => address(getpeername(self.fd())?.ok_or(SocketError::InvalidState)?),
            State::Connecting => Err(SocketError::ConcurrencyConflict),
            _ => Err(SocketError::InvalidState),
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.state == State::Listening
    }

    pub(crate) fn set_backlog(&mut self, size: u64) -> Result {
        if size == 0 {
            return Err(SocketError::InvalidArgument);
        }
        let backlog = i32::try_from(size).unwrap_or(i32::MAX);
        match self.state {
            State::Unbound | State::BindStarted | State::Bound => {}
            State::Listening => listen(self.fd(), backlog)?,
            State::ListenStarted | State::Connecting => return Err(SocketError::ConcurrencyConflict),
            State::Connected | State::Closed => return Err(SocketError::InvalidState),
        }
        self.backlog = backlog;
        Ok(())
    }

    pub(crate) fn keep_alive(&self) -> Result<bool> {
        Ok(sockopt::socket_keepalive(self.fd())?)
    }

    pub(crate) fn set_keep_alive(&self, on: bool) -> Result {
        Ok(sockopt::set_socket_keepalive(self.fd(), on)?)
    }

    pub(crate) fn keep_alive_idle(&self) -> Result<Duration> {
        Ok(sockopt::tcp_keepidle(self.fd())?)
    }

    pub(crate) fn set_keep_alive_idle(&self, nanoseconds: u64) -> Result {
        Ok(sockopt::set_tcp_keepidle(self.fd(), seconds(nanoseconds)?)?)
    }

    pub(crate) fn keep_alive_interval(&self) -> Result<Duration> {
        Ok(sockopt::tcp_keepintvl(self.fd())?)
    }

    pub(crate) fn set_keep_alive_interval(&self, nanoseconds: u64) -> Result {
        Ok(sockopt::set_tcp_keepintvl(self.fd(), seconds(nanoseconds)?)?)
    }

    pub(crate) fn keep_alive_count(&self) -> Result<u32> {
        Ok(sockopt::tcp_keepcnt(self.fd())?)
    }

    pub(crate) fn set_keep_alive_count(&self, count: u32) -> Result {
        match count {
            0 => Err(SocketError::InvalidArgument),
            count => Ok(sockopt::set_tcp_keepcnt(self.fd(), count.min(127))?),
        }
    }

    pub(crate) fn hop_limit(&self) -> Result<u8> {
        hop_limit(self.fd(), self.family)
    }

    pub(crate) fn set_hop_limit(&self, limit: u8) -> Result {
        set_hop_limit(self.fd(), self.family, limit)
    }

    // The kernel tells twice the size that was set.
    pub(crate) fn receive_buffer_size(&self) -> Result<u64> {
        Ok(sockopt::socket_recv_buffer_size(self.fd())? as u64 / 2)
    }

    pub(crate) fn set_receive_buffer_size(&self, bytes: u64) -> Result {
        Ok(sockopt::set_socket_recv_buffer_size(self.fd(), buffer_size(bytes)?)?)
    }

    pub(crate) fn send_buffer_size(&self) -> Result<u64> {
        Ok(sockopt::socket_send_buffer_size(self.fd())? as u64 / 2)
    }

    pub(crate) fn set_send_buffer_size(&self, bytes: u64) -> Result {
        Ok(sockopt::set_socket_send_buffer_size(self.fd(), buffer_size(bytes)?)?)
    }

    /// Returns when the operation that was started can be finished, or a connection accepted.
    pub(crate) fn ready(&self) -> Event<'_> {
        match self.state {
            State::Connecting => Event::Writable(self.fd().as_fd()),
            State::Listening => Event::Readable(self.fd().as_fd()),
            _ => Event::Now,
        }
    }

    /// Ends one or both directions of a connection.
    pub(crate) fn shut(&self, how: Shutdown) -> Result {
        match self.state {
            State::Connected => {}
            State::Connecting => return Err(SocketError::ConcurrencyConflict),
            _ => return Err(SocketError::InvalidState),
        }
        self.connection.no_input.fetch_or(how != Shutdown::Write, Relaxed);
        self.connection.no_output.fetch_or(how != Shutdown::Read, Relaxed);
        match shutdown(self.fd(), how) {
            // The peer has ended it.
            Err(Errno::NOTCONN) => Ok(()),
            done => Ok(done?),
        }
    }
}
