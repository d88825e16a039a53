//! Rust types that are passed between host and guest, one by one and in tuples.
//!
//! Up to five integers and eight floats are passed in registers, as are single results; everything else is passed in a
//! buffer.

use crate::gc::{OwnedRoot, Root};
use crate::host::HostClosure;
use crate::machine::{Arguments, Returned};
use crate::store::StoreCore;
use belljar_core::{RawVal, RefType, ValType};

/// A function reference of one store, as its guests hold it; 0 is null.
///
/// It is made from checked handles only. It is meaningless in another store, and must not be passed to one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct RawFunc(pub(crate) u32);

impl RawFunc {
    /// The null reference.
    pub const NULL: Self = Self(0);
}

macro_rules! object_refs {
    ($($(#[$doc:meta])* $name:ident $root:ident $rooted:ident $own:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// It is meaningless in another store, and after the next allocation, which may move its referent. To keep it,
        /// root it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The null reference.
            pub const NULL: Self = Self(0);
        }

        impl StoreCore {
            /// Keeps a reference until the current scope ends.
            pub fn $root(&mut self, reference: $name) -> Root {
                self.root(reference.0)
            }

            /// Returns a kept reference; `None` once its scope has ended.
            pub fn $rooted(&self, root: Root) -> Option<$name> {
                self.rooted(root).map($name)
            }

            /// Keeps a reference while the root lives.
            pub fn $own(&mut self, reference: $name) -> OwnedRoot {
                self.own_root(reference.0)
            }
        }
    )*};
}

object_refs! {
    /// A reference to a host value of one store, as its guests hold it; 0 is null.
    RawExtern root_extern rooted_extern own_extern;
    /// A reference to an object of one store, or a small integer, as its guests hold it; 0 is null.
    RawAny root_any rooted_any own_any;
    /// A reference to an exception of one store, as its guests hold it; 0 is null.
    RawExn root_exn rooted_exn own_exn;
}

/// A 128-bit vector as it is passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct RawVector(pub u128);

/// Returns whether values of a type are integers.
pub(crate) fn is_int(ty: &ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64)
}

/// Returns whether values of a type are numbers.
pub(crate) fn is_number(ty: &ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A single value in the form in which it crosses the boundary.
pub trait AbiTy: sealed::Sealed + Copy + Default + Send + 'static {
    /// Its wasm type.
    const TY: ValType;
    /// Whether it fits into a register.
    const FITS: bool;
    /// Converts the value to a slot of a buffer.
    fn to_slot(self) -> RawVal;
    /// Reads the value from a slot of a buffer.
    fn from_slot(slot: RawVal) -> Self;
}

macro_rules! abi_ty {
    ($($rust:ty, $ty:expr, $fits:literal, $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $rust {}
        impl AbiTy for $rust {
            const TY: ValType = $ty;
            const FITS: bool = $fits;
            #[inline]
            fn to_slot(self) -> RawVal {
                let to: fn($rust) -> RawVal = $to;
                to(self)
            }
            #[inline]
            fn from_slot(slot: RawVal) -> Self {
                let from: fn(RawVal) -> $rust = $from;
                from(slot)
            }
        }
    )*};
}

abi_ty! {
    i32, ValType::I32, true, RawVal::from_i32, RawVal::i32;
    i64, ValType::I64, true, RawVal::from_i64, RawVal::i64;
    f32, ValType::F32, true, RawVal::from_f32, RawVal::f32;
    f64, ValType::F64, true, RawVal::from_f64, RawVal::f64;
    RawVector, ValType::V128, false, |v| RawVal::from_v128(v.0), |s| RawVector(s.v128());
    RawFunc, ValType::Ref(RefType::FUNCREF), true, |v| RawVal::from_u32(v.0), |s| RawFunc(s.u32());
    RawExtern, ValType::Ref(RefType::EXTERNREF), true, |v| RawVal::from_u32(v.0), |s| RawExtern(s.u32());
    RawAny, ValType::Ref(RefType::ANYREF), true, |v| RawVal::from_u32(v.0), |s| RawAny(s.u32());
    RawExn, ValType::Ref(RefType::EXNREF), true, |v| RawVal::from_u32(v.0), |s| RawExn(s.u32());
}

/// The numbers of integer and float registers for arguments after the context.
const INT_REGISTERS: usize = 5;
const FLOAT_REGISTERS: usize = 8;

