//! Error numbers of WASI 0.1 and their mapping from the host's: one table.

use std::fmt;
use std::io::{self, ErrorKind};

macro_rules! errnos {
    ($($name:ident = $number:literal, $host:tt, $text:literal;)*) => {
        /// An error number, as every WASI 0.1 function returns it to the guest.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(
                #[doc = concat!("Number ", $number, ": ", $text, ".")]
                $name = $number,
            )*
        }

        impl Errno {
            /// Every number, in order.
            pub const ALL: &[Errno] = &[$(Errno::$name),*];

            /// Returns what the number means, in lower case.
            pub fn message(self) -> &'static str {
                match self {
                    $(Errno::$name => $text,)*
                }
            }
        }

        impl From<rustix::io::Errno> for Errno {
            /// Converts a host's number; one without a counterpart becomes [`Errno::Io`].
            fn from(errno: rustix::io::Errno) -> Errno {
                $(host!($host, errno, $name);)*
                Errno::Io
            }
        }
    };
}

/// One comparison of the conversion; nothing for a row without a host's number.
macro_rules! host {
    (-, $errno:ident, $name:ident) => {};
    ($host:ident, $errno:ident, $name:ident) => {
        if $errno == rustix::io::Errno::$host {
            return Errno::$name;
        }
    };
}

