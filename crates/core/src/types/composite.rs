//! Defined types: functions, structs and arrays.

use super::val_type::{TypeRef, ValType};
use std::fmt;

/// The type of a function: its parameters, then its results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FuncType {
    types: Box<[ValType]>,
    params: u32,
}

impl FuncType {
    /// Creates a function type.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = types.len() as u32;
        types.extend(results);
        Self { types: types.into(), params }
    }

    /// Returns the parameters, in order.
    pub fn params(&self) -> &[ValType] {
        &self.types[..self.params as usize]
    }

    /// Returns the results, in order.
    pub fn results(&self) -> &[ValType] {
        &self.types[self.params as usize..]
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(&self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        Self { types: self.types.iter().map(|ty| ty.map(f)).collect(), params: self.params }
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, ty) in types.iter().enumerate() {
                write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, self.params())?;
        f.write_str(" -> ")?;
        match self.results() {
            [one] => one.fmt(f),
            many => list(f, many),
        }
    }
}

/// Whether a global, field or element may be written after its creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutability {
    /// It keeps its initial value.
    Const,
    /// Guest and host may write it.
    Var,
}

impl Mutability {
    /// Returns whether this is `Mutability::Const`.
    pub const fn is_const(&self) -> bool {
        matches!(self, Self::Const)
    }

    /// Returns whether this is `Mutability::Var`.
    pub const fn is_var(&self) -> bool {
        matches!(self, Self::Var)
    }

    /// Returns whether this is `Mutability::Var`.
    pub const fn is_mut(&self) -> bool {
        self.is_var()
    }
}

/// The type of a field or element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StorageType {
    /// The low 8 bits of an `i32`.
    I8,
    /// The low 16 bits of an `i32`.
    I16,
    /// A value.
    Val(ValType),
}

impl StorageType {
    /// Returns the type of the value that is read from it or written to it.
    pub const fn unpack(&self) -> ValType {
        match self {
            Self::I8 | Self::I16 => ValType::I32,
            Self::Val(ty) => *ty,
        }
    }

    /// Returns the size in bytes. References are 32-bit ids.
    pub const fn size(&self) -> u32 {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::Val(ValType::I32 | ValType::F32 | ValType::Ref(_)) => 4,
            Self::Val(ValType::I64 | ValType::F64) => 8,
            Self::Val(ValType::V128) => 16,
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I8 => f.write_str("i8"),
            Self::I16 => f.write_str("i16"),
            Self::Val(ty) => ty.fmt(f),
        }
    }
}

/// A field of a struct, or the elements of an array.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FieldType {
    storage: StorageType,
    mutability: Mutability,
}

impl FieldType {
    /// Creates a field type.
    pub const fn new(mutability: Mutability, storage: StorageType) -> Self {
        Self { storage, mutability }
    }

    /// Returns the type of the contents.
    pub const fn element_type(&self) -> StorageType {
        self.storage
    }

    /// Returns whether it may be written.
    pub const fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        match self.storage {
            StorageType::Val(ty) => Self { storage: StorageType::Val(ty.map(f)), ..self },
            _ => self,
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => self.storage.fmt(f),
            Mutability::Var => write!(f, "(mut {})", self.storage),
        }
    }
}

/// The type of a struct: its fields, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StructType {
    fields: Box<[FieldType]>,
}

impl StructType {
    /// Creates a struct type.
    pub fn new(fields: impl IntoIterator<Item = FieldType>) -> Self {
        Self { fields: fields.into_iter().collect() }
    }

    /// Returns the fields.
    pub fn fields(&self) -> &[FieldType] {
        &self.fields
    }
}

/// The type of an array: that of its elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ArrayType {
    element: FieldType,
}

impl ArrayType {
    /// Creates an array type.
    pub const fn new(element: FieldType) -> Self {
        Self { element }
    }

    /// Returns the type of its elements.
    pub const fn field_type(&self) -> FieldType {
        self.element
    }
}

/// The definition of a type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CompositeType {
    /// A function type.
    Func(FuncType),
    /// A struct type.
    Struct(StructType),
    /// An array type.
    Array(ArrayType),
}

impl CompositeType {
    /// Returns the function type, if it is one.
    pub fn as_func(&self) -> Option<&FuncType> {
        match self {
            Self::Func(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(&self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        match self {
            Self::Func(ty) => Self::Func(ty.map(f)),
            Self::Struct(ty) => Self::Struct(StructType::new(ty.fields.iter().map(|field| field.map(f)))),
            Self::Array(ty) => Self::Array(ArrayType::new(ty.element.map(f))),
        }
    }
}

impl fmt::Display for CompositeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => write!(f, "func {ty}"),
            Self::Struct(ty) => {
                f.write_str("struct (")?;
                for (i, field) in ty.fields.iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Array(ty) => write!(f, "array {}", ty.element),
        }
    }
}

/// A defined type with its place in the subtype order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubType {
    /// Whether the type may have no subtypes.
    pub is_final: bool,
    /// The declared supertype.
    pub supertype: Option<TypeRef>,
    /// The definition.
    pub composite: CompositeType,
}

impl SubType {
    /// Creates a type without declared subtypes or supertypes: the meaning of a function type on its own.
    pub fn plain(composite: CompositeType) -> Self {
        Self { is_final: true, supertype: None, composite }
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(&self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        let supertype = self.supertype.map(&mut *f);
        Self { is_final: self.is_final, supertype, composite: self.composite.map(f) }
    }

    /// Calls `f` for every reference to a defined type.
    pub fn for_each_ref(&self, mut f: impl FnMut(TypeRef)) {
        let _ = self.map(&mut |ty| {
            f(ty);
            ty
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_a_person_writes_them() {
        let f = FuncType::new([ValType::I32, ValType::FUNCREF], [ValType::F64]);
        assert_eq!(f.to_string(), "(i32, funcref) -> f64");
        assert_eq!(FuncType::new([], []).to_string(), "() -> ()");
        let field = FieldType::new(Mutability::Var, StorageType::I8);
        assert_eq!(CompositeType::Array(ArrayType::new(field)).to_string(), "array (mut i8)");
    }
}