const fn fit_registers(types: &[ValType], each_fits: &[bool]) -> bool {
    let (mut ints, mut floats, mut i) = (0, 0, 0);
    while i < types.len() {
        if !each_fits[i] {
            return false;
        }
        if types[i].is_float_or_vector() {
            floats += 1
        } else {
            ints += 1
        }
        i += 1;
    }
    ints <= INT_REGISTERS && floats <= FLOAT_REGISTERS
}

/// Parameters: a tuple of up to 16 [`AbiTy`]s.
pub trait AbiParams: sealed::Sealed + Copy + 'static {
    /// Their wasm types.
    const TYPES: &'static [ValType];
    /// Whether all of them are passed in registers.
    const FITS: bool;
    /// Writes the parameters to slots.
    fn store(self, slots: &mut [RawVal]);
    /// Reads the parameters from slots.
    fn load(slots: &[RawVal]) -> Self;
    /// Assigns the parameters to registers. Only if [`AbiParams::FITS`].
    #[doc(hidden)]
    fn into_arguments(self) -> Arguments;
    /// Returns the address of the native function of a host function with these parameters.
    #[doc(hidden)]
    fn native<T: 'static, R: AbiResult, F: HostClosure<T, Self, R>>() -> usize;
}

macro_rules! abi_params {
    ($($name:ident)*) => {
        impl<$($name: AbiTy),*> sealed::Sealed for ($($name,)*) {}

        #[allow(non_snake_case, unused_variables, unused_mut, clippy::unused_unit)]
        impl<$($name: AbiTy),*> AbiParams for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TY),*];
            const FITS: bool = fit_registers(&[$($name::TY),*], &[$($name::FITS),*]);

            #[inline]
            fn store(self, slots: &mut [RawVal]) {
                let ($($name,)*) = self;
                let mut slots = slots.iter_mut();
                $(if let Some(slot) = slots.next() { *slot = $name.to_slot(); })*
            }

            #[inline]
            fn load(slots: &[RawVal]) -> Self {
                let mut slots = slots.iter().copied();
                ($($name::from_slot(slots.next().unwrap_or_default()),)*)
            }

            #[inline]
            fn into_arguments(self) -> Arguments {
                let ($($name,)*) = self;
                let mut arguments = Arguments::NONE;
                let Arguments { ints, floats } = &mut arguments;
                let (mut ints, mut floats) = (ints.iter_mut(), floats.iter_mut());
                $(if const { $name::TY.is_float_or_vector() } {
                    if let Some(register) = floats.next() {
                        register.write(f64::from_bits($name.to_slot().u64()));
                    }
                } else if let Some(register) = ints.next() {
                    register.write($name.to_slot().u64());
                })*
                arguments
            }

            fn native<T: 'static, R: AbiResult, F: HostClosure<T, Self, R>>() -> usize {
                /// The native function of a host function.
                ///
                /// # Safety
                ///
                /// Called by the exit stub with a host function's object, whose data is an `F`, from guest code of a
                /// store with data of type `T`.
                unsafe extern "C" fn native<T, R, F, $($name),*>(
                    object: *const belljar_abi::FuncObject,
                    $($name: $name),*
                ) -> R::Native
                where
                    T: 'static,
                    R: AbiResult,
                    F: HostClosure<T, ($($name,)*), R>,
                    $($name: AbiTy,)*
                {
                    // SAFETY: the caller's promise.
                    unsafe { crate::host::run::<T, ($($name,)*), R, F>(object, ($($name,)*)) }
                }
                native::<T, R, F, $($name),*> as *const () as usize
            }
        }
    };
}

/// The largest number of elements of a tuple of parameters or results.
pub(crate) const MAX_ARITY: usize = 17;

macro_rules! for_each_arity {
    ($callback:ident) => {
        $callback!();
        for_each_arity!(@ $callback [] P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12 P13 P14 P15 P16 P17);
    };
    (@ $callback:ident [$($done:ident)*] $next:ident $($rest:ident)*) => {
        $callback!($($done)* $next);
        for_each_arity!(@ $callback [$($done)* $next] $($rest)*);
    };
    (@ $callback:ident [$($done:ident)*]) => {};
}

for_each_arity!(abi_params);

/// Results: nothing, one [`AbiTy`], or a tuple of up to 16.
pub trait AbiResult: Copy + 'static {
    /// Their wasm types.
    const TYPES: &'static [ValType];
    /// Whether they are returned in a register.
    const FITS: bool;
    /// The return type of a native function.
    type Native: Copy + Default;
    /// Converts the results to the native result. Only if [`AbiResult::FITS`].
    fn into_native(self) -> Self::Native;
    /// Reads the results from the result registers. Only if [`AbiResult::FITS`].
    #[doc(hidden)]
    fn from_returned(returned: Returned) -> Self;
    /// Writes the results to slots.
    fn store(self, slots: &mut [RawVal]);
    /// Reads the results from slots.
    fn load(slots: &[RawVal]) -> Self;
}

