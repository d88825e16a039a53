//! Where a store's context lies.

use belljar_abi::StoreContext;
use std::cell::UnsafeCell;

/// A store's context, inside of what others may hold of the store ([`crate::store_monitor::StoreMonitor`]): both are touched by each call, and lie
/// on the same lines.
///
/// Stubs and generated code reach it by its address while its store does. Whoever holds the store alone is the only one who
/// touches it (STORE-EXCLUSIVE), with the signal handlers of that thread.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct ContextCell(UnsafeCell<StoreContext>);

// SAFETY: STORE-EXCLUSIVE: its contents are touched by one thread at a time.
unsafe impl Sync for ContextCell {}

impl ContextCell {
    pub(crate) const fn new(context: StoreContext) -> Self {
        Self(UnsafeCell::new(context))
    }

    /// A pointer to it, good for as long as `self` lives, whatever is borrowed meanwhile.
    #[inline]
    pub(crate) const fn get(&self) -> *mut StoreContext {
        self.0.get()
    }
}
