//! The tier itself: compiles validated function bodies to machine code through Cranelift.
//!
//! In: a [`belljar_compile::ModulePlan`] and a function index. Out: a [`CompiledFunction`] with its relocations, trap
//! sites and positions. Never: knowledge of how code is loaded or run, or a second validation.
//!
//! ```text
//!   body ─▶ translate ─▶ optimize ─▶ late_opts ─▶ select, allocate ─▶ tables ─▶ CompiledFunction
//!           inlines      Cranelift   loops        Cranelift
//! ```

mod clif_sink;
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

use crate::ORIGIN;
use belljar_abi::CompiledFunction;
use belljar_compile::{CompileError, FunctionBudget, ModulePlan, Target, Tier, TierOrigin, TrampolineKind};
use belljar_core::{DefinedFuncIndex, FuncIndex, FuncType};
pub use clif_sink::ClifSink;
use failure::Failure;
use isa::{Isas, OptLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use workspace::{Workspace, WorkspacePool};

/// The release of Cranelift that generates the code.
pub const CRANELIFT_VERSION: &str = cranelift_codegen::VERSION;

/// The optimizing tier.
pub struct Optimizer {
    isas: Isas,
    pool: WorkspacePool,
    clif: Option<Box<ClifSink>>,
}

impl Optimizer {
    /// Detects the host's processor and prepares to compile for it.
    ///
    /// # Errors
    ///
    /// Returns an error if the processor lacks an instruction set that compiled code relies on.
    pub fn new() -> Result<Self, CompileError> {
        Ok(Self { isas: Isas::for_host()?, pool: WorkspacePool::default(), clif: None })
    }

    /// Prepares to compile for a processor by name.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is unknown, or the processor lacks an instruction set that compiled code relies on.
    pub fn for_processor(name: &str) -> Result<Self, CompileError> {
        Ok(Self { isas: Isas::for_processor(name)?, pool: WorkspacePool::default(), clif: None })
    }

    /// Returns the same tier, assuming that the host is a processor of this name. Features that the host lacks are not
    /// assumed, so that all code can be executed.
    #[must_use]
    pub fn on_host(mut self, name: &str) -> Self {
        self.isas.assume_host(name);
        self
    }

    /// Returns the same tier, in which Cranelift checks its own work, or does not. The code is the same. Default: only in
    /// debug builds.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Optimizer::new`].
    pub fn verify(mut self, verifies: bool) -> Result<Self, CompileError> {
        self.isas.verify(verifies)?;
        Ok(self)
    }

    /// Returns the same tier, which shows the CLIF of all functions that it compiles.
    #[must_use]
    pub fn show_clif(mut self, clif: Box<ClifSink>) -> Self {
        self.clif = Some(clif);
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
    fn origin(&self) -> TierOrigin {
        ORIGIN
    }

    fn target(&self) -> Target {
        isa::target(self.isas.get(false, OptLevel::SPEED))
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
        self.compile(|workspace, isas| {
            function::function(workspace, isas, self.clif.as_deref(), plan, func, budget)
        })
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
        assert!(ORIGIN.name.contains(cranelift_codegen::VERSION), "{} is linked", cranelift_codegen::VERSION);
    }

    #[test]
    fn the_target_is_described() {
        assert!(Optimizer::new().unwrap().target().features.contains(&"sse41"));
    }
}
