//! What sandboxes are made from.

use super::instance_factory::InstanceFactory;
use super::instance_pool::{Capacity, InstancePool};
use super::{Sandbox, SandboxPool};
use crate::instantiate::InstancePre;
use crate::{Limits, PoolConfig, Result, Store};
use std::fmt;
use std::sync::Arc;

/// What sandboxes are made from: a module with its imports, and how a fresh one comes to be.
///
/// The module is instantiated and initialized once. What that leaves behind is shared by all sandboxes of the template, which
/// begin there without running anything.
pub struct SandboxTemplate<T: 'static> {
    factory: Arc<InstanceFactory<T>>,
    /// Of the sandboxes that were built one by one.
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

/// Sandboxes that are built one by one are as many as there are; of their worlds these are kept when nobody is in them.
const KEPT_INSTANCES: usize = 64;

impl<T: 'static> SandboxTemplate<T> {
    /// Sandboxes of this module, whose host state `make_data` makes for each call or session.
    pub fn new(pre: InstancePre<T>, make_data: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        Self::of(InstanceFactory::new(pre, Arc::new(make_data)))
    }

    fn of(factory: InstanceFactory<T>) -> Self {
        let factory = Arc::new(factory);
        let capacity = Capacity { most: usize::MAX, kept: KEPT_INSTANCES };
        Self { instances: Arc::new(InstancePool::new(factory.clone(), capacity, None)), factory }
    }

    /// Another template, which differs in something.
    fn with(self, change: impl FnOnce(&mut InstanceFactory<T>)) -> Self {
        let mut factory = InstanceFactory::clone(&self.factory);
        change(&mut factory);
        Self::of(factory)
    }

    /// Does something with each new store, before the module is instantiated in it: sets limits, for instance. It is to do the same
    /// each time.
    pub fn prepare(self, prepare: impl Fn(&mut Store<T>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.with(|factory| factory.prepare = Some(Arc::new(prepare)))
    }

    /// Calls an export without parameters and results, once. What it leaves behind in the guest is where calls begin. The host's
    /// state that it used is not kept.
    pub fn init(self, export: &str) -> Self {
        self.with(|factory| factory.init = Some(export.into()))
    }

    /// What each sandbox may have. Time and fuel are those of a call, or of a session as a whole; while a sandbox is made, of each
    /// instantiation and of the initialization. Default: [`Limits::unlimited`].
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

    /// Whether each sandbox that was made clean is compared, byte by byte, with what it was. One that differs is discarded, and
    /// [`Engine::problems`](crate::Engine::problems) tells. It takes as long as reading all its memory.
    pub fn verify(self, yes: bool) -> Self {
        self.with(|factory| factory.verify = yes)
    }

    /// A sandbox. It takes a hundred bytes while nobody calls it.
    ///
    /// # Errors
    ///
    /// Where the module cannot be instantiated, or its initialization does not return; where it is linked with something of a
    /// store, or has a memory that others share.
    pub fn build(&self) -> Result<Sandbox<T>> {
        // So that what is wrong is told here.
        self.instances.warm(1)?;
        Ok(Sandbox::of(self.instances.clone()))
    }

    /// A pool of sandboxes for many threads.
    ///
    /// # Errors
    ///
    /// As [`SandboxTemplate::build`].
    pub fn pool(&self, config: PoolConfig) -> Result<SandboxPool<T>> {
        SandboxPool::new(self.factory.clone(), config)
    }
}
