//! Temporary host memory for host functions.
//!
//! In: a length. Out: zeroed bytes, which are zeroed again when they are returned. Never: more at once than the store's
//! quota allows, so that a guest cannot make the host allocate memory by the lengths that it passes.

use crate::quota::{Limit, Quota};
use belljar_core::{ByteCount, Context};

/// The bytes that a store's host functions have borrowed, and a spare buffer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    borrowed: usize,
    spare: Vec<u8>,
}

/// The largest size in bytes of a buffer that is kept.
const MAX_SPARE: usize = 64 << 10;

/// Borrowed bytes. Return them with [`StoreCore::return_scratch`](crate::StoreCore::return_scratch); otherwise they
/// count as borrowed until the store is rewound to a checkpoint or dropped.
#[derive(Debug)]
pub struct Borrowed(Vec<u8>);

impl Borrowed {
    /// Returns the bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Scratch {
    /// Lends `length` zeroed bytes. `quota` is the store's quota.
    pub(crate) fn borrow(&mut self, length: usize, quota: Option<&Quota>) -> belljar_core::Result<Borrowed> {
        let wanted = self.borrowed.saturating_add(length);
        if let Some(exceeded) = quota.and_then(|quota| quota.exceeded(Limit::Scratch, wanted as u64)) {
            return Err(exceeded.into());
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes
            .try_reserve_exact(length)
            .with_context(|| format!("the machine has no room for {}", ByteCount(length as u64)))?;
        bytes.resize(length, 0);
        self.borrowed = wanted;
        Ok(Borrowed(bytes))
    }

    /// Takes borrowed bytes back.
    pub(crate) fn take_back(&mut self, Borrowed(mut bytes): Borrowed) {
        self.borrowed = self.borrowed.saturating_sub(bytes.len());
        if bytes.capacity() <= MAX_SPARE && bytes.capacity() > self.spare.capacity() {
            bytes.fill(0);
            bytes.clear();
            self.spare = bytes;
        }
    }
}
