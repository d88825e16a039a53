//! Compiles one defined function, from its body to code.

use crate::failure::Failure;
use crate::finalize::finalize;
use crate::isa::{Isas, Settings};
use crate::translate::translate;
use crate::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::{FunctionBudget, ModulePlan};
use belljar_core::DefinedFuncIndex;
use std::time::Instant;

/// Compiles one defined function within `budget`.
pub(crate) fn function(
    workspace: &mut Workspace,
    isas: &Isas,
    plan: &ModulePlan<'_>,
    func: DefinedFuncIndex,
    budget: &mut FunctionBudget<'_>,
) -> Result<CompiledFunction, Failure> {
    let started = Instant::now();
    let translated = translate(workspace, isas, plan, func, budget)?;
    budget.times.translation += started.elapsed();
    let opt_level = translated.size.opt_level(plan);
    let start = SourcePos(plan.module.body(func).start as u32);
    let settings = Settings { canonical_nans: plan.tunables.canonical_nans, opt_level };
    finalize(workspace, isas, settings, start, translated, budget)
}
