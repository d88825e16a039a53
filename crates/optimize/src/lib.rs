//! The optimizing tier: compiles validated function bodies to machine code through Cranelift.
//!
//! In: a [`belljar_compile::ModulePlan`] and a function index. Out: a [`CompiledFunction`] with its relocations, trap
//! sites and positions. Never: knowledge of how code is loaded or run, a second validation, or `unsafe`. No other crate
//! uses Cranelift.
//!
//! ```text
//!   body ─▶ translate ─▶ optimize ─▶ late_opts ─▶ select, allocate ─▶ tables ─▶ CompiledFunction
//!           inlines      Cranelift   loops        Cranelift
//! ```

mod failure;
mod finalize;
mod function;
mod generation_map;
mod huge;
mod instructions;
mod isa;
mod late_opts;
mod name;
mod pressure;
mod region;
mod signature;
mod stack_maps;
mod tables;
mod trampoline;
mod translate;
mod trap_code;
mod tuning;
mod workspace;

use belljar_abi::CompiledFunction;
use belljar_compile::{CompileError, FunctionBudget, ModulePlan, Target, Tier, TrampolineKind};
use belljar_core::{DefinedFuncIndex, FuncIndex, FuncType};
use failure::Failure;
use isa::{Isas, OptLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use workspace::{Workspace, WorkspacePool};

/// The name of the tier. A test checks it against the linked release.
const NAME: &str = "optimize (cranelift 0.135.0)";

/// The optimizing tier.
pub struct Optimizer {
    isas: Isas,
    pool: WorkspacePool,
}

impl Optimizer {
    /// Detects the host's processor and prepares to compile for it.
    ///
    /// # Errors
    ///
    /// Returns an error if the processor lacks an instruction set that compiled code relies on.
    pub fn new() -> Result<Self, CompileError> {
        Ok(Self { isas: Isas::for_host()?, pool: WorkspacePool::default() })
    }

    /// Prepares to compile for a processor by name.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is unknown, or the processor lacks an instruction set that compiled code relies on.
    pub fn for_processor(name: &str) -> Result<Self, CompileError> {
        Ok(Self { isas: Isas::for_processor(name)?, pool: WorkspacePool::default() })
    }

    /// Returns the same tier, assuming that the host is a processor of this name. Features that the host lacks are not
    /// assumed, so that all code can be executed.
    #[must_use]
    pub fn on_host(mut self, name: &str) -> Self {
        self.isas.assume_host(name);
        self
    }

    /// Compiles in a workspace from the pool. If the compiler panics, this returns an error and discards the workspace.
    fn compile(
        &self,
        work: impl FnOnce(&mut Workspace, &Isas) -> Result<CompiledFunction, Failure>,
    ) -> Result<CompiledFunction, Failure> {
        let mut workspace = self.pool.take();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut workspace, &self.isas)))
            .map_err(|payload| Failure::from_panic(&*payload))?;
        // After an error the builder may hold a partial function; after a huge function it holds far more memory than
        // the next function needs.
        if result.is_ok() && workspace.is_worth_keeping() {
            self.pool.put(workspace);
        }
        result
    }
}

impl Tier for Optimizer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> [u8; 32] {
        include!(concat!(env!("OUT_DIR"), "/sources.rs"))
    }

    fn target(&self) -> Target {
        isa::target(self.isas.get(false, OptLevel::Speed))
    }

    fn host_features(&self) -> Vec<&'static str> {
        self.isas.host_features()
    }

    fn function(
        &self,
        plan: &ModulePlan<'_>,
        func: DefinedFuncIndex,
        budget: &mut FunctionBudget<'_>,
    ) -> Result<CompiledFunction, CompileError> {
        self.compile(|workspace, isas| function::function(workspace, isas, plan, func, budget))
            .map_err(|f| f.in_function(plan.module.func_index(func)))
    }

    fn thunk(&self, plan: &ModulePlan<'_>, import: FuncIndex) -> Result<CompiledFunction, CompileError> {
        let canonical_nans = plan.tunables.canonical_nans;
        self.compile(|workspace, isas| trampoline::thunk(workspace, isas, canonical_nans, plan, import))
            .map_err(|f| f.in_function(import))
    }

    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
        self.compile(|workspace, isas| trampoline::trampoline(workspace, isas, false, kind, ty))
            .map_err(|f| f.in_trampoline(ty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_linked_release() {
        assert!(NAME.contains(cranelift_codegen::VERSION), "{} is linked", cranelift_codegen::VERSION);
    }

    #[test]
    fn the_target_is_described() {
        assert!(Optimizer::new().unwrap().target().features.contains(&"sse41"));
    }
}
