//! The types of what references refer to.

use super::registered::RegisteredType;
use super::{ArrayType, ExnType, FuncType, StructType};
use crate::{Engine, Result};
use belljar_core::{CompositeType, DefinedTypes, TypeRef};
use std::fmt;

/// The type of what a reference refers to: an abstract one, or a concrete one that was defined in an engine.
///
/// ```
/// use belljar::{Engine, HeapType, StructType};
/// let engine = Engine::default();
/// let empty = HeapType::from(StructType::new(&engine, [])?);
/// assert!(empty.matches(&HeapType::Struct) && empty.matches(&HeapType::Any));
/// assert!(HeapType::None.matches(&empty));
/// assert!(empty.is_concrete_struct() && !empty.matches(&HeapType::Func));
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeapType {
    /// Any host value, or a guest value converted to `extern`.
    Extern,
    /// No object: the type of the null external reference.
    NoExtern,
    /// Any function.
    Func,
    /// A function of a type.
    ConcreteFunc(FuncType),
    /// No object: the type of the null function reference.
    NoFunc,
    /// Any guest object (struct, array, small integer), or a host value converted to `any`.
    Any,
    /// The operands of `ref.eq`: structs, arrays, small integers.
    Eq,
    /// 31-bit integers.
    I31,
    /// Any array.
    Array,
    /// An array of a type.
    ConcreteArray(ArrayType),
    /// Any struct.
    Struct,
    /// A struct of a type.
    ConcreteStruct(StructType),
    /// No object: the type of the null of all subtypes of `any`.
    None,
    /// Any exception.
    Exn,
    /// An exception of a type. WebAssembly has no such type, so a guest sees it as [`HeapType::Exn`].
    ConcreteExn(ExnType),
    /// No object: the type of the null exception reference.
    NoExn,
}

/// Methods for the variants without a type of their own.
macro_rules! is_abstract {
    ($($is:ident $variant:ident;)*) => {
        impl HeapType {
            $(
                #[doc = concat!("Returns whether this is `HeapType::", stringify!($variant), "`.")]
                pub const fn $is(&self) -> bool {
                    matches!(self, Self::$variant)
                }
            )*
        }
    };
}

is_abstract! {
    is_extern Extern;
    is_no_extern NoExtern;
    is_func Func;
    is_no_func NoFunc;
    is_any Any;
    is_eq Eq;
    is_i31 I31;
    is_array Array;
    is_struct Struct;
    is_none None;
    is_exn Exn;
    is_no_exn NoExn;
}

/// Methods for the variants with a type of their own.
macro_rules! concrete {
    ($($is:ident $as:ident $unwrap:ident $variant:ident $ty:ident;)*) => {
        impl HeapType {
            $(
                #[doc = concat!("Returns whether this is a `HeapType::", stringify!($variant), "`.")]
                pub const fn $is(&self) -> bool {
                    matches!(self, Self::$variant(_))
                }

                #[doc = concat!("Returns the type, if this is a `HeapType::", stringify!($variant), "`.")]
                pub const fn $as(&self) -> Option<&$ty> {
                    match self {
                        Self::$variant(ty) => Some(ty),
                        _ => None,
                    }
                }

                #[doc = concat!(
                    "Returns the type of a `HeapType::", stringify!($variant), "`.\n\n# Panics\n\nPanics if this is another heap type."
                )]
                #[track_caller]
                pub fn $unwrap(&self) -> &$ty {
                    self.$as().unwrap_or_else(|| panic!("expected a {}, found {self}", stringify!($ty)))
                }
            )*
        }

        $(impl From<$ty> for HeapType {
            fn from(ty: $ty) -> Self {
                Self::$variant(ty)
            }
        })*
    };
}

concrete! {
    is_concrete_func as_concrete_func unwrap_concrete_func ConcreteFunc FuncType;
    is_concrete_array as_concrete_array unwrap_concrete_array ConcreteArray ArrayType;
    is_concrete_struct as_concrete_struct unwrap_concrete_struct ConcreteStruct StructType;
    is_concrete_exn as_concrete_exn unwrap_concrete_exn ConcreteExn ExnType;
}

impl HeapType {
    /// Returns whether this is a concrete type, which belongs to an engine.
    pub const fn is_concrete(&self) -> bool {
        matches!(
            self,
            Self::ConcreteFunc(_) | Self::ConcreteArray(_) | Self::ConcreteStruct(_) | Self::ConcreteExn(_)
        )
    }

    /// Returns whether this is an abstract type.
    pub const fn is_abstract(&self) -> bool {
        !self.is_concrete()
    }

    /// Returns the top of the type's hierarchy: `any`, `func`, `extern` or `exn`.
    pub fn top(&self) -> Self {
        match self {
            Self::Extern | Self::NoExtern => Self::Extern,
            Self::Func | Self::ConcreteFunc(_) | Self::NoFunc => Self::Func,
            Self::Exn | Self::ConcreteExn(_) | Self::NoExn => Self::Exn,
            _ => Self::Any,
        }
    }

    /// Returns whether this is the top of its hierarchy.
    pub const fn is_top(&self) -> bool {
        matches!(self, Self::Any | Self::Func | Self::Extern | Self::Exn)
    }

