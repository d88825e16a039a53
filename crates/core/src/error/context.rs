//! Adding context to errors.

use super::{Error, Result};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};

/// Adds context to the error of a `Result`, or makes an error of `None`.
///
/// ```
/// use belljar_core::{Context, Result};
/// fn port(text: &str) -> Result<u16> {
///     text.parse().with_context(|| format!("`{text}` is not a port"))
/// }
/// assert_eq!(port("x").unwrap_err().to_string(), "`x` is not a port");
/// assert_eq!(None::<u16>.context("no port").unwrap_err().to_string(), "no port");
/// ```
pub trait Context<T, E>: sealed::Sealed {
    /// Adds context: see [`Error::context`].
    ///
    /// # Errors
    ///
    /// Returns the error that this already was, with the context.
    fn context<C: Display + Debug + Send + Sync + 'static>(self, context: C) -> Result<T>;

    /// Adds context that is computed only if there is an error.
    ///
    /// # Errors
    ///
    /// Returns the error that this already was, with the context.
    fn with_context<C: Display + Debug + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T>;
}

impl<T, E: sealed::IntoError> Context<T, E> for std::result::Result<T, E> {
    fn context<C: Display + Debug + Send + Sync + 'static>(self, context: C) -> Result<T> {
        self.map_err(|error| error.into_error().context(context))
    }

    fn with_context<C: Display + Debug + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T> {
        self.map_err(|error| error.into_error().context(context()))
    }
}

impl<T> Context<T, Infallible> for Option<T> {
    fn context<C: Display + Debug + Send + Sync + 'static>(self, context: C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context))
    }

    fn with_context<C: Display + Debug + Send + Sync + 'static>(
        self,
        context: impl FnOnce() -> C,
    ) -> Result<T> {
        self.ok_or_else(|| Error::msg(context()))
    }
}

mod sealed {
    use super::{Error, StdError};

    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
    impl<T> Sealed for Option<T> {}

    /// What is an error or a [`StdError`]. One implementation for both lets the compiler infer the type of the `Result`.
    pub trait IntoError {
        fn into_error(self) -> Error;
    }

    impl IntoError for Error {
        fn into_error(self) -> Error {
            self
        }
    }

    impl<E: StdError + Send + Sync + 'static> IntoError for E {
        fn into_error(self) -> Error {
            Error::new(self)
        }
    }
}
