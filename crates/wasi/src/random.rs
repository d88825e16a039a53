//! The source of a guest's random bytes, replaceable by the embedder.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// A source of random bytes.
pub trait HostRandom: Send {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// An error reaches the guest as its errno; `Interrupted` restarts the call.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The operating system's generator.
pub(crate) struct SystemRandom;

impl HostRandom for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Ok(())
    }
}

/// Random-looking bytes that are the same for the same seed, for reproducible runs. Not for secrets.
///
/// The generator is SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, 2014).
#[derive(Debug, Clone)]
pub struct SeededRandom {
    state: u64,
    left: usize,
    word: [u8; 8],
}

impl SeededRandom {
    /// Creates a generator at the start of the sequence for `seed`.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom { state: seed, left: 0, word: [0; 8] }
    }

    fn refill(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.word = (z ^ (z >> 31)).to_le_bytes();
        self.left = 8;
    }
}

impl HostRandom for SeededRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            if self.left == 0 {
                self.refill();
            }
            *byte = self.word[8 - self.left];
            self.left -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_fixes_the_sequence_however_it_is_cut() {
        let mut whole = [0; 21];
        SeededRandom::new(5).fill(&mut whole).unwrap();
        let mut pieces = [0; 21];
        let mut random = SeededRandom::new(5);
        let (a, b) = pieces.split_at_mut(3);
        random.fill(a).unwrap();
        random.fill(b).unwrap();
        assert_eq!(whole, pieces);
        // The first output of SplitMix64 for seed 5 differs from that of seed 6.
        let mut other = [0; 21];
        SeededRandom::new(6).fill(&mut other).unwrap();
        assert_ne!(whole, other);
    }
}
