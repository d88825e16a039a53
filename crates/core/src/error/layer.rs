//! What an error is made of, of any type.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};

/// A value whose type only [`Layer::as_any`] knows.
pub(super) trait Layer: Send + Sync {
    fn display(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;

    /// Returns the value as an error, if it is one.
    fn as_std(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        None
    }

    /// Converts the value to an error, if it is one.
    fn into_std(self: Box<Self>) -> Result<Box<dyn StdError + Send + Sync>, Box<dyn Layer>>;

    /// Adds the value to `below`, or makes an error of it.
    #[cfg(feature = "anyhow")]
    fn into_anyhow(self: Box<Self>, below: Option<anyhow::Error>) -> anyhow::Error;
}

/// The parts that are the same for all layers.
macro_rules! layer {
    () => {
        fn display(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Display::fmt(&self.0, f)
        }

        fn debug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Debug::fmt(&self.0, f)
        }

        fn as_any(&self) -> &dyn Any {
            &self.0
        }

        fn as_any_mut(&mut self) -> &mut dyn Any {
            &mut self.0
        }

        fn into_any(self: Box<Self>) -> Box<dyn Any> {
            Box::new(self.0)
        }
    };
}

/// A message, context or detail.
pub(super) struct Plain<C>(pub(super) C);

impl<C: Display + Debug + Send + Sync + 'static> Layer for Plain<C> {
    layer!();

    fn into_std(self: Box<Self>) -> Result<Box<dyn StdError + Send + Sync>, Box<dyn Layer>> {
        Err(self)
    }

    #[cfg(feature = "anyhow")]
    fn into_anyhow(self: Box<Self>, below: Option<anyhow::Error>) -> anyhow::Error {
        match below {
            Some(below) => below.context(self.0),
            None => anyhow::Error::msg(self.0),
        }
    }
}

/// An error whose type is known.
pub(super) struct StdLayer<E>(pub(super) E);

impl<E: StdError + Send + Sync + 'static> Layer for StdLayer<E> {
    layer!();

    fn as_std(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        Some(&self.0)
    }

    fn into_std(self: Box<Self>) -> Result<Box<dyn StdError + Send + Sync>, Box<dyn Layer>> {
        Ok(Box::new(self.0))
    }

    #[cfg(feature = "anyhow")]
    fn into_anyhow(self: Box<Self>, _: Option<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(self.0)
    }
}

/// An error of any type.
pub(super) struct Boxed(pub(super) Box<dyn StdError + Send + Sync>);

impl Layer for Boxed {
    layer!();

    fn as_std(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        Some(&*self.0)
    }

    fn into_std(self: Box<Self>) -> Result<Box<dyn StdError + Send + Sync>, Box<dyn Layer>> {
        Ok(self.0)
    }

    #[cfg(feature = "anyhow")]
    fn into_anyhow(self: Box<Self>, _: Option<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::from_boxed(self.0)
    }
}

/// An error of the crate `anyhow`.
#[cfg(feature = "anyhow")]
pub(super) struct Anyhow(pub(super) anyhow::Error);

#[cfg(feature = "anyhow")]
impl Layer for Anyhow {
    layer!();

    fn as_std(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        Some(&*self.0)
    }

    fn into_std(self: Box<Self>) -> Result<Box<dyn StdError + Send + Sync>, Box<dyn Layer>> {
        Ok(self.0.into())
    }

    fn into_anyhow(self: Box<Self>, _: Option<anyhow::Error>) -> anyhow::Error {
        self.0
    }
}
