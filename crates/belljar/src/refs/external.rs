//! References to values of the host.

use super::kinds::{AnyRef, ExternRef};
use super::rooted::Rooted;
use crate::{AsContextMut, Result, StoreContext};
use belljar_vm::StoreCore;
use std::any::Any;
use std::sync::Arc;

impl ExternRef {
    /// Moves a value into the store, which drops it when neither a guest nor a handle can reach it any more.
    ///
    /// # Errors
    ///
    /// Returns an error if the heap is full.
    pub fn new(mut store: impl AsContextMut, value: impl Any + Send + Sync) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let raw = store.erased().new_extern(Arc::new(value))?;
        Ok(Rooted::new(store.core_mut(), raw))
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

impl Rooted<ExternRef> {
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
}
