//! Tables, memories and globals as the host makes and uses them: types and limits checked, nothing raw.

use crate::abi_types::Value;
use crate::store::{StoreCore, StoreInner};
use belljar_core::{GlobalType, MemoryType, Mutability, RefType, TableType, Trap, ValType};

/// What a value of the host must be, and is not.
fn check_type(value: &Value, ty: ValType, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(value.ty() == ty, "{what} holds values of type {ty}, and was given a {}", value.ty());
    Ok(())
}

impl<T: 'static> StoreInner<T> {
    /// A new memory of the host.
    ///
    /// # Errors
    ///
    /// Where a limit or the machine says no.
    pub fn new_memory(&mut self, ty: MemoryType) -> anyhow::Result<usize> {
        self.limited(|core, limiter| core.push_memory(ty, None, None, limiter, true))
    }

    /// Grows a memory by pages of 64 KiB; the old size in pages, `None` where it may not or cannot.
    ///
    /// # Errors
    ///
    /// What the limiter returns.
    pub fn memory_grow(&mut self, memory: usize, delta: u64) -> anyhow::Result<Option<u64>> {
        self.limited(|core, limiter| core.grow_memory(memory, delta, limiter))
    }

    /// A new table of the host, filled with `init`.
    ///
    /// # Errors
    ///
    /// Where a limit says no, or `init` is not of the element type.
    pub fn new_table(&mut self, ty: TableType, init: Value) -> anyhow::Result<usize> {
        check_type(&init, ValType::Ref(ty.element()), "the table")?;
        let init = init.to_slot().u32();
        self.limited(|core, limiter| core.push_table(ty, init, None, None, limiter))
    }

    /// Grows a table; the old size, `None` where it may not or cannot.
    ///
    /// # Errors
    ///
    /// What the limiter returns; where `init` is not of the element type.
    pub fn table_grow(&mut self, table: usize, delta: u64, init: Value) -> anyhow::Result<Option<u32>> {
        check_type(&init, ValType::Ref(self.core().table_type(table).element()), "the table")?;
        let init = init.to_slot().u32();
        self.limited(|core, limiter| core.grow_table(table, delta, init, limiter))
    }
}

impl StoreCore {
    /// An element of a table, `None` outside it.
    pub fn table_get(&self, table: usize, index: u64) -> Option<Value> {
        let element = *self.elements(table).get(usize::try_from(index).ok()?)?;
        Some(match self.table_type(table).element() {
            RefType::EXTERNREF => Value::Extern(crate::RawExtern(element)),
            _ => Value::Func(crate::RawFunc(element)),
        })
    }

    /// Writes an element of a table.
    ///
    /// # Errors
    ///
    /// Where the index is outside or the value not of the element type.
    pub fn table_set(&mut self, table: usize, index: u64, value: Value) -> anyhow::Result<()> {
        check_type(&value, ValType::Ref(self.table_type(table).element()), "the table")?;
        let size = self.table_size(table);
        let element = usize::try_from(index).ok().and_then(|i| self.elements_mut(table).get_mut(i));
        match element {
            Some(element) => *element = value.to_slot().u32(),
            None => anyhow::bail!("table index {index} out of bounds: the table has {size} elements"),
        }
        Ok(())
    }

    /// Writes part of a table.
    ///
    /// # Errors
    ///
    /// Where the range is outside or the value not of the element type.
    pub fn table_fill_values(
        &mut self,
        table: usize,
        dst: u64,
        value: Value,
        length: u64,
    ) -> anyhow::Result<()> {
        check_type(&value, ValType::Ref(self.table_type(table).element()), "the table")?;
        Ok(self.fill_table(table, dst, value.to_slot().u32(), length)?)
    }

    /// Copies between tables.
    ///
    /// # Errors
    ///
    /// Where a range is outside or the element types differ.
    pub fn table_copy_values(
        &mut self,
        dst_table: usize,
        dst: u64,
        src_table: usize,
        src: u64,
        length: u64,
    ) -> anyhow::Result<()> {
        let (to, from) = (self.table_type(dst_table).element(), self.table_type(src_table).element());
        anyhow::ensure!(to == from, "elements of type {from} cannot be copied into a table of {to}");
        let copied: Result<(), Trap> = self.copy_table(dst_table, src_table, dst, src, length);
        Ok(copied?)
    }

    /// A new global of the host.
    ///
    /// # Errors
    ///
    /// Where the store is full or the value not of the type.
    pub fn new_global(&mut self, ty: GlobalType, value: Value) -> anyhow::Result<usize> {
        check_type(&value, ty.content(), "the global")?;
        self.push_global(ty, value.to_slot())
    }

    /// A global's value.
    pub fn global_get(&self, global: usize) -> Value {
        Value::from_slot(self.global_type(global).content(), self.global_value(global))
    }

    /// Writes a global.
    ///
    /// # Errors
    ///
    /// Where it is constant or the value not of its type.
    pub fn global_set(&mut self, global: usize, value: Value) -> anyhow::Result<()> {
        let ty = self.global_type(global);
        anyhow::ensure!(ty.mutability() == Mutability::Var, "the global is immutable and cannot be set");
        check_type(&value, ty.content(), "the global")?;
        self.write_global(global, value.to_slot());
        Ok(())
    }

    /// A reference to a function of this store.
    pub fn func_ref(&self, func: belljar_core::FuncRefId) -> crate::RawFunc {
        crate::RawFunc(func.0)
    }

    /// What a function reference of this store refers to, `None` for null.
    pub fn func_of_ref(&self, reference: crate::RawFunc) -> Option<belljar_core::FuncRefId> {
        (reference != crate::RawFunc::NULL).then_some(belljar_core::FuncRefId(reference.0))
    }
}
