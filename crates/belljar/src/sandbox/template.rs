//! Templates, from which sandboxes are created.

use super::instance_factory::InstanceFactory;
use super::instance_pool::{Capacity, InstancePool};
use super::{Sandbox, SandboxPool};
use crate::instantiate::InstancePre;
use crate::{Limits, PoolConfig, Result, Store};
use std::fmt;
use std::sync::Arc;

/// A template for sandboxes: a module with its imports, and how to create the host's state.
///
/// The module is instantiated and initialized once. All sandboxes of the template start from the resulting state,
/// without running any code.
pub struct SandboxTemplate<T: 'static> {
    factory: Arc<InstanceFactory<T>>,
    /// The instances of sandboxes that were built individually.
    instances: Arc<InstancePool<T>>,
}

impl<T: 'static> Clone for SandboxTemplate<T> {
    fn clone(&self) -> Self {
        Self { factory: self.factory.clone(), instances: self.instances.clone() }
    }
}

impl<T: 'static> fmt::Debug for SandboxTemplate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxTemplate").field("module", self.factory.pre.module()).finish_non_exhaustive()
    }
}

/// How many idle instances are kept for sandboxes that were built individually.
const KEPT_INSTANCES: usize = 64;

impl<T: 'static> SandboxTemplate<T> {
    /// Creates a template for a module. `make_data` creates the host's state for each call or session.
    pub fn new(pre: InstancePre<T>, make_data: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        Self::of(InstanceFactory::new(pre, Arc::new(make_data)))
    }

    fn of(factory: InstanceFactory<T>) -> Self {
        let factory = Arc::new(factory);
        let capacity = Capacity { most: usize::MAX, kept: KEPT_INSTANCES };
        Self { instances: Arc::new(InstancePool::new(factory.clone(), capacity, None)), factory }
    }

    /// Returns a template that differs in one setting.
    fn with(self, change: impl FnOnce(&mut InstanceFactory<T>)) -> Self {
        let mut factory = InstanceFactory::clone(&self.factory);
        change(&mut factory);
        Self::of(factory)
    }

    /// Sets a function that is called with each new store, before the module is instantiated in it, for example to set
    /// limits. It must do the same each time.
    pub fn prepare(self, prepare: impl Fn(&mut Store<T>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.with(|factory| factory.prepare = Some(Arc::new(prepare)))
    }

    /// Sets an export without parameters and results that is called once to initialize the module. All calls start from
    /// the guest's state after it. The host's state that it used is dropped.
    pub fn init(self, export: &str) -> Self {
        self.with(|factory| factory.init = Some(export.into()))
    }

    /// Sets the limits of each sandbox. Limits of time and fuel apply to each call or session as a whole, and, when a
    /// sandbox is created, to its instantiation and to its initialization. Default: [`Limits::unlimited`].
    ///
    /// ```
    /// use belljar::{Engine, KillReason, Killed, Limits, Linker, Module, SandboxTemplate};
    /// use std::time::Duration;
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "spin") (loop (br 0))) (func (export "nop")))"#)?;
    /// let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
    /// let limits = Limits::default().wall(Duration::from_millis(20));
    /// let mut sandbox = SandboxTemplate::new(pre, || Ok(())).limits(limits).build()?;
    /// let error = sandbox.call::<(), ()>("spin", ()).unwrap_err();
    /// assert_eq!(error.downcast_ref::<Killed>().unwrap().reason(), &KillReason::WallTime(Duration::from_millis(20)));
    /// sandbox.call::<(), ()>("nop", ())?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|factory| factory.limits = limits)
    }

    /// Sets whether each reset sandbox is compared, byte by byte, with its initial state. A sandbox that differs is
    /// discarded, with a warning in [`Engine::problems`](crate::Engine::problems). This takes as long as reading all
    /// its memory.
    pub fn verify(self, yes: bool) -> Self {
        self.with(|factory| factory.verify = yes)
    }

    /// Creates a sandbox. An idle sandbox takes about a hundred bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the module cannot be instantiated, if its initialization does not return, if an import is
    /// defined as an item of a store, or if the module has a shared memory.
    pub fn build(&self) -> Result<Sandbox<T>> {
        // Creates an instance, so that errors are reported here.
        self.instances.warm(1)?;
        Ok(Sandbox::of(self.instances.clone()))
    }

    /// Creates a pool of sandboxes for many threads.
    ///
    /// # Errors
    ///
    /// Returns an error as [`SandboxTemplate::build`] does.
    pub fn pool(&self, config: PoolConfig) -> Result<SandboxPool<T>> {
        SandboxPool::new(self.factory.clone(), config)
    }
}
