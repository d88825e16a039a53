//! Functions of a store.

use crate::context::check_store;
use crate::{AsContext, FuncType, Result};
use belljar_core::FuncRefId;
use belljar_vm::{RawFunc, StoreCore, StoreId};

/// A function of a store: a guest function, or a host function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Func {
    store: StoreId,
    id: FuncRefId,
}

impl Func {
    /// Returns the function's type.
    ///
    /// # Panics
    ///
    /// Panics if the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Func");
        crate::types::shown_func(&core.func_type(self.id), core.runtime())
    }

    pub(crate) fn from_id(store: StoreId, id: FuncRefId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(&self) -> FuncRefId {
        self.id
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    #[inline]
    pub(crate) fn to_raw(this: Option<Self>, store: &StoreCore) -> Result<RawFunc> {
        let Some(this) = this else { return Ok(RawFunc::NULL) };
        anyhow::ensure!(this.store == store.id(), "a Func was used with a store that it does not belong to");
        Ok(store.func_ref(this.id))
    }

    pub(crate) fn from_raw(raw: RawFunc, store: &StoreCore) -> Option<Self> {
        store.func_of_ref(raw).map(|id| Self { store: store.id(), id })
    }
}
