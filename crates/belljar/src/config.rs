//! What an engine is made with.

use crate::profiling::ProfilingStrategy;
use crate::progress::{Progress, ProgressHook};
use belljar_cache::{Cache, Trust};
use belljar_compile::{CompileLimits, Tunables};
use belljar_module::WasmFeatures;
use belljar_vm::EngineQuota;
use std::sync::Arc;

/// How an [`crate::Engine`] compiles and runs.
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

/// Bytes of native stack for guest code, unless configured: the smallest thread stacks in use (2 MiB) leave
/// as much again to host functions.
const DEFAULT_STACK: usize = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults, which each method below states.
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

    /// Where compiled modules are kept, so that the next engine with the same settings need not compile them. Whatever is
    /// wrong with the cache, modules are compiled without it: see [`crate::Engine::problems`]. Default: nowhere.
    pub fn cache(&mut self, cache: Option<Cache>) -> &mut Self {
        self.cache = cache;
        self
    }

    /// What processor code is made for, instead of the one that it is made on: a name such as `x86-64-v2`, `x86-64-v3`,
    /// `haswell` or `znver4`, so that artifacts run on others, too. Code that needs more than this processor has can be
    /// kept and written to files, but is refused when an instance is made of it. Default: the processor of this machine.
    pub fn target_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.processor = Some(name.into());
        self
    }

    /// For tests of [`Config::target_processor`]: takes this machine's processor for another, if that has less.
    #[doc(hidden)]
    pub fn host_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.host_processor = Some(name.into());
        self
    }

    /// Who is believed about compiled code: whoever has one of these keys can have any native code executed here. Default: this user, with the key in the user's state directory (made when it
    /// is first needed), and the keys in the user's list of trusted ones.
    pub fn trust(&mut self, trust: Trust) -> &mut Self {
        self.trust = Some(trust);
        self
    }

    /// What the compilation of a module may take: size, CPU time, memory. Default: anything, [`CompileLimits::unlimited`]; for code that
    /// nobody vouches for there is [`CompileLimits::default`]. [`crate::CodeBuilder`] can have others for a single module.
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

    /// A function to call while modules are compiled: when a stage begins, and after each function of the module; not for
    /// modules that need not be compiled, being in the cache or an artifact. What is compiled is the same with and without it.
    ///
    /// For each compilation it is called by one thread at a time, [`Progress::done`] never falls, and if the compilation
    /// succeeds, the last call is at [`crate::CompileStage::Finished`], with all done. It is called on the threads that compile:
    /// what it does is time that compilation takes, and if it panics, so does whoever asked for the module. Default: none.
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

    /// How a profiler gets to know the functions of guests. If it cannot be told of them, modules work all the same: see
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

    /// Whether the error of a run that did not return holds a [`crate::WasmCoreDump`]: after a trap, an error of a host function
    /// or an exception that nothing caught. Code is the same with and without it, and so is what a run costs that returns.
    /// Default: no.
    pub fn coredump_on_trap(&mut self, enable: bool) -> &mut Self {
        self.coredump_on_trap = enable;
        self
    }

    /// Whether [`Memory::write`](crate::Memory::write) refuses what would overwrite memory that the guest uses itself, with an error
    /// that says what lies there and how to do it right. For development and tests; stores that exist already keep to what they were
    /// made with. Default: no.
    ///
    /// - While no guest runs, a write must lie within what the guest has handed out: [`GuestBuf`](crate::GuestBuf)s, dropped ones
    ///   that were not freed yet included; ranges of [`Memory::declare`](crate::Memory::declare); and pages that the host added with
    ///   [`Memory::grow`](crate::Memory::grow). Everything else is the guest's stack, its static data, or its heap.
    /// - In a host function that a guest called, a write may go to wherever the guest can have passed the address of: static data,
    ///   the heap, and the stack from `__stack_pointer` on. Refused is the rest of the stack, where the guest is known to have one:
    ///   the module's name section or an export tells which global `__stack_pointer` is, and the guest has not switched to another.
    /// - A memory that no instance of the store has is the host's own, and not checked.
    /// - Not checked either are [`Memory::data_mut`](crate::Memory::data_mut) and
    ///   [`Memory::data_and_store_mut`](crate::Memory::data_and_store_mut), which hand out all bytes, so that nobody sees which of
    ///   them are written; a [`SharedMemory`](crate::SharedMemory), to which other threads write as well; and the functions of
    ///   WASI, which write where the guest says.
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
    /// let expected = "a host write of 100 bytes at 0x0 was refused: at 0x0 lies the guest's stack: 0x0..0x8000, \
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

    /// Whether guest code counts fuel: about one unit an instruction, and [`crate::Trap::OutOfFuel`] when
    /// none is left. Default: no.
    ///
    /// The count is looked at where a function is entered that was not inlined, and where a loop begins a round. A guest may
    /// overshoot by what it does between two such places: at most the rest of each function on its stack, without loops and calls.
    /// A bulk operation and a call of the host count as one instruction.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.tunables.consume_fuel = enable;
        self
    }

    /// Whether guest code compares the engine's epoch with its store's deadline at function entries and
    /// loops. Default: no.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.tunables.epoch_interruption = enable;
        self
    }

    /// Bytes of native stack that guest code may use before it traps. Clamped to what the thread has.
    /// Default: 1 MiB.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Bytes that the memories and objects of all stores of the engine may have together, shared memories counted once. A store that
    /// wants more is refused it, as by [`crate::Limits::memory`]; whoever would get it as an error gets a
    /// [`crate::EngineLimitExceeded`]. What a store had is free again when it is dropped, or its sandbox has gone back.
    /// Default: no limit.
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

    /// How many stores of the engine may run their guests at once. A call that would be one more is refused with a
    /// [`crate::EngineLimitExceeded`]; calls within calls of the same store count as one. Default: no limit.
    pub fn max_concurrent_calls(&mut self, calls: u64) -> &mut Self {
        self.quota.calls = Some(calls);
        self
    }

    /// Whether every NaN that an operation makes gets the canonical bits, so that results are the same on
    /// every machine. Default: no.
    pub fn cranelift_nan_canonicalization(&mut self, enable: bool) -> &mut Self {
        self.tunables.canonical_nans = enable;
        self
    }

    /// Whether relaxed vector instructions give what the specification's deterministic profile says, which is
    /// the same on every machine, instead of what the processor does best. Default: no.
    pub fn relaxed_simd_deterministic(&mut self, enable: bool) -> &mut Self {
        self.tunables.deterministic_relaxed_simd = enable;
        self
    }

    /// The deterministic profile of the specification in one: [`Config::cranelift_nan_canonicalization`] and
    /// [`Config::relaxed_simd_deterministic`]. What a module computes is then the same on every machine, apart from
    /// what the host gives it, from how much memory and stack there is, and from what threads do to a shared memory.
    /// Default: no.
    pub fn deterministic(&mut self, enable: bool) -> &mut Self {
        self.cranelift_nan_canonicalization(enable).relaxed_simd_deterministic(enable)
    }

    /// Whether code is arranged as the custom section `metadata.code.branch_hint` advises. Hints change no result,
    /// and malformed ones are ignored. Default: yes.
    pub fn wasm_branch_hinting(&mut self, enable: bool) -> &mut Self {
        self.tunables.branch_hints = enable;
        self
    }

    /// Whether calls of small functions are replaced by their bodies. Default: yes.
    pub fn compiler_inlining(&mut self, enable: bool) -> &mut Self {
        self.tunables.inlining = enable;
        self
    }

    /// Whether every function is compiled as only those are that are too large for the usual settings: for tests, since
    /// results are the same. Default: no.
    pub fn compile_as_huge(&mut self, enable: bool) -> &mut Self {
        self.tunables.huge_functions = enable;
        self
    }

    /// Whether garbage is collected, all of it, whenever an object is made: for tests, since whatever forgets a
    /// reference then fails soon. Default: no.
    pub fn gc_stress(&mut self, enable: bool) -> &mut Self {
        self.gc_stress = enable;
        self
    }

    /// Whether 4 GiB of address space are reserved for each 32-bit memory, so that its accesses need no
    /// checks. Where the machine refuses that, checks are compiled in, whatever is said here. Default: yes.
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

