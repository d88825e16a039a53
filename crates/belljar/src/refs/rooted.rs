//! Handles to objects: [`Rooted`], valid until its scope ends, and [`OwnedRooted`], valid while it lives.

use crate::{AsContext, AsContextMut, Result, StoreContext, StoreContextMut};
use anyhow::Context;
use belljar_vm::{OwnedRoot, ScopedRoot, StoreCore, StoreId};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A type that a handle can refer to: [`AnyRef`](super::AnyRef), [`EqRef`](super::EqRef),
/// [`StructRef`](super::StructRef), [`ArrayRef`](super::ArrayRef), [`ExternRef`](super::ExternRef),
/// [`ExnRef`](super::ExnRef).
pub trait GcRef: sealed::Sealed + 'static {
    #[doc(hidden)]
    type Raw: Copy;
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    fn root(store: &mut StoreCore, raw: Self::Raw) -> ScopedRoot;
    #[doc(hidden)]
    fn rooted(store: &StoreCore, root: ScopedRoot) -> Option<Self::Raw>;
    #[doc(hidden)]
    fn own(store: &mut StoreCore, raw: Self::Raw) -> OwnedRoot;
    #[doc(hidden)]
    fn owned(store: &StoreCore, root: &OwnedRoot) -> Option<Self::Raw>;
}

/// A reference that is valid in the scope in which it was created: while the host function runs that created or
/// received it, until the end of a [`RootScope`], or as long as the store. It is small and `Copy`.
///
/// ```
/// use belljar::{Engine, ExternRef, RootScope, Store};
/// let engine = Engine::default();
/// let mut store = Store::new(&engine, ());
/// let kept = {
///     let mut scope = RootScope::new(&mut store);
///     let inner = ExternRef::new(&mut scope, "jar")?;
///     inner.to_owned_rooted(&mut scope)?
/// };
/// let again = kept.to_rooted(&mut store);
/// assert_eq!(again.data(&store)?.unwrap().downcast_ref::<&str>(), Some(&"jar"));
/// # Ok::<(), belljar::Error>(())
/// ```
pub struct Rooted<T: GcRef> {
    store: StoreId,
    root: ScopedRoot,
    ty: PhantomData<fn() -> T>,
}

impl<T: GcRef> Clone for Rooted<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: GcRef> Copy for Rooted<T> {}

impl<T: GcRef> fmt::Debug for Rooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rooted<{}>", T::NAME)
    }
}

impl<T: GcRef> Rooted<T> {
    pub(crate) fn new(store: &mut StoreCore, raw: T::Raw) -> Self {
        Self { store: store.id(), root: T::root(store, raw), ty: PhantomData }
    }

    pub(crate) fn raw(&self, store: &StoreCore) -> Result<T::Raw> {
        anyhow::ensure!(
            self.store == store.id(),
            "a Rooted<{}> was used with a store that it does not belong to",
            T::NAME
        );
        T::rooted(store, self.root).with_context(|| {
            format!("a Rooted<{}> was used after the end of the scope in which it was created", T::NAME)
        })
    }

    /// Returns a handle of the same slot with another type, which the caller has checked.
    pub(crate) fn cast<U: GcRef<Raw = T::Raw>>(self) -> Rooted<U> {
        Rooted { store: self.store, root: self.root, ty: PhantomData }
    }

    /// Creates a handle that stays valid while it lives.
    ///
    /// # Errors
    ///
    /// Returns an error if this handle is no longer valid, or belongs to another store.
    pub fn to_owned_rooted(&self, mut store: impl AsContextMut) -> Result<OwnedRooted<T>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        Ok(OwnedRooted { store: self.store, root: T::own(core, raw), ty: PhantomData })
    }

    /// Returns whether two references are to the same object, or to equal small integers.
    ///
    /// # Errors
    ///
    /// Returns an error if a handle is no longer valid, or belongs to another store.
    pub fn ref_eq(store: impl AsContext, a: &Self, b: &Self) -> Result<bool>
    where
        T::Raw: PartialEq,
    {
        let core = store.as_context().0.core();
        Ok(a.raw(core)? == b.raw(core)?)
    }
}

/// A reference that is valid while it, or a clone of it, lives.
pub struct OwnedRooted<T: GcRef> {
    store: StoreId,
    root: OwnedRoot,
    ty: PhantomData<fn() -> T>,
}

impl<T: GcRef> Clone for OwnedRooted<T> {
    fn clone(&self) -> Self {
        Self { store: self.store, root: self.root.clone(), ty: PhantomData }
    }
}

impl<T: GcRef> fmt::Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedRooted<{}>", T::NAME)
    }
}

impl<T: GcRef> OwnedRooted<T> {
    /// Creates a handle in the current scope.
    ///
    /// # Panics
    ///
    /// Panics if this handle belongs to another store.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> Rooted<T> {
        let core = store.as_context_mut().0.core_mut();
        crate::context::check_store(self.store, core, "OwnedRooted");
        let raw = T::owned(core, &self.root).expect("an owned root is valid while it lives");
        Rooted::new(core, raw)
    }
}

/// A scope for [`Rooted`] handles: handles that are created through it become invalid when it ends. For loops of the
/// host that would otherwise keep alive every object that they use.
pub struct RootScope<C: AsContextMut> {
    context: C,
    /// The store in which the scope began: `context` may lend another store later.
    store: StoreId,
    scope: belljar_vm::RootScope,
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins a scope.
    pub fn new(context: C) -> Self {
        let core = context.as_context().0.core();
        let (store, scope) = (core.id(), core.enter_roots());
        Self { context, store, scope }
    }
}

impl<C: AsContextMut> fmt::Debug for RootScope<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootScope").finish_non_exhaustive()
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        let mut leave = || {
            let core = self.context.as_context_mut().0.core_mut();
            if core.id() == self.store {
                core.leave_roots(self.scope);
            }
        };
        if std::thread::panicking() {
            // A second panic, in a context that the embedder implements, would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(leave));
        } else {
            leave();
        }
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        self.context.as_context()
    }
}

impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        self.context.as_context_mut()
    }
}
