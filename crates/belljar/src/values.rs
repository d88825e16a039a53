//! Values with their types, and reference values.

use crate::engine::engine_of;
use crate::refs::{handle, raw};
use crate::v128::V128;
use crate::{
    AnyRef, ArrayRef, AsContext, EqRef, ExnRef, ExternRef, Func, HeapType, RefType, Result, Rooted,
    StructRef, ValType,
};
use belljar_vm::{StoreCore, Value};

/// A reference value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ref {
    /// A function, or null.
    Func(Option<Func>),
    /// A host value, or null.
    Extern(Option<Rooted<ExternRef>>),
    /// An object, a small integer or an internalized host value; or null.
    Any(Option<Rooted<AnyRef>>),
    /// An exception, or null.
    Exn(Option<Rooted<ExnRef>>),
}

macro_rules! ref_kinds {
    ($($is:ident $as:ident $unwrap:ident $variant:ident $ty:ty, $what:literal;)*) => {
        impl Ref {
            $(
                #[doc = concat!("Returns whether it is ", $what, ", or null of that type.")]
                pub const fn $is(&self) -> bool {
                    matches!(self, Self::$variant(_))
                }

                #[doc = concat!(
                    "Returns it, if it is ", $what, ": `Some(None)` for null, and `None` for a reference of another type."
                )]
                pub const fn $as(&self) -> Option<Option<&$ty>> {
                    match self {
                        Self::$variant(it) => Some(it.as_ref()),
                        _ => None,
                    }
                }

                #[doc = concat!(
                    "Returns it, or `None` for null.\n\n# Panics\n\nPanics if it is not ", $what, "."
                )]
                #[track_caller]
                pub const fn $unwrap(&self) -> Option<&$ty> {
                    match self {
                        Self::$variant(it) => it.as_ref(),
                        _ => panic!(concat!("expected a reference that is ", $what)),
                    }
                }
            )*
        }
    };
}

ref_kinds! {
    is_func as_func unwrap_func Func Func, "a function";
    is_extern as_extern unwrap_extern Extern Rooted<ExternRef>, "a host value";
    is_any as_any unwrap_any Any Rooted<AnyRef>, "an internal reference";
    is_exn as_exn unwrap_exn Exn Rooted<ExnRef>, "an exception";
}

impl Ref {
    /// Returns the null of a heap type's hierarchy.
    pub fn null(heap_type: &HeapType) -> Self {
        match heap_type.top() {
            HeapType::Func => Self::Func(None),
            HeapType::Extern => Self::Extern(None),
            HeapType::Exn => Self::Exn(None),
            _ => Self::Any(None),
        }
    }

    /// Returns the default value of a type: null. Returns `None` for references that cannot be null.
    pub fn default_for_ty(ty: &RefType) -> Option<Self> {
        ty.is_nullable().then(|| Self::null(ty.heap_type()))
    }

    /// Returns whether the reference is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None) | Self::Any(None) | Self::Exn(None))
    }

    /// Returns whether the reference is not null.
    pub const fn is_non_null(&self) -> bool {
        !self.is_null()
    }

    /// Returns the type of the reference. If it is not null, it is the type of the referenced object.
    ///
    /// # Errors
    ///
    /// Returns an error if the reference is no longer valid, or belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<RefType> {
        match Val::from(*self).ty(store)? {
            ValType::Ref(ty) => Ok(ty),
            number => unreachable!("the type of a reference is not {number}"),
        }
    }

    /// Returns whether the reference is of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Ref::ty`] does.
    pub fn matches_ty(&self, store: impl AsContext, ty: &RefType) -> Result<bool> {
        let found = self.ty(store)?;
        Ok(match self.is_null() {
            true => ty.is_nullable() && found.heap_type().top() == ty.heap_type().top(),
            false => found.matches(ty),
        })
    }
}

impl From<Option<Func>> for Ref {
    fn from(func: Option<Func>) -> Self {
        Self::Func(func)
    }
}

impl From<Option<Rooted<ExternRef>>> for Ref {
    fn from(value: Option<Rooted<ExternRef>>) -> Self {
        Self::Extern(value)
    }
}

impl From<Option<Rooted<AnyRef>>> for Ref {
    fn from(value: Option<Rooted<AnyRef>>) -> Self {
        Self::Any(value)
    }
}

impl From<Rooted<ExnRef>> for Ref {
    fn from(value: Rooted<ExnRef>) -> Self {
        Self::Exn(Some(value))
    }
}

impl From<Option<Rooted<ExnRef>>> for Ref {
    fn from(value: Option<Rooted<ExnRef>>) -> Self {
        Self::Exn(value)
    }
}

