//! What generated code calls the host's functions with: a part of the store's data.

use crate::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use std::marker::PhantomData;

/// Names what implements functions of the host: a type with a lifetime, which is made of the store's data for each call.
///
/// The functions `add_to_linker` that `bindgen!` generates take it as a type parameter, and a function that makes a `Data`
/// of the store's data. So a library can implement an interface for all stores whose data contains what it needs. Where the
/// whole data, or a field of it, implements the interface, [`HasSelf`] is enough.
///
/// ```
/// use belljar::component::{HasData, Linker, ResourceTable, bindgen};
///
/// bindgen!({
///     inline: "
///         package example:library;
///         interface ids {
///             next: func() -> u64;
///         }
///         world user { import ids; }
///     ",
/// });
///
/// /// What a library needs for each call.
/// struct Ids<'a> {
///     next: &'a mut u64,
///     table: &'a mut ResourceTable,
/// }
///
/// impl example::library::ids::Host for Ids<'_> {
///     fn next(&mut self) -> u64 {
///         *self.next += 1;
///         *self.next
///     }
/// }
///
/// struct HasIds;
///
/// impl HasData for HasIds {
///     type Data<'a> = Ids<'a>;
/// }
///
/// struct State {
///     next: u64,
///     table: ResourceTable,
/// }
///
/// # fn main() -> belljar::Result<()> {
/// # let engine = belljar::Engine::default();
/// let mut linker = Linker::<State>::new(&engine);
/// User::add_to_linker::<_, HasIds>(&mut linker, |state| Ids { next: &mut state.next, table: &mut state.table })?;
/// # Ok(())
/// # }
/// ```
pub trait HasData: 'static {
    /// What implements the functions.
    type Data<'a>;
}

impl HasData for () {
    type Data<'a> = ();
}

/// Names a type that implements functions of the host itself: they are called with `&mut T`. See [`HasData`].
#[derive(Debug)]
pub struct HasSelf<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized + 'static> HasData for HasSelf<T> {
    type Data<'a> = &'a mut T;
}

/// The store, and what a function of the host finds in its data. Functions get it for which `bindgen!` has the option
/// `store`.
pub struct Access<'a, T: 'static, D: HasData + ?Sized = HasSelf<T>> {
    store: StoreContextMut<'a, T>,
    getter: fn(&mut T) -> D::Data<'_>,
}

impl<T: 'static, D: HasData + ?Sized> std::fmt::Debug for Access<'_, T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl<'a, T: 'static, D: HasData + ?Sized> Access<'a, T, D> {
    /// Creates an access to a store. `getter` finds what implements the functions.
    pub fn new(store: StoreContextMut<'a, T>, getter: fn(&mut T) -> D::Data<'_>) -> Self {
        Self { store, getter }
    }

    /// Returns the embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// Returns what implements the functions.
    pub fn get(&mut self) -> D::Data<'_> {
        (self.getter)(self.store.data_mut())
    }
}

impl<T: 'static, D: HasData + ?Sized> AsContext for Access<'_, T, D> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&*self.store.0)
    }
}

impl<T: 'static, D: HasData + ?Sized> AsContextMut for Access<'_, T, D> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut::new(&mut *self.store.0)
    }
}
