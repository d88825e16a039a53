//! The types of structs and arrays.

use super::registered::{Finality, RegisteredType};
use super::{HeapType, Mutability, RefType, ValType};
use crate::{Engine, Result};
use belljar_core::{CompositeType, TypeId, ensure};
use std::fmt;

/// The type of a field or element: a value, or a small integer that takes less room.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StorageType {
    /// The low 8 bits of an `i32`.
    I8,
    /// The low 16 bits of an `i32`.
    I16,
    /// A value.
    ValType(ValType),
}

impl StorageType {
    /// Returns whether this is `StorageType::I8`.
    pub const fn is_i8(&self) -> bool {
        matches!(self, Self::I8)
    }

    /// Returns whether this is `StorageType::I16`.
    pub const fn is_i16(&self) -> bool {
        matches!(self, Self::I16)
    }

    /// Returns whether this is the type of a value.
    pub const fn is_val_type(&self) -> bool {
        matches!(self, Self::ValType(_))
    }

    /// Returns the type of the value, if it is stored as such.
    pub const fn as_val_type(&self) -> Option<&ValType> {
        match self {
            Self::ValType(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the type of the value.
    ///
    /// # Panics
    ///
    /// Panics if this is a packed type.
    #[track_caller]
    pub fn unwrap_val_type(&self) -> &ValType {
        self.as_val_type().unwrap_or_else(|| panic!("expected the type of a value, found {self}"))
    }

    /// Returns the type of the value that is read from it or written to it.
    pub const fn unpack(&self) -> &ValType {
        match self {
            Self::I8 | Self::I16 => &ValType::I32,
            Self::ValType(ty) => ty,
        }
    }

    /// Returns whether every value of this type is one of `other`.
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ValType(a), Self::ValType(b)) => a.matches(b),
            (a, b) => a == b,
        }
    }

    fn to_core(&self, engine: &Engine) -> Result<belljar_core::StorageType> {
        use belljar_core::StorageType as Core;
        Ok(match self {
            Self::I8 => Core::I8,
            Self::I16 => Core::I16,
            Self::ValType(ty) => Core::Val(ty.to_core(engine)?),
        })
    }

    fn from_core(ty: belljar_core::StorageType, engine: &Engine) -> Self {
        use belljar_core::StorageType as Core;
        match ty {
            Core::I8 => Self::I8,
            Core::I16 => Self::I16,
            Core::Val(ty) => Self::ValType(ValType::from_core(ty, engine)),
        }
    }
}

impl From<ValType> for StorageType {
    fn from(ty: ValType) -> Self {
        Self::ValType(ty)
    }
}

impl From<RefType> for StorageType {
    fn from(ty: RefType) -> Self {
        Self::ValType(ty.into())
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I8 => f.write_str("i8"),
            Self::I16 => f.write_str("i16"),
            Self::ValType(ty) => ty.fmt(f),
        }
    }
}

/// The type of a field of a struct, or of the elements of an array.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FieldType {
    mutability: Mutability,
    element_type: StorageType,
}

impl FieldType {
    /// Creates a field type.
    pub const fn new(mutability: Mutability, element_type: StorageType) -> Self {
        Self { mutability, element_type }
    }

    /// Returns whether it may be written.
    pub const fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// Returns the type of the contents.
    pub const fn element_type(&self) -> &StorageType {
        &self.element_type
    }

    /// Returns whether a field of this type may stand where a supertype has one of `other`.
    pub fn matches(&self, other: &Self) -> bool {
        self.mutability == other.mutability
            && match self.mutability {
                Mutability::Const => self.element_type.matches(&other.element_type),
                Mutability::Var => {
                    self.element_type.matches(&other.element_type)
                        && other.element_type.matches(&self.element_type)
                }
            }
    }

    fn to_core(&self, engine: &Engine) -> Result<belljar_core::FieldType> {
        Ok(belljar_core::FieldType::new(self.mutability, self.element_type.to_core(engine)?))
    }

    fn from_core(ty: belljar_core::FieldType, engine: &Engine) -> Self {
        Self::new(ty.mutability(), StorageType::from_core(ty.element_type(), engine))
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => self.element_type.fmt(f),
            Mutability::Var => write!(f, "(mut {})", self.element_type),
        }
    }
}

