//! From CLIF to machine code: middle end, late optimizations, instruction selection, register allocation.

use crate::tier::failure::Failure;
use crate::tier::isa::{Isas, OptLevel, Settings};
use crate::tier::late_opts::{keep_positions, late_opts, prepare};
use crate::tier::pressure::live_range_sum;
use crate::tier::tables::compiled_function;
use crate::tier::translate::Translated;
use crate::tier::tuning::{LIVE_RANGES_MIN_SIZE, MAX_LIVE_RANGES, MAX_LIVE_RANGES_LOOPS};
use crate::tier::workspace::Workspace;
use belljar_abi::{CompiledFunction, SourcePos};
use belljar_compile::FunctionBudget;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use std::time::Instant;

/// Compiles the function in the workspace to machine code. Code before the first instruction with a position belongs to `start`.
///
/// Neither half of Cranelift can be interrupted, so the budget is checked before each. `clif` is shown the optimized
/// function.
pub(crate) fn finalize(
    workspace: &mut Workspace,
    isas: &Isas,
    clif: Option<&dyn Fn(&Function)>,
    Settings { canonical_nans, opt_level }: Settings,
    start: SourcePos,
    translated: Translated,
    budget: &mut FunctionBudget<'_>,
) -> Result<CompiledFunction, Failure> {
    let Workspace { context, control, registers, .. } = workspace;
    let (written_out, has_loops) = (translated.size.written_out as u64, translated.size.loops > 0);

    budget.charge(opt_level.min_time(written_out))?;
    let started = Instant::now();
    optimize(context, isas.get(canonical_nans, opt_level), control, opt_level)?;
    if let Some(clif) = clif {
        clif(&context.func);
    }
    let optimized = Instant::now();
    budget.times.optimization += optimized - started;

    let live_ranges = live_ranges(context, opt_level, written_out);
    let opt_level = allocator_for(opt_level, live_ranges, has_loops);
    budget.charge(opt_level.min_time(written_out) / 2 + opt_level.min_allocation_time(live_ranges))?;
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
    if !opt_level.has_middle_end() {
        keep_positions(context);
    } else if late_opts(context) {
        context.func.dfg.resolve_all_aliases();
        context.verify_if(isa)?;
    }
    Ok(())
}

/// Returns the sum of live ranges if the function is large enough for it to matter. Sums above the largest limit are
/// not exact.
fn live_ranges(context: &Context, opt_level: OptLevel, written_out: u64) -> u64 {
    match opt_level.backtracks() && written_out > LIVE_RANGES_MIN_SIZE {
        true => live_range_sum(&context.func, &context.cfg, MAX_LIVE_RANGES_LOOPS),
        false => 0,
    }
}

/// Chooses the register allocator: single-pass if backtracking would take too long, even though the middle end ran.
/// Live ranges are known only now: the middle end turns stack slots into values and merges equal computations.
fn allocator_for(opt_level: OptLevel, live_ranges: u64, has_loops: bool) -> OptLevel {
    match live_ranges > if has_loops { MAX_LIVE_RANGES_LOOPS } else { MAX_LIVE_RANGES } {
        true => OptLevel::LinearTime,
        false => opt_level,
    }
}
