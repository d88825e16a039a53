//! A store held exclusively by code that does not know the type of its embedder's data.
//!
//! In: a [`StoreInner`] that the caller borrows, or the store whose guest called a builtin. Out: the store's core, and
//! the embedder's functions that decide about growth and deadlines. Never: two live borrows of one store.
//!
//! The embedder's functions need the whole store. So everything that may call them is a method of [`StoreMut`], which
//! keeps the whole store's address and borrows from it anew each time. It is not a method of [`StoreCore`], whose `&mut
//! self` would still be live beside the borrow that they get (ONE-BORROW).

use crate::growth_limiter::GrowthLimiter;
use crate::store::StoreCore;
use crate::store_inner::StoreInner;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A store with its embedder's data, held exclusively.
pub struct StoreMut<'a> {
    /// The address of a whole `StoreInner<T>`, whose first field is the core.
    store: NonNull<StoreCore>,
    held: PhantomData<&'a mut StoreCore>,
}

impl<'a> StoreMut<'a> {
    /// Creates a handle for the store whose core begins at an address.
    ///
    /// # Safety
    ///
    /// It is the address of a `StoreInner<T>`, with provenance for all of it, and there is no other reference to it for
    /// `'a`.
    pub(crate) unsafe fn at(store: NonNull<StoreCore>) -> Self {
        Self { store, held: PhantomData }
    }

    /// Runs `f` with the store and the limiter of growth.
    ///
    /// # Errors
    ///
    /// Returns the error of `f`.
    pub(crate) fn limited<R>(
        &mut self,
        f: impl FnOnce(&mut StoreCore, &mut GrowthLimiter<'_>) -> belljar_core::Result<R>,
    ) -> belljar_core::Result<R> {
        let with_limiter = self.host.hooks.with_limiter;
        let (mut f, mut result) = (Some(f), None);
        let mut once = |store: &mut StoreCore, growth_limiter: &mut GrowthLimiter<'_>| {
            if let Some(f) = f.take() {
                result = Some(f(store, growth_limiter)?);
            }
            Ok(())
        };
        // SAFETY: ONE-BORROW: the whole store's address; nothing is borrowed from it now.
        unsafe { with_limiter(self.store, &mut once) }?;
        result.ok_or_else(|| belljar_core::format_err!("belljar bug: growth was not decided"))
    }

    /// Asks the embedder by how much the epoch deadline moves, and moves it. Returns `false` if it does not move: trap.
    ///
    /// # Errors
    ///
    /// Returns the error of the embedder's callback.
    pub(crate) fn move_epoch_deadline(&mut self) -> belljar_core::Result<bool> {
        let new_epoch = self.host.hooks.new_epoch;
        // SAFETY: as in `limited`.
        let Some(delta) = unsafe { new_epoch(self.store) }? else { return Ok(false) };
        self.set_epoch_deadline(delta);
        Ok(true)
    }

    /// Returns the core, for as long as the store is held.
    pub(crate) fn into_core(self) -> &'a mut StoreCore {
        // SAFETY: ONE-BORROW; nothing else is borrowed from it any more.
        unsafe { &mut *self.store.as_ptr() }
    }
}

impl Deref for StoreMut<'_> {
    type Target = StoreCore;

    fn deref(&self) -> &StoreCore {
        // SAFETY: ONE-BORROW: what is borrowed here ends before `self` is used again.
        unsafe { self.store.as_ref() }
    }
}

impl DerefMut for StoreMut<'_> {
    fn deref_mut(&mut self) -> &mut StoreCore {
        // SAFETY: as in `deref`.
        unsafe { self.store.as_mut() }
    }
}

impl<T: 'static> StoreInner<T> {
    /// Returns the store for code that does not know the type of its data.
    pub fn erased(&mut self) -> StoreMut<'_> {
        let store = NonNull::from(self).cast();
        // SAFETY: the core is the first field of a `repr(C)` struct, and the whole is borrowed.
        unsafe { StoreMut::at(store) }
    }
}
