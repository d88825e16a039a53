//! References to values of the host.

use super::kinds::{AnyRef, ExternRef};
use super::out_of_memory::GcHeapOutOfMemory;
use super::rooted::{GcRef, Rooted};
use crate::{AsContextMut, Result, StoreContext, StoreContextMut};
use belljar_core::Context;
use belljar_vm::StoreCore;
use std::any::Any;
use std::sync::Arc;

impl ExternRef {
    /// Moves a value into the store, which drops it when neither a guest nor a handle can reach it any more.
    ///
    /// # Errors
    ///
    /// Returns a [`GcHeapOutOfMemory`] with the value if the heap is full.
    pub fn new<V: Any + Send + Sync>(mut store: impl AsContextMut, value: V) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let value = Arc::new(value);
        match store.erased().new_extern(value.clone()) {
            Ok(raw) => Ok(Rooted::new(store.core_mut(), raw)),
            Err(error) => Err(match Arc::into_inner(value) {
                Some(value) if GcHeapOutOfMemory::is_reason_of(&error) => {
                    error.context(GcHeapOutOfMemory::new(value))
                }
                _ => error,
            }),
        }
    }

    /// Externalizes a guest's value, as `extern.convert_any` does.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid, or belongs to another store.
    pub fn convert_any(mut store: impl AsContextMut, any: Rooted<AnyRef>) -> Result<Rooted<Self>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = StoreCore::externalize(any.raw(core)?);
        Ok(Rooted::new(core, raw))
    }
}

impl ExternRef {
    /// Returns the value, or `None` if it is a guest's value that was externalized (`extern.convert_any`).
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid, or belongs to another store.
    pub fn data<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        let core = store.into().0.core();
        Ok(core.extern_value(self.raw(core)?).map(|value| &**value))
    }

    /// Returns the value for writing, or `None` if it is a guest's value that was externalized (`extern.convert_any`).
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, or if a checkpoint of the store
    /// holds the value as well.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
        let core = store.into().0.core_mut();
        let raw = self.raw(core)?;
        let Some(value) = core.extern_value_mut(raw) else { return Ok(None) };
        let shared = "a checkpoint of the store holds this value as well, so it cannot be changed";
        Arc::get_mut(value).map(|value| Some(value as &mut (dyn Any + Send + Sync))).context(shared)
    }
}
