//! Configuration of an engine.

use crate::profiling::ProfilingStrategy;
use crate::progress::{Progress, ProgressHook};
use belljar_cache::{Cache, Trust};
use belljar_compile::{CompileLimits, Tunables};
use belljar_module::WasmFeatures;
use belljar_vm::EngineQuota;
use std::sync::Arc;

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
    pub(crate) max_wasm_stack: usize,
    pub(crate) reserve_memory: bool,
    pub(crate) gc_stress: bool,
    pub(crate) features: WasmFeatures,
    pub(crate) processor: Option<String>,
    pub(crate) host_processor: Option<String>,
    pub(crate) cache: Option<Cache>,
    pub(crate) trust: Option<Trust>,
    pub(crate) compile_limits: CompileLimits,
    pub(crate) compile_progress: Option<ProgressHook>,
    pub(crate) profiler: ProfilingStrategy,
    pub(crate) coredump_on_trap: bool,
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
            max_wasm_stack: DEFAULT_STACK,
            reserve_memory: true,
            gc_stress: false,
            features: everything(),
            processor: None,
            host_processor: None,
            cache: None,
            trust: None,
            compile_limits: CompileLimits::unlimited(),
            compile_progress: None,
            profiler: ProfilingStrategy::None,
            coredump_on_trap: false,
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

    /// Sets the processor to compile for, by a name such as `x86-64-v2`, `x86-64-v3`, `haswell` or `znver4`, so that
    /// artifacts run on other machines as well. Code that needs features that this processor lacks can be cached and
    /// written to files, but cannot be instantiated. Default: the processor of this machine.
    pub fn target_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.processor = Some(name.into());
        self
    }

    /// For tests of [`Config::target_processor`]: treats this machine's processor as another one with fewer features.
    #[doc(hidden)]
    pub fn host_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.host_processor = Some(name.into());
        self
    }

    /// Sets the keys that are trusted to seal compiled code. Any holder of one of these keys can run arbitrary native
    /// code in this process. Default: this user's key in the user's state directory (created when it is first needed),
    /// and the keys in the user's list of trusted keys.
    pub fn trust(&mut self, trust: Trust) -> &mut Self {
        self.trust = Some(trust);
        self
    }

    /// Limits the size of modules, and the CPU time and memory of their compilation. Default:
    /// [`CompileLimits::unlimited`]. Use [`CompileLimits::default`] for untrusted modules. [`crate::CodeBuilder`] can
    /// override the limits for a single module.
    ///
    /// ```
    /// use belljar::{CompileLimitExceeded, CompileLimits, Config, Engine, Module};
    /// let mut config = Config::new();
    /// config.compile_limits(CompileLimits::default().module_size(20));
    /// let engine = Engine::new(&config)?;
    /// let error = Module::new(&engine, "(module (func (export \"f\")))").unwrap_err();
    /// assert!(error.is::<CompileLimitExceeded>());
    /// assert_eq!(
    ///     error.to_string(),
    ///     "the module has 31 bytes, and the limit is 20 bytes (CompileLimits::module_size)"
    /// );
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn compile_limits(&mut self, limits: CompileLimits) -> &mut Self {
        self.compile_limits = limits;
        self
    }

    /// Sets a callback that reports the progress of compilations: it is called when a stage begins, and after each
    /// function of the module. It is not called for modules that come from the cache or from an artifact. It does not
    /// affect the compiled code.
    ///
    /// For each compilation, only one thread calls it at a time, and [`Progress::done`] never decreases. If the
    /// compilation succeeds, the last call is at [`crate::CompileStage::Finished`], with everything done. The compiling
    /// threads call it, so the time that it takes adds to the compilation; if it panics, the panic propagates to the
    /// function that compiles the module. Default: none.
    ///
    /// ```
    /// use belljar::{CompileStage, Config, Engine, Module};
    /// use std::sync::{Arc, Mutex};
    ///
    /// let fractions = Arc::new(Mutex::new(Vec::new()));
    /// let mut config = Config::new();
    /// let told = fractions.clone();
    /// config.compile_progress(move |progress| {
    ///     if progress.stage == CompileStage::Compilation {
    ///         told.lock().unwrap().push(progress.fraction());
    ///     }
    /// });
    /// let engine = Engine::new(&config)?;
    /// Module::new(&engine, "(module (func nop) (func nop))")?;
    /// assert_eq!(*fractions.lock().unwrap(), [0.0, 0.5, 1.0]);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn compile_progress(&mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> &mut Self {
        self.compile_progress = Some(ProgressHook(Arc::new(tell)));
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

    /// Sets whether the error of a run that did not return holds a [`crate::WasmCoreDump`]: after a trap, an error of a
    /// host function or an uncaught exception. The setting changes neither the code nor the cost of a run that returns.
    /// Default: no.
    pub fn coredump_on_trap(&mut self, enable: bool) -> &mut Self {
        self.coredump_on_trap = enable;
        self
    }

    /// Sets whether [`Memory::write`](crate::Memory::write) refuses to overwrite memory that the guest itself uses. The
    /// error says what lies there and how to write correctly. For development and tests. Stores that already exist keep
    /// the setting that they were created with. Default: no.
    ///
    /// - While no guest runs, a write must lie within memory that the guest has handed out: a
    ///   [`GuestBuf`](crate::GuestBuf) (including dropped ones that are not freed yet), a range of
    ///   [`Memory::declare`](crate::Memory::declare), or pages that the host added with
    ///   [`Memory::grow`](crate::Memory::grow). All other memory is the guest's stack, static data or heap.
    /// - In a host function that a guest called, a write may go to any address that the guest can have passed: static
    ///   data, the heap, and the stack from `__stack_pointer` on. Writes to the rest of the stack are refused if the
    ///   location of the stack is known: the module's name section or an export identifies the global
    ///   `__stack_pointer`, and the guest has not switched to another stack.
    /// - A memory that no instance of the store has belongs to the host and is not checked.
    /// - Also not checked are [`Memory::data_mut`](crate::Memory::data_mut) and
    ///   [`Memory::data_and_store_mut`](crate::Memory::data_and_store_mut), which hand out all bytes and cannot tell
    ///   which of them are written; a [`SharedMemory`](crate::SharedMemory), to which other threads write as well; and
    ///   the functions of WASI, which write where the guest says.
    ///
    /// ```
    /// use belljar::{Config, Engine, GuestAlloc, Instance, Module, Store};
    /// let engine = Engine::new(Config::new().host_write_check(true))?;
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module
    ///         (memory (export "memory") 2)
    ///         (global $__stack_pointer (mut i32) (i32.const 0x8000))
    ///         (data (i32.const 0x8000) "static data")
    ///         (global $top (mut i32) (i32.const 0x10000))
    ///         (func (export "malloc") (param i32) (result i32)
    ///             (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    ///         (func (export "free") (param i32)))"#,
    /// )?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let memory = instance.get_memory(&mut store, "memory").unwrap();
    ///
    /// let error = memory.write(&mut store, 0, &[1; 100]).unwrap_err();
    /// let expected = "a host write of 100 bytes at 0x0 was refused: at 0x0 is the guest's stack: 0x0..0x8000, \
    ///     because __stack_pointer starts at 0x8000.";
    /// assert!(error.to_string().starts_with(expected));
    ///
    /// let room = GuestAlloc::find(&mut store, instance)?.alloc(&mut store, 100, 1)?;
    /// memory.write(&mut store, room.ptr() as usize, &[1; 100])?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn host_write_check(&mut self, enable: bool) -> &mut Self {
        self.host_write_check = enable;
        self
    }

    /// Sets whether guest code counts fuel: about one unit per instruction. A guest without fuel traps with
    /// [`crate::Trap::OutOfFuel`]. Default: no.
    ///
    /// Guest code checks the fuel at the entry of each function that was not inlined, and at the start of each loop
    /// iteration. A guest may overshoot by what it executes between two checks: at most the rest of each function on
    /// its stack, without loops and calls. A bulk operation and a call of the host each count as one instruction.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.tunables.consume_fuel = enable;
        self
    }

    /// Sets whether guest code compares the engine's epoch with its store's deadline at function entries and in loops.
    /// Default: no.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.tunables.epoch_interruption = enable;
        self
    }

    /// Sets how many bytes of native stack guest code may use before it traps. The value is clamped to the thread's
    /// stack. Default: 1 MiB.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Limits the bytes of the memories and garbage-collected heaps of all the engine's stores together; shared
    /// memories count once. Growth beyond the limit is refused as [`crate::Limits::memory`] does; where that is an
    /// error, it is a [`crate::EngineLimitExceeded`]. The memory of a store becomes available again when the store is
    /// dropped or its sandbox is reset. Default: no limit.
    ///
    /// ```
    /// use belljar::{Config, Engine, Memory, MemoryType, Store};
    /// let engine = Engine::new(Config::new().max_memory(1 << 20))?;
    /// let (mut a, mut b) = (Store::new(&engine, ()), Store::new(&engine, ()));
    /// Memory::new(&mut a, MemoryType::new(10, None))?;
    /// let error = Memory::new(&mut b, MemoryType::new(10, None)).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "memory of the engine: 640 KiB are used by 1 store, 640 KiB more were wanted, and all together may have 1 MiB \
    ///      (Config::max_memory)"
    /// );
    /// drop(a);
    /// Memory::new(&mut b, MemoryType::new(10, None))?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn max_memory(&mut self, bytes: u64) -> &mut Self {
        self.quota.memory = Some(bytes);
        self
    }

    /// Limits how many of the engine's stores may run guests at once. Further calls fail with a
    /// [`crate::EngineLimitExceeded`]. Nested calls in the same store count as one. Default: no limit.
    pub fn max_concurrent_calls(&mut self, calls: u64) -> &mut Self {
        self.quota.calls = Some(calls);
        self
    }

    /// Sets whether every NaN that an operation produces gets the canonical bit pattern, so that results are the same
    /// on all machines. Default: no.
    pub fn cranelift_nan_canonicalization(&mut self, enable: bool) -> &mut Self {
        self.tunables.canonical_nans = enable;
        self
    }

    /// Sets whether relaxed vector instructions follow the specification's deterministic profile, which is the same on
    /// all machines, instead of the processor's fastest behaviour. Default: no.
    pub fn relaxed_simd_deterministic(&mut self, enable: bool) -> &mut Self {
        self.tunables.deterministic_relaxed_simd = enable;
        self
    }

    /// Sets the specification's deterministic profile: [`Config::cranelift_nan_canonicalization`] and
    /// [`Config::relaxed_simd_deterministic`] together. A module then computes the same results on all machines, except
    /// for what depends on the host's answers, on how much memory and stack are available, and on the threads that use
    /// a shared memory. Default: no.
    pub fn deterministic(&mut self, enable: bool) -> &mut Self {
        self.cranelift_nan_canonicalization(enable).relaxed_simd_deterministic(enable)
    }

    /// Sets whether code is laid out as the custom section `metadata.code.branch_hint` advises. Hints do not change
    /// results, and malformed hints are ignored. Default: yes.
    pub fn wasm_branch_hinting(&mut self, enable: bool) -> &mut Self {
        self.tunables.branch_hints = enable;
        self
    }

    /// Sets whether calls of small functions are inlined. Default: yes.
    pub fn compiler_inlining(&mut self, enable: bool) -> &mut Self {
        self.tunables.inlining = enable;
        self
    }

    /// Sets whether all functions are compiled with the settings for huge functions. For tests: results are the same.
    /// Default: no.
    pub fn compile_as_huge(&mut self, enable: bool) -> &mut Self {
        self.tunables.huge_functions = enable;
        self
    }

    /// Sets whether each allocation of an object runs a full garbage collection. For tests: code that loses track of a
    /// reference then fails soon. Default: no.
    pub fn gc_stress(&mut self, enable: bool) -> &mut Self {
        self.gc_stress = enable;
        self
    }

    /// Sets whether 4 GiB of address space are reserved for each 32-bit memory, so that accesses need no checks. If the
    /// operating system refuses the reservation, checks are compiled in regardless of this setting. Default: yes.
    pub fn memory_reservation(&mut self, enable: bool) -> &mut Self {
        self.reserve_memory = enable;
        self
    }
}

