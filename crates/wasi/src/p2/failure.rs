//! How a function of WASI 0.2 fails: with an error code, or for good.

use crate::p1;
use belljar::component::ResourceTableError;

/// Why a function did not succeed.
pub(super) enum Failure<E> {
    /// The guest gets this code and continues.
    Code(E),
    /// The guest ends.
    Trap(belljar::Error),
}

impl<E> From<ResourceTableError> for Failure<E> {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl<E> From<belljar::Error> for Failure<E> {
    fn from(error: belljar::Error) -> Self {
        Self::Trap(error)
    }
}

impl<E: From<p1::Errno>> From<p1::Errno> for Failure<E> {
    fn from(errno: p1::Errno) -> Self {
        Self::Code(errno.into())
    }
}

impl<E: From<p1::Errno>> From<std::io::Error> for Failure<E> {
    fn from(error: std::io::Error) -> Self {
        p1::Errno::from(error).into()
    }
}

impl<E: From<p1::Errno>> From<p1::Error> for Failure<E> {
    fn from(error: p1::Error) -> Self {
        match error {
            p1::Error::Errno(errno) => Self::Code(errno.into()),
            other => Self::Trap(ends(other)),
        }
    }
}

/// Returns the error that ends a guest.
pub(super) fn ends(error: p1::Error) -> belljar::Error {
    match error {
        p1::Error::Exit(exit) => exit.into(),
        other => belljar::Error::msg(other.to_string()),
    }
}
