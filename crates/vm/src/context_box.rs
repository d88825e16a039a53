//! Where a store's context lies.

use belljar_abi::StoreContext;
use std::ptr::NonNull;

/// A store's context on the heap, owned like the contents of a box.
///
/// Stubs and generated code reach it by its address while its store does. A `Box` would claim on each use, and when it is moved,
/// that nobody else does ([`crate::vm_ptr`]); this keeps a raw pointer, and makes a reference of it only as long as one is used.
#[derive(Debug)]
pub(crate) struct ContextBox(NonNull<StoreContext>);

// SAFETY: it owns its contents, which are numbers.
unsafe impl Send for ContextBox {}

impl ContextBox {
    pub(crate) fn new(context: StoreContext) -> Self {
        Self(NonNull::from(Box::leak(Box::new(context))))
    }

    /// A pointer to it, good for as long as `self` lives, whatever is borrowed meanwhile.
    #[inline]
    pub(crate) fn get(&self) -> *mut StoreContext {
        self.0.as_ptr()
    }

    /// The context, while no guest code runs.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut StoreContext {
        // SAFETY: STORE-EXCLUSIVE: whoever holds the store by `&mut` is the only one to touch its context.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for ContextBox {
    fn drop(&mut self) {
        // SAFETY: it came from a box, in `new`, and its store goes (STORE-PINNED).
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
