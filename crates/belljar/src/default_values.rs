//! Items with the default values of their types: zero, null, functions that return these, memories and tables of their
//! minimum size.

use crate::{
    AsContextMut, Extern, ExternType, Func, FuncType, Global, GlobalType, Memory, Ref, Result, SharedMemory,
    Table, TableType, Tag, TagType, Val, ValType,
};
use belljar_core::Context;

impl ValType {
    /// Returns the default value of the type: zero or null. Returns `None` for references that cannot be null.
    pub fn default_value(&self) -> Option<Val> {
        Val::default_for_ty(self)
    }
}

impl FuncType {
    /// Creates a function of this type that returns the default values of its results.
    ///
    /// # Errors
    ///
    /// Returns an error if a result has no default value, or if the type belongs to another engine.
    pub fn default_value(&self, mut store: impl AsContextMut) -> Result<Func> {
        let values: Option<Vec<Val>> = self.results().map(|ty| ty.default_value()).collect();
        let values = values.with_context(|| format!("a result of {self} has no default value"))?;
        Func::try_new(store.as_context_mut(), self.clone(), move |_, _, results| {
            results.copy_from_slice(&values);
            Ok(())
        })
    }
}

impl GlobalType {
    /// Creates a global of this type with its default value: zero or null.
    ///
    /// # Errors
    ///
    /// Returns an error if the type has no default value, or belongs to another engine.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Global> {
        let value = self.content().default_value();
        let value = value.with_context(|| format!("{} has no default value", self.content()))?;
        Global::new(store, self.clone(), value)
    }
}

impl TableType {
    /// Creates a table of this type that is filled with null.
    ///
    /// # Errors
    ///
    /// Returns an error if its elements cannot be null, or as [`Table::new`] does.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Table> {
        let null = Ref::null(self.element().heap_type());
        let null = Some(null).filter(|_| self.element().is_nullable());
        let null = null.with_context(|| format!("{} has no default value", self.element()))?;
        Table::new(store, self.clone(), null)
    }
}

impl TagType {
    /// Creates a tag of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Tag::new`] does.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Tag> {
        Tag::new(store, self)
    }
}

impl ExternType {
    /// Creates an item of this type with its default value: a function that returns default values, a global that is
    /// zero or null, a memory or table of its minimum size, a tag.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no default value, or if the item cannot be created.
    pub fn default_value(&self, mut store: impl AsContextMut) -> Result<Extern> {
        let store = store.as_context_mut();
        Ok(match self {
            Self::Func(ty) => ty.default_value(store)?.into(),
            Self::Global(ty) => ty.default_value(store)?.into(),
            Self::Table(ty) => ty.default_value(store)?.into(),
            Self::Memory(ty) if ty.is_shared() => SharedMemory::new(store.engine(), *ty)?.into(),
            Self::Memory(ty) => Memory::new(store, *ty)?.into(),
            Self::Tag(ty) => ty.default_value(store)?.into(),
        })
    }
}
