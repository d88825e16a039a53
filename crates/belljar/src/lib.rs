//! A WebAssembly runtime for running code that you did not write.
//!
//! A bell jar is sealed, you can see into it, and you can empty it. This crate is the embedding interface; its names
//! and shapes follow those of Wasmtime and Wasmi. It has no `unsafe fn` and exposes no raw pointers. A misuse that
//! would be undefined behaviour elsewhere is a compile error, an `Err`, or a panic with a clear message.
//!
//! ```
//! use belljar::{Caller, Engine, Linker, Module, Store};
//!
//! # fn main() -> belljar::Result<()> {
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"
//!     (module
//!         (import "host" "log" (func $log (param i32)))
//!         (func (export "run") (param i32) (result i32)
//!             (call $log (local.get 0))
//!             (i32.add (local.get 0) (i32.const 1))))"#)?;
//!
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "log", |mut caller: Caller<'_, Vec<i32>>, x: i32| {
//!     caller.data_mut().push(x);
//! })?;
//!
//! let mut store = Store::new(&engine, Vec::new());
//! let instance = linker.instantiate(&mut store, &module)?;
//! let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
//! assert_eq!(run.call(&mut store, 41)?, 42);
//! assert_eq!(store.data(), &[41]);
//! # Ok(())
//! # }
//! ```
//!
//! # Ownership
//!
//! An [`Engine`] compiles [`Module`]s. A [`Store`] owns [`Instance`]s and everything that they can reach. Handles
//! ([`Func`], [`Memory`], [`Table`], [`Global`], [`Instance`], [`ExternRef`]) are small numbers that are checked
//! against their store at each use. A [`SharedMemory`] belongs to no store. `Engine`, `Module`, [`Linker`] and
//! [`InstancePre`] are `Send + Sync`, and a store is `Send`: two threads can run two stores of one engine at once.
//!
//! # How a run ends
//!
//! Each call of a guest ends in one of these ways:
//!
//! - It returns.
//! - It traps: the [`Error`] holds a [`Trap`] and a [`WasmBacktrace`].
//! - A host function that it called returns an error: the [`Error`] is that error, with a backtrace.
//! - It throws an exception that it does not catch: the [`Error`] holds a [`ThrownException`].
//! - A host function panics: the panic propagates to the caller.
//!
//! With [`Config::coredump_on_trap`], the error of a run that did not return holds a [`WasmCoreDump`] as well.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `compiler` | yes | compiling modules; without it, they come from artifacts ([`Module::deserialize`]) |
//! | `component-model` | yes | components; enables `compiler` |
//! | `bindgen` | yes | `component::bindgen!`, code for worlds of WIT; enables `component-model` |
//! | `wat` | yes | modules in text format; enables `compiler` |
//! | `debug-info` | yes | files and lines in backtraces, and readable C++ and Rust names |
//! | `profiling` | yes | sampling profiles |
//! | `pprof` | yes | profiles for pprof; enables `profiling` |
//! | `inspection` | yes | inspection by other processes; enables `profiling` |
//! | `flamegraph` | no | profiles as flame graphs; enables `profiling` |

mod artifact;
mod artifact_info;
mod backtrace;
#[cfg(feature = "compiler")]
mod build;
mod build_info;
#[cfg(feature = "compiler")]
mod code_builder;
mod code_source;
#[cfg(feature = "component-model")]
pub mod component;
mod config;
mod context;
mod core_dump;
mod default_values;
mod definition;
mod engine;
pub mod error;
mod exception;
mod externs;
mod fault_hint;
mod float_bits;
mod free_queue;
mod func;
mod func_call;
mod global;
mod guest_alloc;
mod guest_buf;
mod guest_layout;
#[cfg(feature = "profiling")]
mod guest_profiler;
mod guest_ranges;
mod host_write;
mod import_clues;
#[cfg(feature = "inspection")]
mod inspection;
mod inspector;
mod instance;
mod instance_exports;
mod instantiate;
mod kill;
mod limits;
mod linker;
mod load;
mod memory;
mod memory_fault;
mod missing_export;
mod module;
mod nullable;
mod problems;
#[cfg(feature = "profiling")]
mod profiler;
mod profiling;
// Only a compiler reports progress.
#[cfg_attr(not(feature = "compiler"), allow(dead_code))]
mod progress;
mod refs;
#[cfg(feature = "compiler")]
mod refusal;
mod resumable;

mod run_error;
mod sandbox;
mod shared_memory;
mod snapshot;
mod start_problem;
mod store;
mod store_extension;
mod sync;
mod table;
mod tag;
#[cfg(feature = "compiler")]
mod text;
#[cfg(feature = "wat")]
mod text_position;
mod types;
mod v128;
mod values;
mod wasm_ty;
mod watchdog;

