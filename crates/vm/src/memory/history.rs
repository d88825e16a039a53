//! How guests that started from the same checkpoint have used their memory. Later guests are prepared accordingly.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// The observations. They affect only time and resident memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryHistory {
    /// Bytes that have been written repeatedly.
    kept: AtomicUsize,
    large: AtomicU8,
}

/// Whether guests fill large pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum LargePages {
    /// Not measured yet.
    Unknown,
    /// Guests write to most of each large page.
    Filled,
    /// Guests write to scattered places.
    Sparse,
}

impl MemoryHistory {
    pub(super) fn kept(&self) -> usize {
        self.kept.load(Relaxed)
    }

    pub(super) fn set_kept(&self, bytes: usize) {
        self.kept.store(bytes, Relaxed);
    }

    pub(super) fn large_pages(&self) -> LargePages {
        const ALL: [LargePages; 3] = [LargePages::Unknown, LargePages::Filled, LargePages::Sparse];
        ALL[usize::from(self.large.load(Relaxed))]
    }

    pub(super) fn set_large_pages(&self, to: LargePages) {
        self.large.store(to as u8, Relaxed);
    }
}
