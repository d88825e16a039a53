//! The error type of all crates of belljar.
//!
//! In: any [`std::error::Error`], or a message; context that callers add, and details that only a developer reads. Out:
//! one error, one pointer wide, of which every part can be found again by its type. Never: `unsafe`.
//!
//! ```text
//! Error ─▶ Node { context } ─▶ Node { detail } ─▶ Node { the error itself }
//!          shown by {}         shown by {:?}      shown by {:#}, after the contexts
//! ```

mod chain;
mod context;
mod layer;
mod macros;

pub use chain::Chain;
pub use context::Context;
#[doc(hidden)]
pub use macros::construct;

use crate::{I32Exit, Trap};
use layer::{Boxed, Layer, Plain, StdLayer};
use std::backtrace::Backtrace;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::ops::Deref;

/// A `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of belljar or of a host function. It is one pointer wide.
///
/// - `{}` shows the reason: the last context that was added, or the error itself.
/// - `{:#}` shows the contexts and causes as well, in one line: `could not start: the disk is full`.
/// - `{:?}` shows all of it in several lines, with the details: for a guest that trapped, its backtrace.
///
/// [`Error::downcast_ref`] finds the error itself, each context and each detail by its type. Depending on how a guest's
/// run ended, its error holds a [`crate::Trap`], a backtrace, a core dump, or the host function's own error.
///
/// Any [`std::error::Error`] converts to it with `?`. With the feature `anyhow`, it converts to
/// `anyhow::Error` with `?`, and from it with `Error::from_anyhow`.
///
/// ```
/// use belljar_core::{Context, Error, Trap};
/// let error = Error::new(Trap::IntegerDivisionByZero).context("plugin `resize` failed");
/// assert_eq!(error.to_string(), "plugin `resize` failed");
/// assert_eq!(format!("{error:#}"), "plugin `resize` failed: integer divide by zero");
/// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero));
/// ```
pub struct Error(Box<Node>);

/// An error, or what was added to one.
pub(crate) struct Node {
    layer: Box<dyn Layer>,
    /// The error that this was added to.
    below: Option<Error>,
    /// Whether only `{:?}` shows it.
    is_detail: bool,
    /// Where the error was made, if `RUST_BACKTRACE` asks for it.
    backtrace: Backtrace,
}

impl Error {
    fn root(layer: Box<dyn Layer>, backtrace: Backtrace) -> Self {
        Self(Box::new(Node { layer, below: None, is_detail: false, backtrace }))
    }

    fn layered(self, layer: Box<dyn Layer>, is_detail: bool) -> Self {
        Self(Box::new(Node { layer, below: Some(self), is_detail, backtrace: Backtrace::disabled() }))
    }

