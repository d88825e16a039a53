//! References to objects and small integers.

use super::kinds::{AnyRef, ArrayRef, EqRef, ExternRef, StructRef};
use super::rooted::Rooted;
use crate::{AsContext, AsContextMut, HeapType, Result};
use belljar_vm::{RawAny, StoreCore};

/// A 31-bit integer that is stored in the reference itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct I31(u32);

impl I31 {
    /// Creates a small integer from an unsigned one, if it fits 31 bits.
    pub const fn new_u32(value: u32) -> Option<Self> {
        if value >> 31 == 0 { Some(Self(value)) } else { None }
    }

    /// Creates a small integer from a signed one, if it fits 31 bits.
    pub const fn new_i32(value: i32) -> Option<Self> {
        let wrapped = Self::wrapping_i32(value);
        if wrapped.get_i32() == value { Some(wrapped) } else { None }
    }

    /// Creates a small integer from the low 31 bits of an integer.
    pub const fn wrapping_u32(value: u32) -> Self {
        Self(value & (u32::MAX >> 1))
    }

    /// Creates a small integer from the low 31 bits of an integer.
    pub const fn wrapping_i32(value: i32) -> Self {
        Self::wrapping_u32(value as u32)
    }

    /// Returns the integer, zero-extended.
    pub const fn get_u32(&self) -> u32 {
        self.0
    }

    /// Returns the integer, sign-extended.
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
    /// Creates a reference to a small integer.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
        Rooted::new(store.as_context_mut().0.core_mut(), value.to_raw())
    }

    /// Internalizes a host value, as `any.convert_extern` does.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid, or belongs to another store.
    pub fn convert_extern(mut store: impl AsContextMut, value: Rooted<ExternRef>) -> Result<Rooted<Self>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = StoreCore::internalize(value.raw(core)?);
        Ok(Rooted::new(core, raw))
    }
}

impl Rooted<AnyRef> {
    /// Returns the type of the referenced value. For an object, it is the object's own type.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
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

    /// Returns the small integer, if it is one.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
        let core = store.as_context().0.core();
        Ok(core.small_integer(self.raw(core)?).map(I31))
    }

    /// Returns the same reference, if `ref.eq` accepts it.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn as_eqref(&self, store: impl AsContext) -> Result<Option<Rooted<EqRef>>> {
        Ok(self.is(store, HeapType::Eq)?.map(|_| self.cast()))
    }

    /// Returns the struct, if it is one.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn as_struct(&self, store: impl AsContext) -> Result<Option<Rooted<StructRef>>> {
        Ok(self.is(store, HeapType::Struct)?.map(|_| self.cast()))
    }

    /// Returns the array, if it is one.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn as_array(&self, store: impl AsContext) -> Result<Option<Rooted<ArrayRef>>> {
        Ok(self.is(store, HeapType::Array)?.map(|_| self.cast()))
    }

    /// Returns whether it is a small integer.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_i31(store)?.is_some())
    }

    /// Returns whether `ref.eq` accepts it.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn is_eqref(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_eqref(store)?.is_some())
    }

    /// Returns whether it is a struct.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn is_struct(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_struct(store)?.is_some())
    }

    /// Returns whether it is an array.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<AnyRef>::ty`] does.
    pub fn is_array(&self, store: impl AsContext) -> Result<bool> {
        Ok(self.as_array(store)?.is_some())
    }
}

impl Rooted<EqRef> {
    /// Returns the same reference as an `anyref`.
    pub fn to_anyref(self) -> Rooted<AnyRef> {
        self.cast()
    }
}
