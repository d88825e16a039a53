//! The error of an allocation for which there is no room.

use crate::{Error, Trap};
use std::fmt;

/// The error of an allocation for which a store's heap of objects has no room, with what was to be allocated.
///
/// ```
/// use belljar::{Engine, ExternRef, GcHeapOutOfMemory, Limits, Store};
/// let mut store = Store::new(&Engine::default(), ());
/// store.set_limits(Limits::unlimited().gc_heap(0))?;
/// // The handles keep all of them alive, until the heap is full.
/// let error = (0..).find_map(|_| ExternRef::new(&mut store, String::from("jar")).err()).unwrap();
/// let error = error.downcast::<GcHeapOutOfMemory<String>>()?;
/// assert_eq!(error.into_inner(), "jar");
/// # Ok::<(), belljar::Error>(())
/// ```
pub struct GcHeapOutOfMemory<T> {
    inner: T,
}

impl GcHeapOutOfMemory<()> {
    /// Adds itself to an error whose reason it is.
    pub(crate) fn of(error: Error) -> Error {
        if Self::is_reason_of(&error) { error.context(Self { inner: () }) } else { error }
    }

    /// Returns whether an allocation failed because the heap is full.
    pub(crate) fn is_reason_of(error: &Error) -> bool {
        error.downcast_ref::<Trap>() == Some(&Trap::GcHeapExhausted)
    }
}

impl<T> GcHeapOutOfMemory<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner }
    }

    /// Returns what was to be allocated.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Returns what was to be allocated, and the error without it, for [`Store::gc`](crate::Store::gc).
    pub fn take_inner(self) -> (T, GcHeapOutOfMemory<()>) {
        (self.inner, GcHeapOutOfMemory { inner: () })
    }
}

impl<T> fmt::Debug for GcHeapOutOfMemory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcHeapOutOfMemory").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for GcHeapOutOfMemory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store's heap of objects is full and may not grow")
    }
}

impl<T> std::error::Error for GcHeapOutOfMemory<T> {}