pub use artifact::{ArtifactError, ArtifactOptions, Origin};
pub use artifact_info::{ArtifactInfo, HeldWasm};
pub use backtrace::WasmBacktrace;
pub use belljar_cache::{
    ArtifactKind, Cache, CacheConfig, CacheError, Identity, Key, KeyError, NamedKey, PublicKey, SealError,
    SealInfo, SigningKey, Trust, TrustedBy, TrustedKeys, UserKey,
};
pub use belljar_compile::{
    CompileCancel, CompileError, CompileLimit, CompileLimitExceeded, CompileLimits, CompileStage,
    CompileTimes, FunctionCost, Inlining, OperatorCost, OptLevel, RegallocAlgorithm, VariableOperatorCost,
};
pub use belljar_core::Trap as TrapCode;
#[doc(hidden)]
pub use belljar_core::{ByteCount, Counted, similar_name};
pub use belljar_core::{I32Exit, OutsideText, Trap};
pub use belljar_module::WasmFeatures;
#[cfg(feature = "compiler")]
#[doc(hidden)]
pub use belljar_optimize::CRANELIFT_VERSION;
#[cfg(feature = "profiling")]
pub use belljar_profile::{
    FrameKind, FunctionTime, Profile, ProfileFormat, ProfileFrame, ProfileSample, ProfileSummary,
    ProfileThread, UnknownProfileFormat,
};
pub use belljar_vm::{CallHook, GcStats};
pub use belljar_watch::{DebugInfoMismatch, FrameInfo, FrameSymbol};
#[doc(hidden)]
pub use build_info::{cargo_features, default_wasm_features};
#[cfg(feature = "compiler")]
pub use code_builder::{CodeBuilder, CodeHint};
pub use config::{
    Collector, CompilationMode, Config, CustomFuelCosts, DisabledFeatures, EnforcedLimits,
    EnforcedLimitsError, InstanceAllocationStrategy, ModuleVersionStrategy, Strategy, WasmBacktraceDetails,
    WasmRelease,
};
pub use context::{AsContext, AsContextMut, Caller, StoreContext, StoreContextMut};
pub use core_dump::WasmCoreDump;
pub use engine::{Engine, EngineWeak, Precompiled};
pub use error::{Error, Result, bail, ensure, format_err};
pub use exception::ThrownException;
pub use externs::{Export, Extern};
pub use float_bits::{F32, F64};
pub use func::Func;
pub use func_call::{IntoFunc, TypedFunc};
pub use global::Global;
pub use guest_alloc::GuestAlloc;
pub use guest_buf::{GuestAddress, GuestBuf};
#[cfg(feature = "profiling")]
pub use guest_profiler::GuestProfiler;
pub use import_clues::{ImportClue, ImportClues};
#[cfg(feature = "inspection")]
pub use inspection::Inspection;
pub use inspector::{GuestState, Inspector, Stack, StackHostCall};
pub use instance::Instance;
pub use instantiate::InstancePre;
pub use kill::{KillHandle, KillReason, Killed};
pub use limits::{
    DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, EngineLimitExceeded, Limit,
    LimitExceeded, LimitGroup, LimitUnit, Limits, ResourceLimiter, ResourceUsage, StoreLimits,
    StoreLimitsBuilder,
};
pub use linker::{Linker, UnknownImportError};
pub use memory::{Memory, MemoryAccessError};
pub use memory_fault::MemoryFault;
pub use module::{
    CustomSection, CustomSectionsIter, FuncIndex, Module, ModuleExport, ModuleExportsIter, ModuleFunction,
    ModuleImportsIter, ResourcesRequired, StaticModuleIndex,
};
pub use nullable::Nullable;
#[cfg(feature = "profiling")]
pub use profiler::Profiler;
pub use profiling::ProfilingStrategy;
pub use progress::Progress;
pub use refs::{
    AnyRef, ArrayRef, ArrayRefPre, EqRef, ExnRef, ExnRefPre, ExternRef, GcHeapOutOfMemory, GcRef, I31,
    NoExtern, NoFunc, NoneRef, OwnedRooted, RootScope, Rooted, RootedGcRef, StructRef, StructRefPre,
};
#[cfg(feature = "compiler")]
pub use refusal::UnsupportedProposals;
pub use resumable::{
    ResumableCall, ResumableCallHostTrap, ResumableCallOutOfFuel, TypedResumableCall,
    TypedResumableCallHostTrap, TypedResumableCallOutOfFuel,
};
pub use sandbox::{
    Burst, PoolConfig, PoolExhausted, PoolStatistics, Sandbox, SandboxDiscarded, SandboxGuest,
    SandboxKillHandle, SandboxPool, SandboxTemplate, Session,
};
pub use shared_memory::{SharedData, SharedMemory, WaitResult};
pub use start_problem::StartProblem;
pub use store::{Store, UpdateDeadline};
pub use table::Table;
pub use tag::Tag;
#[cfg(feature = "compiler")]
pub use text::to_binary;
#[cfg(feature = "wat")]
#[doc(hidden)]
pub use text_position::locate_in_text;
pub use types::{
    ArrayType, ExnType, ExportType, ExternType, FieldType, Finality, FuncType, GlobalType, HeapType,
    ImportType, MemoryType, MemoryTypeBuilder, MemoryTypeError, Mutability, RefType, StorageType, StructType,
    TableType, TableTypeError, TagType, ValType,
};
pub use v128::V128;
pub use values::{Ref, Val};
pub use wasm_ty::{WasmParams, WasmResults, WasmRet, WasmTy};
pub use watchdog::{Watchdog, WatchdogAction};
/// Re-exported for the traits that describe the element types of [`GuestBuf`]'s slices.
pub use zerocopy;