/// A release of the specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum WasmRelease {
    /// 1.0: numbers, one memory, one table.
    V1,
    /// 2.0: vectors, references, bulk operations, several results and tables.
    V2,
    /// 3.0: garbage collection, exceptions, tail calls, 64-bit and several memories, relaxed vectors.
    V3,
}

/// The features that are enabled by default: all of 3.0, and the extensions that toolchains emit.
pub(crate) fn everything() -> WasmFeatures {
    WasmFeatures::WASM3
        | WasmFeatures::THREADS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::COMPACT_IMPORTS
}

impl Config {
    /// Restricts modules to the features of a release of the specification. Default: 3.0, threads, the legacy exception
    /// instructions, wide arithmetic, custom page sizes and compact imports.
    pub fn wasm_release(&mut self, release: WasmRelease) -> &mut Self {
        self.features = match release {
            WasmRelease::V1 => WasmFeatures::WASM1,
            WasmRelease::V2 => WasmFeatures::WASM2,
            WasmRelease::V3 => WasmFeatures::WASM3,
        };
        self
    }
}

macro_rules! proposals {
    ($($(#[$doc:meta])* $name:ident $feature:ident;)*) => {
        /// Instructions and types beyond WebAssembly 1.0 that modules may use.
        impl Config {
            $(
                $(#[$doc])*
                pub fn $name(&mut self, enable: bool) -> &mut Self {
                    self.features.set(WasmFeatures::$feature, enable);
                    self
                }
            )*
        }

        /// The feature switches: the name of the method, and the feature.
        pub(crate) const SWITCHES: &[(&str, WasmFeatures)] = &[$((stringify!($name), WasmFeatures::$feature),)*];
    };
}

/// The features that a module uses but its engine has disabled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisabledFeatures {
    pub(crate) switches: Vec<&'static str>,
}

impl DisabledFeatures {
    /// Returns the methods of [`Config`] that enable them.
    pub fn switches(&self) -> &[&'static str] {
        &self.switches
    }

    /// Returns their names as in their proposals: `multi-memory`, `gc`.
    pub fn names(&self) -> impl ExactSizeIterator<Item = String> + '_ {
        self.switches.iter().map(|name| name.trim_start_matches("wasm_").replace('_', "-"))
    }
}

impl std::fmt::Display for DisabledFeatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.names().collect();
        let calls: Vec<String> = self.switches.iter().map(|name| format!("Config::{name}(true)")).collect();
        write!(
            f,
            "the module uses {}, which the engine has disabled: enable it with {}",
            names.join(", "),
            calls.join(", ")
        )
    }
}

