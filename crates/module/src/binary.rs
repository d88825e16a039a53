//! The bytes of a module's binary, or of the parts that an artifact kept.

use bytes::Bytes;
use std::iter::once;
use std::ops::Range;
use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

/// The bytes of a module's binary. An artifact may keep only what is needed after compilation: function bodies and data
/// segments are then missing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Binary {
    /// By ascending start; neighbours do not touch.
    parts: Vec<(usize, Bytes)>,
    length: usize,
}

impl Binary {
    /// Wraps a whole binary.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length: bytes.len(), parts: vec![(0, bytes)] }
    }

    /// Creates a binary of the given length from parts and their offsets. Returns `None` if parts overlap, are out of
    /// order or lie outside the binary.
    pub fn of_parts(parts: Vec<(usize, Bytes)>, length: usize) -> Option<Self> {
        let mut end = 0;
        for (start, bytes) in &parts {
            if *start < end {
                return None;
            }
            end = start.checked_add(bytes.len())?;
        }
        (end <= length).then_some(Self { parts, length })
    }

    /// Returns the length of the whole binary in bytes, including missing parts.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the parts and their offsets.
    pub fn parts(&self) -> &[(usize, Bytes)] {
        &self.parts
    }

    /// Returns the whole binary if no part is missing.
    pub fn whole(&self) -> Option<&Bytes> {
        match &self.parts[..] {
            [(0, bytes)] if bytes.len() == self.length => Some(bytes),
            _ => None,
        }
    }

    /// Returns a range of the bytes, or `None` if one of them is missing.
    pub fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let i = self.parts.partition_point(|(start, _)| *start <= range.start).checked_sub(1)?;
        let (start, bytes) = &self.parts[i];
        bytes.get(range.start - start..range.end.checked_sub(*start)?)
    }

    /// Returns the same as [`Binary::get`], as shared bytes.
    pub fn share(&self, range: Range<usize>) -> Option<Bytes> {
        let i = self.parts.partition_point(|(start, _)| *start <= range.start).checked_sub(1)?;
        let (start, bytes) = &self.parts[i];
        bytes.get(range.start - start..range.end.checked_sub(*start)?)?;
        Some(bytes.slice(range.start - start..range.end - start))
    }

    /// Serializes the binary: its length and the number of parts as 64-bit numbers, then offset and length of each
    /// part, then the parts.
    pub fn to_bytes(&self) -> Vec<u8> {
        let heads = self.parts.iter().flat_map(|(start, bytes)| [*start, bytes.len()]);
        let words = [self.length, self.parts.len()].into_iter().chain(heads);
        let mut out: Vec<u8> = words.flat_map(|word| (word as u64).to_le_bytes()).collect();
        self.parts.iter().for_each(|(_, bytes)| out.extend_from_slice(bytes));
        out
    }

    /// Reads what [`Binary::to_bytes`] wrote, sharing the bytes. Returns `None` if they are something else.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let ([length, count], rest) = <[U64; 2]>::read_from_prefix(bytes).ok()?;
        let count = usize::try_from(count.get()).ok()?;
        let (heads, rest) = <[[U64; 2]]>::ref_from_prefix_with_elems(rest, count).ok()?;
        let mut at = bytes.len() - rest.len();
        let mut parts = Vec::with_capacity(count);
        for [start, length] in heads {
            let end =
                at.checked_add(usize::try_from(length.get()).ok()?).filter(|end| *end <= bytes.len())?;
            parts.push((usize::try_from(start.get()).ok()?, bytes.slice(at..end)));
            at = end;
        }
        Self::of_parts(parts, usize::try_from(length.get()).ok()?)
    }

    /// Returns the binary without some ranges, given in ascending order.
    pub fn without(&self, left_out: &[Range<usize>]) -> Self {
        let mut parts = Vec::new();
        for (start, bytes) in &self.parts {
            let (mut at, end) = (*start, start + bytes.len());
            let first = left_out.partition_point(|range| range.end <= at);
            let inside = left_out[first..].iter().take_while(|range| range.start < end);
            for range in inside.cloned().chain(once(end..end)) {
                if at < range.start {
                    parts.push((at, bytes.slice(at - start..range.start - start)));
                }
                at = at.max(range.end);
            }
        }
        Self { parts, length: self.length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLE: [Range<usize>; 2] = [4..7, 7..7];

    #[test]
    fn what_is_left_out_is_missing() {
        let whole = Binary::new(Bytes::from_static(b"0123456789"));
        assert_eq!(whole.get(2..5), Some(&b"234"[..]));
        assert_eq!(whole.get(2..11), None);
        let holed = whole.without(&HOLE);
        assert!(holed.whole().is_none() && holed.length() == 10);
        assert_eq!(holed.get(0..4), Some(&b"0123"[..]));
        assert_eq!(holed.get(7..10).unwrap(), b"789");
        assert_eq!(holed.share(8..9).unwrap(), &b"8"[..]);
        for missing in [3..5, 4..7, 5..6, 6..8, 9..11] {
            assert_eq!(holed.get(missing), None);
        }
        assert!(whole.without(&[]).whole().is_some());
        assert_eq!(holed.without(&[0..2, 5..8, 9..10]).parts(), [(2, "23".into()), (8, "8".into())]);
    }

    #[test]
    fn a_binary_is_kept_as_bytes() {
        let holed = Binary::new(Bytes::from_static(b"0123456789")).without(&HOLE);
        let bytes = Bytes::from(holed.to_bytes());
        let again = Binary::from_bytes(&bytes).unwrap();
        assert_eq!((again.parts(), again.length()), (holed.parts(), holed.length()));
        for truncated in 0..bytes.len() {
            assert!(Binary::from_bytes(&bytes.slice(..truncated)).is_none(), "{truncated}");
        }
        assert!(Binary::from_bytes(&Bytes::from_static(&[255; 64])).is_none());
    }

    #[test]
    fn parts_must_be_in_order() {
        let part = |start| (start, Bytes::from_static(b"abc"));
        assert!(Binary::of_parts(vec![part(0), part(4)], 7).is_some());
        assert!(Binary::of_parts(vec![part(0), part(2)], 7).is_none());
        assert!(Binary::of_parts(vec![part(0), part(5)], 7).is_none());
        assert!(Binary::of_parts(vec![part(usize::MAX)], 7).is_none());
    }
}
