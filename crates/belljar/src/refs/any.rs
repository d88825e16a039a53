//! References to what guests make: objects and small integers.

use super::kinds::{AnyRef, ArrayRef, EqRef, ExternRef, StructRef};
use super::rooted::Rooted;
use crate::{AsContext, AsContextMut, HeapType, Result};
use belljar_vm::{RawAny, StoreCore};

/// A 31-bit integer that is a reference to itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct I31(u32);

impl I31 {
    /// The integer, if it fits 31 bits without a sign.
    pub const fn new_u32(value: u32) -> Option<Self> {
        if value >> 31 == 0 { Some(Self(value)) } else { None }
    }

    /// The integer, if it fits 31 bits with a sign.
    pub const fn new_i32(value: i32) -> Option<Self> {
        let wrapped = Self::wrapping_i32(value);
        if wrapped.get_i32() == value { Some(wrapped) } else { None }
    }

    /// The low 31 bits of an integer.
    pub const fn wrapping_u32(value: u32) -> Self {
        Self(value & (u32::MAX >> 1))
    }

    /// The low 31 bits of an integer.
    pub const fn wrapping_i32(value: i32) -> Self {
        Self::wrapping_u32(value as u32)
    }

    /// Without a sign.
    pub const fn get_u32(&self) -> u32 {
        self.0
    }

    /// With its sign.
    pub const fn get_i32(&self) -> i32 {
        ((self.0 << 1) as i32) >> 1
    }

    pub(crate) fn to_raw(self) -> RawAny {
        StoreCore::new_small_integer(self.0)
    }

    pub(crate) fn from_raw(raw: RawAny, store: &StoreCore) -> Option<Self> {
        store.small_integer(raw).map(Self)
    }
}

impl AnyRef {
    /// A reference to a small integer.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
        Rooted::new(store.as_context_mut().0.core_mut(), value.to_raw())
    }

    /// A host value as a guest's, as `any.convert_extern` does.
    ///
    /// # Errors
    ///
    /// Where the handle means nothing any more, or belongs to another store.
    pub fn convert_extern(mut store: impl AsContextMut, value: Rooted<ExternRef>) -> Result<Rooted<Self>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = StoreCore::internalize(value.raw(core)?);
        Ok(Rooted::new(core, raw))
    }
}

impl Rooted<AnyRef> {
    /// What it refers to: of an object its own type.
    ///
    /// # Errors
    ///
    /// Where the handle means nothing any more, or belongs to another store, as with all methods here.
    pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
        let core = store.as_context().0.core();
        let ty = core.heap_type_of_ref(self.raw(core)?);
        Ok(crate::types::shown_heap(ty, core.runtime()))
    }

    fn is(&self, store: impl AsContext, wanted: HeapType) -> Result<Option<RawAny>> {
        let core = store.as_context().0.core();
        let raw = self.raw(core)?;
        let found = belljar_core::RefType::new(false, core.heap_type_of_ref(raw)).into();
        let wanted = belljar_core::RefType::new(false, wanted).into();
        Ok(core.runtime().matches(found, wanted).then_some(raw))
    }

    /// The small integer, if it is one.
    ///
    /// # Errors
    ///
    /// As [`Rooted::<AnyRef>::ty`], and all methods here.
    pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
        let core = store.as_context().0.core();
        Ok(core.small_integer(self.raw(core)?).map(I31))
    }

    /// The same reference, if `ref.eq` takes it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn as_eqref(&self, store: impl AsContext) -> Result<Option<Rooted<EqRef>>> {
        Ok(self.is(store, HeapType::Eq)?.map(|_| self.cast()))
    }

    /// The struct, if it is one.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn as_struct(&self, store: impl AsContext) -> Result<Option<Rooted<StructRef>>> {
        Ok(self.is(store, HeapType::Struct)?.map(|_| self.cast()))
    }

    /// The array, if it is one.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn as_array(&self, store: impl AsContext) -> Result<Option<Rooted<ArrayRef>>> {
        Ok(self.is(store, HeapType::Array)?.map(|_| self.cast()))
    }

    /// Whether it is a small integer.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_i31(store)?.is_some())
    }

    /// Whether `ref.eq` takes it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_eqref(store)?.is_some())
    }

    /// Whether it is a struct.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_struct(store)?.is_some())
    }

    /// Whether it is an array.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_array(store)?.is_some())
    }
}

impl Rooted<EqRef> {
    /// The same reference as one to anything.
    pub fn to_anyref(self) -> Rooted<AnyRef> {
        self.cast()
    }
}
