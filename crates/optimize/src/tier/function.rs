//! Compiles one defined function, from its body to code.

use crate::tier::clif_sink::ClifSink;
use crate::tier::failure::Failure;
use crate::tier::finalize::finalize;
use crate::tier::isa::{Isas, Settings};
use crate::tier::translate::translate;
use crate::tier::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::{FunctionBudget, ModulePlan};
use belljar_core::DefinedFuncIndex;
use cranelift_codegen::ir::Function;
use std::time::Instant;

/// Compiles one defined function within `budget`. `clif` is shown the optimized function.
pub(crate) fn function(
    workspace: &mut Workspace,
    isas: &Isas,
    clif: Option<&ClifSink>,
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
    let index = plan.module.func_index(func);
    let show = clif.map(|clif| move |func: &Function| clif(index, &func.to_string()));
    let show = show.as_ref().map(|show| show as &dyn Fn(&Function));
    finalize(workspace, isas, show, settings, start, translated, budget)
}