    /// Creates an error from a [`std::error::Error`], as `?` does.
    pub fn new<E: StdError + Send + Sync + 'static>(error: E) -> Self {
        Self::root(Box::new(StdLayer(error)), Backtrace::capture())
    }

    /// Creates an error that never captures the host's stack, whatever `RUST_BACKTRACE` says. For errors that are about
    /// the guest: capturing takes much longer than running a small guest.
    #[doc(hidden)]
    pub fn of_guest<E: StdError + Send + Sync + 'static>(error: E) -> Self {
        Self::root(Box::new(StdLayer(error)), Backtrace::disabled())
    }

    /// Creates an error from a message. The message can be found again with [`Error::downcast_ref`].
    pub fn msg<M: Display + Debug + Send + Sync + 'static>(message: M) -> Self {
        Self::root(Box::new(Plain(message)), Backtrace::capture())
    }

    /// Creates an error from one whose type is not known. [`Error::downcast_ref`] finds it as the box, not as what is
    /// in it.
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync + 'static>) -> Self {
        Self::root(Box::new(Boxed(error)), Backtrace::capture())
    }

    /// Creates an error from an `anyhow::Error`, which [`Error::downcast_ref`] finds as such.
    #[cfg(feature = "anyhow")]
    pub fn from_anyhow(error: anyhow::Error) -> Self {
        Self::root(Box::new(layer::Anyhow(error)), Backtrace::disabled())
    }

    /// Creates the error of a host function from its own error type, which [`Error::downcast_ref`] finds.
    pub fn host<E: Display + Debug + Send + Sync + 'static>(host_error: E) -> Self {
        Self::msg(host_error)
    }

    /// Creates the error of a host function that ends the guest as if it had exited with this code.
    pub fn i32_exit(status: i32) -> Self {
        Self::of_guest(I32Exit(status))
    }

    /// Returns the code that the guest exited with, if it did. The same as `downcast_ref::<I32Exit>()`.
    pub fn i32_exit_status(&self) -> Option<i32> {
        self.downcast_ref::<I32Exit>().map(|exit| exit.0)
    }

    /// Returns the trap that ended the guest, if one did. The same as `downcast_ref::<Trap>()`.
    pub fn as_trap_code(&self) -> Option<Trap> {
        self.downcast_ref::<Trap>().copied()
    }

    /// Adds context: what was being done when the error occurred. From now on, `{}` shows the context.
    #[must_use]
    pub fn context<C: Display + Debug + Send + Sync + 'static>(self, context: C) -> Self {
        self.layered(Box::new(Plain(context)), false)
    }

    /// Adds a detail, which only `{:?}` shows, and which is not part of [`Error::chain`]. [`Error::downcast_ref`] finds
    /// it as it finds context.
    ///
    /// ```
    /// use belljar_core::Error;
    /// let error = Error::msg("no answer").attach("asked three times");
    /// assert_eq!(format!("{error:#}"), "no answer");
    /// assert!(format!("{error:?}").contains("asked three times"));
    /// assert_eq!(error.downcast_ref::<&str>(), Some(&"asked three times"));
    /// ```
    #[must_use]
    pub fn attach<D: Display + Debug + Send + Sync + 'static>(self, detail: D) -> Self {
        self.layered(Box::new(Plain(detail)), true)
    }

    /// Returns where the error was made. [`Backtrace::status`] tells whether it was captured, which `RUST_BACKTRACE`
    /// and `RUST_LIB_BACKTRACE` decide. It is the host's stack; the guest's is a detail of the error.
    pub fn backtrace(&self) -> &Backtrace {
        match &self.0.below {
            Some(below) => below.backtrace(),
            None => &self.0.backtrace,
        }
    }

    /// Returns the contexts from the last to the first, then the error itself and its sources.
    pub fn chain(&self) -> Chain<'_> {
        Chain::new(self.shown().as_std())
    }

    /// Returns what an item of [`Error::chain`] is, if it is of this type, be it the error itself or a context.
    ///
    /// ```
    /// use belljar_core::{Error, Trap};
    /// let error = Error::msg("the disk is full").context(Trap::Interrupt);
    /// let others = error.chain().filter(|part| Error::part_ref::<Trap>(*part).is_none());
    /// assert_eq!(others.count(), 1);
    /// ```
    pub fn part_ref<'a, E: StdError + 'static>(part: &'a (dyn StdError + 'static)) -> Option<&'a E> {
        match part.downcast_ref::<Node>() {
            Some(node) => node.layer.as_any().downcast_ref(),
            None => part.downcast_ref(),
        }
    }

    /// Returns whether it has context or details.
    pub fn has_additions(&self) -> bool {
        self.0.below.is_some()
    }

    /// Returns the last of [`Error::chain`].
    pub fn root_cause(&self) -> &(dyn StdError + 'static) {
        let first: &(dyn StdError + 'static) = self.shown().as_std();
        Chain::new(first).last().unwrap_or(first)
    }

    /// Returns whether [`Error::downcast_ref`] finds a value of this type.
    pub fn is<E: Display + Debug + Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// Returns the error itself, a context or a detail, whichever is of this type. If several are, it is the one that
    /// was added last.
    pub fn downcast_ref<E: Display + Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        self.nodes().find_map(|node| node.layer.as_any().downcast_ref())
    }

    /// As [`Error::downcast_ref`], for changing the value.
    pub fn downcast_mut<E: Display + Debug + Send + Sync + 'static>(&mut self) -> Option<&mut E> {
        let mut node = &mut *self.0;
        loop {
            if node.layer.as_any().is::<E>() {
                return node.layer.as_any_mut().downcast_mut();
            }
            node = &mut *node.below.as_mut()?.0;
        }
    }

    /// Takes the value that [`Error::downcast_ref`] finds out of the error. What else it held is dropped.
    ///
    /// # Errors
    ///
    /// Returns the error unchanged if it has no value of this type.
    pub fn downcast<E: Display + Debug + Send + Sync + 'static>(self) -> std::result::Result<E, Self> {
        if !self.is::<E>() {
            return Err(self);
        }
        let mut next = Some(self);
        while let Some(Error(node)) = next {
            if node.layer.as_any().is::<E>() {
                return Ok(*node.layer.into_any().downcast().expect("its type was checked"));
            }
            next = node.below;
        }
        unreachable!("`is` found the value")
    }

    /// Converts it to a boxed [`std::error::Error`]. An error without context and details becomes what it was made of.
    pub fn into_boxed_dyn_error(self) -> Box<dyn StdError + Send + Sync + 'static> {
        self.into()
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(Some(&*self.0), |node| node.below.as_ref().map(|below| &*below.0))
    }

    /// Returns the first part that is no detail.
    fn shown(&self) -> &Node {
        self.nodes().find(|node| !node.is_detail).unwrap_or(&self.0)
    }

    fn details(&self) -> impl Iterator<Item = &Node> {
        self.nodes().filter(|node| node.is_detail)
    }
}

