//! The macros that create errors: `format_err!`, `bail!` and `ensure!`.

/// Creates an [`Error`](crate::Error): from a format string and its arguments, from a [`std::error::Error`], which
/// stays the cause, or from any value that can be printed.
///
/// ```
/// use belljar_core::{Trap, format_err};
/// let name = "resize";
/// assert_eq!(format_err!("no plugin `{name}`").to_string(), "no plugin `resize`");
/// assert_eq!(format_err!("{} plugins", 3).to_string(), "3 plugins");
/// assert!(format_err!(Trap::StackOverflow).is::<Trap>());
/// ```
#[macro_export]
macro_rules! format_err {
    ($message:literal $(,)?) => {
        $crate::construct::message(::std::format_args!($message))
    };
    ($error:expr $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::construct::{FromError as _, FromMessage as _};
        match $error {
            error => (&$crate::construct::Given::new(error)).construct(),
        }
    }};
    ($message:literal, $($argument:tt)*) => {
        $crate::Error::msg(::std::format!($message, $($argument)*))
    };
}

/// Returns an error from a function: `return Err(format_err!(…))`, with its arguments.
///
/// ```
/// use belljar_core::{Result, bail};
/// fn half(x: u32) -> Result<u32> {
///     if x % 2 == 1 {
///         bail!("{x} is odd");
///     }
///     Ok(x / 2)
/// }
/// assert_eq!(half(3).unwrap_err().to_string(), "3 is odd");
/// ```
#[macro_export]
macro_rules! bail {
    ($($argument:tt)*) => {
        return ::std::result::Result::Err($crate::format_err!($($argument)*))
    };
}

/// Returns an error from a function unless a condition holds. Without further arguments, the error names the condition.
///
/// ```
/// use belljar_core::{Result, ensure};
/// fn half(x: u32) -> Result<u32> {
///     ensure!(x % 2 == 0, "{x} is odd");
///     Ok(x / 2)
/// }
/// assert_eq!(half(3).unwrap_err().to_string(), "3 is odd");
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        $crate::ensure!($condition, "condition failed: `{}`", ::std::stringify!($condition))
    };
    ($condition:expr, $($argument:tt)*) => {
        if !$condition {
            return ::std::result::Result::Err($crate::format_err!($($argument)*));
        }
    };
}

/// How [`format_err!`] decides what to make of its argument. The method call on a reference prefers the implementation
/// for `Given<E>`; the one for `&Given<M>` needs one more reference, so it is found only where the argument is no error.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod construct {
    use crate::Error;
    use std::cell::Cell;
    use std::fmt::{Arguments, Debug, Display};

    /// The argument, to be taken once.
    pub struct Given<T>(Cell<Option<T>>);

    impl<T> Given<T> {
        pub fn new(argument: T) -> Self {
            Self(Cell::new(Some(argument)))
        }

        fn take(&self) -> T {
            self.0.take().expect("`format_err!` takes its argument once")
        }
    }

    pub trait FromError {
        fn construct(&self) -> Error;
    }

    impl<E: Into<Error>> FromError for Given<E> {
        fn construct(&self) -> Error {
            self.take().into()
        }
    }

    pub trait FromMessage {
        fn construct(&self) -> Error;
    }

    impl<M: Display + Debug + Send + Sync + 'static> FromMessage for &Given<M> {
        fn construct(&self) -> Error {
            Error::msg(self.take())
        }
    }

    /// Makes an error of a format string: without arguments, nothing is allocated for the message.
    pub fn message(message: Arguments<'_>) -> Error {
        match message.as_str() {
            Some(message) => Error::msg(message),
            None => Error::msg(message.to_string()),
        }
    }
}
