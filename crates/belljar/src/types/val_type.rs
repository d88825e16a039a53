//! The types of values.

use super::HeapType;
use crate::{Engine, Result};
use std::fmt;

/// A reference type: what it refers to, and whether it may be null.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RefType {
    is_nullable: bool,
    heap_type: HeapType,
}

macro_rules! ref_types {
    ($($(#[$doc:meta])* $name:ident $heap:ident;)*) => {
        impl RefType {
            $($(#[$doc])* pub const $name: Self = Self::new(true, HeapType::$heap);)*
        }

        impl ValType {
            $($(#[$doc])* pub const $name: Self = Self::Ref(RefType::$name);)*
        }
    };
}

ref_types! {
    /// `externref`: a nullable reference to any host value.
    EXTERNREF Extern;
    /// `nullexternref`: the null of external references.
    NULLEXTERNREF NoExtern;
    /// `funcref`: a nullable reference to any function.
    FUNCREF Func;
    /// `nullfuncref`: the null of function references.
    NULLFUNCREF NoFunc;
    /// `anyref`: a nullable reference to any value below `any`.
    ANYREF Any;
    /// `eqref`: a nullable reference to what `ref.eq` compares.
    EQREF Eq;
    /// `i31ref`: a nullable reference to a small integer.
    I31REF I31;
    /// `arrayref`: a nullable reference to any array.
    ARRAYREF Array;
    /// `structref`: a nullable reference to any struct.
    STRUCTREF Struct;
    /// `nullref`: the null of references below `any`.
    NULLREF None;
    /// `exnref`: a nullable reference to an exception.
    EXNREF Exn;
    /// `nullexnref`: the null of references to exceptions.
    NULLEXNREF NoExn;
}

/// Names of Wasmi's enum.
#[allow(non_upper_case_globals)]
impl RefType {
    /// The same as [`RefType::FUNCREF`].
    pub const Func: Self = Self::FUNCREF;
    /// The same as [`RefType::EXTERNREF`].
    pub const Extern: Self = Self::EXTERNREF;
}

/// Names of Wasmi's enum.
#[allow(non_upper_case_globals)]
impl ValType {
    /// The same as [`ValType::FUNCREF`].
    pub const FuncRef: Self = Self::FUNCREF;
    /// The same as [`ValType::EXTERNREF`].
    pub const ExternRef: Self = Self::EXTERNREF;
}

impl RefType {
    /// Creates a reference type.
    pub const fn new(is_nullable: bool, heap_type: HeapType) -> Self {
        Self { is_nullable, heap_type }
    }

    /// Returns whether the type includes null.
    pub const fn is_nullable(&self) -> bool {
        self.is_nullable
    }

    /// Returns the type of what it refers to.
    pub const fn heap_type(&self) -> &HeapType {
        &self.heap_type
    }

    /// Returns whether every value of this type is one of `other`.
    pub fn matches(&self, other: &Self) -> bool {
        (other.is_nullable || !self.is_nullable) && self.heap_type.matches(&other.heap_type)
    }

    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::RefType> {
        Ok(belljar_core::RefType::new(self.is_nullable, self.heap_type.to_core(engine)?))
    }

    pub(crate) fn from_core(ty: belljar_core::RefType, engine: &Engine) -> Self {
        Self::new(ty.is_nullable(), HeapType::from_core(ty.heap_type(), engine))
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heap_type.ref_name() {
            Some(name) if self.is_nullable => f.write_str(name),
            _ if self.is_nullable => write!(f, "(ref null {})", self.heap_type),
            _ => write!(f, "(ref {})", self.heap_type),
        }
    }
}

/// The type of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ValType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A 32-bit float.
    F32,
    /// A 64-bit float.
    F64,
    /// A 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

macro_rules! is_number {
    ($($is:ident $variant:ident;)*) => {
        impl ValType {
            $(
                #[doc = concat!("Returns whether this is `ValType::", stringify!($variant), "`.")]
                pub const fn $is(&self) -> bool {
                    matches!(self, Self::$variant)
                }
            )*
        }
    };
}

is_number! {
    is_i32 I32;
    is_i64 I64;
    is_f32 F32;
    is_f64 F64;
    is_v128 V128;
}

macro_rules! is_reference {
    ($($is:ident $heap:ident $name:literal;)*) => {
        impl ValType {
            $(
                #[doc = concat!("Returns whether this is `", $name, "`.")]
                pub const fn $is(&self) -> bool {
                    matches!(self, Self::Ref(RefType { is_nullable: true, heap_type: HeapType::$heap }))
                }
            )*
        }
    };
}

is_reference! {
    is_funcref Func "funcref";
    is_externref Extern "externref";
    is_anyref Any "anyref";
    is_exnref Exn "exnref";
}

impl ValType {
    /// Returns whether this is a number: `i32`, `i64`, `f32` or `f64`.
    pub const fn is_num(&self) -> bool {
        matches!(self, Self::I32 | Self::I64 | Self::F32 | Self::F64)
    }

    /// Returns whether this is a reference type.
    pub const fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// Returns the reference type, if this is one.
    pub const fn as_ref(&self) -> Option<&RefType> {
        match self {
            Self::Ref(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the reference type.
    ///
    /// # Panics
    ///
    /// Panics if this is no reference type.
    #[track_caller]
    pub fn unwrap_ref(&self) -> &RefType {
        self.as_ref().unwrap_or_else(|| panic!("expected a reference type, found {self}"))
    }

    /// Returns whether every value of this type is one of `other`.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ref(a), Self::Ref(b)) => a.matches(b),
            (a, b) => a == b,
        }
    }

    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::ValType> {
        use belljar_core::ValType as Core;
        Ok(match self {
            Self::I32 => Core::I32,
            Self::I64 => Core::I64,
            Self::F32 => Core::F32,
            Self::F64 => Core::F64,
            Self::V128 => Core::V128,
            Self::Ref(ty) => Core::Ref(ty.to_core(engine)?),
        })
    }

    pub(crate) fn from_core(ty: belljar_core::ValType, engine: &Engine) -> Self {
        Self::convert(ty, |ty| RefType::from_core(ty, engine))
    }

    /// Converts a type that is not concrete.
    pub(crate) fn from_abstract(ty: belljar_core::ValType) -> Self {
        Self::convert(ty, |ty| RefType::new(ty.is_nullable(), HeapType::from_abstract(ty.heap_type())))
    }

    fn convert(ty: belljar_core::ValType, reference: impl FnOnce(belljar_core::RefType) -> RefType) -> Self {
        use belljar_core::ValType as Core;
        match ty {
            Core::I32 => Self::I32,
            Core::I64 => Self::I64,
            Core::F32 => Self::F32,
            Core::F64 => Self::F64,
            Core::V128 => Self::V128,
            Core::Ref(ty) => Self::Ref(reference(ty)),
        }
    }
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> Self {
        Self::Ref(ty)
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::V128 => f.write_str("v128"),
            Self::Ref(ty) => ty.fmt(f),
        }
    }
}
