//! Long operations that the runtime does for a guest, and how they end early when the guest is to end.
//!
//! A thread that is in the runtime is not made to leave by a signal: what it is in the middle of must stay in order. So each
//! builtin looks when it returns ([`crate::builtins`]), and whatever may take long looks on its way, after each [`STRIDE`].
//! Nobody who kills has to hit a moment.

use crate::store_monitor::StoreMonitor;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are written between two looks. A page that is written for the first time costs 2.2 µs where it was mapped
/// copy-on-write, so that these take 0.6 ms at most.
pub(crate) const STRIDE: usize = 1 << 20;

/// The numbers below `length` in pieces of at most `stride`, the last piece first where they are to go `backward`.
pub(crate) fn strides(length: usize, stride: usize, backward: bool) -> impl Iterator<Item = Range<usize>> {
    let count = length.div_ceil(stride);
    (0..count).map(move |i| {
        let i = if backward { count - 1 - i } else { i };
        i * stride..((i + 1) * stride).min(length)
    })
}

/// Tells a collection to give up, as the guest that it is done for is to end.
pub(crate) struct Interrupt {
    monitor: Option<Arc<StoreMonitor>>,
    /// Bytes until the next look.
    left: Cell<u32>,
    is_due: Cell<bool>,
}

impl Interrupt {
    /// For the guest of a store, if one runs.
    pub(crate) fn new(monitor: Option<Arc<StoreMonitor>>) -> Self {
        Self { monitor, left: Cell::new(STRIDE as u32), is_due: Cell::new(false) }
    }

    /// Takes note that this many bytes were looked at or moved. Whether to give up: once it says so, it goes on saying so.
    #[inline]
    pub(crate) fn after(&self, bytes: u32) -> bool {
        match self.left.get().checked_sub(bytes) {
            Some(left) => self.left.set(left),
            None => self.look(),
        }
        self.is_due.get()
    }

    #[cold]
    fn look(&self) {
        self.left.set(STRIDE as u32);
        if self.monitor.as_ref().is_some_and(|monitor| monitor.is_killed()) {
            self.is_due.set(true);
        }
    }

    /// Whether the collection gave up.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_cover_everything_once_in_either_direction() {
        for (length, stride) in [(0, 4), (1, 4), (4, 4), (5, 4), (11, 4), (12, 4)] {
            let forward: Vec<_> = strides(length, stride, false).collect();
            let mut backward: Vec<_> = strides(length, stride, true).collect();
            backward.reverse();
            assert_eq!(forward, backward);
            assert_eq!(
                forward.iter().flat_map(|piece| piece.clone()).collect::<Vec<_>>(),
                (0..length).collect::<Vec<_>>()
            );
            assert!(forward.iter().all(|piece| piece.len() <= stride));
        }
    }
}
