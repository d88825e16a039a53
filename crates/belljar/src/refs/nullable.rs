use crate::refs::GcRef;
use crate::{OwnedRooted, Result, Rooted};
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

/// Returns the guest's representation of an owned handle, or of null.
pub(crate) fn owned_raw<T: GcRef<Raw: Default>>(
    handle: Option<OwnedRooted<T>>,
    store: &StoreCore,
) -> Result<T::Raw> {
    handle.map_or_else(|| Ok(T::Raw::default()), |handle| handle.raw(store))
}

/// Creates an owned handle for a guest's reference; `None` for null.
pub(crate) fn owned_handle<T: GcRef<Raw: Default + PartialEq>>(
    raw: T::Raw,
    store: &mut StoreCore,
) -> Option<OwnedRooted<T>> {
    (raw != T::Raw::default()).then(|| OwnedRooted::new(store, raw))
}
