//! Arrays of rows that are used in place, in an artifact or in memory of their own.

use bytes::Bytes;
use std::marker::PhantomData;
use std::ops::Deref;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An array whose bytes may be part of a larger buffer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    /// A whole number of rows.
    bytes: Bytes,
    row: PhantomData<T>,
}

impl<T: FromBytes + Immutable + KnownLayout + Unaligned> Rows<T> {
    /// Splits the first `count` rows off some bytes. Returns `None` if there are fewer.
    pub(crate) fn take(bytes: &mut Bytes, count: u32) -> Option<Self> {
        let size = (count as usize).checked_mul(size_of::<T>()).filter(|size| *size <= bytes.len())?;
        Some(Self { bytes: bytes.split_to(size), row: PhantomData })
    }

    /// Splits off the first `count` rows. Returns `None` if there are fewer.
    pub(crate) fn take_first(&mut self, count: u32) -> Option<Self> {
        Self::take(&mut self.bytes, count)
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { bytes: Bytes::new(), row: PhantomData }
    }
}

impl<T: IntoBytes + Immutable> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let rows: Vec<T> = rows.into_iter().collect();
        Self { bytes: Bytes::copy_from_slice(rows.as_bytes()), row: PhantomData }
    }
}

impl<T: FromBytes + Immutable + KnownLayout + Unaligned> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        <[T]>::ref_from_bytes(&self.bytes).expect("the bytes are whole rows, which need no alignment")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::little_endian::U32;

    #[test]
    fn rows_are_taken_off_the_front() {
        let words: Rows<U32> = [1, 2, 3].map(U32::new).into_iter().collect();
        let mut bytes = words.bytes.slice(..11);
        let first: Rows<U32> = Rows::take(&mut bytes, 2).unwrap();
        assert_eq!(*first, words[..2]);
        assert!(Rows::<U32>::take(&mut bytes, 1).is_none());
        assert!(Rows::<U32>::take(&mut bytes, u32::MAX).is_none());
        assert_eq!(bytes.len(), 3);
    }
}
