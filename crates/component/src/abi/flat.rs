//! Core values, as functions pass them.

use crate::types::MAX_FLAT_PARAMS;
use belljar_core::{Result, format_err};

/// Core values that are lifted one after the other.
#[derive(Debug)]
pub struct FlatValues<'a>(&'a [u64]);

impl<'a> FlatValues<'a> {
    /// Creates them from their bits: 32-bit values in the lower half.
    #[inline]
    pub fn new(bits: &'a [u64]) -> Self {
        Self(bits)
    }

    /// Returns the bits of the next one.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none.
    #[expect(clippy::should_implement_trait, reason = "the end is an error")]
    #[inline]
    pub fn next(&mut self) -> Result<u64> {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                Ok(*first)
            }
            None => Err(too_few()),
        }
    }

    /// Takes the next `count` out.
    #[inline]
    pub fn take(&mut self, count: usize) -> Self {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        Self(taken)
    }
}

#[cold]
fn too_few() -> belljar_core::Error {
    format_err!("a type was lifted from more core values than it has")
}

/// Core values that were lowered: at most as many as a function has parameters, with one more for the place of its result.
#[derive(Clone, Debug)]
pub struct FlatSink {
    bits: [u64; MAX_FLAT_PARAMS + 1],
    count: usize,
}

impl Default for FlatSink {
    #[inline]
    fn default() -> Self {
        Self { bits: [0; MAX_FLAT_PARAMS + 1], count: 0 }
    }
}

impl FlatSink {
    /// Adds one, by its bits.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    #[inline]
    pub fn push(&mut self, bits: u64) -> Result<()> {
        match self.bits.get_mut(self.count) {
            Some(place) => {
                *place = bits;
                self.count += 1;
                Ok(())
            }
            None => Err(too_many()),
        }
    }

    /// Returns how many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds zeros until there are `count`.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    pub fn pad(&mut self, count: usize) -> Result<()> {
        while self.count < count {
            self.push(0)?;
        }
        Ok(())
    }

    /// Returns their bits.
    #[inline]
    pub fn bits(&self) -> &[u64] {
        &self.bits[..self.count]
    }
}

#[cold]
fn too_many() -> belljar_core::Error {
    format_err!("a type was lowered to more core values than it has")
}
