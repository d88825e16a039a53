//! Guest allocations that the host has dropped, and that the guest's allocator has not freed yet.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An allocation that the host owns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

impl Held {
    /// Returns its addresses.
    pub(crate) fn range(self) -> Range<u64> {
        self.base..self.base + self.size
    }
}

/// Allocations that were dropped. A destructor never calls the guest: the next use of the allocator frees them.
#[derive(Default, Debug)]
pub(crate) struct FreeQueue(Mutex<Vec<Held>>);

impl FreeQueue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
