use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of a store in the process. Handles contain it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreId(u64);

impl StoreId {
    /// Returns an id that no store has had. Threads take ids in blocks, so that they do not contend at each rewind.
    pub(crate) fn next() -> Self {
        const BLOCK: u64 = 1 << 10;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static LEFT: Cell<Range<u64>> = const { Cell::new(0..0) };
        }
        let own = LEFT.try_with(|left| {
            let mut range = left.take();
            if range.is_empty() {
                let start = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
                range = start..start + BLOCK;
            }
            let id = range.start;
            left.set(id + 1..range.end);
            id
        });
        Self(own.unwrap_or_else(|_| NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub fn number(self) -> u64 {
        self.0
    }
}
