use crate::refs::GcRef;
use crate::{Result, Rooted};
use belljar_vm::StoreCore;

/// Returns the guest's representation of a handle, or of null.
pub(crate) fn raw<T: GcRef<Raw: Default>>(handle: Option<Rooted<T>>, store: &StoreCore) -> Result<T::Raw> {
    handle.map_or_else(|| Ok(T::Raw::default()), |handle| handle.raw(store))
}

/// Creates a handle for a guest's reference; `None` for null.
pub(crate) fn handle<T: GcRef<Raw: Default + PartialEq>>(
    raw: T::Raw,
    store: &mut StoreCore,
) -> Option<Rooted<T>> {
    (raw != T::Raw::default()).then(|| Rooted::new(store, raw))
}
