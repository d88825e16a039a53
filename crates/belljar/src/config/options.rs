//! The groups of options that a [`crate::Config`] holds, with their defaults.

use super::choices::{Collector, ModuleVersionStrategy, Strategy};
use super::enforced_limits::EnforcedLimits;
use belljar_module::WasmFeatures;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The features that are enabled by default: all of 3.0, and the extensions that toolchains emit.
pub(crate) fn everything() -> WasmFeatures {
    WasmFeatures::WASM3
        | WasmFeatures::THREADS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::COMPACT_IMPORTS
}

/// How code is generated, besides what affects it.
#[derive(Clone, Debug)]
pub(crate) struct CompilerOptions {
    pub(crate) enabled: bool,
    pub(crate) strategy: Strategy,
    pub(crate) verifier: bool,
    pub(crate) parallel: bool,
    pub(crate) version: ModuleVersionStrategy,
    /// The target's triple, if it was set.
    pub(crate) target: Option<String>,
    pub(crate) processor: Option<String>,
    pub(crate) host_processor: Option<String>,
    pub(crate) clif: Option<PathBuf>,
    pub(crate) debug_symbols: bool,
    pub(crate) address_map: bool,
    // Without effect.
    pub(crate) debug_info: bool,
    pub(crate) native_unwind_info: bool,
}

impl Default for CompilerOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            strategy: Strategy::default(),
            verifier: cfg!(debug_assertions),
            parallel: true,
            version: ModuleVersionStrategy::default(),
            target: None,
            processor: None,
            host_processor: None,
            clif: None,
            debug_symbols: true,
            address_map: true,
            debug_info: false,
            native_unwind_info: false,
        }
    }
}

/// How memories and tables get address space and contents.
#[derive(Clone, Debug)]
pub(crate) struct MemoryOptions {
    pub(crate) reservation: Option<u64>,
    pub(crate) growth: Option<u64>,
    pub(crate) may_move: bool,
    pub(crate) copy_on_write: bool,
    pub(crate) shared_memory: bool,
    pub(crate) signals: bool,
    // Without effect.
    pub(crate) guard_size: u64,
    pub(crate) guard_before: bool,
    pub(crate) table_lazy_init: bool,
    pub(crate) dense_image_size: u64,
}

/// The address space that reserved memories have: all 32-bit addresses.
pub(crate) const WHOLE: u64 = 4 << 30;

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            reservation: None,
            growth: None,
            may_move: true,
            copy_on_write: true,
            shared_memory: true,
            signals: true,
            guard_size: belljar_abi::GUARD_SIZE,
            guard_before: true,
            table_lazy_init: true,
            dense_image_size: 16 << 20,
        }
    }
}

/// How objects are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct GcOptions {
    pub(crate) stress: bool,
    // Without effect.
    pub(crate) collector: Collector,
    pub(crate) initial_size: u64,
    pub(crate) reservation: Option<u64>,
    pub(crate) guard_size: Option<u64>,
    pub(crate) growth: Option<u64>,
    pub(crate) may_move: Option<bool>,
}

/// What errors show.
#[derive(Clone, Debug)]
pub(crate) struct ErrorOptions {
    /// The most frames of a backtrace; `None` for no backtrace.
    pub(crate) frames: Option<NonZeroUsize>,
    /// Whether backtraces show source files and lines.
    pub(crate) lines: bool,
    pub(crate) core_dump: bool,
}

/// The functions that a backtrace shows by default: all of the frames that a recorded stack keeps, which can be any number
/// because of inlining.
pub(crate) const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::MAX;

impl Default for ErrorOptions {
    fn default() -> Self {
        Self { frames: Some(BACKTRACE_FRAMES), lines: true, core_dump: false }
    }
}

/// What valid modules are refused for, and what of them is ignored.
#[derive(Clone, Debug)]
pub(crate) struct ModuleRules {
    pub(crate) limits: EnforcedLimits,
    pub(crate) start_function: bool,
    pub(crate) custom_sections: bool,
}

impl Default for ModuleRules {
    fn default() -> Self {
        Self { limits: EnforcedLimits::default(), start_function: true, custom_sections: true }
    }
}

/// The features of the component model that are enabled by default: what WASI 0.2 uses, maps, and what WASI 0.3 has beside.
/// Asynchronous functions are valid; calling one fails.
#[cfg(feature = "component-model")]
pub(super) fn component_features() -> WasmFeatures {
    WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::CM_ASYNC_STACKFUL
        | WasmFeatures::CM_MORE_ASYNC_BUILTINS
        | WasmFeatures::CM_THREADING
        | WasmFeatures::CM_MAP
        | WasmFeatures::CM_IMPLEMENTS
}
