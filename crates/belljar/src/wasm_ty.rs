//! Rust types that correspond to wasm types, over which typed functions and host closures are generic.

use crate::refs::{handle, owned_handle, owned_raw, raw};
use crate::{
    AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, F32, F64, Func, GcRef, I31, NoExtern, NoFunc, NoneRef,
    OwnedRooted, Result, Rooted, StructRef, V128, ValType,
};
use belljar_core::HeapType;
use belljar_vm::{
    AbiParams, AbiResult, AbiTy, One, RawAny, RawExn, RawExtern, RawFunc, RawVector, RefKind, StoreCore,
    TypedRef,
};

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that corresponds to a wasm value type.
///
/// | Rust | wasm |
/// |---|---|
/// | `i32`, `u32` | `i32` |
/// | `i64`, `u64` | `i64` |
/// | `f32`, `f64` | the same |
/// | [`V128`] | `v128` |
/// | `Option<`[`Func`]`>` | `funcref` |
/// | `Option<`[`Rooted`]`<`[`ExternRef`]`>>` | `externref` |
/// | `Option<`[`Rooted`]`<`[`AnyRef`]`>>` | `anyref` |
/// | `Option<`[`Rooted`]`<`[`EqRef`]`>>` | `eqref` |
/// | `Option<`[`Rooted`]`<`[`StructRef`]`>>` | `structref` |
/// | `Option<`[`Rooted`]`<`[`ArrayRef`]`>>` | `arrayref` |
/// | `Option<`[`I31`]`>` | `i31ref` |
/// | `Option<`[`Rooted`]`<`[`ExnRef`]`>>` | `exnref` |
///
/// | `Option<`[`NoneRef`]`>`, `Option<`[`NoFunc`]`>`, `Option<`[`NoExtern`]`>` | `nullref`, `nullfuncref`, `nullexternref` |
///
/// Without the `Option`, references cannot be null: `Rooted<StructRef>` is `(ref struct)`. Instead of a [`Rooted`], an
/// [`OwnedRooted`] can be passed or received.
pub trait WasmTy: sealed::Sealed + Send + Sized + 'static {
    #[doc(hidden)]
    type Abi: AbiTy;
    #[doc(hidden)]
    fn into_abi(self, store: &StoreCore) -> Result<Self::Abi>;
    #[doc(hidden)]
    fn from_abi(abi: Self::Abi, store: &mut StoreCore) -> Self;

    /// Returns the wasm type.
    fn valtype() -> ValType {
        // The types of `Abi` are abstract.
        ValType::from_abstract(Self::Abi::TY)
    }
}

macro_rules! wasm_ty {
    ($($ty:ty, $abi:ty, ($into:pat, $store:ident) => $to:expr, ($from:pat, $from_store:ident) => $back:expr;)*) => {$(
        impl sealed::Sealed for $ty {}

        impl WasmTy for $ty {
            type Abi = $abi;

            #[inline]
            fn into_abi(self, $store: &StoreCore) -> Result<$abi> {
                let $into = self;
                $to
            }

            #[inline]
            fn from_abi($from: $abi, $from_store: &mut StoreCore) -> Self {
                $back
            }
        }
    )*};
}