/// What is on by default: all of 3.0, and what toolchains emit beyond it.
pub(crate) fn everything() -> WasmFeatures {
    WasmFeatures::WASM3
        | WasmFeatures::THREADS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::COMPACT_IMPORTS
}

impl Config {
    /// Lets modules use just what a release of the specification has. Default: 3.0, threads, the older exception
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
        /// Which instructions and types modules may use beyond WebAssembly 1.0.
        impl Config {
            $(
                $(#[$doc])*
                pub fn $name(&mut self, enable: bool) -> &mut Self {
                    self.features.set(WasmFeatures::$feature, enable);
                    self
                }
            )*
        }

        /// The switches: the method's name, and the feature.
        pub(crate) const SWITCHES: &[(&str, WasmFeatures)] = &[$((stringify!($name), WasmFeatures::$feature),)*];
    };
}

/// Features that a module uses and that its engine has switched off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisabledFeatures {
    pub(crate) switches: Vec<&'static str>,
}

impl DisabledFeatures {
    /// The methods of [`Config`] that switch them on.
    pub fn switches(&self) -> &[&'static str] {
        &self.switches
    }

    /// Their names, as their proposals have them: `multi-memory`, `gc`.
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
            "the module uses {}, which the engine has switched off: {} would let it in",
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
    /// The older exception instructions: `try`, `catch`, `rethrow`, `delegate`. Default: yes.
    wasm_legacy_exceptions LEGACY_EXCEPTIONS;
    /// Typed function references: `call_ref`, references to defined types. Default: yes.
    wasm_function_references FUNCTION_REFERENCES;
    /// Structs, arrays and small integers behind references, collected. Default: yes.
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
    /// Import sections that write a module's name, or a type, once for many imports. Default: yes.
    wasm_compact_imports COMPACT_IMPORTS;
}
