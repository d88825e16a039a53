//! The host's operations on tables, memories and globals, with types and limits checked.

use crate::abi_types::Value;
use crate::store::StoreCore;
use crate::store_inner::StoreInner;
use belljar_core::{
    Context, Counted, FuncRefId, GlobalType, HeapType, MemoryType, Mutability, RawVal, RefType, TableType,
    Trap, TypeRef, ValType, article,
};

impl StoreCore {
    /// Checks that a value of the host is of a type.
    pub(crate) fn check_type(&self, value: &Value, ty: ValType, what: &str) -> belljar_core::Result<()> {
        belljar_core::ensure!(
            self.is_of_type(value, ty),
            "{what} holds values of type {ty}, and was given {}",
            match value.is_null() {
                true => "null".to_string(),
                false => {
                    let found = value.ty().to_string();
                    format!("{} {found}", article(&found))
                }
            }
        );
        Ok(())
    }

    /// Returns whether a value of this store is of a type.
    pub fn is_of_type(&self, value: &Value, ty: ValType) -> bool {
        let types = &*self.runtime.types;
        let ValType::Ref(wanted) = ty else { return value.ty() == ty };
        let heap = match *value {
            _ if value.is_null() => {
                let ValType::Ref(own) = value.ty() else { return false };
                return wanted.is_nullable() && own.heap_type().top(types) == wanted.heap_type().top(types);
            }
            Value::Func(func) => HeapType::Defined(TypeRef::Id(self.func_sig(FuncRefId(func.0)))),
            Value::Extern(_) => HeapType::Extern,
            Value::Any(any) => self.heap_type_of(any.0),
            Value::Exn(_) => HeapType::Exn,
            _ => return false,
        };
        heap.matches(wanted.heap_type(), types)
    }
}

impl<T: 'static> StoreInner<T> {
    /// Creates a memory of the host.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit or the machine does not allow it.
    pub fn new_memory(&mut self, ty: MemoryType) -> belljar_core::Result<usize> {
        belljar_core::ensure!(
            !ty.is_shared(),
            "a shared memory belongs to no store: create it with SharedMemory::new"
        );
        ty.check().context("a memory of this type cannot be created")?;
        self.limited(|core, growth_limiter| core.push_memory(ty, None, None, growth_limiter, true))
    }

    /// Grows a memory by pages. Returns the old size in pages, or `None` if growth is not allowed or fails.
    ///
    /// # Errors
    ///
    /// Returns the limiter's error.
    pub fn memory_grow(&mut self, memory: usize, delta: u64) -> belljar_core::Result<Option<u64>> {
        self.limited(|core, growth_limiter| core.grow_memory(memory, delta, growth_limiter))
    }

    /// Creates a table of the host, filled with `init`.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit does not allow it, or `init` is not of the element type.
    pub fn new_table(&mut self, ty: TableType, init: Value) -> belljar_core::Result<usize> {
        ty.check().context("a table of this type cannot be created")?;
        self.core().check_type(&init, ValType::Ref(ty.element()), "the table")?;
        let init = init.to_slot().u32();
        self.limited(|core, growth_limiter| core.push_table(ty, init, None, None, growth_limiter))
    }

    /// Grows a table. Returns the old size, or `None` if growth is not allowed or fails.
    ///
    /// # Errors
    ///
    /// Returns the limiter's error, or an error if `init` is not of the element type.
    pub fn table_grow(&mut self, table: usize, delta: u64, init: Value) -> belljar_core::Result<Option<u32>> {
        let element = ValType::Ref(self.core().table_type(table).element());
        self.core().check_type(&init, element, "the table")?;
        let init = init.to_slot().u32();
        self.limited(|core, growth_limiter| core.grow_table(table, delta, init, growth_limiter))
    }
}

impl StoreCore {
    /// Returns an element of a table, `None` if the index is out of bounds.
    pub fn table_get(&self, table: usize, index: u64) -> Option<Value> {
        let element = *self.elements(table).get(usize::try_from(index).ok()?)?;
        let ty = self.value_type(ValType::Ref(self.table_type(table).element()));
        Some(Value::from_slot(ty, RawVal::from_u32(element)))
    }

