//! Types of structs and arrays, registered with an engine.

use crate::{Engine, FieldType, HeapType, RefType, Result};
use anyhow::Context;
use belljar_core::{CompositeType, SubType, TypeId, TypeRef};
use belljar_vm::Runtime;
use std::fmt;
use std::sync::{Arc, Weak};

/// Whether a type may have subtypes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finality {
    /// It has no subtypes.
    Final,
    /// It may have subtypes.
    NonFinal,
}

/// A type that is registered with an engine.
#[derive(Clone)]
struct RegisteredType {
    runtime: Weak<Runtime>,
    id: TypeId,
    ty: Arc<SubType>,
}

impl RegisteredType {
    /// Registers a type. `ty` refers to types of the engine by their ids.
    fn define(
        engine: &Engine,
        finality: Finality,
        above: Option<&RegisteredType>,
        ty: CompositeType,
    ) -> Result<Self> {
        let runtime = engine.runtime();
        let supertype = above.map(|above| above.id_in(runtime).map(TypeRef::Id)).transpose()?;
        let ty = SubType { is_final: finality == Finality::Final, supertype, composite: ty };
        let id = runtime.define_type(&ty)?;
        let ty = runtime.defined_type(id).context("a type that was just defined is known")?;
        Ok(Self { runtime: Arc::downgrade(runtime), id, ty })
    }

    fn of_id(runtime: &Arc<Runtime>, id: TypeId) -> Option<Self> {
        runtime.show_type(TypeRef::Id(id));
        Some(Self { runtime: Arc::downgrade(runtime), id, ty: runtime.defined_type(id)? })
    }

    fn id_in(&self, runtime: &Arc<Runtime>) -> Result<TypeId> {
        anyhow::ensure!(
            std::ptr::eq(self.runtime.as_ptr(), Arc::as_ptr(runtime)),
            "a type was used with an engine that it does not belong to"
        );
        Ok(self.id)
    }

    /// Returns the type as the embedder sees it. If the engine is gone, the result still distinguishes different types.
    fn heap_type(&self) -> HeapType {
        let id = TypeRef::Id(self.id);
        HeapType::Defined(self.runtime.upgrade().map_or(id, |runtime| runtime.show_type(id)))
    }

    /// Returns a field of the type as the embedder sees it.
    fn shown_field(&self, field: FieldType) -> FieldType {
        field.map(&mut |r| self.runtime.upgrade().map_or(r, |runtime| runtime.show_type(r)))
    }

    fn finality(&self) -> Finality {
        if self.ty.is_final { Finality::Final } else { Finality::NonFinal }
    }

    fn same(&self, other: &Self) -> bool {
        self.id == other.id && self.runtime.ptr_eq(&other.runtime)
    }
}

macro_rules! object_type {
    ($(#[$doc:meta])* $name:ident $variant:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(RegisteredType);

        impl $name {
            /// Returns the type of a heap type in an engine, if it is of this kind.
            pub fn from_heap_type(engine: &Engine, ty: HeapType) -> Option<Self> {
                let HeapType::Defined(ty) = ty else { return None };
                match engine.runtime().own_types(|own| own(ty)) {
                    Ok(TypeRef::Id(id)) => Self::of_id(engine.runtime(), id),
                    _ => None,
                }
            }

            pub(crate) fn of_id(runtime: &Arc<Runtime>, id: TypeId) -> Option<Self> {
                let known = RegisteredType::of_id(runtime, id)?;
                matches!(known.ty.composite, CompositeType::$variant(_)).then_some(Self(known))
            }

            pub(crate) fn id_in(&self, runtime: &Arc<Runtime>) -> Result<TypeId> {
                self.0.id_in(runtime)
            }

            /// Returns the type as a heap type, for references.
            pub fn heap_type(&self) -> HeapType {
                self.0.heap_type()
            }

            /// Returns the type of references to it.
            pub fn ref_type(&self, nullable: bool) -> RefType {
                RefType::new(nullable, self.heap_type())
            }

            /// Returns whether the type may have subtypes.
            pub fn finality(&self) -> Finality {
                self.0.finality()
            }

            /// Returns whether this type is `other` or a subtype of it.
            pub fn matches(&self, other: &Self) -> bool {
                let Some(runtime) = self.0.runtime.upgrade() else { return false };
                let ty = |id| RefType::new(false, HeapType::Defined(TypeRef::Id(id))).into();
                other.id_in(&runtime).is_ok_and(|other| runtime.matches(ty(self.0.id), ty(other)))
            }
        }

        /// Handles are equal if they are of the same type of the same engine.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.same(&other.0)
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.ty.composite)
            }
        }
    };
}

