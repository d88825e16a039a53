//! Long operations of the runtime for a guest, and how they end early when the guest is to end.
//!
//! A thread in the runtime is not made to leave by a signal, since the data that it works on must stay consistent. So
//! each builtin checks when it returns ([`crate::builtins`]), and operations that may take long check on their way,
//! after each [`STRIDE`]. A kill therefore takes effect whenever it happens.

use crate::store_monitor::StoreMonitor;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// The number of bytes that are written between two checks. A first write to a page that is mapped copy-on-write costs
/// 2.2 µs, so these take 0.6 ms at most.
pub(crate) const STRIDE: usize = 1 << 20;

/// Splits the numbers below `length` into pieces of at most `stride`, the last piece first if `backward`.
pub(crate) fn strides(length: usize, stride: usize, backward: bool) -> impl Iterator<Item = Range<usize>> {
    let count = length.div_ceil(stride);
    (0..count).map(move |i| {
        let i = if backward { count - 1 - i } else { i };
        i * stride..((i + 1) * stride).min(length)
    })
}

/// Tells a collection to stop because the guest for which it runs is to end.
pub(crate) struct Interrupt {
    monitor: Option<Arc<StoreMonitor>>,
    /// Bytes until the next check.
    left: Cell<u32>,
    is_due: Cell<bool>,
}

impl Interrupt {
    /// Creates an interrupt for the guest of a store, if one runs.
    pub(crate) fn new(monitor: Option<Arc<StoreMonitor>>) -> Self {
        Self { monitor, left: Cell::new(STRIDE as u32), is_due: Cell::new(false) }
    }

    /// Records that this many bytes were visited or moved. Returns whether to stop; once it has returned true, it
    /// always does.
    #[inline]
    pub(crate) fn after(&self, bytes: u32) -> bool {
        match self.left.get().checked_sub(bytes) {
            Some(left) => self.left.set(left),
            None => self.poll(),
        }
        self.is_due.get()
    }

    #[cold]
    fn poll(&self) {
        self.left.set(STRIDE as u32);
        if self.monitor.as_ref().is_some_and(|monitor| monitor.is_killed()) {
            self.is_due.set(true);
        }
    }

    /// Returns whether the collection was stopped.
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
