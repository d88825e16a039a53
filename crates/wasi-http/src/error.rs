//! Which error code tells a guest of an error of the network.

use crate::types::{DnsErrorPayload, ErrorCode};
use std::error::Error;
use std::io;

/// Returns the first error of a type among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Returns the code of an error of a connection that is open.
fn of_connection(error: &io::Error) -> ErrorCode {
    #[cfg(feature = "tls")]
    if let Some(code) = crate::tls::error_code(error) {
        return code;
    }
    match error.kind() {
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::UnexpectedEof => ErrorCode::HttpResponseIncomplete,
        // hyper's own, such as that of a chunk's size that is no number.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => ErrorCode::HttpProtocolError,
        _ => ErrorCode::ConnectionTerminated,
    }
}

impl From<hyper::Error> for ErrorCode {
    /// Returns the code that tells of an error while a request is sent, or its response received.
    fn from(error: hyper::Error) -> Self {
        if let Some(code) = find::<ErrorCode>(&error) {
            // Of our own, from a body that has failed.
            return code.clone();
        }
        if error.is_parse_too_large() {
            return Self::HttpResponseHeaderSectionSize(None);
        }
        if error.is_timeout() {
            return Self::HttpResponseTimeout;
        }
        if error.is_incomplete_message() {
            return Self::HttpResponseIncomplete;
        }
        if let Some(error) = find::<io::Error>(&error) {
            return of_connection(error);
        }
        match error.is_canceled() || error.is_closed() {
            true => Self::ConnectionTerminated,
            false => Self::HttpProtocolError,
        }
    }
}

/// Returns the code of an attempt to connect that has failed.
pub(crate) fn of_connecting(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ErrorCode::ConnectionTerminated,
        _ => match rustix::io::Errno::from_io_error(error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => ErrorCode::ConnectionLimitReached,
            _ => ErrorCode::DestinationUnavailable,
        },
    }
}

/// Returns the code of a name look-up that has failed. The resolver does not tell whether there is no such name.
pub(crate) fn of_lookup() -> ErrorCode {
    ErrorCode::DnsError(DnsErrorPayload { rcode: Some("address not available".into()), info_code: None })
}

/// Returns the code of an error of the host's own.
pub(crate) fn of_host(error: &io::Error) -> ErrorCode {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => ErrorCode::ConnectionLimitReached,
        _ => ErrorCode::internal(error),
    }
}
