//! Structs.

use super::kinds::StructRef;
use super::out_of_memory::GcHeapOutOfMemory;
use super::rooted::{GcRef, Rooted};
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, Result, StructType, Val};
use belljar_core::Context;

/// An allocator of structs of a type.
#[derive(Clone, Debug)]
pub struct StructRefPre {
    ty: StructType,
}

impl StructRefPre {
    /// Creates an allocator of structs of this type.
    pub fn new(_store: impl AsContextMut, ty: StructType) -> Self {
        Self { ty }
    }
}

impl StructRef {
    /// Creates a struct.
    ///
    /// # Errors
    ///
    /// Returns an error if the values do not match the fields or belong to another store, if the type belongs to
    /// another engine, or if the heap is full (a [`GcHeapOutOfMemory`](crate::GcHeapOutOfMemory)).
    pub fn new(mut store: impl AsContextMut, pre: &StructRefPre, fields: &[Val]) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let core = store.core();
        let ty = pre.ty.id_in(engine_of(core))?;
        let values = fields.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let raw = store.erased().make_struct(ty, &values).map_err(GcHeapOutOfMemory::of)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl StructRef {
    /// Returns the struct's type.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<StructType> {
        let core = store.as_context().0.core();
        let id = core.type_of_ref(self.raw(core)?).context("a struct has a type")?;
        StructType::of_id(engine_of(core), id).context("a struct's type is a struct type")
    }

    /// Returns whether the struct is of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`StructRef::ty`] does.
    pub fn matches_ty(&self, store: impl AsContext, ty: &StructType) -> Result<bool> {
        Ok(self.ty(store)?.matches(ty))
    }

    /// Returns the value of a field. Packed fields are zero-extended.
    ///
    /// # Errors
    ///
    /// Returns an error as [`StructRef::ty`] does, or if there is no such field.
    pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let value = core.struct_get(raw, index)?;
        Ok(Val::from_value(value, core))
    }

    /// Returns the values of all fields, in order.
    ///
    /// # Errors
    ///
    /// Returns an error as [`StructRef::ty`] does.
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<std::vec::IntoIter<Val>> {
        let mut store = store.as_context_mut();
        let count = self.ty(&store)?.fields().len();
        let fields = (0..count).map(|i| self.field(&mut store, i)).collect::<Result<Vec<_>>>()?;
        Ok(fields.into_iter())
    }

    /// Writes a field.
    ///
    /// # Errors
    ///
    /// Returns an error as [`StructRef::field`] does, if the field is immutable, or if the value is not of
    /// its type.
    pub fn set_field(&self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let (raw, value) = (self.raw(core)?, value.to_value(core)?);
        core.struct_set(raw, index, &value)
    }
}