impl Node {
    /// Returns the part as an error whose source is the next part.
    fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
        match (&self.below, self.layer.as_std()) {
            (None, Some(error)) => error,
            _ => self,
        }
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layer.display(f)
    }
}

impl Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layer.debug(f)
    }
}

impl StdError for Node {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let below = self.below.as_ref()?;
        Some(below.shown().as_std())
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = self.chain();
        if let Some(reason) = chain.next() {
            write!(f, "{reason}")?;
        }
        if f.alternate() {
            for cause in chain {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.debug_list().entries(self.nodes()).finish();
        }
        write!(f, "{self}")?;
        let causes: Vec<String> = self.chain().skip(1).map(ToString::to_string).collect();
        if !causes.is_empty() {
            f.write_str("\n\nCaused by:")?;
        }
        for (i, cause) in causes.iter().enumerate() {
            // The lines of a cause stand below each other.
            let lines = cause.replace('\n', "\n       ");
            match causes.len() {
                1 => write!(f, "\n    {}", cause.replace('\n', "\n    "))?,
                _ => write!(f, "\n{i:>5}: {lines}")?,
            }
        }
        for detail in self.details() {
            write!(f, "\n\n{detail}")?;
        }
        match self.backtrace() {
            host if host.status() == std::backtrace::BacktraceStatus::Captured => {
                write!(f, "\n\nHost backtrace:\n{}", host.to_string().trim_end())
            }
            _ => Ok(()),
        }
    }
}

impl Deref for Error {
    type Target = dyn StdError + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        self.shown().as_std()
    }
}

impl AsRef<dyn StdError> for Error {
    fn as_ref(&self) -> &(dyn StdError + 'static) {
        &**self
    }
}

impl AsRef<dyn StdError + Send + Sync> for Error {
    fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &**self
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync + 'static> {
    fn from(error: Error) -> Self {
        if error.0.below.is_some() {
            return Box::new(Whole(error));
        }
        let Node { layer, below, is_detail, backtrace } = *error.0;
        layer.into_std().unwrap_or_else(|layer| {
            Box::new(Whole(Error(Box::new(Node { layer, below, is_detail, backtrace }))))
        })
    }
}

/// An error that is a [`std::error::Error`].
struct Whole(Error);

impl Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

impl Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl StdError for Whole {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.chain().nth(1)
    }
}

impl From<Error> for Box<dyn StdError + Send + 'static> {
    fn from(error: Error) -> Self {
        Box::<dyn StdError + Send + Sync>::from(error)
    }
}

impl From<Error> for Box<dyn StdError + 'static> {
    fn from(error: Error) -> Self {
        Box::<dyn StdError + Send + Sync>::from(error)
    }
}

/// Keeps contexts and details, which `anyhow::Error::downcast_ref` finds by their types.
#[cfg(feature = "anyhow")]
impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        let mut nodes = Vec::new();
        let mut next = Some(error);
        while let Some(Error(node)) = next {
            nodes.push(node.layer);
            next = node.below;
        }
        let converted = nodes.into_iter().rev().fold(None, |below, layer| Some(layer.into_anyhow(below)));
        converted.unwrap_or_else(|| anyhow::Error::msg("an error without a message"))
    }
}

#[cfg(test)]
mod tests;
