use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which store of the process a handle belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreId(u64);

impl StoreId {
    /// One that no store has had. Threads take them in blocks, so that they do not meet each time that a store goes back.
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

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}
