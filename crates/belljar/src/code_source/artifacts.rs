//! An engine without a compiler: all code comes from artifacts.

use crate::problems::Problems;
use crate::profiling::ProfilerFeed;
use crate::{Config, Result};
use belljar_abi::{CompiledFunction, Image};
use belljar_compile::{CodeSettings, StoredTrampolines, Target, TrampolineKind, Tunables};
use belljar_core::FuncType;
use belljar_module::Module;
use belljar_optimize::{HOST_TARGET, ORIGIN, host_features};
use belljar_vm::TrampolineSource;
use std::sync::Arc;

/// What artifacts must have been made with.
pub(crate) struct CodeSource {
    settings: CodeSettings,
}

impl CodeSource {
    pub(crate) fn new(config: &Config, tunables: Tunables, _: &Arc<Problems>) -> Result<Self> {
        let host_features = host_features();
        let target = Target { triple: HOST_TARGET.into(), features: host_features.clone() };
        let settings = CodeSettings {
            features: config.features,
            tunables,
            fuel_costs: config.fuel_costs.clone(),
            version: crate::config::version(&config.compiler.version),
            origin: ORIGIN,
            target,
            host_features,
        };
        Ok(Self { settings })
    }

    /// Returns the settings of the engine's code.
    pub(crate) fn settings(&self) -> &CodeSettings {
        &self.settings
    }

    /// Returns whether the engine may have code that this processor cannot execute.
    pub(crate) fn may_be_foreign(&self) -> bool {
        false
    }

    /// Returns the source of trampolines that no module's file contains.
    pub(crate) fn trampolines(&self, profiler: ProfilerFeed) -> Box<dyn TrampolineSource> {
        Box::new(NoCompiler { profiler })
    }

    /// Returns the trampolines for the file of a module: those of the file that it came from.
    pub(crate) fn trampolines_of(&self, image: Image<'_>, _: &Module) -> Result<StoredTrampolines> {
        Ok(StoredTrampolines::of(image)?)
    }
}

/// Takes the place of a compiler of trampolines.
struct NoCompiler {
    profiler: ProfilerFeed,
}

impl TrampolineSource for NoCompiler {
    fn trampoline(&self, _: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction> {
        belljar_core::bail!(
            "calls of functions of type {ty} need code that no loaded module contains, and this build of belljar has no \
             compiler: load an artifact with this function type first, or enable belljar's feature `compiler`"
        )
    }

    fn loaded(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        self.profiler.tell_trampoline(kind, ty, address, code);
    }
}
