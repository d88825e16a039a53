//! Exceptions.

use super::kinds::ExnRef;
use super::out_of_memory::GcHeapOutOfMemory;
use super::rooted::{GcRef, Rooted};
use crate::engine::engine_of;
use crate::{AsContext, AsContextMut, ExnType, FuncType, HeapType, Result, Tag, TagType, Val};
use belljar_core::{Context, Counted, ensure};

/// An allocator of exceptions of a type.
#[derive(Clone, Debug)]
pub struct ExnRefPre {
    ty: ExnType,
}

impl ExnRefPre {
    /// Creates an allocator of exceptions of this type.
    pub fn new(_store: impl AsContextMut, ty: ExnType) -> Self {
        Self { ty }
    }
}

impl ExnRef {
    /// Creates an exception. [`crate::Store::throw`] turns it into an error that guests can catch.
    ///
    /// # Errors
    ///
    /// Returns an error if the allocator's type is not the tag's, if the values do not match it or belong to another
    /// store, or if the heap is full (a [`GcHeapOutOfMemory`](crate::GcHeapOutOfMemory)).
    ///
    /// # Panics
    ///
    /// Panics if the tag belongs to another store.
    pub fn new(
        mut store: impl AsContextMut,
        pre: &ExnRefPre,
        tag: &Tag,
        fields: &[Val],
    ) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let core = store.core();
        crate::context::check_store(tag.store(), core, "Tag");
        let wanted = pre.ty.tag_type();
        ensure!(
            wanted.ty().to_core(engine_of(core))? == core.tag_type(tag.id()),
            "the tag is of another type than the allocator's, which is {}",
            pre.ty
        );
        let values = fields.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let raw = store.erased().make_exception(tag.id(), &values).map_err(GcHeapOutOfMemory::of)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl ExnRef {
    /// Returns the exception's tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        let core = store.as_context().0.core();
        Ok(Tag::from_id(core.id(), core.exception_tag(self.raw(core)?)))
    }

    /// Returns the exception's type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ExnRef::tag`] does.
    pub fn ty(&self, store: impl AsContext) -> Result<ExnType> {
        let core = store.as_context().0.core();
        let ty = FuncType::from_core(&core.tag_type(core.exception_tag(self.raw(core)?)), engine_of(core));
        ExnType::from_tag_type(&TagType::new(ty))
    }

    /// Returns whether the exception is of this type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ExnRef::tag`] does.
    pub fn matches_ty(&self, store: impl AsContext, ty: &HeapType) -> Result<bool> {
        Ok(HeapType::from(self.ty(store)?).matches(ty))
    }

    /// Returns one of the values that the exception carries.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ExnRef::tag`] does, or if there is no such value.
    pub fn field(&self, store: impl AsContextMut, index: usize) -> Result<Val> {
        let mut fields = self.fields(store)?;
        let count = fields.len();
        let found = fields.nth(index);
        let values = Counted::of(count, "value");
        found.with_context(|| format!("the exception carries {values}, so there is no value {index}"))
    }

    /// Returns all values that the exception carries, in order.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ExnRef::tag`] does.
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<std::vec::IntoIter<Val>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let values = core.exception_values(raw)?;
        let values: Vec<Val> = values.into_iter().map(|value| Val::from_value(value, core)).collect();
        Ok(values.into_iter())
    }
}
