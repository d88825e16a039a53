//! Configuration of an engine.
//!
//! [`Config`] holds groups of options; each group's methods are in a file of their own:
//!
//! | file | settings of |
//! |---|---|
//! | `compiler` | how code is generated |
//! | `limits` | what compilation may take, and what modules may contain |
//! | `proposals` | the features of WebAssembly |
//! | `memory` | memories and tables |
//! | `gc` | objects |
//! | `running` | runs: fuel, epochs, stacks, determinism |
//! | `errors` | what errors and debuggers show |

mod choices;
mod compiler;
mod enforced_limits;
mod errors;
mod gc;
mod limits;
mod memory;
mod options;
mod proposals;
mod running;

pub use choices::{
    Collector, CompilationMode, InstanceAllocationStrategy, ModuleVersionStrategy, Strategy,
    WasmBacktraceDetails,
};
pub use enforced_limits::{EnforcedLimits, EnforcedLimitsError};
pub use proposals::{DisabledFeatures, WasmRelease};
pub use running::CustomFuelCosts;

pub(crate) use choices::version;
pub(crate) use options::{WHOLE, everything};
pub(crate) use proposals::{SWITCHES, check_supported, proposal};

use crate::profiling::ProfilingStrategy;
use crate::progress::ProgressHook;
use belljar_cache::{Cache, Trust};
use belljar_compile::{CompileLimits, FuelCosts, Tunables};
use belljar_module::WasmFeatures;
use belljar_vm::EngineQuota;
use options::{CompilerOptions, ErrorOptions, GcOptions, MemoryOptions, ModuleRules};

/// The configuration of an [`crate::Engine`]: how it compiles and runs modules.
///
/// ```
/// use belljar::{Config, Engine};
/// let mut config = Config::new();
/// config.consume_fuel(true).max_wasm_stack(256 << 10);
/// let engine = Engine::new(&config)?;
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) tunables: Tunables,
    pub(crate) fuel_costs: FuelCosts,
    pub(crate) compiler: CompilerOptions,
    pub(crate) memory: MemoryOptions,
    pub(crate) gc: GcOptions,
    pub(crate) errors: ErrorOptions,
    pub(crate) rules: ModuleRules,
    pub(crate) max_wasm_stack: usize,
    pub(crate) features: WasmFeatures,
    /// What components may use beside what their modules may.
    #[cfg(feature = "component-model")]
    pub(crate) component_features: WasmFeatures,
    pub(crate) cache: Option<Cache>,
    pub(crate) trust: Option<Trust>,
    pub(crate) compile_limits: CompileLimits,
    pub(crate) compile_progress: Option<ProgressHook>,
    pub(crate) profiler: ProfilingStrategy,
    pub(crate) host_write_check: bool,
    pub(crate) quota: EngineQuota,
}

/// Bytes of native stack for guest code, unless configured. With the smallest common thread stacks (2 MiB), this leaves
/// as much again for host functions.
const DEFAULT_STACK: usize = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// Creates the default configuration. Each method below states its default.
    pub fn new() -> Self {
        Self {
            tunables: Tunables::default(),
            fuel_costs: FuelCosts::default(),
            compiler: CompilerOptions::default(),
            memory: MemoryOptions::default(),
            gc: GcOptions::default(),
            errors: ErrorOptions::default(),
            rules: ModuleRules::default(),
            max_wasm_stack: DEFAULT_STACK,
            features: everything(),
            #[cfg(feature = "component-model")]
            component_features: options::component_features(),
            cache: None,
            trust: None,
            compile_limits: CompileLimits::unlimited(),
            compile_progress: None,
            profiler: ProfilingStrategy::None,
            host_write_check: false,
            quota: EngineQuota::default(),
        }
    }

    /// Sets the cache of compiled modules, which saves later engines with the same settings from compiling them again.
    /// If the cache fails, modules are compiled without it: see [`crate::Engine::problems`]. Default: no cache.
    pub fn cache(&mut self, cache: Option<Cache>) -> &mut Self {
        self.cache = cache;
        self
    }

    /// Sets the keys that are trusted to seal compiled code. Any holder of one of these keys can run arbitrary native
    /// code in this process. Default: this user's key in the user's state directory (created when it is first needed),
    /// and the keys in the user's list of trusted keys.
    pub fn trust(&mut self, trust: Trust) -> &mut Self {
        self.trust = Some(trust);
        self
    }

    /// Sets how guest functions are reported to a profiler. If reporting fails, modules work nevertheless: see
    /// [`crate::Engine::problems`]. Default: not at all.
    ///
    /// ```
    /// use belljar::{Config, Engine, ProfilingStrategy};
    /// let mut config = Config::new();
    /// // Now `perf record` and `perf report` show guest functions by their names.
    /// config.profiler(ProfilingStrategy::PerfMap);
    /// let engine = Engine::new(&config)?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn profiler(&mut self, strategy: ProfilingStrategy) -> &mut Self {
        self.profiler = strategy;
        self
    }
}
