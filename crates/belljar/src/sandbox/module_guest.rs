//! Sandboxes of modules.

use super::guest::Guest;
use super::sandbox_instance::SandboxInstance;
use super::{Sandbox, SandboxPool, Session};
use crate::definition::Definition;
use crate::instantiate::InstancePre;
use crate::{Engine, Instance, Result, Store, TypedFunc, WasmParams, WasmResults};
use belljar_vm::{Checkpoint, StoreId};
use std::any::Any;

impl<T: 'static> Guest<T> for InstancePre<T> {
    type State = ();
    type Kept = CachedExports;

    fn engine(&self) -> &Engine {
        self.module().engine()
    }

    fn check(&self) -> Result<()> {
        let is_of_a_store = |item: &Definition| matches!(item, Definition::Extern(_));
        belljar_core::ensure!(
            !self.items.iter().any(is_of_a_store),
            "the Linker defines an item of a store: a sandbox has its own store, and accepts only host functions"
        );
        Ok(())
    }

    fn instantiate(&self, store: &mut Store<T>) -> Result<u32> {
        InstancePre::instantiate(self, store).map(Instance::number)
    }

    fn initialize(store: &mut Store<T>, instance: u32, export: &str) -> Result<()> {
        let instance = store.instance(instance);
        instance.get_typed_func::<(), ()>(&mut *store, export)?.call(store, ())
    }

    fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<u32> {
        InstancePre::link_only(self, store, like).map(Instance::number)
    }

    fn state(_: &Store<T>, _: bool) -> Result<()> {
        Ok(())
    }

    fn restore(_: &mut Store<T>, _: StoreId, (): &(), _: &Checkpoint) -> Result<()> {
        Ok(())
    }

    fn has_state(_: &Store<T>, (): &()) -> bool {
        true
    }
}

/// Exports that were called before. Looking one up and comparing its type takes as long as a small call.
#[derive(Default)]
pub(crate) struct CachedExports(Vec<CachedExport>);

struct CachedExport {
    name: Box<str>,
    /// A [`TypedFunc`].
    func: Box<dyn Any + Send + Sync>,
}

/// How many exports are cached.
const MOST_EXPORTS: usize = 8;

impl<T: 'static> SandboxInstance<T, InstancePre<T>> {
    /// Returns an export that the store had at its checkpoint.
    fn func<P: WasmParams, R: WasmResults>(&mut self, export: &str) -> Result<TypedFunc<P, R>> {
        let same = |cached: &CachedExport| -> Option<TypedFunc<P, R>> {
            let func = cached.func.downcast_ref::<TypedFunc<P, R>>().filter(|_| *cached.name == *export);
            func.copied()?.since(&self.store, &self.start.checkpoint)
        };
        if let Some(func) = self.kept.0.iter().find_map(same) {
            return Ok(func);
        }
        self.check_store()?;
        let instance = self.store.instance(self.instance);
        let func = instance.get_typed_func(&mut self.store, export)?;
        if self.kept.0.len() < MOST_EXPORTS {
            self.kept.0.push(CachedExport { name: export.into(), func: Box::new(func) });
        }
        Ok(func)
    }
}

impl<T: 'static> Session<'_, T> {
    /// Calls an export.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return (a trap, a kill, an exhausted limit, an error of a host function), or if there
    /// is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        let instance = self.inner_mut();
        let func = instance.func::<P, R>(export)?;
        func.call(&mut instance.store, params)
    }

    /// Returns the sandbox's instance. It is valid until the session ends.
    pub fn instance(&self) -> Instance {
        let inner = self.inner();
        inner.store.instance(inner.instance)
    }
}

impl<T: 'static> Sandbox<T> {
    /// Calls an export, then resets the sandbox, however the call ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return (a trap, a kill, an exhausted limit, an error of a host function), if there is
    /// no such export, or as [`Sandbox::session`] does.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        let mut session = self.session()?;
        let result = session.call(export, params);
        session.end_with(result)
    }
}

impl<T: 'static> SandboxPool<T> {
    /// Calls an export in a reset sandbox, and resets the sandbox however the call ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return, if there is no such export, or as [`SandboxPool::session`] does.
    pub fn call<P: WasmParams, R: WasmResults>(&self, export: &str, params: P) -> Result<R> {
        let mut session = self.session()?;
        let result = session.call(export, params);
        session.end_with(result)
    }
}
