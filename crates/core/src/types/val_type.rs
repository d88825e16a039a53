//! Types of values.

use crate::{TypeId, TypeIndex};
use std::fmt;

/// A reference to a defined type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TypeRef {
    /// By its index in the module's type section.
    Index(TypeIndex),
    /// By its position in the recursion group that refers to it.
    Rec(u32),
    /// By its canonical id in the current engine.
    Id(TypeId),
}

impl fmt::Display for TypeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(i) => write!(f, "{}", i.0),
            Self::Rec(i) => write!(f, "rec.{i}"),
            Self::Id(id) => write!(f, "#{}", id.0),
        }
    }
}

/// The type of what a reference refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeapType {
    /// Any guest object (struct, array, small integer), or a host value converted to `any`.
    Any,
    /// The operands of `ref.eq`: structs, arrays, small integers.
    Eq,
    /// 31-bit integers.
    I31,
    /// Any struct.
    Struct,
    /// Any array.
    Array,
    /// No object: the type of the null of all subtypes of `any`.
    None,
    /// Any function.
    Func,
    /// No object: the type of the null function reference.
    NoFunc,
    /// Any host value, or a guest value converted to `extern`.
    Extern,
    /// No object: the type of the null external reference.
    NoExtern,
    /// Any exception.
    Exn,
    /// No object: the type of the null exception reference.
    NoExn,
    /// A defined function, struct or array type.
    Defined(TypeRef),
}

impl HeapType {
    fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Any => "any",
            Self::Eq => "eq",
            Self::I31 => "i31",
            Self::Struct => "struct",
            Self::Array => "array",
            Self::None => "none",
            Self::Func => "func",
            Self::NoFunc => "nofunc",
            Self::Extern => "extern",
            Self::NoExtern => "noextern",
            Self::Exn => "exn",
            Self::NoExn => "noexn",
            Self::Defined(_) => return None,
        })
    }

    /// Returns the short form of a nullable reference to this type.
    pub fn ref_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Any => "anyref",
            Self::Eq => "eqref",
            Self::I31 => "i31ref",
            Self::Struct => "structref",
            Self::Array => "arrayref",
            Self::None => "nullref",
            Self::Func => "funcref",
            Self::NoFunc => "nullfuncref",
            Self::Extern => "externref",
            Self::NoExtern => "nullexternref",
            Self::Exn => "exnref",
            Self::NoExn => "nullexnref",
            Self::Defined(_) => return None,
        })
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self) {
            (Some(name), _) => f.write_str(name),
            (None, Self::Defined(ty)) => ty.fmt(f),
            (None, _) => Ok(()),
        }
    }
}

/// A reference type: what it refers to and whether it may be null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RefType {
    nullable: bool,
    heap: HeapType,
}

impl RefType {
    /// `funcref`: a nullable reference to any function.
    pub const FUNCREF: Self = Self { nullable: true, heap: HeapType::Func };
    /// `externref`: a nullable reference to any host value.
    pub const EXTERNREF: Self = Self { nullable: true, heap: HeapType::Extern };
    /// `anyref`: a nullable reference to any value below `any`.
    pub const ANYREF: Self = Self { nullable: true, heap: HeapType::Any };
    /// `exnref`: a nullable reference to an exception.
    pub const EXNREF: Self = Self { nullable: true, heap: HeapType::Exn };

    /// Creates a reference type.
    pub const fn new(nullable: bool, heap: HeapType) -> Self {
        Self { nullable, heap }
    }

    /// Returns whether the type includes null.
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Returns the type of what it refers to.
    pub const fn heap_type(&self) -> HeapType {
        self.heap
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heap.ref_name() {
            Some(name) if self.nullable => f.write_str(name),
            _ if self.nullable => write!(f, "(ref null {})", self.heap),
            _ => write!(f, "(ref {})", self.heap),
        }
    }
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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

impl ValType {
    /// `funcref`.
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `externref`.
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);
    /// `anyref`.
    pub const ANYREF: Self = Self::Ref(RefType::ANYREF);
    /// `exnref`.
    pub const EXNREF: Self = Self::Ref(RefType::EXNREF);

    /// Returns whether this is a reference type.
    pub const fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// Returns the reference type, if this is one.
    pub const fn as_ref(&self) -> Option<RefType> {
        match self {
            Self::Ref(ty) => Some(*ty),
            _ => None,
        }
    }

    /// Returns whether values of this type are passed in vector registers (floats and vectors).
    pub const fn is_float_or_vector(&self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::V128)
    }

    /// Returns whether the type has a default value: zero for a number, null for a nullable reference.
    pub const fn is_defaultable(&self) -> bool {
        match self {
            Self::Ref(ty) => ty.nullable,
            _ => true,
        }
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        match self {
            Self::Ref(ty) => Self::Ref(ty.map(f)),
            other => other,
        }
    }
}

impl RefType {
    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        match self.heap {
            HeapType::Defined(ty) => Self { heap: HeapType::Defined(f(ty)), ..self },
            _ => self,
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
            Self::Ref(r) => r.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_print_in_their_short_form_where_they_have_one() {
        assert_eq!(ValType::EXNREF.to_string(), "exnref");
        assert_eq!(RefType::new(false, HeapType::Any).to_string(), "(ref any)");
        let defined = HeapType::Defined(TypeRef::Index(TypeIndex(3)));
        assert_eq!(RefType::new(true, defined).to_string(), "(ref null 3)");
    }
}