    /// Returns the bottom of the type's hierarchy: `none`, `nofunc`, `noextern` or `noexn`. No object has it.
    pub fn bottom(&self) -> Self {
        match self.top() {
            Self::Extern => Self::NoExtern,
            Self::Func => Self::NoFunc,
            Self::Exn => Self::NoExn,
            _ => Self::None,
        }
    }

    /// Returns whether this is the bottom of its hierarchy.
    pub const fn is_bottom(&self) -> bool {
        matches!(self, Self::None | Self::NoFunc | Self::NoExtern | Self::NoExn)
    }

    /// Returns whether every value of this type is one of `other`. Types of different engines never match.
    pub fn matches(&self, other: &Self) -> bool {
        if let (Self::ConcreteExn(a), Self::ConcreteExn(b)) = (self, other) {
            return a == b;
        }
        if other.is_concrete_exn() {
            return matches!(self, Self::NoExn);
        }
        let Some(engine) = self.engine().or(other.engine()) else {
            return self.abstract_core().matches(other.abstract_core(), &NoTypes);
        };
        let (Ok(a), Ok(b)) = (self.to_core(engine), other.to_core(engine)) else { return false };
        let reference = |heap| belljar_core::ValType::Ref(belljar_core::RefType::new(false, heap));
        engine.runtime().matches(reference(a), reference(b))
    }

    /// Returns the engine of a concrete type.
    fn engine(&self) -> Option<&Engine> {
        match self {
            Self::ConcreteFunc(ty) => Some(ty.engine()),
            Self::ConcreteArray(ty) => Some(ty.engine()),
            Self::ConcreteStruct(ty) => Some(ty.engine()),
            _ => None,
        }
    }

    /// Converts an abstract type.
    const fn abstract_core(&self) -> belljar_core::HeapType {
        use belljar_core::HeapType as Core;
        match self {
            Self::Extern => Core::Extern,
            Self::NoExtern => Core::NoExtern,
            Self::Func | Self::ConcreteFunc(_) => Core::Func,
            Self::NoFunc => Core::NoFunc,
            Self::Any => Core::Any,
            Self::Eq => Core::Eq,
            Self::I31 => Core::I31,
            Self::Array | Self::ConcreteArray(_) => Core::Array,
            Self::Struct | Self::ConcreteStruct(_) => Core::Struct,
            Self::None => Core::None,
            Self::Exn | Self::ConcreteExn(_) => Core::Exn,
            Self::NoExn => Core::NoExn,
        }
    }

    /// Returns the short form of a nullable reference to an abstract type.
    pub(super) fn ref_name(&self) -> Option<&'static str> {
        if self.is_concrete() { None } else { self.abstract_core().ref_name() }
    }

    /// Converts the type for an engine.
    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::HeapType> {
        let id = match self {
            Self::ConcreteFunc(ty) => ty.id_in(engine)?,
            Self::ConcreteArray(ty) => ty.id_in(engine)?,
            Self::ConcreteStruct(ty) => ty.id_in(engine)?,
            _ => return Ok(self.abstract_core()),
        };
        Ok(belljar_core::HeapType::Defined(TypeRef::Id(id)))
    }

    /// Converts a type of an engine.
    pub(crate) fn from_core(ty: belljar_core::HeapType, engine: &Engine) -> Self {
        let belljar_core::HeapType::Defined(ty) = ty else { return Self::from_abstract(ty) };
        let TypeRef::Id(id) = ty else { unreachable!("a type of an engine has an id, not {ty}") };
        let ty = RegisteredType::of_id(engine, id).expect("a type of a loaded module is registered");
        match ty.composite() {
            CompositeType::Func(_) => Self::ConcreteFunc(FuncType::of(ty)),
            CompositeType::Struct(_) => Self::ConcreteStruct(StructType::of(ty)),
            CompositeType::Array(_) => Self::ConcreteArray(ArrayType::of(ty)),
        }
    }

    /// Converts an abstract type.
    pub(super) fn from_abstract(ty: belljar_core::HeapType) -> Self {
        use belljar_core::HeapType as Core;
        match ty {
            Core::Extern => Self::Extern,
            Core::NoExtern => Self::NoExtern,
            Core::Func => Self::Func,
            Core::NoFunc => Self::NoFunc,
            Core::Any => Self::Any,
            Core::Eq => Self::Eq,
            Core::I31 => Self::I31,
            Core::Array => Self::Array,
            Core::Struct => Self::Struct,
            Core::None => Self::None,
            Core::Exn => Self::Exn,
            Core::NoExn => Self::NoExn,
            other => unreachable!("{other} is not abstract"),
        }
    }
}

/// Knows no defined types.
struct NoTypes;

impl DefinedTypes for NoTypes {
    fn kind(&self, _: TypeRef) -> belljar_core::HeapType {
        belljar_core::HeapType::Any
    }

    fn is_subtype(&self, _: TypeRef, _: TypeRef) -> bool {
        false
    }
}

/// Prints abstract types as WebAssembly's text format does, and concrete ones as numbers.
impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConcreteFunc(ty) => ty.fmt_name(f),
            Self::ConcreteArray(ty) => ty.fmt_name(f),
            Self::ConcreteStruct(ty) => ty.fmt_name(f),
            Self::ConcreteExn(ty) => ty.fmt(f),
            other => other.abstract_core().fmt(f),
        }
    }
}
