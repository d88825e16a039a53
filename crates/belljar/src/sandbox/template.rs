//! Templates, from which sandboxes are created.

use super::guest::SandboxGuest;
use super::instance_factory::InstanceFactory;
use super::instance_pool::{Capacity, InstancePool};
use super::{Sandbox, SandboxPool};
use crate::instantiate::InstancePre;
use crate::{Limits, PoolConfig, Result, Store};
use std::fmt;
use std::sync::Arc;

/// A template for sandboxes: a module or a component with its imports, and how to create the host's state.
///
/// It is instantiated and initialized once. All sandboxes of the template start from the resulting state,
/// without running any code.
///
/// `G` is what its sandboxes are of: see [`SandboxGuest`].
pub struct SandboxTemplate<T: 'static, G: SandboxGuest<T> = InstancePre<T>> {
    factory: Arc<InstanceFactory<T, G>>,
    /// The instances of sandboxes that were built individually.
    instances: Arc<InstancePool<T, G>>,
}

impl<T: 'static, G: SandboxGuest<T>> Clone for SandboxTemplate<T, G> {
    fn clone(&self) -> Self {
        Self { factory: self.factory.clone(), instances: self.instances.clone() }
    }
}

impl<T: 'static, G: SandboxGuest<T>> fmt::Debug for SandboxTemplate<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxTemplate").finish_non_exhaustive()
    }
}

/// How many idle instances are kept for sandboxes that were built individually.
const KEPT_INSTANCES: usize = 64;

impl<T: 'static, G: SandboxGuest<T>> SandboxTemplate<T, G> {
    /// Creates a template for a module or a component with its imports. `make_data` creates the host's state for each call or session.
    pub fn new(pre: G, make_data: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        Self::of(InstanceFactory::new(pre, Arc::new(make_data)))
    }

    fn of(factory: InstanceFactory<T, G>) -> Self {
        let factory = Arc::new(factory);
        let capacity = Capacity { most: usize::MAX, kept: KEPT_INSTANCES };
        Self { instances: Arc::new(InstancePool::new(factory.clone(), capacity, None)), factory }
    }

    /// Returns a template that differs in one setting.
    fn with(self, change: impl FnOnce(&mut InstanceFactory<T, G>)) -> Self {
        let mut factory = InstanceFactory::clone(&self.factory);
        change(&mut factory);
        Self::of(factory)
    }

    /// Sets a function that is called with each new store, before the guest is instantiated in it, for example to set
    /// limits. It must do the same each time.
    pub fn prepare(self, prepare: impl Fn(&mut Store<T>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.with(|factory| factory.prepare = Some(Arc::new(prepare)))
    }

    /// Sets an export without parameters and results that is called once to initialize the guest. All calls start from
    /// the guest's state after it. The host's state that it used is dropped. The name of a function in an exported instance of
    /// a component follows that of the instance: `my:plugin/setup@1.0.0#warm-up`.
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

    /// Sets whether the guest may hold resources of the host when its initialization has ended. The default is that
    /// [`SandboxTemplate::build`] and [`SandboxTemplate::pool`] return an error then: a handle of a guest refers to the host's
    /// state, and each call or session has another one. If they mean the same in each, they can be kept.
    pub fn keep_host_resources(self, yes: bool) -> Self {
        self.with(|factory| factory.keeps_host_resources = yes)
    }

    /// Creates a sandbox. An idle sandbox takes about a hundred bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest cannot be instantiated, if its initialization does not return, if an import is
    /// defined as an item of a store, if the guest has a shared memory, or if it holds resources of the host (see
    /// [`SandboxTemplate::keep_host_resources`]).
    pub fn build(&self) -> Result<Sandbox<T, G>> {
        // Creates an instance, so that errors are reported here.
        self.instances.warm(1)?;
        Ok(Sandbox::of(self.instances.clone()))
    }

    /// Creates a pool of sandboxes for many threads.
    ///
    /// # Errors
    ///
    /// Returns an error as [`SandboxTemplate::build`] does.
    pub fn pool(&self, config: PoolConfig) -> Result<SandboxPool<T, G>> {
        SandboxPool::new(self.factory.clone(), config)
    }
}
