//! Tables as the host reads, writes and grows them.

use crate::context::check_store;
use crate::{AsContext, AsContextMut, Ref, Result, TableType, Val};
use belljar_vm::{StoreCore, StoreId, Value};

/// A table of a store: references, by index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    store: StoreId,
    id: usize,
}

fn to_value(reference: Ref, store: &StoreCore) -> Result<Value> {
    Val::from(reference).to_value(store)
}

impl Table {
    /// A new table of its type's minimum size, filled with `init`.
    ///
    /// # Errors
    ///
    /// Where the type's minimum exceeds its maximum or what a table may have, or it refers to a type of another engine; where the
    /// store's limits say no, or `init` is not of the element type or of another store.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Self> {
        let store = store.as_context_mut();
        let init = to_value(init, store.0.core())?;
        let ty = store.0.core().runtime().own_types(|mut own| ty.map(&mut own))?;
        let id = store.0.new_table(ty, init)?;
        Ok(Self { store: store.0.core().id(), id })
    }

    /// Its type, as declared.
    ///
    /// # Panics
    ///
    /// If it belongs to another store, as all methods here.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Table");
        core.table_type(self.id).map(&mut |r| core.runtime().show_type(r))
    }

    /// Number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        u64::from(self.core(store.as_context().0.core()).table_size(self.id))
    }

    /// An element; `None` outside the table.
    pub fn get(&self, mut store: impl AsContextMut, index: u64) -> Option<Ref> {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Table");
        Val::from_value(core.table_get(self.id, index)?, core).as_ref()
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Where the index is outside, or the value not of the element type or of another store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let value = to_value(value, self.core(core))?;
        core.table_set(self.id, index, value)
    }

    /// Makes it `delta` elements larger, the new ones `init`. Returns the size before.
    ///
    /// # Errors
    ///
    /// Where its type, the store's limits or the machine say no, and as [`Table::set`].
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
            anyhow::anyhow!("could not grow the table by {delta} elements: it has {now}")
        })
    }

    /// Writes the same value to `length` elements from `dst` on.
    ///
    /// # Errors
    ///
    /// Where the range is not inside, and as [`Table::set`].
    pub fn fill(&self, mut store: impl AsContextMut, dst: u64, value: Ref, length: u64) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let value = to_value(value, self.core(core))?;
        core.table_fill_values(self.id, dst, value, length)
    }

    /// Copies `length` elements of `src_table` from `src` on to `dst_table` from `dst` on.
    ///
    /// # Errors
    ///
    /// Where a range is not inside, or the element types differ.
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

    /// The store, which has to be the table's own.
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
