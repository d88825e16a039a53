//! Handles to objects: [`Rooted`], valid until its scope ends, and [`OwnedRooted`], valid while it lives.

use crate::{AsContext, AsContextMut, Result, StoreContext, StoreContextMut};
use belljar_core::{Context, ensure};
use belljar_vm::{OwnedRoot, Root, StoreCore, StoreId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) mod sealed {
    use super::{OwnedRoot, Root, StoreCore, StoreId};

    /// Names an object of a store. It is checked at each use.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Handle {
        pub(crate) store: StoreId,
        pub(crate) root: Root,
    }

    /// How a kind of reference is kept.
    pub trait Sealed {
        type Raw: Copy;
        const NAME: &'static str;
        fn of_handle(handle: Handle) -> Self;
        fn handle(&self) -> Handle;
        fn root(store: &mut StoreCore, raw: Self::Raw) -> Root;
        fn rooted(store: &StoreCore, root: Root) -> Option<Self::Raw>;
        fn own(store: &mut StoreCore, raw: Self::Raw) -> OwnedRoot;
    }
}
use sealed::Handle;

/// A kind of reference: [`AnyRef`](super::AnyRef), [`EqRef`](super::EqRef), [`StructRef`](super::StructRef),
/// [`ArrayRef`](super::ArrayRef), [`ExternRef`](super::ExternRef), [`ExnRef`](super::ExnRef).
pub trait GcRef: sealed::Sealed + Copy + 'static {
    /// Returns the reference as the guest holds it.
    #[doc(hidden)]
    fn raw(&self, store: &StoreCore) -> Result<Self::Raw> {
        let Handle { store: of, root } = self.handle();
        ensure!(
            of == store.id(),
            "a Rooted<{}> was used with a store that it does not belong to",
            Self::NAME
        );
        Self::rooted(store, root).with_context(|| {
            format!("a Rooted<{}> was used after the end of the scope in which it was created", Self::NAME)
        })
    }
}

/// A [`Rooted`] or an [`OwnedRooted`].
pub trait RootedGcRef<T: GcRef>: Deref<Target = T> {}

impl<T: GcRef> RootedGcRef<T> for Rooted<T> {}
impl<T: GcRef> RootedGcRef<T> for OwnedRooted<T> {}

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
    reference: T,
}

impl<T: GcRef> Clone for Rooted<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: GcRef> Copy for Rooted<T> {}

impl<T: GcRef> Deref for Rooted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.reference
    }
}

impl<T: GcRef> fmt::Debug for Rooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rooted<{}>", T::NAME)
    }
}

impl<T: GcRef> Rooted<T> {
    pub(crate) fn new(store: &mut StoreCore, raw: T::Raw) -> Self {
        let handle = Handle { store: store.id(), root: T::root(store, raw) };
        Self { reference: T::of_handle(handle) }
    }

    /// Returns a handle whose type the caller has checked.
    pub(super) fn of(handle: Handle) -> Self {
        Self { reference: T::of_handle(handle) }
    }

    /// Returns a handle of the same slot with another type, which the caller has checked.
    pub(crate) fn cast<U: GcRef<Raw = T::Raw>>(self) -> Rooted<U> {
        Rooted::of(self.handle())
    }

    /// Creates a handle that stays valid while it lives.
    ///
    /// # Errors
    ///
    /// Returns an error if this handle is no longer valid, or belongs to another store.
    pub fn to_owned_rooted(&self, mut store: impl AsContextMut) -> Result<OwnedRooted<T>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = self.raw(core)?;
        Ok(OwnedRooted::new(core, raw))
    }

    /// Returns whether two references are to the same object, or to equal small integers.
    ///
    /// # Errors
    ///
    /// Returns an error if a handle is no longer valid, or belongs to another store.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool>
    where
        T::Raw: PartialEq,
    {
        let core = store.as_context().0.core();
        Ok(a.raw(core)? == b.raw(core)?)
    }

    /// Hashes what the handle refers to: handles to the same object have the same hash, until the next garbage
    /// collection, which may move the object.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle is no longer valid, or belongs to another store.
    pub fn ref_hash<H: Hasher>(&self, store: impl AsContext, state: &mut H) -> Result<()>
    where
        T::Raw: Hash,
    {
        self.raw(store.as_context().0.core())?.hash(state);
        Ok(())
    }

    /// Returns whether two handles are the same handle. Two handles to one object can differ.
    pub fn rooted_eq(a: Self, b: Self) -> bool {
        a.handle() == b.handle()
    }

    /// Hashes the handle.
    pub fn rooted_hash<H: Hasher>(&self, state: &mut H) {
        self.handle().hash(state);
    }
}

/// A reference that is valid while it, or a clone of it, lives.
#[derive(Clone)]
pub struct OwnedRooted<T: GcRef> {
    reference: T,
    root: OwnedRoot,
}

impl<T: GcRef> Deref for OwnedRooted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.reference
    }
}

impl<T: GcRef> fmt::Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedRooted<{}>", T::NAME)
    }
}

impl<T: GcRef> OwnedRooted<T> {
    pub(crate) fn new(store: &mut StoreCore, raw: T::Raw) -> Self {
        let root = T::own(store, raw);
        let handle = Handle { store: store.id(), root: root.root() };
        Self { reference: T::of_handle(handle), root }
    }

    /// Creates a handle in the current scope.
    ///
    /// # Panics
    ///
    /// Panics if this handle belongs to another store.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> Rooted<T> {
        let core = store.as_context_mut().0.core_mut();
        crate::context::check_store(self.handle().store, core, "OwnedRooted");
        let raw = T::rooted(core, self.handle().root).expect("an owned root is valid while it lives");
        Rooted::new(core, raw)
    }

    /// Returns a handle of the same slot with another type, which the caller has checked.
    pub(crate) fn cast<U: GcRef<Raw = T::Raw>>(self) -> OwnedRooted<U> {
        OwnedRooted { reference: U::of_handle(self.reference.handle()), root: self.root }
    }

    /// As [`Rooted::ref_eq`].
    ///
    /// # Errors
    ///
    /// Returns an error if a handle is no longer valid, or belongs to another store.
    pub fn ref_eq(store: impl AsContext, a: &impl RootedGcRef<T>, b: &impl RootedGcRef<T>) -> Result<bool>
    where
        T::Raw: PartialEq,
    {
        Rooted::ref_eq(store, a, b)
    }

    /// As [`Rooted::ref_hash`].
    ///
    /// # Panics
    ///
    /// Panics if this handle belongs to another store.
    pub fn ref_hash<H: Hasher>(&self, store: impl AsContext, state: &mut H)
    where
        T::Raw: Hash,
    {
        let core = store.as_context().0.core();
        crate::context::check_store(self.handle().store, core, "OwnedRooted");
        T::rooted(core, self.handle().root).expect("an owned root is valid while it lives").hash(state);
    }

    /// Returns whether two handles are the same handle or clones of it.
    pub fn rooted_eq(a: &Self, b: &Self) -> bool {
        a.handle() == b.handle()
    }

    /// Hashes the handle.
    pub fn rooted_hash<H: Hasher>(&self, state: &mut H) {
        self.handle().hash(state);
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

    /// Prepares for this many more handles.
    pub fn reserve(&mut self, additional: usize) {
        self.context.as_context_mut().0.core_mut().reserve_roots(additional);
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
