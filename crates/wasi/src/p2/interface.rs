//! Defines the functions of an interface in a linker.

use super::failure::Failure;
use super::streams::{StreamError, StreamResult};
use super::view::WasiCtxView;
use belljar::component::{
    ComponentType, Lift, LiftParams, Linker, LinkerInstance, Lower, LowerResults, Resource, ResourceType,
};
use belljar::{Result, StoreContextMut};

/// Finds the state in a store's data.
pub(super) type Find<T> = fn(&mut T) -> WasiCtxView<'_>;

/// A linker, to which interfaces are added.
pub(super) struct Interfaces<'a, T: 'static> {
    linker: &'a mut Linker<T>,
    find: Find<T>,
}

impl<'a, T: 'static> Interfaces<'a, T> {
    pub(super) fn new(linker: &'a mut Linker<T>, find: Find<T>) -> Self {
        Self { linker, find }
    }

    /// Returns an interface by its name without the version: `wasi:io/poll`.
    pub(super) fn add(&mut self, name: &str) -> Result<Interface<'_, T>> {
        let instance = self.linker.instance(&format!("{name}@0.2.12"))?;
        Ok(Interface { instance, find: self.find })
    }
}

/// An interface whose functions are being defined.
pub(super) struct Interface<'a, T: 'static> {
    instance: LinkerInstance<'a, T>,
    find: Find<T>,
}

/// A stream's error, as the guest gets it.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamFailure {
    LastOperationFailed(Resource<super::IoError>),
    Closed,
}

/// Returns the state, which knows the store that called.
fn view<'a, T: 'static>(store: &'a mut StoreContextMut<'_, T>, find: Find<T>) -> WasiCtxView<'a> {
    let id = store.store_id();
    if find(store.data_mut()).ctx.is_new_caller(id) {
        let kill = store.kill_handle();
        find(store.data_mut()).ctx.set_caller(kill);
    }
    find(store.data_mut())
}

impl<T: 'static> Interface<'_, T> {
    fn define<P, R>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: LiftParams + 'static,
        R: LowerResults + 'static,
    {
        let find = self.find;
        self.instance.func_wrap(name, move |mut store: StoreContextMut<'_, T>, params: P| {
            f(&mut view(&mut store, find), params)
        })
    }

    /// Defines a function without a result.
    pub(super) fn action<P: LiftParams + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiCtxView<'_>, P) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        self.define(name, f)
    }

    /// Defines a function that can fail only for good.
    pub(super) fn func<P: LiftParams + 'static, R: Lower + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiCtxView<'_>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()> {
        self.define(name, move |view, params| Ok((f(view, params)?,)))
    }

    /// Defines a function that can fail with an error code.
    pub(super) fn fallible<P, R, E>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiCtxView<'_>, P) -> Result<R, Failure<E>> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: LiftParams + 'static,
        R: Lower + 'static,
        E: Lower + 'static,
    {
        self.define(name, move |view, params| match f(view, params) {
            Ok(value) => Ok((Ok(value),)),
            Err(Failure::Code(code)) => Ok((Err(code),)),
            Err(Failure::Trap(error)) => Err(error),
        })
    }

    /// Defines a function of a stream.
    pub(super) fn stream<P: LiftParams + 'static, R: Lower + 'static>(
        &mut self,
        name: &str,
        f: impl Fn(&mut WasiCtxView<'_>, P) -> StreamResult<R> + Send + Sync + 'static,
    ) -> Result<()> {
        self.define(name, move |view, params| {
            Ok((match f(view, params) {
                Ok(value) => Ok(value),
                Err(StreamError::Closed) => Err(StreamFailure::Closed),
                Err(StreamError::LastOperationFailed(error)) => {
                    Err(StreamFailure::LastOperationFailed(view.table.push(error)?))
                }
                Err(StreamError::Trap(error)) => return Err(error),
            },))
        })
    }

    /// Defines a resource type whose values lie in the table.
    pub(super) fn resource<R: Send + 'static>(&mut self, name: &str) -> Result<()> {
        let find = self.find;
        self.instance.resource(name, ResourceType::host::<R>(), move |mut store, rep| {
            view(&mut store, find).table.delete(Resource::<R>::new_own(rep))?;
            Ok(())
        })
    }
}
