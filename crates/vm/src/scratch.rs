//! Memory of the host that host functions borrow for a moment.
//!
//! In: a length. Out: bytes that are zero, and zero again when they come back. Never: more at once than the store's quota allows,
//! so that a guest cannot have the host take memory by the lengths that it passes.

use crate::quota::{Limit, Quota};
use anyhow::Context;

/// What a store's host functions have borrowed, and a buffer for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    borrowed: usize,
    spare: Vec<u8>,
}

/// Bytes of a buffer that is kept.
const KEPT: usize = 64 << 10;

/// Bytes that were borrowed. To be given back with [`StoreCore::return_scratch`](crate::StoreCore::return_scratch); one that is not counts as borrowed up to the time
/// when the store goes back to a checkpoint, or ends.
#[derive(Debug)]
pub struct Borrowed(Vec<u8>);

impl Borrowed {
    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Scratch {
    /// Lends `length` bytes, which are zero. `quota`: what the store may have.
    pub(crate) fn borrow(&mut self, length: usize, quota: Option<&Quota>) -> anyhow::Result<Borrowed> {
        let wanted = self.borrowed.saturating_add(length);
        if let Some(exceeded) = quota.and_then(|quota| quota.exceeded(Limit::Scratch, wanted as u64)) {
            return Err(exceeded.into());
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes
            .try_reserve_exact(length)
            .with_context(|| format!("the machine has no room for {length} bytes"))?;
        bytes.resize(length, 0);
        self.borrowed = wanted;
        Ok(Borrowed(bytes))
    }

    /// Takes bytes back.
    pub(crate) fn take_back(&mut self, Borrowed(mut bytes): Borrowed) {
        self.borrowed = self.borrowed.saturating_sub(bytes.len());
        if bytes.capacity() <= KEPT && bytes.capacity() > self.spare.capacity() {
            bytes.fill(0);
            bytes.clear();
            self.spare = bytes;
        }
    }
}
