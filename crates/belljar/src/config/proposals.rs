//! The features of WebAssembly that modules may use.

use super::Config;
use super::options::everything;
use crate::Result;
use belljar_core::bail;
use belljar_module::WasmFeatures;

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

/// Features of WebAssembly.
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

    /// Enables or disables features. [`crate::Engine::new`] fails if features are enabled that belljar does not have. The
    /// methods for single features do the same.
    ///
    /// ```
    /// use belljar::{Config, Engine, WasmFeatures};
    /// let mut config = Config::new();
    /// config.wasm_features(WasmFeatures::SIMD | WasmFeatures::RELAXED_SIMD, false);
    /// assert!(!Engine::new(&config)?.get_wasm_features().contains(WasmFeatures::SIMD));
    /// assert!(Engine::new(config.wasm_features(WasmFeatures::STACK_SWITCHING, true)).is_err());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn wasm_features(&mut self, flag: WasmFeatures, enable: bool) -> &mut Self {
        self.features.set(flag, enable);
        self
    }

    /// Sets whether modules may use instructions and types of floats. Default: yes.
    pub fn floats(&mut self, enable: bool) -> &mut Self {
        self.features.set(WasmFeatures::FLOATS, enable);
        self
    }

    /// Sets whether modules may import and export mutable globals. Default: yes.
    pub fn wasm_mutable_global(&mut self, enable: bool) -> &mut Self {
        self.features.set(WasmFeatures::MUTABLE_GLOBAL, enable);
        self
    }

    /// The same as [`Config::wasm_nontrapping_float_to_int`]. Default: yes.
    pub fn wasm_saturating_float_to_int(&mut self, enable: bool) -> &mut Self {
        self.wasm_nontrapping_float_to_int(enable)
    }
}

/// Checks that belljar has all these features.
pub(crate) fn check_supported(features: WasmFeatures) -> Result<()> {
    let lacking = features.difference(everything());
    if !lacking.is_empty() {
        let names: Vec<_> =
            lacking.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
        bail!("this version does not have the features {} of WebAssembly", names.join(", "));
    }
    Ok(())
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

/// Returns the name of a feature as in its proposal: `multi-memory`, `gc`.
pub(crate) fn proposal(switch: &str) -> String {
    switch.trim_start_matches("wasm_").replace('_', "-")
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
        self.switches.iter().map(|name| proposal(name))
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

/// Features of the component model.
#[cfg(feature = "component-model")]
impl Config {
    /// Sets whether components may use lists of a fixed length. Default: no, since their encoding may still change.
    ///
    /// ```
    /// use belljar::component::Component;
    /// use belljar::{Config, Engine};
    /// let text = r#"(component (type (list u8 4)))"#;
    /// assert!(Component::new(&Engine::default(), text).is_err());
    /// let engine = Engine::new(Config::new().wasm_component_model_fixed_length_lists(true))?;
    /// assert!(Component::new(&engine, text).is_ok());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn wasm_component_model_fixed_length_lists(&mut self, enable: bool) -> &mut Self {
        self.component_features.set(WasmFeatures::CM_FIXED_LENGTH_LISTS, enable);
        self
    }

    /// Sets whether components may use error contexts. Default: no. They are valid then; a call of one of their functions fails.
    pub fn wasm_component_model_error_context(&mut self, enable: bool) -> &mut Self {
        self.component_features.set(WasmFeatures::CM_ERROR_CONTEXT, enable);
        self
    }

    /// Sets whether values may lie in memories with 64-bit addresses. Default: no.
    pub fn wasm_component_model_memory64(&mut self, enable: bool) -> &mut Self {
        self.component_features.set(WasmFeatures::CM64, enable);
        self
    }

    /// Sets whether components may use maps. Default: yes.
    pub fn wasm_component_model_map(&mut self, enable: bool) -> &mut Self {
        self.component_features.set(WasmFeatures::CM_MAP, enable);
        self
    }
}