macro_rules! from_any_kind {
    ($($kind:ident)*) => {$(
        impl From<Rooted<$kind>> for Ref {
            fn from(value: Rooted<$kind>) -> Self {
                Self::Any(Some(value.to_anyref()))
            }
        }

        impl From<Option<Rooted<$kind>>> for Ref {
            fn from(value: Option<Rooted<$kind>>) -> Self {
                Self::Any(value.map(Rooted::<$kind>::to_anyref))
            }
        }
    )*};
}

from_any_kind!(EqRef StructRef ArrayRef);

impl From<Func> for Ref {
    fn from(func: Func) -> Self {
        Self::Func(Some(func))
    }
}

impl From<Rooted<ExternRef>> for Ref {
    fn from(value: Rooted<ExternRef>) -> Self {
        Self::Extern(Some(value))
    }
}

impl From<Rooted<AnyRef>> for Ref {
    fn from(value: Rooted<AnyRef>) -> Self {
        Self::Any(Some(value))
    }
}

impl From<Ref> for Val {
    fn from(value: Ref) -> Self {
        match value {
            Ref::Func(f) => Val::FuncRef(f),
            Ref::Extern(e) => Val::ExternRef(e),
            Ref::Any(a) => Val::AnyRef(a),
            Ref::Exn(e) => Val::ExnRef(e),
        }
    }
}

/// A value with its type. Floats are held as bits, so that NaNs keep their bit patterns.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Val {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(V128),
    /// A function reference.
    FuncRef(Option<Func>),
    /// A reference to a host value.
    ExternRef(Option<Rooted<ExternRef>>),
    /// A reference to an object, a small integer or an internalized host value.
    AnyRef(Option<Rooted<AnyRef>>),
    /// A reference to an exception.
    ExnRef(Option<Rooted<ExnRef>>),
}

macro_rules! accessors {
    ($($get:ident $unwrap:ident $ty:ty, $pattern:pat => $value:expr;)*) => {
        impl Val {
            $(
                #[doc = concat!("Returns the value, if it is a `", stringify!($ty), "`.")]
                pub fn $get(&self) -> Option<$ty> {
                    match *self {
                        $pattern => Some($value),
                        _ => None,
                    }
                }

                #[doc = concat!("Returns the value.\n\n# Panics\n\nPanics if the value is not a `", stringify!($ty), "`.")]
                #[track_caller]
                pub fn $unwrap(&self) -> $ty {
                    match self.$get() {
                        Some(value) => value,
                        None => panic!("expected a value of type {}, found {self:?}", stringify!($ty)),
                    }
                }
            )*
        }
    };
}

accessors! {
    i32 unwrap_i32 i32, Val::I32(v) => v;
    i64 unwrap_i64 i64, Val::I64(v) => v;
    f32 unwrap_f32 f32, Val::F32(v) => f32::from_bits(v);
    f64 unwrap_f64 f64, Val::F64(v) => f64::from_bits(v);
    v128 unwrap_v128 V128, Val::V128(v) => v;
}

macro_rules! reference_accessors {
    ($($get:ident $unwrap:ident $variant:ident $ty:ty;)*) => {
        impl Val {
            $(
                #[doc = concat!(
                    "Returns the reference, if the value is a `", stringify!($variant), "`: `Some(None)` for null."
                )]
                pub const fn $get(&self) -> Option<Option<&$ty>> {
                    match self {
                        Self::$variant(it) => Some(it.as_ref()),
                        _ => None,
                    }
                }

                #[doc = concat!(
                    "Returns the reference, or `None` for null.\n\n# Panics\n\nPanics if the value is not a `",
                    stringify!($variant), "`."
                )]
                #[track_caller]
                pub fn $unwrap(&self) -> Option<&$ty> {
                    self.$get().unwrap_or_else(|| panic!("expected a {}, found {self:?}", stringify!($variant)))
                }
            )*
        }
    };
}

reference_accessors! {
    funcref unwrap_funcref FuncRef Func;
    func_ref unwrap_func_ref FuncRef Func;
    externref unwrap_externref ExternRef Rooted<ExternRef>;
    extern_ref unwrap_extern_ref ExternRef Rooted<ExternRef>;
    anyref unwrap_anyref AnyRef Rooted<AnyRef>;
    any_ref unwrap_any_ref AnyRef Rooted<AnyRef>;
    exnref unwrap_exnref ExnRef Rooted<ExnRef>;
}

