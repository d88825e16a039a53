//! Arrays.

use super::kinds::{AnyRef, ArrayRef, EqRef};
use super::rooted::Rooted;
use crate::{ArrayType, AsContext, AsContextMut, Result, Val};
use anyhow::Context;

/// An allocator of arrays of a type.
#[derive(Clone, Debug)]
pub struct ArrayRefPre {
    ty: ArrayType,
}

impl ArrayRefPre {
    /// Creates an allocator of arrays of this type.
    pub fn new(ty: &ArrayType) -> Self {
        Self { ty: ty.clone() }
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
        let ty = pre.ty.id_in(store.core().runtime())?;
        let value = element.to_value(store.core())?;
        let raw = store.erased().make_array(ty, &[value], length)?;
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
        let ty = pre.ty.id_in(core.runtime())?;
        let values = elements.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let length = u32::try_from(values.len()).context("an array has at most 2^32 - 1 elements")?;
        let raw = store.erased().make_array(ty, &values, length)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl Rooted<ArrayRef> {
    /// Returns the array's type.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<ArrayType> {
        let core = store.as_context().0.core();
        let id = core.type_of_ref(self.raw(core)?).context("an array has a type")?;
        ArrayType::of_id(core.runtime(), id).context("an array's type is an array type")
    }

    /// Returns the number of elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ArrayRef>::ty`] does.
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        let core = store.as_context().0.core();
        Ok(core.array_len(self.raw(core)?))
    }

    /// Returns whether the array has no elements.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ArrayRef>::ty`] does.
    pub fn is_empty(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.len(store)? == 0)
    }

    /// Returns the value of an element. Packed elements are zero-extended.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ArrayRef>::ty`] does, or if the index is out of bounds.
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
    /// Returns an error as [`Rooted::<ArrayRef>::ty`] does.
    pub fn elems(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let mut store = store.as_context_mut();
        (0..self.len(&store)?).map(|i| self.get(&mut store, i)).collect()
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ArrayRef>::get`] does, if the elements are immutable, or if the value is not of
    /// their type.
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let (raw, value) = (self.raw(core)?, value.to_value(core)?);
        core.array_set(raw, index, &value)
    }

    /// Returns the same reference as an `anyref`.
    pub fn to_anyref(self) -> Rooted<AnyRef> {
        self.cast()
    }

    /// Returns the same reference as an `eqref`.
    pub fn to_eqref(self) -> Rooted<EqRef> {
        self.cast()
    }
}