impl std::error::Error for DisabledFeatures {}

proposals! {
    /// 128-bit vectors. Default: yes.
    wasm_simd SIMD;
    /// `i32.extend8_s` and its like. Default: yes.
    wasm_sign_extension SIGN_EXTENSION;
    /// `i32.trunc_sat_f32_s` and its like: conversions that do not trap. Default: yes.
    wasm_nontrapping_float_to_int SATURATING_FLOAT_TO_INT;
    /// `memory.copy` and its like, passive segments. Default: yes.
    wasm_bulk_memory BULK_MEMORY;
    /// `externref`, tables of it, several tables. Default: yes.
    wasm_reference_types REFERENCE_TYPES;
    /// Functions and blocks with several results. Default: yes.
    wasm_multi_value MULTI_VALUE;
    /// Several memories in a module. Default: yes.
    wasm_multi_memory MULTI_MEMORY;
    /// `return_call` and its like. Default: yes.
    wasm_tail_call TAIL_CALL;
    /// Exceptions: `try_table`, `throw`, `throw_ref`, tags. Default: yes.
    wasm_exceptions EXCEPTIONS;
    /// The legacy exception instructions: `try`, `catch`, `rethrow`, `delegate`. Default: yes.
    wasm_legacy_exceptions LEGACY_EXCEPTIONS;
    /// Typed function references: `call_ref`, references to defined types. Default: yes.
    wasm_function_references FUNCTION_REFERENCES;
    /// Garbage-collected structs, arrays and small integers. Default: yes.
    wasm_gc GC;
    /// Memories and tables with 64-bit addresses. Default: yes.
    wasm_memory64 MEMORY64;
    /// Arithmetic in constant expressions. Default: yes.
    wasm_extended_const EXTENDED_CONST;
    /// Vector instructions whose result depends on the machine. Default: yes.
    wasm_relaxed_simd RELAXED_SIMD;
    /// Shared memories and atomic instructions. Default: yes.
    wasm_threads THREADS;
    /// 128-bit sums and products of 64-bit integers. Default: yes.
    wasm_wide_arithmetic WIDE_ARITHMETIC;
    /// Memories with pages of one byte. Default: yes.
    wasm_custom_page_sizes CUSTOM_PAGE_SIZES;
    /// Import sections that share a module name, or a type, among many imports. Default: yes.
    wasm_compact_imports COMPACT_IMPORTS;
}