    /// Writes an element of a table.
    ///
    /// # Errors
    ///
    /// Returns an error if the index is out of bounds or the value is not of the element type.
    pub fn table_set(&mut self, table: usize, index: u64, value: Value) -> belljar_core::Result<()> {
        self.check_type(&value, ValType::Ref(self.table_type(table).element()), "the table")?;
        let size = self.table_size(table);
        let element = usize::try_from(index).ok().and_then(|i| self.elements_mut(table).get_mut(i));
        match element {
            Some(element) => *element = value.to_slot().u32(),
            None => {
                let size = Counted(size.into(), "element");
                belljar_core::bail!("table index {index} out of bounds: the table has {size}")
            }
        }
        Ok(())
    }

    /// Fills a range of a table.
    ///
    /// # Errors
    ///
    /// Returns an error if the range is out of bounds or the value is not of the element type.
    pub fn table_fill_values(
        &mut self,
        table: usize,
        dst: u64,
        value: Value,
        length: u64,
    ) -> belljar_core::Result<()> {
        self.check_type(&value, ValType::Ref(self.table_type(table).element()), "the table")?;
        Ok(self.fill_table(table, dst, value.to_slot().u32(), length)?)
    }

    /// Copies between tables.
    ///
    /// # Errors
    ///
    /// Returns an error if a range is out of bounds or the element types differ.
    pub fn table_copy_values(
        &mut self,
        dst_table: usize,
        dst: u64,
        src_table: usize,
        src: u64,
        length: u64,
    ) -> belljar_core::Result<()> {
        let (to, from) = (self.table_type(dst_table).element(), self.table_type(src_table).element());
        let fits = from.matches(to, &*self.runtime.types);
        belljar_core::ensure!(fits, "elements of type {from} cannot be copied into a table of {to}");
        let copied: Result<(), Trap> = self.copy_table(dst_table, src_table, dst, src, length);
        Ok(copied?)
    }

    /// Creates a global of the host.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is full or the value is not of the type.
    pub fn new_global(&mut self, ty: GlobalType, value: Value) -> belljar_core::Result<usize> {
        self.check_type(&value, ty.content(), "the global")?;
        self.push_global(ty, value.to_slot())
    }

    /// Returns a global's value.
    pub fn global_get(&self, global: usize) -> Value {
        Value::from_slot(self.value_type(self.global_type(global).content()), self.global_value(global))
    }

    /// Writes a global.
    ///
    /// # Errors
    ///
    /// Returns an error if the global is immutable or the value is not of its type.
    pub fn global_set(&mut self, global: usize, value: Value) -> belljar_core::Result<()> {
        let ty = self.global_type(global);
        belljar_core::ensure!(
            ty.mutability() == Mutability::Var,
            "the global is immutable and cannot be set"
        );
        self.check_type(&value, ty.content(), "the global")?;
        self.write_global(global, value.to_slot());
        Ok(())
    }

    /// Returns the most specific type of a reference of the `any` hierarchy that is not null.
    pub(crate) fn heap_type_of(&self, reference: u32) -> HeapType {
        match self.object_type(reference) {
            Some(ty) => HeapType::Defined(TypeRef::Id(ty)),
            None if reference & 1 != 0 => HeapType::I31,
            None => HeapType::Any,
        }
    }

    /// Replaces a reference type by the top of its hierarchy, which determines how a value is stored in a slot.
    pub(crate) fn value_type(&self, ty: ValType) -> ValType {
        match ty {
            ValType::Ref(r) => RefType::new(true, r.heap_type().top(&*self.runtime.types)).into(),
            other => other,
        }
    }

    /// Returns a reference to a function of this store.
    pub fn func_ref(&self, func: belljar_core::FuncRefId) -> crate::RawFunc {
        crate::RawFunc(func.0)
    }

    /// Returns the function that a reference of this store refers to, `None` for null.
    pub fn func_of_ref(&self, reference: crate::RawFunc) -> Option<belljar_core::FuncRefId> {
        (reference != crate::RawFunc::NULL).then_some(belljar_core::FuncRefId(reference.0))
    }
}
