//! Arrays.

use super::kinds::{AnyRef, ArrayRef, EqRef};
use super::rooted::Rooted;
use crate::{ArrayType, AsContext, AsContextMut, Result, Val};
use anyhow::Context;

/// What arrays of a type are made with.
#[derive(Clone, Debug)]
pub struct ArrayRefPre {
    ty: ArrayType,
}

impl ArrayRefPre {
    /// For arrays of this type.
    pub fn new(ty: &ArrayType) -> Self {
        Self { ty: ty.clone() }
    }
}

impl ArrayRef {
    /// Makes an array of one value, `length` times.
    ///
    /// # Errors
    ///
    /// Where the value does not fit the elements or belongs to another store, the type to another engine, or the heap
    /// is full.
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

    /// Makes an array of these elements.
    ///
    /// # Errors
    ///
    /// As [`ArrayRef::new`].
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
    /// Its type.
    ///
    /// # Errors
    ///
    /// Where the handle means nothing any more, or belongs to another store, as with all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<ArrayType> {
        let core = store.as_context().0.core();
        let id = core.type_of_ref(self.raw(core)?).context("an array has a type")?;
        ArrayType::of_id(core.runtime(), id).context("an array's type is an array type")
    }

    /// How many elements it has.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<ArrayRef>::ty`].
    pub fn len(&self, store: impl AsContext) -> Result<u32> {
        let core = store.as_context().0.core();
        Ok(core.array_len(self.raw(core)?))
    }

    /// Whether it has no elements.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<ArrayRef>::ty`].
    pub fn is_empty(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.len(store)? == 0)
    }

    /// An element's value; small ones are zero-extended.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<ArrayRef>::ty`], and where the index is outside.
    pub fn get(&self, mut store: impl AsContextMut, index: u32) -> Result<Val> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let value = core.array_get(raw, index)?;
        Ok(Val::from_value(value, core))
    }

    /// All elements' values, in order.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<ArrayRef>::ty`].
    pub fn elems(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let mut store = store.as_context_mut();
        (0..self.len(&store)?).map(|i| self.get(&mut store, i)).collect()
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<ArrayRef>::get`], and where elements are immutable or the value not of their type.
    pub fn set(&self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let (raw, value) = (self.raw(core)?, value.to_value(core)?);
        core.array_set(raw, index, &value)
    }

    /// The same reference as one to anything.
    pub fn to_anyref(self) -> Rooted<AnyRef> {
        self.cast()
    }

    /// The same reference as one to what can be compared.
    pub fn to_eqref(self) -> Rooted<EqRef> {
        self.cast()
    }
}