errnos! {
    Success = 0, -, "no error";
    TooBig = 1, TOOBIG, "argument list too long";
    Acces = 2, ACCESS, "permission denied";
    Addrinuse = 3, ADDRINUSE, "address in use";
    Addrnotavail = 4, ADDRNOTAVAIL, "address not available";
    Afnosupport = 5, AFNOSUPPORT, "address family not supported";
    Again = 6, AGAIN, "resource unavailable, or the operation would block";
    Already = 7, ALREADY, "connection already in progress";
    Badf = 8, BADF, "bad file descriptor";
    Badmsg = 9, BADMSG, "bad message";
    Busy = 10, BUSY, "device or resource busy";
    Canceled = 11, CANCELED, "operation cancelled";
    Child = 12, CHILD, "no child processes";
    Connaborted = 13, CONNABORTED, "connection aborted";
    Connrefused = 14, CONNREFUSED, "connection refused";
    Connreset = 15, CONNRESET, "connection reset";
    Deadlk = 16, DEADLK, "resource deadlock would occur";
    Destaddrreq = 17, DESTADDRREQ, "destination address required";
    Dom = 18, DOM, "argument out of the function's domain";
    Dquot = 19, DQUOT, "disk quota exceeded";
    Exist = 20, EXIST, "file exists";
    Fault = 21, FAULT, "bad address";
    Fbig = 22, FBIG, "file too large";
    Hostunreach = 23, HOSTUNREACH, "host is unreachable";
    Idrm = 24, IDRM, "identifier removed";
    Ilseq = 25, ILSEQ, "illegal byte sequence";
    Inprogress = 26, INPROGRESS, "operation in progress";
    Intr = 27, INTR, "interrupted function";
    Inval = 28, INVAL, "invalid argument";
    Io = 29, IO, "input or output error";
    Isconn = 30, ISCONN, "socket is connected";
    Isdir = 31, ISDIR, "is a directory";
    Loop = 32, LOOP, "too many levels of symbolic links";
    Mfile = 33, MFILE, "too many open files";
    Mlink = 34, MLINK, "too many links";
    Msgsize = 35, MSGSIZE, "message too large";
    Multihop = 36, MULTIHOP, "multihop attempted";
    Nametoolong = 37, NAMETOOLONG, "file name too long";
    Netdown = 38, NETDOWN, "network is down";
    Netreset = 39, NETRESET, "connection aborted by the network";
    Netunreach = 40, NETUNREACH, "network is unreachable";
    Nfile = 41, NFILE, "too many files open in the system";
    Nobufs = 42, NOBUFS, "no buffer space available";
    Nodev = 43, NODEV, "no such device";
    Noent = 44, NOENT, "no such file or directory";
    Noexec = 45, NOEXEC, "executable file format error";
    Nolck = 46, NOLCK, "no locks available";
    Nolink = 47, NOLINK, "link has been severed";
    Nomem = 48, NOMEM, "not enough memory";
    Nomsg = 49, NOMSG, "no message of the desired type";
    Noprotoopt = 50, NOPROTOOPT, "protocol not available";
    Nospc = 51, NOSPC, "no space left on the device";
    Nosys = 52, NOSYS, "function not supported";
    Notconn = 53, NOTCONN, "socket is not connected";
    Notdir = 54, NOTDIR, "not a directory";
    Notempty = 55, NOTEMPTY, "directory not empty";
    Notrecoverable = 56, NOTRECOVERABLE, "state not recoverable";
    Notsock = 57, NOTSOCK, "not a socket";
    Notsup = 58, NOTSUP, "operation not supported";
    Notty = 59, NOTTY, "not a terminal";
    Nxio = 60, NXIO, "no such device or address";
    Overflow = 61, OVERFLOW, "value too large for its type";
    Ownerdead = 62, OWNERDEAD, "previous owner died";
    Perm = 63, PERM, "operation not permitted";
    Pipe = 64, PIPE, "broken pipe";
    Proto = 65, PROTO, "protocol error";
    Protonosupport = 66, PROTONOSUPPORT, "protocol not supported";
    Prototype = 67, PROTOTYPE, "protocol wrong for the socket's type";
    Range = 68, RANGE, "result too large";
    Rofs = 69, ROFS, "read-only file system";
    Spipe = 70, SPIPE, "not seekable";
    Srch = 71, SRCH, "no such process";
    Stale = 72, STALE, "stale file handle";
    Timedout = 73, TIMEDOUT, "connection timed out";
    Txtbsy = 74, TXTBSY, "text file busy";
    Xdev = 75, XDEV, "cross-device link";
    Notcapable = 76, -, "capabilities insufficient";
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        if let Some(errno) = rustix::io::Errno::from_io_error(&error) {
            return errno.into();
        }
        // Errors without a number come from cap-std (a path that leads out of the directory) and from embedders' streams.
        match error.kind() {
            ErrorKind::NotFound => Errno::Noent,
            ErrorKind::PermissionDenied => Errno::Perm,
            ErrorKind::AlreadyExists => Errno::Exist,
            ErrorKind::InvalidInput => Errno::Inval,
            ErrorKind::WouldBlock => Errno::Again,
            ErrorKind::BrokenPipe => Errno::Pipe,
            ErrorKind::Interrupted => Errno::Intr,
            ErrorKind::Unsupported => Errno::Notsup,
            ErrorKind::OutOfMemory => Errno::Nomem,
            ErrorKind::StorageFull => Errno::Nospc,
            ErrorKind::ConnectionReset => Errno::Connreset,
            ErrorKind::ConnectionAborted => Errno::Connaborted,
            ErrorKind::ConnectionRefused => Errno::Connrefused,
            ErrorKind::TimedOut => Errno::Timedout,
            _ => Errno::Io,
        }
    }
}

impl From<crate::Fault> for Errno {
    fn from(_: crate::Fault) -> Errno {
        Errno::Fault
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gaps() {
        for (i, errno) in Errno::ALL.iter().enumerate() {
            assert_eq!(*errno as usize, i);
        }
        assert_eq!(Errno::ALL.len(), 77);
    }

    #[test]
    fn host_errors_keep_their_meaning() {
        assert_eq!(Errno::from(rustix::io::Errno::PIPE), Errno::Pipe);
        assert_eq!(Errno::from(io::Error::from(rustix::io::Errno::ROFS)), Errno::Rofs);
        assert_eq!(Errno::from(io::Error::from_raw_os_error(100_000)), Errno::Io);
        assert_eq!(Errno::from(io::Error::from(ErrorKind::PermissionDenied)), Errno::Perm);
        assert_eq!(Errno::from(io::Error::other("?")), Errno::Io);
    }
}
