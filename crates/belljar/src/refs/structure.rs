//! Structs.

use super::kinds::{AnyRef, EqRef, StructRef};
use super::rooted::Rooted;
use crate::{AsContext, AsContextMut, Result, StructType, Val};
use anyhow::Context;

/// What structs of a type are made with.
#[derive(Clone, Debug)]
pub struct StructRefPre {
    ty: StructType,
}

impl StructRefPre {
    /// For structs of this type.
    pub fn new(ty: &StructType) -> Self {
        Self { ty: ty.clone() }
    }
}

impl StructRef {
    /// Makes a struct.
    ///
    /// # Errors
    ///
    /// Where values do not fit the fields or belong to another store, the type to another engine, or the heap is full.
    pub fn new(mut store: impl AsContextMut, pre: &StructRefPre, fields: &[Val]) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let core = store.core();
        let ty = pre.ty.id_in(core.runtime())?;
        let values = fields.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let raw = store.erased().make_struct(ty, &values)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl Rooted<StructRef> {
    /// Its type.
    ///
    /// # Errors
    ///
    /// Where the handle means nothing any more, or belongs to another store, as with all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<StructType> {
        let core = store.as_context().0.core();
        let id = core.type_of_ref(self.raw(core)?).context("a struct has a type")?;
        StructType::of_id(core.runtime(), id).context("a struct's type is a struct type")
    }

    /// A field's value; small ones are zero-extended.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<StructRef>::ty`], and where there is no such field.
    pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let value = core.struct_get(raw, index)?;
        Ok(Val::from_value(value, core))
    }

    /// All fields' values, in order.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<StructRef>::ty`].
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let mut store = store.as_context_mut();
        let count = self.ty(&store)?.fields().len();
        (0..count).map(|i| self.field(&mut store, i)).collect()
    }

    /// Writes a field.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<StructRef>::field`], and where the field is immutable or the value not of its type.
    pub fn set_field(&self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<()> {
        let core = store.as_context_mut().0.core_mut();
        let (raw, value) = (self.raw(core)?, value.to_value(core)?);
        core.struct_set(raw, index, &value)
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
