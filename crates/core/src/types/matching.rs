//! Subtyping, by the specification's section on matching. Defined types are compared by an implementation of
//! [`DefinedTypes`].

use super::composite::CompositeType;
use super::extern_type::GlobalType;
use super::val_type::{HeapType, RefType, TypeRef, ValType};
use super::{FuncType, Mutability};

/// Knowledge about defined types: their kinds, and which are declared subtypes of others.
pub trait DefinedTypes {
    /// Returns the abstract type directly above a defined type: `func`, `struct` or `array`.
    fn kind(&self, ty: TypeRef) -> HeapType;

    /// Returns whether `a` is `b` or a direct or indirect declared subtype of it.
    fn is_subtype(&self, a: TypeRef, b: TypeRef) -> bool;
}

impl HeapType {
    /// Returns the abstract type directly above a composite type.
    pub const fn of_composite(ty: &CompositeType) -> Self {
        match ty {
            CompositeType::Func(_) => Self::Func,
            CompositeType::Struct(_) => Self::Struct,
            CompositeType::Array(_) => Self::Array,
        }
    }

    /// Returns the top of its hierarchy: `any`, `func`, `extern` or `exn`.
    pub fn top(self, types: &impl DefinedTypes) -> Self {
        match self {
            Self::Any | Self::Eq | Self::I31 | Self::Struct | Self::Array | Self::None => Self::Any,
            Self::Func | Self::NoFunc => Self::Func,
            Self::Extern | Self::NoExtern => Self::Extern,
            Self::Exn | Self::NoExn => Self::Exn,
            Self::Defined(ty) => types.kind(ty).top(types),
        }
    }

    /// Returns whether every value of this type is one of `other`.
    pub fn matches(self, other: Self, types: &impl DefinedTypes) -> bool {
        if self == other {
            return true;
        }
        match (self, other) {
            (Self::Defined(a), Self::Defined(b)) => types.is_subtype(a, b),
            (Self::Defined(a), _) => types.kind(a).matches(other, types),
            (Self::Eq, Self::Any) => true,
            (Self::I31 | Self::Struct | Self::Array, Self::Eq | Self::Any) => true,
            (Self::None | Self::NoFunc | Self::NoExtern | Self::NoExn, _) => {
                self.top(types) == other.top(types)
            }
            _ => false,
        }
    }
}

impl RefType {
    /// Returns whether every value of this type is one of `other`.
    pub fn matches(self, other: Self, types: &impl DefinedTypes) -> bool {
        (other.is_nullable() || !self.is_nullable()) && self.heap_type().matches(other.heap_type(), types)
    }
}

impl ValType {
    /// Returns whether every value of this type is one of `other`.
    pub fn matches(self, other: Self, types: &impl DefinedTypes) -> bool {
        match (self, other) {
            (Self::Ref(a), Self::Ref(b)) => a.matches(b, types),
            (a, b) => a == b,
        }
    }
}

impl FuncType {
    /// Returns whether a function of this type may be used where one of `other` is expected.
    pub fn matches(&self, other: &Self, types: &impl DefinedTypes) -> bool {
        let below = |a: &[ValType], b: &[ValType]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.matches(*b, types))
        };
        below(other.params(), self.params()) && below(self.results(), other.results())
    }
}

impl GlobalType {
    /// Returns whether a global of this type may be used where one of `other` is expected.
    pub fn matches(&self, other: &Self, types: &impl DefinedTypes) -> bool {
        self.mutability() == other.mutability()
            && match self.mutability() {
                Mutability::Const => self.content().matches(other.content(), types),
                Mutability::Var => {
                    self.content().matches(other.content(), types)
                        && other.content().matches(self.content(), types)
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TypeIndex;

    /// Type 0 is a struct, 1 a struct declared below it, 2 a function.
    struct Three;

    impl DefinedTypes for Three {
        fn kind(&self, ty: TypeRef) -> HeapType {
            if ty == TypeRef::Index(TypeIndex(2)) { HeapType::Func } else { HeapType::Struct }
        }
        fn is_subtype(&self, a: TypeRef, b: TypeRef) -> bool {
            a == b || (a == TypeRef::Index(TypeIndex(1)) && b == TypeRef::Index(TypeIndex(0)))
        }
    }

    fn defined(i: u32) -> HeapType {
        HeapType::Defined(TypeRef::Index(TypeIndex(i)))
    }

    #[test]
    fn the_order_is_the_specifications() {
        let below = |a: HeapType, b: HeapType| a.matches(b, &Three);
        assert!(below(HeapType::I31, HeapType::Eq) && below(HeapType::I31, HeapType::Any));
        assert!(!below(HeapType::Any, HeapType::Eq) && !below(HeapType::Func, HeapType::Any));
        assert!(below(HeapType::None, HeapType::Struct) && !below(HeapType::None, HeapType::Func));
        assert!(below(defined(1), defined(0)) && !below(defined(0), defined(1)));
        assert!(below(defined(0), HeapType::Eq) && below(defined(2), HeapType::Func));
        assert!(below(HeapType::None, defined(0)) && !below(HeapType::NoFunc, defined(0)));
        assert!(below(HeapType::NoFunc, defined(2)));
    }

    #[test]
    fn null_is_no_value_of_a_type_without_it() {
        assert!(RefType::new(false, HeapType::Eq).matches(RefType::ANYREF, &Three));
        assert!(!RefType::ANYREF.matches(RefType::new(false, HeapType::Any), &Three));
    }
}
