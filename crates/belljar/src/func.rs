//! Functions of a store.

use crate::context::check_store;
use crate::engine::engine_of;
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
        FuncType::from_core(&core.func_type(self.id), engine_of(core))
    }

    /// Returns whether the function is of this type, or of a declared subtype of it.
    pub fn matches_ty(&self, store: impl AsContext, func_ty: &FuncType) -> bool {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Func");
        let runtime = core.runtime();
        func_ty.to_core(engine_of(core)).is_ok_and(|ty| {
            let found = core.func_type(self.id);
            found.params().len() == ty.params().len()
                && found.results().len() == ty.results().len()
                && ty.params().iter().zip(found.params()).all(|(a, b)| runtime.matches(*a, *b))
                && found.results().iter().zip(ty.results()).all(|(a, b)| runtime.matches(*a, *b))
        })
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
        belljar_core::ensure!(
            this.store == store.id(),
            "a Func was used with a store that it does not belong to"
        );
        Ok(store.func_ref(this.id))
    }

    pub(crate) fn from_raw(raw: RawFunc, store: &StoreCore) -> Option<Self> {
        store.func_of_ref(raw).map(|id| Self { store: store.id(), id })
    }
}
