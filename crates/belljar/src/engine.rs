//! The engine: what all stores and modules of a program share.

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

/// A compiler with its settings, and what the stores that run its code share. Cheap to clone.
///
/// Modules, stores and linkers of one engine work together; those of two do not.
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

/// The engine's compiler as the runtime knows it.
struct Trampolines {
    tier: Arc<dyn Tier>,
    /// Why its code cannot be executed on this processor, if it cannot.
    foreign: Option<String>,
    profiler: ProfilerFeed,
}

impl TrampolineSource for Trampolines {
    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction> {
        if let Some(why) = &self.foreign {
            anyhow::bail!("the engine's code cannot be run here: {why}");
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
    /// Where [`Engine::new`] with the default configuration fails.
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
    /// An engine.
    ///
    /// # Errors
    ///
    /// Where the processor lacks what the compiler needs, or signal handlers cannot be installed.
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

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Moves the epoch on by one: stores whose deadline that reaches are interrupted. From any thread, and
    /// from signal handlers.
    pub fn increment_epoch(&self) {
        self.inner.runtime.increment_epoch();
    }

    /// Kills the guests of all its stores, as [`crate::KillHandle::kill`] does. How many were running.
    pub fn kill_all(&self, reason: impl Into<KillReason>) -> usize {
        belljar_vm::kill_all(&self.inner.runtime.stores(), &reason.into())
    }

    /// Bytes of memories and objects that its stores have; 0 where nothing limits them ([`Config::max_memory`]).
    pub fn memory_used(&self) -> u64 {
        self.inner.runtime.memory_used()
    }

    /// Stores whose guests run now; 0 where nothing limits their number ([`Config::max_concurrent_calls`]).
    pub fn concurrent_calls(&self) -> u64 {
        self.inner.runtime.calls()
    }

    /// Whether two handles are the same engine.
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// The engine, not kept.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// The engine, if it is still there.
    pub(crate) fn upgrade(weak: &Weak<Inner>) -> Option<Self> {
        Some(Self { inner: weak.upgrade()? })
    }

    /// What compiles its modules.
    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    /// Where compiled modules are kept.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.config.cache.as_ref()
    }

    /// Who is believed about compiled code.
    pub(crate) fn trust(&self) -> &Trust {
        self.inner.trust.get_or_init(|| match &self.inner.config.trust {
            Some(trust) => trust.clone(),
            None => self.trust_of_user(),
        })
    }

    /// What is missing is said, and nobody is believed in its place.
    fn trust_of_user(&self) -> Trust {
        let variable = |name: &str| std::env::var_os(name);
        let user = state_directory(variable).map_err(Error::from).and_then(|at| Ok(UserKey::of(&at)?));
        let keys = config_directory(variable).map_err(Error::from).and_then(|at| Ok(TrustedKeys::load(&at)?));
        let user = user.map_err(|error| self.warn(format!("this user has no key: {error:#}"))).ok();
        let keys = keys.map_err(|error| self.warn(format!("no key is trusted: {error:#}")));
        Trust { user, keys: keys.unwrap_or_default() }
    }

    /// What went wrong, up to now, with the cache, the keys of this user, what profilers are told, and sandboxes that had to be
    /// discarded, in words: nothing that keeps modules from being compiled and run. Each is told once, and of many only the first.
    pub fn problems(&self) -> Vec<String> {
        self.inner.problems.take()
    }

    pub(crate) fn warn(&self, problem: String) {
        self.inner.problems.warn(problem);
    }

    /// How a profiler is told of code.
    pub(crate) fn profiler_feed(&self) -> &ProfilerFeed {
        &self.inner.profiler
    }

    /// Whether memories are to get all the address space that they may need.
    pub(crate) fn reserves_memory(&self) -> bool {
        self.inner.compiler.tunables.memory_access == MemoryAccess::Reserved
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.inner.runtime
    }
}
