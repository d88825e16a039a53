//! Why an operation on a socket failed.

use rustix::io::Errno;
use std::io;

/// Why an operation on a socket failed, as WASI distinguishes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SocketError {
    Unknown,
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
}

impl From<Errno> for SocketError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::AccessDenied,
            Errno::ADDRINUSE => Self::AddressInUse,
            Errno::ADDRNOTAVAIL => Self::AddressNotBindable,
            Errno::AGAIN => Self::WouldBlock,
            Errno::ALREADY => Self::ConcurrencyConflict,
            Errno::CONNABORTED => Self::ConnectionAborted,
            Errno::CONNREFUSED => Self::ConnectionRefused,
            Errno::CONNRESET | Errno::PIPE => Self::ConnectionReset,
            Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::NETUNREACH => {
                Self::RemoteUnreachable
            }
            Errno::INVAL | Errno::AFNOSUPPORT | Errno::DESTADDRREQ => Self::InvalidArgument,
            Errno::ISCONN | Errno::NOTCONN => Self::InvalidState,
            Errno::MFILE | Errno::NFILE => Self::NewSocketLimit,
            Errno::MSGSIZE => Self::DatagramTooLarge,
            Errno::NOBUFS | Errno::NOMEM => Self::OutOfMemory,
            Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::PROTOTYPE | Errno::NOPROTOOPT => {
                Self::NotSupported
            }
            Errno::TIMEDOUT => Self::Timeout,
            _ => Self::Unknown,
        }
    }
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Unknown, Self::from)
    }
}
