//! `--wasm`, `--enable` and `--disable`: the features that modules may use.

use belljar::{Config, WasmRelease};
use clap::{Args, ValueEnum};

macro_rules! proposals {
    ($($(#[$doc:meta])* $variant:ident $name:literal $method:ident;)*) => {
        /// A feature that can be switched on and off.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
        pub(crate) enum Proposal {
            $($(#[$doc])* #[value(name = $name)] $variant,)*
        }

        impl Proposal {
            /// Enables or disables the feature in a configuration.
            pub(crate) fn switch(self, config: &mut Config, on: bool) {
                match self {
                    $(Self::$variant => config.$method(on),)*
                };
            }
        }
    };
}

proposals! {
    /// Sign extension of small integers
    SignExtension "sign-extension" wasm_sign_extension;
    /// Float-to-int conversions that saturate instead of trapping
    NontrappingFloatToInt "nontrapping-float-to-int" wasm_nontrapping_float_to_int;
    /// 128-bit vectors
    Simd "simd" wasm_simd;
    /// Bulk operations, passive segments
    BulkMemory "bulk-memory" wasm_bulk_memory;
    /// `externref`, multiple tables
    ReferenceTypes "reference-types" wasm_reference_types;
    /// Multiple results
    MultiValue "multi-value" wasm_multi_value;
    /// Multiple memories
    MultiMemory "multi-memory" wasm_multi_memory;
    /// `return_call`
    TailCall "tail-call" wasm_tail_call;
    /// Exceptions
    Exceptions "exceptions" wasm_exceptions;
    /// The legacy exception instructions
    LegacyExceptions "legacy-exceptions" wasm_legacy_exceptions;
    /// Typed function references
    FunctionReferences "function-references" wasm_function_references;
    /// Garbage collection
    Gc "gc" wasm_gc;
    /// 64-bit memories and tables
    Memory64 "memory64" wasm_memory64;
    /// Arithmetic in constant expressions
    ExtendedConst "extended-const" wasm_extended_const;
    /// Relaxed vector instructions
    RelaxedSimd "relaxed-simd" wasm_relaxed_simd;
    /// Shared memories and atomic instructions
    Threads "threads" wasm_threads;
    /// 128-bit arithmetic
    WideArithmetic "wide-arithmetic" wasm_wide_arithmetic;
    /// Memories with a page size of one byte
    CustomPageSizes "custom-page-sizes" wasm_custom_page_sizes;
    /// Import sections that name a module or a type once for multiple imports
    CompactImports "compact-imports" wasm_compact_imports;
    /// Lists of a fixed length in components
    FixedLengthLists "fixed-length-lists" wasm_component_model_fixed_length_lists;
    /// Error contexts in components
    ErrorContext "error-context" wasm_component_model_error_context;
    /// Values of components in 64-bit memories
    ComponentMemory64 "component-memory64" wasm_component_model_memory64;
}

/// A release of the specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Release {
    #[value(name = "1.0")]
    V1,
    #[value(name = "2.0")]
    V2,
    #[value(name = "3.0")]
    V3,
}

/// The features enabled and disabled on the command line.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Proposals {
    /// Allow only the features of this release [default: 3.0, and the proposals adopted since]
    ///
    /// Use it to check that a module runs in older engines.
    #[arg(long, value_name = "RELEASE")]
    wasm: Option<Release>,

    /// Allow these features in addition to the release: see --disable for the list
    #[arg(long, value_name = "FEATURE,...", value_delimiter = ',', hide_possible_values = true)]
    enable: Vec<Proposal>,

    /// Refuse modules that use any of these features [default: none are refused]
    ///
    /// Separate features with commas, or give the option several times.
    #[arg(long, value_name = "FEATURE,...", value_delimiter = ',')]
    disable: Vec<Proposal>,
}

impl Proposals {
    /// Applies the choices to a configuration.
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(release) = self.wasm {
            config.wasm_release(match release {
                Release::V1 => WasmRelease::V1,
                Release::V2 => WasmRelease::V2,
                Release::V3 => WasmRelease::V3,
            });
        }
        self.enable.iter().for_each(|p| p.switch(config, true));
        self.disable.iter().for_each(|p| p.switch(config, false));
    }
}
