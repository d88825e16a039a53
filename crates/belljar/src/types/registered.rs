//! A defined type that is registered with an engine.

use crate::{Engine, Result};
use belljar_core::{CompositeType, Context, SubType, TypeId, TypeRef, ensure};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Whether a type may have subtypes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Finality {
    /// It has no subtypes.
    Final,
    /// It may have subtypes.
    NonFinal,
}

impl Finality {
    /// Returns whether the type has no subtypes.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final)
    }

    /// Returns whether the type may have subtypes.
    pub const fn is_non_final(&self) -> bool {
        matches!(self, Self::NonFinal)
    }
}

/// A handle to a type that its engine keeps for as long as the engine lives. Handles are equal if they are of the same
/// type of the same engine.
#[derive(Clone)]
pub(super) struct RegisteredType {
    engine: Engine,
    id: TypeId,
    /// All its references are ids.
    ty: Arc<SubType>,
}

impl RegisteredType {
    /// Registers a type whose references are ids of the engine.
    pub(super) fn define(
        engine: &Engine,
        finality: Finality,
        supertype: Option<&RegisteredType>,
        ty: CompositeType,
    ) -> Result<Self> {
        let supertype = match supertype {
            Some(supertype) => {
                ensure!(supertype.finality().is_non_final(), "the supertype, {supertype}, is final");
                Some(TypeRef::Id(supertype.id_in(engine)?))
            }
            None => None,
        };
        let ty = SubType { is_final: finality.is_final(), supertype, composite: ty };
        let id = engine.runtime().define_type(&ty)?;
        Self::of_id(engine, id).context("a type that was just defined is known")
    }

    /// Returns the type with this id, which the engine keeps from now on, since the embedder may use it at any time.
    pub(super) fn of_id(engine: &Engine, id: TypeId) -> Option<Self> {
        engine.runtime().keep_type(id);
        Some(Self { engine: engine.clone(), id, ty: engine.runtime().defined_type(id)? })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the id that the type has in its engine.
    ///
    /// # Errors
    ///
    /// Returns an error if that is not `engine`.
    pub(super) fn id_in(&self, engine: &Engine) -> Result<TypeId> {
        ensure!(
            Engine::same(&self.engine, engine),
            "type {self} was used with an engine that it does not belong to"
        );
        Ok(self.id)
    }

    /// Returns the definition. All its references are ids.
    pub(super) fn composite(&self) -> &CompositeType {
        &self.ty.composite
    }

    pub(super) fn finality(&self) -> Finality {
        if self.ty.is_final { Finality::Final } else { Finality::NonFinal }
    }

    pub(super) fn supertype(&self) -> Option<Self> {
        match self.ty.supertype? {
            TypeRef::Id(id) => Self::of_id(&self.engine, id),
            _ => None,
        }
    }

    /// Returns whether this type is `other` or a declared subtype of it.
    pub(super) fn matches(&self, other: &Self) -> bool {
        let ty = |id| {
            let heap = belljar_core::HeapType::Defined(TypeRef::Id(id));
            belljar_core::ValType::Ref(belljar_core::RefType::new(false, heap))
        };
        other.id_in(&self.engine).is_ok_and(|other| self.engine.runtime().matches(ty(self.id), ty(other)))
    }
}

impl PartialEq for RegisteredType {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && Engine::same(&self.engine, &other.engine)
    }
}

impl Eq for RegisteredType {}

impl Hash for RegisteredType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Prints the type's number in its engine.
impl fmt::Display for RegisteredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TypeRef::Id(self.id).fmt(f)
    }
}
