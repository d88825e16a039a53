//! Values with their types, and reference values.

use crate::refs::{handle, raw};
use crate::v128::V128;
use crate::{
    AnyRef, ArrayRef, AsContext, ExnRef, ExternRef, Func, HeapType, Result, Rooted, StructRef, ValType,
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

impl Ref {
    /// Returns whether the reference is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None) | Self::Any(None) | Self::Exn(None))
    }

    /// Returns the function, if this is a function reference that is not null.
    pub fn as_func(&self) -> Option<&Func> {
        match self {
            Self::Func(Some(func)) => Some(func),
            _ => None,
        }
    }
}

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
    func_ref unwrap_func_ref Option<Func>, Val::FuncRef(v) => v;
    extern_ref unwrap_extern_ref Option<Rooted<ExternRef>>, Val::ExternRef(v) => v;
    any_ref unwrap_any_ref Option<Rooted<AnyRef>>, Val::AnyRef(v) => v;
    exn_ref unwrap_exn_ref Option<Rooted<ExnRef>>, Val::ExnRef(v) => v;
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
        Ok(match core.type_of_value(&value) {
            ValType::Ref(ty) => {
                let heap = crate::types::shown_heap(ty.heap_type(), core.runtime());
                crate::RefType::new(ty.is_nullable(), heap).into()
            }
            number => number,
        })
    }

    /// Returns the default value of a type: zero or null. Returns `None` for references that cannot be null, and for
    /// references to defined types, which only an engine can resolve.
    pub fn default_for_ty(ty: &ValType) -> Option<Self> {
        Some(match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(V128::from(0)),
            ValType::Ref(r) if !r.is_nullable() => return None,
            ValType::Ref(r) => match r.heap_type() {
                HeapType::Func | HeapType::NoFunc => Self::FuncRef(None),
                HeapType::Extern | HeapType::NoExtern => Self::ExternRef(None),
                HeapType::Exn | HeapType::NoExn => Self::ExnRef(None),
                HeapType::Defined(_) => return None,
                _ => Self::AnyRef(None),
            },
        })
    }

    /// Returns the reference, if the value is one.
    pub fn as_ref(&self) -> Option<Ref> {
        match *self {
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
    Rooted<StructRef>, v => Val::AnyRef(Some(v.to_anyref()));
    Rooted<ArrayRef>, v => Val::AnyRef(Some(v.to_anyref()));
    Rooted<ExnRef>, v => Val::ExnRef(Some(v));
}
