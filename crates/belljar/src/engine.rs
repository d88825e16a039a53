//! The engine, which all stores and modules of a program share.

mod precompiled;
mod settings;

pub use precompiled::Precompiled;

use crate::code_source::CodeSource;
use crate::config::check_supported;
use crate::problems::Problems;
use crate::profiling::ProfilerFeed;
use crate::{Config, Error, KillReason, Result};
use belljar_cache::{Trust, TrustedKeys, UserKey, config_directory, state_directory};
use belljar_compile::{CodeSettings, MemoryAccess, Tunables};
use belljar_core::ensure;
use belljar_vm::{Runtime, RuntimeSettings, StoreCore};
use std::sync::{Arc, OnceLock, Weak};

/// A compiler with its settings, and the state that the stores of its code share. It is cheap to clone.
///
/// Modules, stores and linkers can only be combined with those of the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    code: CodeSource,
    runtime: Arc<Runtime>,
    trust: OnceLock<Trust>,
    profiler: ProfilerFeed,
    problems: Arc<Problems>,
}

/// A weak reference to an [`Engine`]: see [`Engine::weak`]. The default value refers to none.
#[derive(Clone, Default)]
pub struct EngineWeak {
    inner: Weak<Inner>,
}

impl EngineWeak {
    /// Returns the engine, if anything keeps it alive.
    pub fn upgrade(&self) -> Option<Engine> {
        Some(Engine { inner: self.inner.upgrade()? })
    }
}

impl std::fmt::Debug for EngineWeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineWeak").finish_non_exhaustive()
    }
}

impl Default for Engine {
    /// # Panics
    ///
    /// Panics if [`Engine::new`] fails with the default configuration.
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration works on supported machines")
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Creates an engine.
    ///
    /// # Errors
    ///
    /// Returns an error if the processor lacks features that the compiler needs, if the configuration enables what belljar
    /// does not have, or if signal handlers cannot be installed.
    pub fn new(config: &Config) -> Result<Self> {
        check_supported(config.features)?;
        ensure!(
            config.memory.signals,
            "belljar relies on signals to stop and to inspect guests: leave Config::signals_based_traps turned on"
        );
        let reserve = config.reserves_memory() && Runtime::can_reserve();
        let memory_access = if reserve { MemoryAccess::Reserved } else { MemoryAccess::Checked };
        let tunables = Tunables { memory_access, ..config.tunables };
        let problems = Arc::<Problems>::default();
        let profiler = ProfilerFeed::new(config.profiler, problems.clone());
        let code = CodeSource::new(config, tunables, &problems)?;
        let trampolines = code.trampolines(profiler.clone());
        let counts_epochs = tunables.epoch_interruption;
        let settings = RuntimeSettings {
            stack_size: config.max_wasm_stack,
            gc_stress: config.gc.stress,
            counts_epochs,
            dumps_cores: config.errors.core_dump,
            quota: config.quota,
            memory: config.memory_settings(),
            shares_images: config.memory.copy_on_write,
            shared_memory: config.memory.shared_memory,
        };
        let runtime = Runtime::new(settings, trampolines)?;
        let inner =
            Inner { config: config.clone(), code, runtime, trust: OnceLock::new(), profiler, problems };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the configuration that the engine was created with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Advances the epoch by one. Stores that reach their deadline are interrupted. It may be called from any thread,
    /// and from signal handlers.
    pub fn increment_epoch(&self) {
        self.inner.runtime.increment_epoch();
    }

    /// Kills the guests of all stores of the engine, as [`crate::KillHandle::kill`] does. Returns how many were
    /// running.
    pub fn kill_all(&self, reason: impl Into<KillReason>) -> usize {
        belljar_vm::kill_all(&self.inner.runtime.stores(), &reason.into())
    }

    /// Returns the bytes of memories and garbage-collected heaps that the engine's stores use, or 0 if
    /// [`Config::max_memory`] is not set.
    pub fn memory_used(&self) -> u64 {
        self.inner.runtime.memory_used()
    }

    /// Returns how many stores run guests now, or 0 if [`Config::max_concurrent_calls`] is not set.
    pub fn concurrent_calls(&self) -> u64 {
        self.inner.runtime.calls()
    }

    /// Returns whether two handles belong to the same engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// Returns a weak reference to the engine, which does not keep it alive.
    ///
    /// ```
    /// use belljar::Engine;
    /// let engine = Engine::default();
    /// let weak = engine.weak();
    /// assert!(Engine::same(&engine, &weak.upgrade().unwrap()));
    /// drop(engine);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn weak(&self) -> EngineWeak {
        EngineWeak { inner: Arc::downgrade(&self.inner) }
    }

    /// Prepares this thread for calls of guests. It has no effect: the first call of a thread prepares it, which takes
    /// microseconds.
    pub fn tls_eager_initialize() {}

    /// Returns whether the engine interprets guests. It does not.
    pub fn is_pulley(&self) -> bool {
        false
    }

    /// Returns where the engine's code comes from.
    pub(crate) fn code(&self) -> &CodeSource {
        &self.inner.code
    }

    /// Returns the settings of the engine's code.
    pub(crate) fn settings(&self) -> &CodeSettings {
        self.inner.code.settings()
    }

    /// Returns the keys that are trusted to seal compiled code.
    pub(crate) fn trust(&self) -> &Trust {
        self.inner.trust.get_or_init(|| match &self.inner.config.trust {
            Some(trust) => trust.clone(),
            None => self.trust_of_user(),
        })
    }

    /// A key that cannot be read is reported as a warning, and nothing is trusted in its place.
    fn trust_of_user(&self) -> Trust {
        let variable = |name: &str| std::env::var_os(name);
        let user = state_directory(variable).map_err(Error::from).and_then(|at| Ok(UserKey::of(&at)?));
        let keys = config_directory(variable).map_err(Error::from).and_then(|at| Ok(TrustedKeys::load(&at)?));
        let user = user.map_err(|error| self.warn(format!("this user has no key: {error:#}"))).ok();
        let keys = keys.map_err(|error| self.warn(format!("no key is trusted: {error:#}")));
        Trust { user, keys: keys.unwrap_or_default() }
    }

    /// Returns and clears the engine's warnings: problems that do not keep modules from being compiled and run. They
    /// concern the cache, this user's keys, reporting to profilers, and sandboxes that had to be discarded. Duplicates
    /// are dropped, and only the first 16 are kept until this is called.
    pub fn problems(&self) -> Vec<String> {
        self.inner.problems.take()
    }

    pub(crate) fn warn(&self, problem: String) {
        self.inner.problems.warn(problem);
    }

    /// Returns how code is reported to a profiler.
    pub(crate) fn profiler_feed(&self) -> &ProfilerFeed {
        &self.inner.profiler
    }

    /// Returns whether memories reserve all the address space that they may need.
    pub(crate) fn reserves_memory(&self) -> bool {
        self.settings().tunables.memory_access == MemoryAccess::Reserved
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.inner.runtime
    }
}

/// Returns the engine of a store.
pub(crate) fn engine_of(store: &StoreCore) -> &Engine {
    store.embedder().and_then(|engine| engine.downcast_ref()).expect("a store is created with its engine")
}