impl Val {
    /// Returns the value's type. For a reference that is not null, it is the type of the referenced object.
    ///
    /// # Errors
    ///
    /// Returns an error if a reference is no longer valid, or belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<ValType> {
        let core = store.as_context().0.core();
        let value = self.to_value(core)?;
        Ok(ValType::from_core(core.type_of_value(&value), engine_of(core)))
    }

    /// Returns whether the value is of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Val::ty`] does.
    pub fn matches_ty(&self, store: impl AsContext, ty: &ValType) -> Result<bool> {
        let store = store.as_context();
        match (self.ref_(), ty) {
            (Some(reference), ValType::Ref(ty)) => reference.matches_ty(store, ty),
            (_, ty) => Ok(self.ty(store)?.matches(ty)),
        }
    }

    /// Returns the default value of a type: zero or null. Returns `None` for references that cannot be null.
    pub fn default_for_ty(ty: &ValType) -> Option<Self> {
        Some(match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(V128::from(0)),
            ValType::Ref(ty) => Ref::default_for_ty(ty)?.into(),
        })
    }

    /// Returns the default value of a type: zero or null.
    ///
    /// # Panics
    ///
    /// Panics if the type has none: see [`Val::default_for_ty`].
    #[track_caller]
    pub fn default(ty: ValType) -> Self {
        Self::default_for_ty(&ty).unwrap_or_else(|| panic!("{ty} has no default value"))
    }

    /// Returns the null of a heap type's hierarchy.
    pub fn null_ref(heap_type: &HeapType) -> Self {
        Ref::null(heap_type).into()
    }

    /// Returns the null function reference.
    pub const fn null_func_ref() -> Self {
        Self::FuncRef(None)
    }

    /// Returns the null external reference.
    pub const fn null_extern_ref() -> Self {
        Self::ExternRef(None)
    }

    /// Returns the null internal reference.
    pub const fn null_any_ref() -> Self {
        Self::AnyRef(None)
    }

    /// Returns the reference, if the value is one.
    pub fn ref_(self) -> Option<Ref> {
        match self {
            Self::FuncRef(f) => Some(Ref::Func(f)),
            Self::ExternRef(e) => Some(Ref::Extern(e)),
            Self::AnyRef(a) => Some(Ref::Any(a)),
            Self::ExnRef(e) => Some(Ref::Exn(e)),
            _ => None,
        }
    }

    pub(crate) fn to_value(self, store: &StoreCore) -> Result<Value> {
        Ok(match self {
            Self::I32(v) => Value::I32(v),
            Self::I64(v) => Value::I64(v),
            Self::F32(v) => Value::F32(v),
            Self::F64(v) => Value::F64(v),
            Self::V128(v) => Value::V128(v.as_u128()),
            Self::FuncRef(f) => Value::Func(Func::to_raw(f, store)?),
            Self::ExternRef(e) => Value::Extern(raw(e, store)?),
            Self::AnyRef(a) => Value::Any(raw(a, store)?),
            Self::ExnRef(e) => Value::Exn(raw(e, store)?),
        })
    }

    pub(crate) fn from_value(value: Value, store: &mut StoreCore) -> Self {
        match value {
            Value::I32(v) => Self::I32(v),
            Value::I64(v) => Self::I64(v),
            Value::F32(v) => Self::F32(v),
            Value::F64(v) => Self::F64(v),
            Value::V128(v) => Self::V128(V128::from(v)),
            Value::Func(f) => Self::FuncRef(Func::from_raw(f, store)),
            Value::Extern(e) => Self::ExternRef(handle(e, store)),
            Value::Any(a) => Self::AnyRef(handle(a, store)),
            Value::Exn(e) => Self::ExnRef(handle(e, store)),
        }
    }
}

macro_rules! from {
    ($($ty:ty, $v:ident => $val:expr;)*) => {$(
        impl From<$ty> for Val {
            fn from($v: $ty) -> Self {
                $val
            }
        }
    )*};
}

from! {
    i32, v => Val::I32(v);
    u32, v => Val::I32(v as i32);
    i64, v => Val::I64(v);
    u64, v => Val::I64(v as i64);
    f32, v => Val::F32(v.to_bits());
    f64, v => Val::F64(v.to_bits());
    V128, v => Val::V128(v);
    Func, v => Val::FuncRef(Some(v));
    Option<Func>, v => Val::FuncRef(v);
    Rooted<ExternRef>, v => Val::ExternRef(Some(v));
    Option<Rooted<ExternRef>>, v => Val::ExternRef(v);
    Rooted<AnyRef>, v => Val::AnyRef(Some(v));
    Option<Rooted<AnyRef>>, v => Val::AnyRef(v);
    Rooted<EqRef>, v => Val::AnyRef(Some(v.to_anyref()));
    Option<Rooted<EqRef>>, v => Val::AnyRef(v.map(Rooted::<EqRef>::to_anyref));
    Rooted<StructRef>, v => Val::AnyRef(Some(v.to_anyref()));
    Option<Rooted<StructRef>>, v => Val::AnyRef(v.map(Rooted::<StructRef>::to_anyref));
    Rooted<ArrayRef>, v => Val::AnyRef(Some(v.to_anyref()));
    Option<Rooted<ArrayRef>>, v => Val::AnyRef(v.map(Rooted::<ArrayRef>::to_anyref));
    Rooted<ExnRef>, v => Val::ExnRef(Some(v));
    Option<Rooted<ExnRef>>, v => Val::ExnRef(v);
    u128, v => Val::V128(v.into());
}
