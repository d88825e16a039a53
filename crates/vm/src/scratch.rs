//! Memory of the host that host functions borrow for a moment.
//!
//! In: a length. Out: bytes that are zero, and zero again when they come back. Never: more at once than the store's quota allows,
//! so that a guest cannot have the host take memory by the lengths that it passes.

use crate::quota::Limit;
use crate::store::StoreCore;
use anyhow::Context;

/// What a store's host functions have borrowed, and a buffer for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    borrowed: usize,
    spare: Vec<u8>,
}

/// Bytes of a buffer that is kept.
const KEPT: usize = 64 << 10;

/// Bytes that were borrowed. To be given back with [`StoreCore::return_scratch`]; one that is not counts as borrowed up to the time
/// when the store goes back to a checkpoint, or ends.
#[derive(Debug)]
pub struct Borrowed(Vec<u8>);

impl Borrowed {
    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl StoreCore {
    /// Lends so many bytes, which are zero.
    ///
    /// # Errors
    ///
    /// Where the quota does not allow it, or the machine has no room.
    pub fn borrow_scratch(&mut self, length: usize) -> anyhow::Result<Borrowed> {
        let wanted = self.scratch.borrowed.saturating_add(length);
        if let Some(exceeded) = self.quota().and_then(|quota| quota.exceeded(Limit::Scratch, wanted as u64)) {
            return Err(exceeded.into());
        }
        let mut bytes = std::mem::take(&mut self.scratch.spare);
        bytes
            .try_reserve_exact(length)
            .with_context(|| format!("the machine has no room for {length} bytes"))?;
        bytes.resize(length, 0);
        self.scratch.borrowed = wanted;
        Ok(Borrowed(bytes))
    }

    /// Takes bytes back.
    pub fn return_scratch(&mut self, Borrowed(mut bytes): Borrowed) {
        self.scratch.borrowed = self.scratch.borrowed.saturating_sub(bytes.len());
        if bytes.capacity() <= KEPT && bytes.capacity() > self.scratch.spare.capacity() {
            bytes.fill(0);
            bytes.clear();
            self.scratch.spare = bytes;
        }
    }
}
