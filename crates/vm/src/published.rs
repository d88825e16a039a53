//! Rows that signal handlers read: rarely written, read without a lock.
//!
//! Readers increment a counter, read one pointer, search, and decrement the counter. Writers replace all rows and free
//! old ones when there is no reader. `tests/models` checks that.

use crate::sync::{AtomicPtr, AtomicUsize, Mutex, Ordering::SeqCst, constructor};
use std::ptr;

/// Rows that any thread may read at any time, including in a signal handler.
pub(crate) struct Published<T> {
    current: AtomicPtr<Vec<T>>,
    readers: AtomicUsize,
    /// Guards writing; holds rows that a reader may still be using.
    retired: Mutex<Vec<Retired<T>>>,
}

struct Retired<T>(*mut Vec<T>);
// SAFETY: retired rows are only dropped.
unsafe impl<T: Send> Send for Retired<T> {}

// SAFETY: readers get references to rows, writers clone them, and the writing thread drops them.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T: Clone> Published<T> {
    constructor! {
        /// Creates an empty table.
        pub(crate) fn new() -> Self {
            Self {
                current: AtomicPtr::new(ptr::null_mut()),
                readers: AtomicUsize::new(0),
                retired: Mutex::new(Vec::new()),
            }
        }
    }

    /// Calls `read` with the rows, none of which is freed meanwhile.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&[T]) -> R) -> R {
        self.readers.fetch_add(1, SeqCst);
        let rows = self.current.load(SeqCst);
        // SAFETY: rows that were current after we incremented the counter are not freed before we decrement it:
        // `change` frees only when it sees no reader after having replaced the pointer.
        let result = read(if rows.is_null() { &[] } else { unsafe { &*rows } });
        self.readers.fetch_sub(1, SeqCst);
        result
    }

    /// Replaces the rows by an edited copy. Not for signal handlers.
    pub(crate) fn change(&self, edit: impl FnOnce(&mut Vec<T>)) {
        let mut retired = self.retired.lock().unwrap_or_else(|e| e.into_inner());
        let old = self.current.load(SeqCst);
        // SAFETY: only writers free rows, and we hold the writers' lock.
        let mut rows = if old.is_null() { Vec::new() } else { unsafe { (*old).clone() } };
        edit(&mut rows);
        self.current.store(Box::into_raw(Box::new(rows)), SeqCst);
        if !old.is_null() {
            retired.push(Retired(old));
        }
        if self.readers.load(SeqCst) == 0 {
            for rows in retired.drain(..) {
                // SAFETY: they came from `Box::into_raw`, are no longer current, and there was no reader after they
                // were replaced.
                drop(unsafe { Box::from_raw(rows.0) });
            }
        }
    }
}
