//! Sandboxes of components.

use super::checkpoint::ComponentsCheckpoint;
use super::export_index::InstanceExportLookup;
use super::instance::Instance;
use super::instance_pre::InstancePre;
use super::rewind::rewind;
use super::state::StoreComponents;
use crate::sandbox::Guest;
use crate::{AsContextMut, Engine, Result, Sandbox, SandboxPool, Session, Store};
use belljar_component::typed::{LiftResults, LowerParams};
use belljar_core::{Context, ensure};
use belljar_vm::{Checkpoint, StoreId};

impl<T: 'static> Guest<T> for InstancePre<T> {
    type State = ComponentsCheckpoint;
    type Kept = ();

    fn engine(&self) -> &Engine {
        InstancePre::engine(self)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !self.is_of_a_store(),
            "the Linker defines a function of another component's instance: a sandbox has its own store, and accepts only \
             functions of the host"
        );
        Ok(())
    }

    fn instantiate(&self, store: &mut Store<T>) -> Result<u32> {
        InstancePre::instantiate(self, store).map(Instance::number)
    }

    fn initialize(store: &mut Store<T>, instance: u32, export: &str) -> Result<()> {
        let instance = Instance::of(store.core(), instance);
        let path = export.split('#').collect::<Vec<_>>();
        instance.get_typed_func::<(), ()>(&*store, &*path)?.call(store, ())
    }

    fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<u32> {
        InstancePre::link_only(self, store, like).map(Instance::number)
    }

    fn state(store: &Store<T>, keeps_host_resources: bool) -> Result<ComponentsCheckpoint> {
        let components =
            StoreComponents::of(store.core()).context("belljar bug: a store without components")?;
        let types = components.host_types_in_use();
        ensure!(
            types.is_empty() || keeps_host_resources,
            "the guest holds resources of the host after its initialization ({}): they belong to the host's state, and each \
             call or session has another one (SandboxTemplate::keep_host_resources)",
            types.join(", ")
        );
        Ok(components.checkpoint())
    }

    fn restore(
        store: &mut Store<T>,
        before: StoreId,
        state: &ComponentsCheckpoint,
        at: &Checkpoint,
    ) -> Result<()> {
        rewind(store.as_context_mut().0.core_mut(), before, state, at)
    }

    fn has_state(store: &Store<T>, state: &ComponentsCheckpoint) -> bool {
        StoreComponents::of(store.core()).is_some_and(|components| components.checkpoint() == *state)
    }
}

impl<T: 'static> Session<'_, T, InstancePre<T>> {
    /// Calls an exported function: a name, the names of an exported instance and of its function, or a
    /// [`ComponentExportIndex`](super::ComponentExportIndex).
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return (a trap, a kill, an exhausted limit, an error of a host function), or if
    /// there is no such export, or one of another type.
    pub fn call<P: LowerParams, R: LiftResults>(
        &mut self,
        export: impl InstanceExportLookup,
        params: P,
    ) -> Result<R> {
        let inner = self.inner_mut();
        inner.check_store()?;
        let instance = Instance::of(inner.store.core(), inner.instance);
        instance.get_typed_func::<P, R>(&inner.store, export)?.call(&mut inner.store, params)
    }

    /// Returns the sandbox's instance, for example for the types that [`bindgen!`](super::bindgen!) generates. It is valid
    /// until the session ends.
    pub fn instance(&self) -> Instance {
        let inner = self.inner();
        Instance::of(inner.store.core(), inner.instance)
    }
}

impl<T: 'static> Sandbox<T, InstancePre<T>> {
    /// Calls an exported function, then resets the sandbox, however the call ended.
    ///
    /// ```
    /// use belljar::component::{Component, Linker};
    /// use belljar::{Engine, SandboxTemplate};
    ///
    /// let engine = Engine::default();
    /// let component = Component::new(&engine, r#"(component
    ///     (core module $m
    ///         (global $n (mut i32) (i32.const 0))
    ///         (func (export "add") (param i32) (result i32)
    ///             (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n)))
    ///     (core instance $m (instantiate $m))
    ///     (func (export "add") (param "by" u32) (result u32) (canon lift (core func $m "add"))))"#)?;
    /// let pre = Linker::<()>::new(&engine).instantiate_pre(&component)?;
    /// let mut sandbox = SandboxTemplate::new(pre, || Ok(())).build()?;
    /// assert_eq!(sandbox.call::<(u32,), (u32,)>("add", (1,))?, (1,));
    /// assert_eq!(sandbox.call::<(u32,), (u32,)>("add", (1,))?, (1,), "nothing is left of the call before");
    ///
    /// let mut session = sandbox.session()?;
    /// assert_eq!(session.call::<(u32,), (u32,)>("add", (1,))?, (1,));
    /// assert_eq!(session.call::<(u32,), (u32,)>("add", (1,))?, (2,), "a session keeps what happens");
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return, if there is no such export, or as [`Sandbox::session`] does.
    pub fn call<P: LowerParams, R: LiftResults>(
        &mut self,
        export: impl InstanceExportLookup,
        params: P,
    ) -> Result<R> {
        let mut session = self.session()?;
        let result = session.call(export, params);
        session.end_with(result)
    }
}

impl<T: 'static> SandboxPool<T, InstancePre<T>> {
    /// Calls an exported function in a reset sandbox, and resets the sandbox however the call ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return, if there is no such export, or as [`SandboxPool::session`] does.
    pub fn call<P: LowerParams, R: LiftResults>(
        &self,
        export: impl InstanceExportLookup,
        params: P,
    ) -> Result<R> {
        let mut session = self.session()?;
        let result = session.call(export, params);
        session.end_with(result)
    }
}
