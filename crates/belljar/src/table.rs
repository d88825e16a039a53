//! Tables: reading, writing and growing them.

use crate::context::check_store;
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, Ref, Result, TableType, Val};
use belljar_core::Counted;
use belljar_vm::{StoreCore, StoreId, Value};

/// A table of references in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    store: StoreId,
    id: usize,
}

fn to_value(reference: Ref, store: &StoreCore) -> Result<Value> {
    Val::from(reference).to_value(store)
}

impl Table {
    /// Creates a table of its type's minimum size, filled with `init`.
    ///
    /// # Errors
    ///
    /// Returns an error if the type's minimum exceeds its maximum or the maximum size of tables, if the type refers to
    /// a type of another engine, if the store's limits do not allow it, or if `init` is not of the element type or
    /// belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Self> {
        let store = store.as_context_mut();
        let init = to_value(init, store.0.core())?;
        let ty = ty.to_core(engine_of(store.0.core()))?;
        let id = store.0.new_table(ty, init)?;
        Ok(Self { store: store.0.core().id(), id })
    }

    /// Returns the table's declared type.
    ///
    /// # Panics
    ///
    /// Panics if the table belongs to another store, as do all methods here.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Table");
        TableType::from_core(core.table_type(self.id), engine_of(core))
    }

    /// Returns the number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        u64::from(self.core(store.as_context().0.core()).table_size(self.id))
    }

    /// Returns an element, or `None` if the index is out of bounds.
    pub fn get(&self, mut store: impl AsContextMut, index: u64) -> Option<Ref> {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Table");
        Val::from_value(core.table_get(self.id, index)?, core).ref_()
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Returns an error if the index is out of bounds, or if the value is not of the element type or belongs to another
    /// store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let value = to_value(value, self.core(core))?;
        core.table_set(self.id, index, value)
    }

    /// Grows the table by `delta` elements of the value `init`. Returns the previous size.
    ///
    /// # Errors
    ///
    /// Returns an error if the table's type, the store's limits or the operating system do not allow it, or if `init`
    /// is not of the element type or belongs to another store.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let store = store.as_context_mut().0;
        let init = to_value(init, self.core(store.core()))?;
        store.core_mut().forget_refusal();
        let old = store.table_grow(self.id, delta, init)?;
        old.map(u64::from).ok_or_else(|| {
            if let Some(refusal) = store.core().refused() {
                return refusal.into_error();
            }
            let now = store.core().table_size(self.id);
            belljar_core::format_err!(
                "could not grow the table by {}: it has {now}",
                Counted(delta, "element")
            )
        })
    }

    /// Writes a value to `length` elements, starting at `dst`.
    ///
    /// # Errors
    ///
    /// Returns an error if the range is out of bounds, or if the value is not of the element type or belongs to another
    /// store.
    pub fn fill(&self, mut store: impl AsContextMut, dst: u64, value: Ref, length: u64) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let value = to_value(value, self.core(core))?;
        core.table_fill_values(self.id, dst, value, length)
    }

    /// Copies `length` elements of `src_table`, starting at `src`, to `dst_table`, starting at `dst`.
    ///
    /// # Errors
    ///
    /// Returns an error if a range is out of bounds, or if the element types differ.
    pub fn copy(
        mut store: impl AsContextMut,
        dst_table: &Table,
        dst: u64,
        src_table: &Table,
        src: u64,
        length: u64,
    ) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        dst_table.core(core);
        src_table.core(core);
        core.table_copy_values(dst_table.id, dst, src_table.id, src, length)
    }

    /// Returns the store; panics if the table belongs to another one.
    #[track_caller]
    fn core<'a>(&self, core: &'a StoreCore) -> &'a StoreCore {
        check_store(self.store, core, "Table");
        core
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
