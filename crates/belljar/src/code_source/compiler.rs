//! An engine's compiler.

use crate::problems::Problems;
use crate::profiling::ProfilerFeed;
use crate::{Config, OutsideText, Result};
use belljar_abi::{CompiledFunction, Image, Part};
use belljar_compile::{CodeSettings, Compiler, StoredTrampolines, Tier, TrampolineKind, Tunables};
use belljar_core::FuncType;
use belljar_module::Module;
use belljar_optimize::Optimizer;
use belljar_vm::TrampolineSource;
use std::sync::Arc;

/// Creates the engine's compiler of functions.
fn tier(config: &Config, problems: &Arc<Problems>) -> Result<Optimizer> {
    let mut tier = match config.processor() {
        None => Optimizer::new()?,
        Some(name) => {
            let tier = Optimizer::for_processor(name)?;
            config.compiler.host_processor.iter().fold(tier, |tier, host| tier.on_host(host))
        }
    };
    if config.compiler.verifier != cfg!(debug_assertions) {
        tier = tier.verify(config.compiler.verifier)?;
    }
    if let Some(directory) = config.compiler.clif.clone() {
        let problems = problems.clone();
        tier = tier.show_clif(Box::new(move |func, clif| {
            let path = directory.join(format!("wasm-function-{}.clif", func.0));
            if let Err(error) = std::fs::write(&path, clif) {
                problems.warn(format!("could not write {}: {error}", OutsideText::new(&path)));
            }
        }));
    }
    Ok(tier)
}

/// The compiler of an engine's code.
pub(crate) struct CodeSource {
    compiler: Compiler,
    /// Whether it compiles for a processor that was named.
    is_for_named_processor: bool,
}

impl CodeSource {
    pub(crate) fn new(config: &Config, tunables: Tunables, problems: &Arc<Problems>) -> Result<Self> {
        let tier: Arc<dyn Tier> = Arc::new(tier(config, problems)?);
        let settings = CodeSettings {
            features: config.features,
            tunables,
            fuel_costs: config.fuel_costs.clone(),
            version: crate::config::version(&config.compiler.version),
            origin: tier.origin(),
            target: tier.target(),
            host_features: tier.host_features(),
        };
        let compiler = Compiler::new(settings, tier, config.compiler.parallel);
        Ok(Self { compiler, is_for_named_processor: config.processor().is_some() })
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Returns the settings of the engine's code.
    pub(crate) fn settings(&self) -> &CodeSettings {
        self.compiler.settings()
    }

    /// Returns whether the engine may have code that this processor cannot execute.
    pub(crate) fn may_be_foreign(&self) -> bool {
        self.is_for_named_processor
    }

    /// Returns the source of trampolines that no module's file contains.
    pub(crate) fn trampolines(&self, profiler: ProfilerFeed) -> Box<dyn TrampolineSource> {
        let settings = self.settings();
        let foreign = self.may_be_foreign().then(|| settings.lacking(&settings.to_text())).flatten();
        Box::new(Trampolines { tier: self.compiler.tier().clone(), foreign, profiler })
    }

    /// Returns the trampolines for the file of a module: those of the file that it came from, or new ones.
    pub(crate) fn trampolines_of(&self, image: Image<'_>, module: &Module) -> Result<StoredTrampolines> {
        match image.part(Part::Trampolines).is_empty() {
            true => Ok(self.compiler.trampolines(module)?),
            false => Ok(StoredTrampolines::of(image)?),
        }
    }
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
            belljar_core::bail!("this processor cannot run the engine's code: {why}");
        }
        Ok(self.tier.trampoline(kind, ty)?)
    }

    fn loaded(&self, kind: TrampolineKind, ty: &FuncType, address: usize, code: &[u8]) {
        self.profiler.tell_trampoline(kind, ty, address, code);
    }
}
