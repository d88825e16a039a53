//! A tier with the settings of the code that it makes.

use crate::{
    Budget, BuildObserver, CodeSettings, CompileError, CompileLimit, CompileStage, FunctionCost, ModulePlan,
    StoredTrampolines, Tier, Tunables,
};
use belljar_abi::ImageWriter;
use belljar_core::DefinedFuncIndex;
use belljar_module::{Module, ModuleError, WasmFeatures};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A tier with the settings of the code that it makes.
///
/// The output of [`Compiler::build`] depends on the module and on this value alone, and its [`CodeSettings`] describe
/// all of it. Two builds with equal settings and modules therefore produce the same code, and [`CodeSettings::key`]
/// identifies it.
#[derive(Clone)]
pub struct Compiler {
    settings: CodeSettings,
    tier: Arc<dyn Tier>,
    /// Whether several threads compile a module. This does not affect the code.
    parallel: bool,
}

/// The reason why a module was not built.
#[derive(Debug)]
pub enum BuildError {
    /// The module is invalid.
    Module(ModuleError),
    /// The module could not be compiled.
    Compile(CompileError),
    /// The caller's check refused the module, for this reason.
    Refused(belljar_core::Error),
}

impl From<CompileError> for BuildError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}

impl Compiler {
    /// Combines a tier with the settings of the code that it makes.
    pub fn new(settings: CodeSettings, tier: Arc<dyn Tier>, parallel: bool) -> Self {
        Self { settings, tier, parallel }
    }

    /// Returns the same compiler with other options.
    #[must_use]
    pub fn with_tunables(&self, tunables: Tunables) -> Self {
        let settings = CodeSettings { tunables, ..self.settings.clone() };
        Self { settings, tier: self.tier.clone(), parallel: self.parallel }
    }

    /// Returns the same compiler for modules that may use these features.
    #[must_use]
    pub fn with_features(&self, features: WasmFeatures) -> Self {
        let settings = CodeSettings { features, ..self.settings.clone() };
        Self { settings, tier: self.tier.clone(), parallel: self.parallel }
    }

    /// Returns the settings of its code.
    pub fn settings(&self) -> &CodeSettings {
        &self.settings
    }

    /// Returns the tier that generates the code.
    pub fn tier(&self) -> &Arc<dyn Tier> {
        &self.tier
    }

    /// Compiles the trampolines that a module's file contains.
    ///
    /// # Errors
    ///
    /// Returns an error if the tier refuses a signature.
    pub fn trampolines(&self, module: &Module) -> Result<StoredTrampolines, CompileError> {
        StoredTrampolines::compile(module, &*self.tier)
    }

    /// Validates and compiles a binary. Returns the module and the image of its code. `check` may refuse a valid module
    /// before it is compiled. The observer is notified of progress and has no influence on the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the binary is invalid, is refused, exceeds what the compiler supports, or exceeds the budget.
    pub fn build(
        &self,
        wasm: Bytes,
        check: &(dyn Fn(&Module) -> belljar_core::Result<()> + Sync),
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<(Module, Vec<u8>), BuildError> {
        match self.parallel {
            true => self.build_here(wasm, check, observer, budget),
            false => belljar_parallel::on_one_thread(|| self.build_here(wasm, check, observer, budget)),
        }
    }

    fn build_here(
        &self,
        wasm: Bytes,
        check: &(dyn Fn(&Module) -> belljar_core::Result<()> + Sync),
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<(Module, Vec<u8>), BuildError> {
        observer.begin(CompileStage::Validation, 0);
        budget.check(CompileLimit::ModuleSize, wasm.len() as u64, None)?;
        let module = belljar_module::validate_until_stopped(wasm, self.settings.features, budget);
        // Validation does not know why the budget stopped it.
        let module =
            module.map_err(|error| budget.end().map_or(BuildError::Module(error), BuildError::Compile))?;
        check(&module).map_err(BuildError::Refused)?;
        let image = self.code(&module, observer, budget)?;
        Ok((module, image))
    }

    /// Compiles a module that was validated with these features and whose code is present.
    ///
    /// # Errors
    ///
    /// Returns an error if the module exceeds what the compiler supports, or exceeds the budget.
    fn code(
        &self,
        module: &Module,
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<Vec<u8>, CompileError> {
        check_sizes(module, budget)?;
        let plan =
            ModulePlan::new(module, self.settings.tunables).with_fuel_costs(self.settings.fuel_costs.clone());
        let artifact = crate::compile(&plan, &*self.tier, observer, budget)?;
        let image = ImageWriter::new(&artifact, &self.settings.to_text()).finish();
        observer.begin(CompileStage::Finished, crate::link::code_bytes(module));
        Ok(image)
    }
}

/// Checks the number of functions and the size of the largest.
fn check_sizes(module: &Module, budget: &Budget) -> Result<(), CompileError> {
    budget.check(CompileLimit::Functions, module.defined_funcs() as u64, None)?;
    let size = |func: DefinedFuncIndex| module.body(func).len() as u64;
    let largest = (0..module.defined_funcs()).map(DefinedFuncIndex::new).max_by_key(|func| size(*func));
    let Some(func) = largest else { return Ok(()) };
    let (index, bytes) = (module.func_index(func), size(func));
    let cost = FunctionCost { index, bytes, written_out: 0, cpu: Duration::ZERO };
    budget.check(CompileLimit::FunctionSize, bytes, Some(cost))
}
