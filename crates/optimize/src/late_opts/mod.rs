//! What the middle end leaves on the table, taken before instructions are selected.
//!
//! Cranelift's middle end floats pure instructions and puts each where it is first needed. That says nothing
//! about registers: a counter is stepped before its last use, so that two values of it are alive at once and
//! each round ends in a move and one more jump. These passes work on the function after the middle end and
//! before instruction selection, change no result, and leave alone what they do not recognise.
//!
//! ```text
//!   optimize (middle end) ─▶ arithmetic ─▶ loads ─▶ constants ─▶ induction ─▶ indices ─▶ positions ─▶ select
//! ```

mod arithmetic;
mod constants;
mod edges;
mod indices;
mod induction;
mod loads;
mod positions;
mod product;

use cranelift_codegen::Context;

/// Runs all passes; whether any changed an instruction. The function has been optimized, and its control flow and
/// dominator tree are computed; they stay as they are.
pub(crate) fn late_opts(context: &mut Context) -> bool {
    let changed = rewrite(context);
    positions::fill_missing(&mut context.func);
    positions::move_to_users(&mut context.func);
    changed
}

/// What must be done before the middle end.
pub(crate) fn prepare(context: &mut Context) {
    positions::give_branches_trap_positions(&mut context.func);
}

/// What must be done where nothing is polished. The function has been through no middle end.
pub(crate) fn keep_positions(context: &mut Context) {
    positions::move_to_users(&mut context.func);
}

fn rewrite(context: &mut Context) -> bool {
    let mut changed = arithmetic::shorten(&mut context.func);
    changed |= loads::widen(&mut context.func);
    context.compute_loop_analysis();
    if context.loop_analysis.loops().next().is_none() {
        return changed;
    }
    changed |= constants::hoist(&mut context.func, &context.domtree, &context.loop_analysis);
    let edges = edges::back_edges(&context.func, &context.loop_analysis);
    for edge in &edges {
        changed |= induction::sink(&mut context.func, edge);
    }
    changed | indices::widen(&mut context.func, &context.cfg, &context.loop_analysis, &edges)
}
