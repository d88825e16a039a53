//! Exceptions.

use super::kinds::ExnRef;
use super::rooted::Rooted;
use crate::{AsContext, AsContextMut, Result, Tag, Val};
use anyhow::Context;

impl ExnRef {
    /// Creates an exception. [`crate::Store::throw`] turns it into an error that guests can catch.
    ///
    /// # Errors
    ///
    /// Returns an error if the values do not match the tag's parameters or belong to another store, or if the heap is
    /// full.
    ///
    /// # Panics
    ///
    /// Panics if the tag belongs to another store.
    pub fn new(mut store: impl AsContextMut, tag: &Tag, fields: &[Val]) -> Result<Rooted<Self>> {
        let store = store.as_context_mut().0;
        let core = store.core();
        crate::context::check_store(tag.store(), core, "Tag");
        let values = fields.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let raw = store.erased().make_exception(tag.id(), &values)?;
        Ok(Rooted::new(store.core_mut(), raw))
    }
}

impl Rooted<ExnRef> {
    /// Returns the exception's tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid or belongs to another store, as do all methods here.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        let core = store.as_context().0.core();
        Ok(Tag::from_id(core.id(), core.exception_tag(self.raw(core)?)))
    }

    /// Returns one of the values that the exception carries.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ExnRef>::tag`] does, or if there is no such value.
    pub fn field(&self, store: impl AsContextMut, index: usize) -> Result<Val> {
        let fields = self.fields(store)?;
        let found = fields.get(index).copied();
        found.with_context(|| {
            format!("the exception carries {} values, so there is no value {index}", fields.len())
        })
    }

    /// Returns all values that the exception carries, in order.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Rooted::<ExnRef>::tag`] does.
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        let values = core.exception_values(raw)?;
        Ok(values.into_iter().map(|value| Val::from_value(value, core)).collect())
    }
}
