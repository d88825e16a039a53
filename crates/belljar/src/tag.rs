//! Tags: what tells one kind of exception from another.

use crate::context::check_store;
use crate::{AsContext, AsContextMut, Result, TagType};
use belljar_core::TagId;
use belljar_vm::StoreId;

/// A tag of a store. Two tags are the same exception only if they are the same handle, whatever their types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    store: StoreId,
    id: TagId,
}

impl Tag {
    /// A new tag, different from every other.
    ///
    /// # Errors
    ///
    /// Where its type has results or refers to one of another engine, or the engine has no room for another type.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        let ty = core.runtime().own_types(|mut own| ty.ty().0.map(&mut own))?;
        Ok(Self { store: core.id(), id: core.new_tag(&ty)? })
    }

    /// Its type.
    ///
    /// # Panics
    ///
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Tag");
        TagType::new(crate::types::shown_func(&core.tag_type(self.id), core.runtime()))
    }

    /// Whether two handles are the same tag.
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