/// A single result. The newtype distinguishes it from tuples.
#[derive(Clone, Copy, Debug)]
pub struct One<A>(pub A);

impl<A: AbiTy> AbiResult for One<A> {
    const TYPES: &'static [ValType] = &[A::TY];
    const FITS: bool = A::FITS;
    type Native = A;

    #[inline]
    fn into_native(self) -> A {
        self.0
    }

    #[inline]
    fn from_returned(returned: Returned) -> Self {
        let bits = if const { A::TY.is_float_or_vector() } { returned.float.to_bits() } else { returned.int };
        Self(A::from_slot(RawVal::from_u64(bits)))
    }

    fn store(self, slots: &mut [RawVal]) {
        slots[0] = self.0.to_slot();
    }

    fn load(slots: &[RawVal]) -> Self {
        Self(A::from_slot(slots[0]))
    }
}

macro_rules! abi_result {
    ($($name:ident)*) => {
        #[allow(non_snake_case, unused_variables, unused_mut, clippy::unused_unit)]
        impl<$($name: AbiTy),*> AbiResult for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TY),*];
            const FITS: bool = <Self as AbiResult>::TYPES.is_empty();
            type Native = ();

            #[inline]
            fn into_native(self) {}

            #[inline]
            fn from_returned(_: Returned) -> Self {
                ($($name::default(),)*)
            }

            fn store(self, slots: &mut [RawVal]) {
                AbiParams::store(self, slots);
            }

            fn load(slots: &[RawVal]) -> Self {
                <Self as AbiParams>::load(slots)
            }
        }
    };
}

for_each_arity!(abi_result);

/// A value with its type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A function reference.
    Func(RawFunc),
    /// A reference to a host value.
    Extern(RawExtern),
    /// A reference to an object of the heap, or a small integer.
    Any(RawAny),
    /// A reference to an exception.
    Exn(RawExn),
}

impl Value {
    /// Returns its type.
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::Func(_) => ValType::FUNCREF,
            Self::Extern(_) => ValType::EXTERNREF,
            Self::Any(_) => ValType::ANYREF,
            Self::Exn(_) => ValType::EXNREF,
        }
    }

    /// Returns whether it is a null reference.
    pub fn is_null(&self) -> bool {
        matches!(
            self,
            Self::Func(RawFunc::NULL)
                | Self::Extern(RawExtern::NULL)
                | Self::Any(RawAny::NULL)
                | Self::Exn(RawExn::NULL)
        )
    }

    /// Returns zero or null of a type.
    pub fn default_for(ty: ValType) -> Self {
        Self::from_slot(ty, RawVal::default())
    }

    pub(crate) fn to_slot(self) -> RawVal {
        match self {
            Self::I32(v) => RawVal::from_i32(v),
            Self::I64(v) => RawVal::from_i64(v),
            Self::F32(v) => RawVal::from_u32(v),
            Self::F64(v) => RawVal::from_u64(v),
            Self::V128(v) => RawVal::from_v128(v),
            Self::Func(v) => RawVal::from_u32(v.0),
            Self::Extern(v) => RawVal::from_u32(v.0),
            Self::Any(v) => RawVal::from_u32(v.0),
            Self::Exn(v) => RawVal::from_u32(v.0),
        }
    }

    /// Reads the value from a slot. For references, the type is the top of its hierarchy.
    pub(crate) fn from_slot(ty: ValType, slot: RawVal) -> Self {
        match ty {
            ValType::I32 => Self::I32(slot.i32()),
            ValType::I64 => Self::I64(slot.i64()),
            ValType::F32 => Self::F32(slot.u32()),
            ValType::F64 => Self::F64(slot.u64()),
            ValType::V128 => Self::V128(slot.v128()),
            ValType::Ref(RefType::EXTERNREF) => Self::Extern(RawExtern(slot.u32())),
            ValType::Ref(RefType::ANYREF) => Self::Any(RawAny(slot.u32())),
            ValType::Ref(RefType::EXNREF) => Self::Exn(RawExn(slot.u32())),
            ValType::Ref(_) => Self::Func(RawFunc(slot.u32())),
        }
    }
}
