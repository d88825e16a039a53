//! How guests that begin at the same checkpoint have used their memory, for those that come after them.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// What is known of them. Nothing but time and resident memory depends on it.
#[derive(Debug, Default)]
pub(crate) struct MemoryHistory {
    /// Bytes that have been written again and again.
    kept: AtomicUsize,
    large: AtomicU8,
}

/// Whether large pages are filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum LargePages {
    /// Nobody has looked yet.
    Unknown,
    /// Guests write to most of them.
    Filled,
    /// Guests write here and there.
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