object_type! {
    /// The type of a struct, as a list of fields. The engine keeps it as long as the engine itself lives.
    StructType Struct
}

object_type! {
    /// The type of an array, with the type of its elements. The engine keeps it as long as the engine itself lives.
    ArrayType Array
}

impl StructType {
    /// Creates a final struct type.
    ///
    /// # Errors
    ///
    /// Returns an error if a field refers to a type of another engine, or if the engine has no room for another type.
    pub fn new(engine: &Engine, fields: impl IntoIterator<Item = FieldType>) -> Result<Self> {
        let ty = own_fields(engine, fields)?;
        RegisteredType::define(engine, Finality::Final, None, CompositeType::Struct(ty)).map(Self)
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
        supertype: Option<&StructType>,
        fields: impl IntoIterator<Item = FieldType>,
    ) -> Result<Self> {
        let ty = own_fields(engine, fields)?;
        if let Some(above) = supertype {
            above.id_in(engine.runtime())?;
            anyhow::ensure!(above.finality() == Finality::NonFinal, "the supertype is final");
            let of_above = above.own_fields();
            let fits = ty.fields().len() >= of_above.len()
                && ty.fields().iter().zip(of_above).all(|(a, b)| field_matches(engine, a, b));
            anyhow::ensure!(fits, "the fields do not extend those of the supertype, {above:?}");
        }
        let above = supertype.map(|above| &above.0);
        RegisteredType::define(engine, finality, above, CompositeType::Struct(ty)).map(Self)
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = FieldType> + '_ {
        self.own_fields().iter().map(|field| self.0.shown_field(*field))
    }

    /// Returns the fields with the engine's type ids.
    fn own_fields(&self) -> &[FieldType] {
        match &self.0.ty.composite {
            CompositeType::Struct(ty) => ty.fields(),
            _ => &[],
        }
    }

    /// Returns the `i`th field.
    pub fn field(&self, i: usize) -> Option<FieldType> {
        self.fields().nth(i)
    }
}

/// Creates a struct type with fields of the embedder.
fn own_fields(
    engine: &Engine,
    fields: impl IntoIterator<Item = FieldType>,
) -> Result<belljar_core::StructType> {
    // The embedder's iterator may run any code, so it is exhausted before the fields are used.
    let fields: Vec<FieldType> = fields.into_iter().collect();
    engine.runtime().own_types(|mut own| {
        belljar_core::StructType::new(fields.into_iter().map(|field| field.map(&mut own)))
    })
}

/// Returns whether field `a` can extend a supertype's field `b`.
fn field_matches(engine: &Engine, a: &FieldType, b: &FieldType) -> bool {
    use crate::{Mutability, StorageType};
    let below = match (a.element_type(), b.element_type()) {
        (StorageType::Val(a), StorageType::Val(b)) => engine.runtime().matches(a, b),
        (a, b) => a == b,
    };
    a.mutability() == b.mutability()
        && match a.mutability() {
            Mutability::Const => below,
            Mutability::Var => a.element_type() == b.element_type(),
        }
}

impl ArrayType {
    /// Creates a final array type.
    ///
    /// # Errors
    ///
    /// Returns an error if the elements refer to a type of another engine, or if the engine has no room for another
    /// type.
    pub fn new(engine: &Engine, element: FieldType) -> Result<Self> {
        let ty = belljar_core::ArrayType::new(engine.runtime().own_types(|mut own| element.map(&mut own))?);
        RegisteredType::define(engine, Finality::Final, None, CompositeType::Array(ty)).map(Self)
    }

    /// Returns the type of the elements.
    pub fn field_type(&self) -> FieldType {
        match &self.0.ty.composite {
            CompositeType::Array(ty) => self.0.shown_field(ty.field_type()),
            other => unreachable!("an array type is one: {other}"),
        }
    }
}
