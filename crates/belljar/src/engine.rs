//! The engine, which all stores and modules of a program share.

use crate::problems::Problems;
use crate::profiling::ProfilerFeed;
use crate::{Config, Error, KillReason, Result};
use belljar_abi::CompiledFunction;
use belljar_cache::{Cache, Trust, TrustedKeys, UserKey, config_directory, state_directory};
use belljar_compile::{Compiler, MemoryAccess, Tier, TrampolineKind, Tunables};
use belljar_core::FuncType;
use belljar_optimize::Optimizer;
use belljar_vm::{Runtime, RuntimeSettings, TrampolineSource};
use std::sync::{Arc, OnceLock, Weak};

/// A compiler with its settings, and the state that the stores of its code share. It is cheap to clone.
///
/// Modules, stores and linkers can only be combined with those of the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: Config,
    compiler: Compiler,
    runtime: Arc<Runtime>,
    trust: OnceLock<Trust>,
    profiler: ProfilerFeed,
    problems: Arc<Problems>,
}

/// The engine's compiler, as the runtime's source of trampolines.
struct Trampolines {
    tier: Arc<dyn Tier>,
    /// Why this processor cannot execute the engine's code, if it cannot.
    foreign: Option<String>,
    profiler: ProfilerFeed,
}

impl TrampolineSource for Trampolines {
    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction> {
        if let Some(why) = &self.foreign {
            anyhow::bail!("this processor cannot run the engine's code: {why}");
        }
        Ok(self.tier.trampoline(kind, ty)?)
    }

    fn loaded(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        self.profiler.tell_trampoline(kind, ty, address, code);
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
    /// Returns an error if the processor lacks features that the compiler needs, or if signal handlers cannot be
    /// installed.
    pub fn new(config: &Config) -> Result<Self> {
        let reserve = config.reserve_memory && Runtime::can_reserve();
        let memory_access = if reserve { MemoryAccess::Reserved } else { MemoryAccess::Checked };
        let tunables = Tunables { memory_access, ..config.tunables };
        let tier: Arc<dyn Tier> = Arc::new(match &config.processor {
            None => Optimizer::new()?,
            Some(name) => {
                let tier = Optimizer::for_processor(name)?;
                config.host_processor.iter().fold(tier, |tier, host| tier.on_host(host))
            }
        });
        let problems = Arc::<Problems>::default();
        let profiler = ProfilerFeed::new(config.profiler, problems.clone());
        let compiler = Compiler { features: config.features, tunables, tier: tier.clone() };
        let foreign = config.processor.as_ref().and_then(|_| compiler.lacking(&compiler.settings()));
        let trampolines = Box::new(Trampolines { tier, foreign, profiler: profiler.clone() });
        let counts_epochs = tunables.epoch_interruption;
        let settings = RuntimeSettings {
            stack_size: config.max_wasm_stack,
            gc_stress: config.gc_stress,
            counts_epochs,
            dumps_cores: config.coredump_on_trap,
            quota: config.quota,
        };
        let runtime = Runtime::new(settings, trampolines)?;
        let inner =
            Inner { config: config.clone(), compiler, runtime, trust: OnceLock::new(), profiler, problems };
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

    /// Returns a weak reference to the engine.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// Returns the engine of a weak reference, if it still exists.
    pub(crate) fn upgrade(weak: &Weak<Inner>) -> Option<Self> {
        Some(Self { inner: weak.upgrade()? })
    }

    /// Returns the compiler of the engine's modules.
    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    /// Returns the cache of compiled modules.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.config.cache.as_ref()
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
        self.inner.compiler.tunables.memory_access == MemoryAccess::Reserved
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.inner.runtime
    }
}
