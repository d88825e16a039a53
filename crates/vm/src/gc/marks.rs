//! Which objects of the old space are alive, and where they move.

use super::spaces::OLD;
use belljar_abi::gc::ALIGN;

/// Which parts of the old space are alive.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// One bit for each [`ALIGN`] bytes.
    pub(super) bits: Vec<u64>,
    /// For each word of bits, the number of bits set before it.
    pub(super) sums: Vec<u32>,
    /// Objects whose first bit is set, but which have not been visited yet.
    pub(super) pending: Vec<u32>,
}

impl Marks {
    pub(super) fn clear(&mut self, bytes: u32) {
        let words = (bytes / ALIGN).div_ceil(64) as usize;
        self.bits.clear();
        self.bits.resize(words, 0);
        self.sums.clear();
        // They are left from a mark phase that was interrupted, and may no longer be objects.
        self.pending.clear();
    }

    pub(super) fn position(object: u32) -> (usize, u32) {
        let bit = (object - OLD) / ALIGN;
        ((bit / 64) as usize, bit % 64)
    }

    pub(super) fn is_marked(&self, object: u32) -> bool {
        let (word, bit) = Self::position(object);
        self.bits[word] >> bit & 1 != 0
    }

    /// Sets an object's first bit. Returns whether it was clear.
    #[inline]
    pub(super) fn set_first(&mut self, object: u32) -> bool {
        let (word, bit) = Self::position(object);
        let was_clear = self.bits[word] >> bit & 1 == 0;
        self.bits[word] |= 1 << bit;
        was_clear
    }

    /// Sets the bits of an object.
    pub(super) fn set(&mut self, object: u32, size: u32) {
        let (mut word, bit) = Self::position(object);
        let mut left = size / ALIGN;
        let first = left.min(64 - bit);
        self.bits[word] |= (u64::MAX >> (64 - first)) << bit;
        left -= first;
        while left > 0 {
            word += 1;
            let some = left.min(64);
            self.bits[word] |= u64::MAX >> (64 - some);
            left -= some;
        }
    }

    /// Computes the sums after marking. Returns the number of live bytes.
    pub(super) fn sum(&mut self) -> u32 {
        let mut sum = 0;
        self.sums.reserve(self.bits.len());
        for word in &self.bits {
            self.sums.push(sum);
            sum += word.count_ones();
        }
        sum * ALIGN
    }

    /// Returns the place to which a marked object moves.
    #[inline]
    pub(super) fn destination(&self, object: u32) -> u32 {
        let (word, bit) = Self::position(object);
        let before = self.bits[word] & !(u64::MAX << bit);
        OLD + (self.sums[word] + before.count_ones()) * ALIGN
    }

    /// Returns the first marked object at or after an offset.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        let (mut word, bit) = Self::position(from);
        let mut bits = self.bits.get(word)? & (u64::MAX << bit);
        while bits == 0 {
            word += 1;
            bits = *self.bits.get(word)?;
        }
        Some(OLD + (word as u32 * 64 + bits.trailing_zeros()) * ALIGN)
    }
}
