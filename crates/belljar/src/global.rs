//! Globals: reading and writing them.

use crate::context::check_store;
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, GlobalType, Result, Val};
use belljar_vm::StoreId;

/// A global of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Global {
    store: StoreId,
    id: usize,
}

impl Global {
    /// Creates a global.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not of the type or belongs to another store, if the type refers to a type of
    /// another engine, or if the store is full.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        let value = value.to_value(core)?;
        let ty = ty.to_core(engine_of(core))?;
        Ok(Self { store: core.id(), id: core.new_global(ty, value)? })
    }

    /// Returns the global's type.
    ///
    /// # Panics
    ///
    /// Panics if the global belongs to another store, as do all methods here.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Global");
        GlobalType::from_core(core.global_type(self.id), engine_of(core))
    }

    /// Returns the global's value.
    pub fn get(&self, mut store: impl AsContextMut) -> Val {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Global");
        Val::from_value(core.global_get(self.id), core)
    }

    /// Sets the global's value.
    ///
    /// # Errors
    ///
    /// Returns an error if the global is immutable, or if the value is not of its type or belongs to another store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Global");
        let value = value.to_value(core)?;
        core.global_set(self.id, value)
    }

    pub(crate) fn from_id(store: StoreId, id: usize) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }
}
