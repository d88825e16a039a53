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

impl<R: HostRandom + ?Sized> HostRandom for Box<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        (**self).fill(bytes)
    }
}

/// How many random bytes a guest may ask for at once, unless the embedder sets another limit: any number.
pub const DEFAULT_MAX_SIZE: u64 = u64::MAX;

/// Returns the operating system's generator.
pub fn thread_rng() -> Box<dyn HostRandom> {
    Box::new(SystemRandom)
}

/// Given bytes over and over, for reproducible runs. Not for secrets.
///
/// ```
/// use belljar_wasi::random::{Deterministic, HostRandom};
/// let mut bytes = [0; 5];
/// Deterministic::new(vec![1, 2, 3]).fill(&mut bytes)?;
/// assert_eq!(bytes, [1, 2, 3, 1, 2]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Deterministic {
    bytes: Vec<u8>,
    next: usize,
}

impl Deterministic {
    /// Creates a source of these bytes. Without any, the guest gets an error when it asks for some.
    pub fn new(bytes: Vec<u8>) -> Deterministic {
        Deterministic { bytes, next: 0 }
    }
}

impl HostRandom for Deterministic {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = *self.bytes.get(self.next).ok_or(io::ErrorKind::UnexpectedEof)?;
            self.next = (self.next + 1) % self.bytes.len();
        }
        Ok(())
    }
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
