//! One defined function, from its body to code.

use crate::failure::Failure;
use crate::harvest::harvest;
use crate::isa::Isas;
use crate::translate::translate;
use crate::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::{CompileTimes, ModulePlan};
use belljar_core::DefinedFuncIndex;
use std::time::Instant;

/// Compiles one defined function. What it took is added to `times`.
pub(crate) fn function(
    workspace: &mut Workspace,
    isas: &Isas,
    plan: &ModulePlan<'_>,
    func: DefinedFuncIndex,
    times: &mut CompileTimes,
) -> Result<CompiledFunction, Failure> {
    let started = Instant::now();
    let translated = translate(workspace, isas, plan, func)?;
    times.translation += started.elapsed();
    let effort = translated.extent.effort(plan);
    let start = SourcePos(plan.module.body(func).start as u32);
    let isa = isas.get(plan.tunables.canonical_nans, effort);
    harvest(workspace, isa, effort, start, translated, times)
}
