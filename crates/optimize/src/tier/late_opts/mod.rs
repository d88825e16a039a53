//! Late optimizations, between the middle end and instruction selection.
//!
//! Cranelift's middle end places each pure instruction where it is first needed, without regard to registers: it
//! updates an induction variable before its last use, so that two of its values are live at once and each iteration
//! ends in a move and one more jump. These passes run after the middle end and before instruction selection, change no
//! result, and leave unrecognised code alone.
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

/// Runs all passes. Returns whether any changed an instruction. The function must have been optimized, with its control
/// flow graph and dominator tree computed; both stay valid.
pub(crate) fn late_opts(context: &mut Context) -> bool {
    let changed = rewrite(context);
    positions::fill_missing(&mut context.func);
    positions::move_to_users(&mut context.func);
    changed
}

/// Must run before the middle end.
pub(crate) fn prepare(context: &mut Context) {
    positions::give_branches_trap_positions(&mut context.func);
}

/// Replaces the late optimizations for functions that skip the middle end.
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
