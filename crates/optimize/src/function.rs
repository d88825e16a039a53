//! One defined function, from its body to code.

use crate::failure::Failure;
use crate::harvest::harvest;
use crate::isa::Isas;
use crate::translate::translate;
use crate::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::ModulePlan;
use belljar_core::DefinedFuncIndex;

/// Compiles one defined function.
pub(crate) fn function(
    workspace: &mut Workspace,
    isas: &Isas,
    plan: &ModulePlan<'_>,
    func: DefinedFuncIndex,
) -> Result<CompiledFunction, Failure> {
    let translated = translate(workspace, isas, plan, func)?;
    let effort = translated.extent.effort(plan);
    let start = SourcePos(plan.module.body(func).start as u32);
    harvest(workspace, isas.get(plan.tunables.canonical_nans, effort), effort, start, translated)
}