macro_rules! object_type {
    ($(#[$doc:meta])* $name:ident $variant:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(RegisteredType);

        impl $name {
            /// Returns the type of a registered type of this kind.
            pub(super) fn of(ty: RegisteredType) -> Self {
                Self(ty)
            }

            pub(crate) fn of_id(engine: &Engine, id: TypeId) -> Option<Self> {
                let known = RegisteredType::of_id(engine, id)?;
                matches!(known.composite(), CompositeType::$variant(_)).then_some(Self(known))
            }

            pub(crate) fn id_in(&self, engine: &Engine) -> Result<TypeId> {
                self.0.id_in(engine)
            }

            /// Returns the engine that the type belongs to.
            pub fn engine(&self) -> &Engine {
                self.0.engine()
            }

            /// Returns the type as a heap type.
            pub fn heap_type(&self) -> HeapType {
                self.clone().into()
            }

            /// Returns the type of references to it.
            pub fn ref_type(&self, nullable: bool) -> RefType {
                RefType::new(nullable, self.heap_type())
            }

            /// Returns whether the type may have subtypes.
            pub fn finality(&self) -> Finality {
                self.0.finality()
            }

            /// Returns the type's declared supertype.
            pub fn supertype(&self) -> Option<Self> {
                self.0.supertype().map(Self)
            }

            /// Returns whether this type is `other` or a declared subtype of it.
            pub fn matches(&self, other: &Self) -> bool {
                self.0.matches(&other.0)
            }

            pub(super) fn fmt_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.composite().fmt(f)
            }
        }
    };
}

object_type! {
    /// The type of a struct, as a list of fields. The engine keeps it as long as the engine itself lives. Handles are
    /// equal if they are of the same type of the same engine.
    StructType Struct
}

object_type! {
    /// The type of an array, with the type of its elements. The engine keeps it as long as the engine itself lives.
    /// Handles are equal if they are of the same type of the same engine.
    ArrayType Array
}

impl StructType {
    /// Creates a final struct type.
    ///
    /// # Errors
    ///
    /// Returns an error if a field refers to a type of another engine, or if the engine has no room for another type.
    pub fn new(engine: &Engine, fields: impl IntoIterator<Item = FieldType>) -> Result<Self> {
        Self::with_finality_and_supertype(engine, Finality::Final, None, fields)
    }

    /// Creates a struct type with a supertype, whose fields it starts with.
    ///
    /// # Errors
    ///
    /// Returns an error if the fields do not extend those of `supertype`, if `supertype` is final, if it or the type of
    /// a field belongs to another engine, or if the engine has no room for another type.
    pub fn with_finality_and_supertype(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&Self>,
        fields: impl IntoIterator<Item = FieldType>,
    ) -> Result<Self> {
        // The embedder's iterator may run any code, so it is exhausted before the fields are used.
        let fields: Vec<FieldType> = fields.into_iter().collect();
        let own = fields.iter().map(|field| field.to_core(engine)).collect::<Result<Vec<_>>>()?;
        if let Some(above) = supertype {
            above.id_in(engine)?;
            let fits = fields.len() >= above.fields().len()
                && fields.iter().zip(above.fields()).all(|(a, b)| a.matches(&b));
            ensure!(fits, "the fields do not extend those of the supertype, {above}");
        }
        let composite = CompositeType::Struct(belljar_core::StructType::new(own));
        RegisteredType::define(engine, finality, supertype.map(|above| &above.0), composite).map(Self)
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldType> + '_ {
        self.own_fields().iter().map(|field| FieldType::from_core(*field, self.engine()))
    }

    /// Returns the fields with the engine's type ids.
    fn own_fields(&self) -> &[belljar_core::FieldType] {
        match self.0.composite() {
            CompositeType::Struct(ty) => ty.fields(),
            other => unreachable!("a struct type is one: {other}"),
        }
    }

    /// Returns the `i`th field.
    pub fn field(&self, i: usize) -> Option<FieldType> {
        self.own_fields().get(i).map(|field| FieldType::from_core(*field, self.engine()))
    }
}

impl ArrayType {
    /// Creates a final array type.
    ///
    /// # Errors
    ///
    /// Returns an error if the elements refer to a type of another engine, or if the engine has no room for another
    /// type.
    pub fn new(engine: &Engine, field_type: FieldType) -> Result<Self> {
        Self::with_finality_and_supertype(engine, Finality::Final, None, field_type)
    }

    /// Creates an array type with a supertype.
    ///
    /// # Errors
    ///
    /// Returns an error if the elements do not match those of `supertype`, if `supertype` is final, if it or the type
    /// of the elements belongs to another engine, or if the engine has no room for another type.
    pub fn with_finality_and_supertype(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&Self>,
        field_type: FieldType,
    ) -> Result<Self> {
        let own = belljar_core::ArrayType::new(field_type.to_core(engine)?);
        if let Some(above) = supertype {
            above.id_in(engine)?;
            let fits = field_type.matches(&above.field_type());
            ensure!(fits, "the elements do not match those of the supertype, {above}");
        }
        let above = supertype.map(|above| &above.0);
        RegisteredType::define(engine, finality, above, CompositeType::Array(own)).map(Self)
    }

    /// Returns the type of the elements, with their mutability.
    pub fn field_type(&self) -> FieldType {
        match self.0.composite() {
            CompositeType::Array(ty) => FieldType::from_core(ty.field_type(), self.engine()),
            other => unreachable!("an array type is one: {other}"),
        }
    }

    /// Returns whether the elements may be written.
    pub fn mutability(&self) -> Mutability {
        self.field_type().mutability()
    }

    /// Returns the type of the elements.
    pub fn element_type(&self) -> StorageType {
        self.field_type().element_type
    }
}