wasm_ty! {
    i32, i32, (v, _store) => Ok(v), (v, _store) => v;
    u32, i32, (v, _store) => Ok(v as i32), (v, _store) => v as u32;
    i64, i64, (v, _store) => Ok(v), (v, _store) => v;
    u64, i64, (v, _store) => Ok(v as i64), (v, _store) => v as u64;
    f32, f32, (v, _store) => Ok(v), (v, _store) => v;
    f64, f64, (v, _store) => Ok(v), (v, _store) => v;
    F32, f32, (v, _store) => Ok(v.to_float()), (v, _store) => F32::from_float(v);
    F64, f64, (v, _store) => Ok(v.to_float()), (v, _store) => F64::from_float(v);
    V128, RawVector, (v, _store) => Ok(RawVector(v.as_u128())), (v, _store) => V128::from(v.0);
    Option<Func>, RawFunc, (v, store) => Func::to_raw(v, store), (v, store) => Func::from_raw(v, store);
    Option<Rooted<ExternRef>>, RawExtern, (v, store) => raw(v, store), (v, store) => handle(v, store);
    Option<Rooted<AnyRef>>, RawAny, (v, store) => raw(v, store), (v, store) => handle(v, store);
    Option<Rooted<ExnRef>>, RawExn, (v, store) => raw(v, store), (v, store) => handle(v, store);
    Option<OwnedRooted<ExternRef>>, RawExtern,
        (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
    Option<OwnedRooted<AnyRef>>, RawAny, (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
    Option<OwnedRooted<ExnRef>>, RawExn, (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
}

/// Implements [`WasmTy`] for types that are narrower than the top of their hierarchy. Values that cannot be null come
/// only from guests and from checked handles.
macro_rules! narrow_ty {
    ($($kind:ident, $raw:ident $nullable:literal $ty:ty,
        ($into:pat, $store:ident) => $to:expr, ($from:pat, $from_store:ident) => $back:expr;)*) => {
        wasm_ty! {$(
            $ty, TypedRef<$raw, $kind, $nullable>,
            ($into, $store) => { let raw: Result<$raw> = $to; raw.map(TypedRef::new) },
            (v, $from_store) => { let $from = v.raw(); $back };
        )*}
    };
}

macro_rules! narrow_handles {
    ($($kind:ident $heap:ident $raw:ident;)*) => {
        $(impl RefKind for $kind {
            const HEAP: HeapType = HeapType::$heap;
        })*

        narrow_ty! {$(
            $kind, $raw false Rooted<$kind>, (v, store) => v.raw(store), (v, store) => Rooted::new(store, v);
            $kind, $raw false OwnedRooted<$kind>,
                (v, store) => v.raw(store), (v, store) => OwnedRooted::new(store, v);
        )*}
    };
}

narrow_handles! {
    ExternRef Extern RawExtern;
    AnyRef Any RawAny;
    EqRef Eq RawAny;
    StructRef Struct RawAny;
    ArrayRef Array RawAny;
    ExnRef Exn RawExn;
}

impl RefKind for Func {
    const HEAP: HeapType = HeapType::Func;
}

impl RefKind for I31 {
    const HEAP: HeapType = HeapType::I31;
}

narrow_ty! {
    EqRef, RawAny true Option<Rooted<EqRef>>, (v, store) => raw(v, store), (v, store) => handle(v, store);
    StructRef, RawAny true Option<Rooted<StructRef>>,
        (v, store) => raw(v, store), (v, store) => handle(v, store);
    ArrayRef, RawAny true Option<Rooted<ArrayRef>>,
        (v, store) => raw(v, store), (v, store) => handle(v, store);
    EqRef, RawAny true Option<OwnedRooted<EqRef>>,
        (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
    StructRef, RawAny true Option<OwnedRooted<StructRef>>,
        (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
    ArrayRef, RawAny true Option<OwnedRooted<ArrayRef>>,
        (v, store) => owned_raw(v, store), (v, store) => owned_handle(v, store);
    I31, RawAny true Option<I31>,
        (v, _store) => Ok(v.map(I31::to_raw).unwrap_or_default()), (v, store) => I31::from_raw(v, store);
    I31, RawAny false I31,
        (v, _store) => Ok(v.to_raw()), (v, store) => I31::from_raw(v, store).unwrap_or_default();
    Func, RawFunc false Func,
        (v, store) => Func::to_raw(Some(v), store), (v, store) => Func::from_raw(v, store).expect(NOT_NULL);
}

const NOT_NULL: &str = "a reference that cannot be null";

/// Implements [`WasmTy`] for the types of null references.
macro_rules! null_ty {
    ($($name:ident $heap:ident $raw:ident;)*) => {
        $(impl RefKind for $name {
            const HEAP: HeapType = HeapType::$heap;
        })*

        narrow_ty! {$(
            $name, $raw true Option<$name>, (_null, _store) => Ok($raw::NULL), (_null, _store) => None;
            // A guest's function with such a parameter or result is never called, or never returns.
            $name, $raw false $name, (v, _store) => v.never(), (_never, _store) => panic!("{NO_VALUE}");
        )*}
    };
}

const NO_VALUE: &str = "a value of a type that has none";

null_ty! {
    NoneRef None RawAny;
    NoFunc NoFunc RawFunc;
    NoExtern NoExtern RawExtern;
}

/// The parameters of a typed function: a [`WasmTy`], or a tuple of up to 16.
pub trait WasmParams: Send + 'static {
    #[doc(hidden)]
    type Abi: AbiParams;
    #[doc(hidden)]
    fn into_abi(self, store: &StoreCore) -> Result<Self::Abi>;
    #[doc(hidden)]
    fn from_abi(abi: Self::Abi, store: &mut StoreCore) -> Self;
}

/// The results of a typed function: `()`, a [`WasmTy`], or a tuple of up to 16.
pub trait WasmResults: Send + 'static {
    #[doc(hidden)]
    type ResultAbi: AbiResult;
    #[doc(hidden)]
    fn from_result(abi: Self::ResultAbi, store: &mut StoreCore) -> Self;
    #[doc(hidden)]
    fn into_result(self, store: &StoreCore) -> Result<Self::ResultAbi>;
}

impl<A: WasmTy> WasmParams for A {
    type Abi = (A::Abi,);

    #[inline]
    fn into_abi(self, store: &StoreCore) -> Result<Self::Abi> {
        Ok((WasmTy::into_abi(self, store)?,))
    }

    #[inline]
    fn from_abi(abi: Self::Abi, store: &mut StoreCore) -> Self {
        WasmTy::from_abi(abi.0, store)
    }
}

impl<A: WasmTy> WasmResults for A {
    type ResultAbi = One<A::Abi>;

    #[inline]
    fn from_result(abi: Self::ResultAbi, store: &mut StoreCore) -> Self {
        WasmTy::from_abi(abi.0, store)
    }

    #[inline]
    fn into_result(self, store: &StoreCore) -> Result<Self::ResultAbi> {
        Ok(One(WasmTy::into_abi(self, store)?))
    }
}

/// The return type of a host closure: [`WasmResults`], or a `Result` of them.
pub trait WasmRet: 'static {
    #[doc(hidden)]
    type Results: WasmResults;
    #[doc(hidden)]
    fn into_results(self) -> Result<Self::Results>;
}

impl<A: WasmTy> WasmRet for A {
    type Results = A;

    #[inline]
    fn into_results(self) -> Result<A> {
        Ok(self)
    }
}

impl<R: WasmRet> WasmRet for Result<R> {
    type Results = R::Results;

    #[inline]
    fn into_results(self) -> Result<R::Results> {
        self.and_then(R::into_results)
    }
}

// A tuple of one is represented as its element.
macro_rules! result_type {
    ($one:ident) => { One<$one::Abi> };
    ($($name:ident)*) => { ($($name::Abi,)*) };
}

macro_rules! result_value {
    ($one:ident) => { One($one) };
    ($($name:ident)*) => { ($($name,)*) };
}

macro_rules! result_parts {
    ($abi:ident => $one:ident) => { let One($one) = $abi; };
    ($abi:ident => $($name:ident)*) => { let ($($name,)*) = $abi; };
}

macro_rules! tuples {
    ($($name:ident)*) => {
        #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
        impl<$($name: WasmTy),*> WasmParams for ($($name,)*) {
            type Abi = ($($name::Abi,)*);

            #[inline]
            fn into_abi(self, store: &StoreCore) -> Result<Self::Abi> {
                let ($($name,)*) = self;
                Ok(($(WasmTy::into_abi($name, store)?,)*))
            }

            #[inline]
            fn from_abi(abi: Self::Abi, store: &mut StoreCore) -> Self {
                let ($($name,)*) = abi;
                ($(<$name as WasmTy>::from_abi($name, store),)*)
            }
        }

        #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
        impl<$($name: WasmTy),*> WasmResults for ($($name,)*) {
            type ResultAbi = result_type!($($name)*);

            #[inline]
            fn from_result(abi: Self::ResultAbi, store: &mut StoreCore) -> Self {
                result_parts!(abi => $($name)*);
                ($(<$name as WasmTy>::from_abi($name, store),)*)
            }

            #[inline]
            fn into_result(self, store: &StoreCore) -> Result<Self::ResultAbi> {
                let ($($name,)*) = self;
                $(let $name = WasmTy::into_abi($name, store)?;)*
                Ok(result_value!($($name)*))
            }
        }

        impl<$($name: WasmTy),*> WasmRet for ($($name,)*) {
            type Results = Self;

            #[inline]
            fn into_results(self) -> Result<Self> {
                Ok(self)
            }
        }
    };
}

macro_rules! for_each_arity {
    ($callback:ident) => {
        $callback!();
        for_each_arity!(@ $callback [] A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16 A17);
    };
    (@ $callback:ident [$($done:ident)*] $next:ident $($rest:ident)*) => {
        $callback!($($done)* $next);
        for_each_arity!(@ $callback [$($done)* $next] $($rest)*);
    };
    (@ $callback:ident [$($done:ident)*]) => {};
}
pub(crate) use for_each_arity;

for_each_arity!(tuples);
