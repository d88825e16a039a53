//! Values with their types, and references.

use crate::store::check_store;
use crate::{AsContext, AsContextMut, Func, Result, ValType};
use anyhow::Context;
use belljar_vm::{RawExtern, ScopedRoot, StoreCore, StoreId, Value};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A 128-bit vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct V128(u128);

impl V128 {
    /// The vector as an integer; lane 0 is in the lowest bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for V128 {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<V128> for u128 {
    fn from(v: V128) -> Self {
        v.0
    }
}

impl fmt::Debug for V128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V128({:#034x})", self.0)
    }
}

/// A reference to a value of the host, which guests pass around and cannot look into. Null is an
/// `Option::None` of it. It is valid while the host function runs in which it was made or received, or as long as
/// the store where it was made or received outside of one.
///
/// ```
/// use belljar::{Engine, ExternRef, Instance, Module, Store};
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (func (export "id") (param externref) (result externref) local.get 0))"#,
/// )?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let id = instance.get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&mut store, "id")?;
/// let name = ExternRef::new(&mut store, String::from("jar"))?;
/// let back = id.call(&mut store, Some(name))?.unwrap();
/// assert_eq!(back.data(&store).downcast_ref::<String>().unwrap(), "jar");
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExternRef {
    store: StoreId,
    root: ScopedRoot,
}

impl ExternRef {
    /// Hands a value to the store, which drops it when neither a guest nor the host can reach it any more.
    ///
    /// # Errors
    ///
    /// Where the garbage-collected heap is full.
    pub fn new(mut store: impl AsContextMut, value: impl Any + Send + Sync) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        let raw = core.new_extern(Arc::new(value))?;
        Ok(Self { store: core.id(), root: core.root_extern(raw) })
    }

    /// The value; `()` where a guest made it itself (`extern.convert_any`).
    ///
    /// # Panics
    ///
    /// If the reference belongs to another store, or to a host function that has returned.
    pub fn data<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContext<'a, T>>,
    ) -> &'a (dyn Any + Send + Sync) {
        let core = store.into().0.core();
        check_store(self.store, core, "ExternRef");
        let raw = core.rooted_extern(self.root);
        let raw =
            raw.expect("an ExternRef was used after the host function that it was made in had returned");
        match core.extern_value(raw) {
            Some(value) => &**value,
            None => &(),
        }
    }

    pub(crate) fn to_raw(this: Option<Self>, store: &StoreCore) -> Result<RawExtern> {
        let Some(this) = this else { return Ok(RawExtern::NULL) };
        anyhow::ensure!(
            this.store == store.id(),
            "an ExternRef was used with a store that it does not belong to"
        );
        store
            .rooted_extern(this.root)
            .context("an ExternRef was used after the host function that it was made in had returned")
    }

    pub(crate) fn from_raw(raw: RawExtern, store: &mut StoreCore) -> Option<Self> {
        (raw != RawExtern::NULL).then(|| Self { store: store.id(), root: store.root_extern(raw) })
    }
}

/// A reference value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ref {
    /// A function, or null.
    Func(Option<Func>),
    /// A host value, or null.
    Extern(Option<ExternRef>),
}

impl Ref {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None))
    }

    /// The function, if it is a function reference that is not null.
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

impl From<ExternRef> for Ref {
    fn from(value: ExternRef) -> Self {
        Self::Extern(Some(value))
    }
}

impl From<Ref> for Val {
    fn from(value: Ref) -> Self {
        match value {
            Ref::Func(f) => Val::FuncRef(f),
            Ref::Extern(e) => Val::ExternRef(e),
        }
    }
}

/// A value with its type. Floats are held as bits, so that every NaN stays what it is.
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
    ExternRef(Option<ExternRef>),
}

macro_rules! accessors {
    ($($get:ident $unwrap:ident $ty:ty, $pattern:pat => $value:expr;)*) => {
        impl Val {
            $(
                #[doc = concat!("The value if it is a `", stringify!($ty), "`.")]
                pub fn $get(&self) -> Option<$ty> {
                    match *self {
                        $pattern => Some($value),
                        _ => None,
                    }
                }

                #[doc = concat!("The value.\n\n# Panics\n\nIf it is no `", stringify!($ty), "`.")]
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
    extern_ref unwrap_extern_ref Option<ExternRef>, Val::ExternRef(v) => v;
}

impl Val {
    /// Its type.
    pub fn ty(&self, _store: impl AsContext) -> Result<ValType> {
        Ok(self.val_type())
    }

    pub(crate) fn val_type(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    /// Zero or null of a type; `None` for references that are never null.
    pub fn default_for_ty(ty: &ValType) -> Option<Self> {
        Some(match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(V128(0)),
            ValType::Ref(r) if !r.is_nullable() => return None,
            ValType::Ref(crate::RefType::EXTERNREF) => Self::ExternRef(None),
            ValType::Ref(_) => Self::FuncRef(None),
        })
    }

    /// The reference, if it is one.
    pub fn as_ref(&self) -> Option<Ref> {
        match *self {
            Self::FuncRef(f) => Some(Ref::Func(f)),
            Self::ExternRef(e) => Some(Ref::Extern(e)),
            _ => None,
        }
    }

    pub(crate) fn to_value(self, store: &StoreCore) -> Result<Value> {
        Ok(match self {
            Self::I32(v) => Value::I32(v),
            Self::I64(v) => Value::I64(v),
            Self::F32(v) => Value::F32(v),
            Self::F64(v) => Value::F64(v),
            Self::V128(v) => Value::V128(v.0),
            Self::FuncRef(f) => Value::Func(Func::to_raw(f, store)?),
            Self::ExternRef(e) => Value::Extern(ExternRef::to_raw(e, store)?),
        })
    }

    pub(crate) fn from_value(value: Value, store: &mut StoreCore) -> Self {
        match value {
            Value::I32(v) => Self::I32(v),
            Value::I64(v) => Self::I64(v),
            Value::F32(v) => Self::F32(v),
            Value::F64(v) => Self::F64(v),
            Value::V128(v) => Self::V128(V128(v)),
            Value::Func(f) => Self::FuncRef(Func::from_raw(f, store)),
            Value::Extern(e) => Self::ExternRef(ExternRef::from_raw(e, store)),
            // No type that the embedding interface lets in so far.
            Value::Any(_) | Value::Exn(_) => Self::ExternRef(None),
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
    ExternRef, v => Val::ExternRef(Some(v));
    Option<ExternRef>, v => Val::ExternRef(v);
}
