//! The cell that holds a store's context.

use belljar_abi::StoreContext;
use std::cell::UnsafeCell;

/// A store's context, inside the store's shared state ([`crate::store_monitor::StoreMonitor`]): each call accesses
/// both, and they share cache lines.
///
/// Stubs and generated code access it by its address while the store lives. Only the holder of the store accesses it
/// (STORE-EXCLUSIVE), and the signal handlers of its thread.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct ContextCell(UnsafeCell<StoreContext>);

// SAFETY: STORE-EXCLUSIVE: one thread at a time accesses its contents.
unsafe impl Sync for ContextCell {}

impl ContextCell {
    pub(crate) const fn new(context: StoreContext) -> Self {
        Self(UnsafeCell::new(context))
    }

    /// Returns a pointer to it that is valid for as long as `self` lives, regardless of borrows.
    #[inline]
    pub(crate) const fn get(&self) -> *mut StoreContext {
        self.0.get()
    }
}
