//! References to objects and small integers.

use super::kinds::{AnyRef, ArrayRef, EqRef, ExternRef, StructRef};
use super::rooted::sealed::Sealed;
use super::rooted::{GcRef, OwnedRooted, Rooted};
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, HeapType, Ref, Result, Val};
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

impl EqRef {
    /// Creates a reference to a small integer.
    pub fn from_i31(mut store: impl AsContextMut, value: I31) -> Rooted<Self> {
        Rooted::new(store.as_context_mut().0.core_mut(), value.to_raw())
    }
}

/// Returns the raw reference, if it is of a type.
fn if_is(
    reference: &impl GcRef<Raw = RawAny>,
    store: &StoreCore,
    wanted: belljar_core::HeapType,
) -> Result<Option<RawAny>> {
    let raw = reference.raw(store)?;
    let found = belljar_core::RefType::new(false, store.heap_type_of_ref(raw)).into();
    let wanted = belljar_core::RefType::new(false, wanted).into();
    Ok(store.runtime().matches(found, wanted).then_some(raw))
}

/// Casts to the kinds of objects.
macro_rules! casts {
    ($of:ident: $($is:ident $as:ident $unwrap:ident $name:ident $heap:ident $what:literal;)*) => {
        impl $of {
            /// Returns the type of the referenced value. For an object, it is the object's own type.
            ///
            /// # Errors
            ///
            /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
            pub fn ty(&self, store: impl AsContext) -> Result<HeapType> {
                let core = store.as_context().0.core();
                let ty = core.heap_type_of_ref(self.raw(core)?);
                Ok(HeapType::from_core(ty, engine_of(core)))
            }

            /// Returns whether the referenced value is of this type.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
            pub fn matches_ty(&self, store: impl AsContext, ty: &HeapType) -> Result<bool> {
                Ok(self.ty(store)?.matches(ty))
            }

            /// Returns the small integer, if it is one.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
            pub fn as_i31(&self, store: impl AsContext) -> Result<Option<I31>> {
                let core = store.as_context().0.core();
                Ok(core.small_integer(self.raw(core)?).map(I31))
            }

            /// Returns whether it is a small integer.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
            pub fn is_i31(&self, store: impl AsContext) -> Result<bool> {
                Ok(self.as_i31(store)?.is_some())
            }

            /// Returns the small integer.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
            ///
            /// # Panics
            ///
            /// Panics if it is something else.
            #[track_caller]
            pub fn unwrap_i31(&self, store: impl AsContext) -> Result<I31> {
                Ok(self.as_i31(store)?.expect("expected a small integer"))
            }

            $(
                #[doc = concat!("Returns the ", $what, ", if it is one. The new handle is valid as long as this one.")]
                ///
                /// # Errors
                ///
                #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
                pub fn $as(&self, store: impl AsContext) -> Result<Option<Rooted<$name>>> {
                    Ok(if self.$is(store)? { Some(Rooted::of(self.handle())) } else { None })
                }

                #[doc = concat!("Returns whether it is a ", $what, ".")]
                ///
                /// # Errors
                ///
                #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
                pub fn $is(&self, store: impl AsContext) -> Result<bool> {
                    Ok(if_is(self, store.as_context().0.core(), belljar_core::HeapType::$heap)?.is_some())
                }

                #[doc = concat!("Returns the ", $what, ".")]
                ///
                /// # Errors
                ///
                #[doc = concat!("Returns an error as [`", stringify!($of), "::ty`] does.")]
                ///
                /// # Panics
                ///
                /// Panics if it is something else.
                #[track_caller]
                pub fn $unwrap(&self, store: impl AsContext) -> Result<Rooted<$name>> {
                    Ok(self.$as(store)?.expect(concat!("expected a ", $what)))
                }
            )*
        }
    };
}

casts! {
    AnyRef:
    is_eqref as_eqref unwrap_eqref EqRef Eq "reference that `ref.eq` compares";
    is_struct as_struct unwrap_struct StructRef Struct "struct";
    is_array as_array unwrap_array ArrayRef Array "array";
}

casts! {
    EqRef:
    is_struct as_struct unwrap_struct StructRef Struct "struct";
    is_array as_array unwrap_array ArrayRef Array "array";
}

/// Upcasts of handles.
macro_rules! upcasts {
    ($($from:ident $to:ident $method:ident $name:literal;)*) => {$(
        impl Rooted<$from> {
            #[doc = concat!("Returns the same reference as an `", $name, "`.")]
            pub fn $method(self) -> Rooted<$to> {
                self.cast()
            }
        }

        impl OwnedRooted<$from> {
            #[doc = concat!("Returns the same reference as an `", $name, "`.")]
            pub fn $method(self) -> OwnedRooted<$to> {
                self.cast()
            }
        }

        impl From<Rooted<$from>> for Rooted<$to> {
            fn from(reference: Rooted<$from>) -> Self {
                reference.cast()
            }
        }

        impl From<OwnedRooted<$from>> for OwnedRooted<$to> {
            fn from(reference: OwnedRooted<$from>) -> Self {
                reference.cast()
            }
        }
    )*};
}

upcasts! {
    EqRef AnyRef to_anyref "anyref";
    StructRef AnyRef to_anyref "anyref";
    StructRef EqRef to_eqref "eqref";
    ArrayRef AnyRef to_anyref "anyref";
    ArrayRef EqRef to_eqref "eqref";
}

/// The types of null references, which have no other value.
macro_rules! nulls {
    ($($(#[$doc:meta])* $name:ident $variant:ident $val:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {}

        impl $name {
            /// Converts a value, of which there is none.
            pub(crate) fn never<T>(self) -> T {
                match self {}
            }

            /// Returns null.
            pub const fn null() -> Option<Self> {
                None
            }

            /// Returns null as a reference.
            pub const fn null_ref() -> Ref {
                Ref::$variant(None)
            }

            /// Returns null as a value.
            pub const fn null_val() -> Val {
                Val::$val(None)
            }
        }
    )*};
}

nulls! {
    /// The type of the null of references below `any`, with no object: `Option<NoneRef>` is always `None`.
    NoneRef Any AnyRef;
    /// The type of the null of references to functions, with no object: `Option<NoFunc>` is always `None`.
    NoFunc Func FuncRef;
    /// The type of the null of external references, with no object: `Option<NoExtern>` is always `None`.
    NoExtern Extern ExternRef;
}
