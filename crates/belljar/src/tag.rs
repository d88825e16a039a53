//! Tags, which identify kinds of exceptions.

use crate::context::check_store;
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, FuncType, Result, TagType};
use belljar_core::TagId;
use belljar_vm::StoreId;

/// A tag of a store. Tags of the same type are still different kinds of exceptions: only a tag itself catches its
/// exceptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    store: StoreId,
    id: TagId,
}

impl Tag {
    /// Creates a tag, which differs from all others.
    ///
    /// # Errors
    ///
    /// Returns an error if the type has results or refers to a type of another engine, or if the engine has no room for
    /// another type.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        let ty = ty.ty().to_core(engine_of(core))?;
        Ok(Self { store: core.id(), id: core.new_tag(&ty)? })
    }

    /// Returns the tag's type.
    ///
    /// # Panics
    ///
    /// Panics if the tag belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Tag");
        TagType::new(FuncType::from_core(&core.tag_type(self.id), engine_of(core)))
    }

    /// Returns whether two handles refer to the same tag.
    pub fn eq(a: &Self, b: &Self, _store: impl AsContext) -> bool {
        a == b
    }

    pub(crate) fn from_id(store: StoreId, id: TagId) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(&self) -> TagId {
        self.id
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }
}
