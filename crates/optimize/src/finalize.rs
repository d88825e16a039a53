//! From CLIF to machine code: the middle end, the late optimizations, instruction selection, register allocation.

use crate::failure::Failure;
use crate::isa::{Isas, OptLevel, Settings};
use crate::late_opts::{keep_positions, late_opts, prepare};
use crate::pressure::area;
use crate::tables::compiled_function;
use crate::translate::Translated;
use crate::tuning::{CROWDED_AREA, CROWDED_LOOPS_AREA, CROWDED_WRITTEN_OUT};
use crate::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::FunctionBudget;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::TargetIsa;
use std::time::Instant;

/// Compiles the function in the workspace to machine code. Code before the first instruction with a position belongs to `start`.
///
/// Neither half of Cranelift can be interrupted, so the budget is checked before each.
pub(crate) fn finalize(
    workspace: &mut Workspace,
    isas: &Isas,
    Settings { canonical_nans, opt_level }: Settings,
    start: SourcePos,
    translated: Translated,
    budget: &mut FunctionBudget<'_>,
) -> Result<CompiledFunction, Failure> {
    let Workspace { context, control, registers, .. } = workspace;
    let (size, has_loops) = (translated.extent.written_out as u64, translated.extent.loops > 0);

    budget.look(opt_level.foreseen(size))?;
    let started = Instant::now();
    optimize(context, isas.get(canonical_nans, opt_level), control, opt_level)?;
    let optimized = Instant::now();
    budget.times.optimization += optimized - started;

    let alive = alive(context, opt_level, size);
    let opt_level = registers_by(opt_level, alive, has_loops);
    budget.look(opt_level.foreseen(size) / 2 + opt_level.foreseen_for(alive))?;
    let isa = isas.get(canonical_nans, opt_level);
    let stencil = isa.compile_function(&context.func, &context.domtree, registers, false, control)?;
    let code = stencil.apply_params(&context.func.params);
    let align = code.buffer.alignment.max(isa.function_alignment().preferred);
    let function = compiled_function(&code, &context.func.params, align, start, translated)?;
    budget.times.generation += optimized.elapsed();
    Ok(function)
}

/// Runs Cranelift's middle end and the late optimizations.
fn optimize(
    context: &mut Context,
    isa: &dyn TargetIsa,
    control: &mut ControlPlane,
    opt_level: OptLevel,
) -> Result<(), Failure> {
    prepare(context);
    context.optimize(isa, control)?;
    if opt_level == OptLevel::LinearTime {
        keep_positions(context);
    } else if late_opts(context) {
        context.func.dfg.resolve_all_aliases();
        context.verify_if(isa)?;
    }
    Ok(())
}

/// What is alive, summed over the function, where that is worth knowing: more than the most that is allowed is told as such.
fn alive(context: &Context, opt_level: OptLevel, written_out: u64) -> u64 {
    match opt_level == OptLevel::Speed && written_out > CROWDED_WRITTEN_OUT {
        true => area(&context.func, &context.cfg, CROWDED_LOOPS_AREA),
        false => 0,
    }
}

/// How registers are given out: in one pass where backtracking would take long, even though the middle end did not. What is alive
/// at once is known only now: it makes values of what lay in the frame, and moves what it finds twice.
fn registers_by(opt_level: OptLevel, alive: u64, has_loops: bool) -> OptLevel {
    match alive > if has_loops { CROWDED_LOOPS_AREA } else { CROWDED_AREA } {
        true => OptLevel::LinearTime,
        false => opt_level,
    }
}
