//! Arrays.

use super::kinds::ArrayRef;
use super::out_of_memory::GcHeapOutOfMemory;
use super::rooted::{GcRef, Rooted};
use crate::engine::engine_of;
use crate::{ArrayType, AsContext, AsContextMut, Result, Val};
use belljar_core::{Context, ensure};

/// An allocator of arrays of a type.
#[derive(Clone, Debug)]
pub struct ArrayRefPre {
    ty: ArrayType,
}

impl ArrayRefPre {
    /// Creates an allocator of arrays of this type.
    pub fn new(_store: impl AsContextMut, ty: ArrayType) -> Self {
        Self { ty }
    }
}

impl ArrayRef {
    /// Creates an array of `length` elements with the same value.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not of the element type or belongs to another store, if the type belongs to
    /// another engine, or if the heap is full.
    pub fn new(
        mut store: impl AsContextMut,
        pre: &ArrayRefPre,
        element: &Val,
        length: u32,
    ) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let ty = pre.ty.id_in(engine_of(store.core()))?;
        let value = element.to_value(store.core())?;
        let raw = store.erased().make_array(ty, &[value], length).map_err(GcHeapOutOfMemory::of)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }

    /// Creates an array with these elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::new`] does.
    pub fn new_fixed(
        mut store: impl AsContextMut,
        pre: &ArrayRefPre,
        elements: &[Val],
    ) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let core = store.core();
        let ty = pre.ty.id_in(engine_of(core))?;
        let values = elements.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let length = u32::try_from(values.len()).context("an array has at most 2^32 - 1 elements")?;
        let raw = store.erased().make_array(ty, &values, length).map_err(GcHeapOutOfMemory::of)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl ArrayRef {
    /// Creates an array of `i8` with these elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::new`] does, or if the elements of the type are not `i8`.
    pub fn new_from_i8_slice(
        mut store: impl AsContextMut,
        pre: &ArrayRefPre,
        elements: &[u8],
    ) -> Result<Rooted<Self>> {
        ensure!(pre.ty.element_type().is_i8(), "the elements of {} are not of type i8", pre.ty);
        let mut store = store.as_context_mut();
        let length = u32::try_from(elements.len()).context("an array has at most 2^32 - 1 elements")?;
        let array = Self::new(&mut store, pre, &Val::I32(0), length)?;
        let core = store.0.core_mut();
        let raw = array.raw(core)?;
        core.array_write_bytes(raw, elements)?;
        Ok(array)
    }
}

impl ArrayRef {
    /// Returns the array's type.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<ArrayType> {
        let core = store.as_context().0.core();
        let id = core.type_of_ref(self.raw(core)?).context("an array has a type")?;
        ArrayType::of_id(engine_of(core), id).context("an array's type is an array type")
    }

    /// Returns whether the array is of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does.
    pub fn matches_ty(&self, store: impl AsContext, ty: &ArrayType) -> Result<bool> {
        Ok(self.ty(store)?.matches(ty))
    }

    /// Returns the number of elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does.
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        let core = store.as_context().0.core();
        Ok(core.array_len(self.raw(core)?))
    }

    /// Returns whether the array has no elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does.
    pub fn is_empty(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.len(store)? == 0)
    }

    /// Returns the value of an element. Packed elements are zero-extended.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does, or if the index is out of bounds.
    pub fn get(&self, mut store: impl AsContextMut, index: u32) -> Result<Val> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let value = core.array_get(raw, index)?;
        Ok(Val::from_value(value, core))
    }

    /// Returns the values of all elements, in order.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does.
    pub fn elems(&self, mut store: impl AsContextMut) -> Result<std::vec::IntoIter<Val>> {
        let mut store = store.as_context_mut();
        let length = self.len(&store)?;
        let elements = (0..length).map(|i| self.get(&mut store, i)).collect::<Result<Vec<_>>>()?;
        Ok(elements.into_iter())
    }

    /// Copies the elements of an array of `i8` to a slice.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::ty`] does, or if the elements are of another type or the slice has another
    /// length.
    pub fn copy_to_i8_slice(&self, mut store: impl AsContextMut, dst: &mut [u8]) -> Result<()> {
        let store = store.as_context_mut();
        let ty = self.ty(&store)?;
        ensure!(ty.element_type().is_i8(), "the elements of {ty} are not of type i8");
        let length = self.len(&store)?;
        ensure!(
            dst.len() == length as usize,
            "the array has {length} elements, and the slice has {}",
            dst.len()
        );
        let core = store.0.core_mut();
        let raw = self.raw(core)?;
        core.array_copy_bytes(raw, dst)
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ArrayRef::get`] does, if the elements are immutable, or if the value is not of
    /// their type.
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let (raw, value) = (self.raw(core)?, value.to_value(core)?);
        core.array_set(raw, index, &value)
    }
}
