//! Defines the functions of an interface in a linker.
//!
//! None of them blocks: a guest waits by the functions of `wasi:io`, which a kill ends.

use crate::ctx::WasiHttpCtxView;
use belljar::component::{LiftParams, Linker, LinkerInstance, Lower, LowerResults, Resource, ResourceType};
use belljar::{Result, StoreContextMut};

/// Finds the state in a store's data.
type Find<T> = fn(&mut T) -> WasiHttpCtxView<'_>;

/// An interface whose functions are being defined.
pub(super) struct Interface<'a, T: 'static> {
    instance: LinkerInstance<'a, T>,
    find: Find<T>,
}

impl<'a, T: 'static> Interface<'a, T> {
    /// Returns an interface by its name without the version: `wasi:http/types`.
    pub(super) fn new(linker: &'a mut Linker<T>, name: &str, find: Find<T>) -> Result<Self> {
        Ok(Self { instance: linker.instance(&format!("{name}@0.2.12"))?, find })
    }

    fn define<P: LiftParams + 'static, R: LowerResults + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiHttpCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()> {
        let find = self.find;
        self.instance.func_wrap(name, move |mut store: StoreContextMut<'_, T>, params: P| {
            f(&mut find(store.data_mut()), params)
        })
    }

    /// Defines a function without a result.
    pub(super) fn action<P: LiftParams + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiHttpCtxView<'_>, P) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        self.define(name, f)
    }

    /// Defines a function with a result.
    pub(super) fn func<P: LiftParams + 'static, R: Lower + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiHttpCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()> {
        self.define(name, move |view, params| Ok((f(view, params)?,)))
    }

    /// Defines a resource type whose values lie in the table.
    pub(super) fn resource<R: Send + 'static>(&mut self, name: &str) -> Result<()> {
        let find = self.find;
        self.instance.resource(name, ResourceType::host::<R>(), move |mut store, rep| {
            find(store.data_mut()).table.delete(Resource::<R>::new_own(rep))?;
            Ok(())
        })
    }
}
