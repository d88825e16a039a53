//! Sinks updates of induction variables below the last use of the old value.
//!
//! ```text
//!   next = iadd i, 1              …uses of i
//!   …uses of i           ─▶       next = iadd i, 1
//!   brif icmp ne i, 699           brif icmp ne next, 700
//! ```
//!
//! `i` and `next` then share a register, and the branch jumps directly to the loop's header. The middle end turns the
//! comparison on the right into the one on the left, because it saves an operand.

use super::edges::{BackEdge, arguments, defining_inst};
use crate::tier::tuning::{INDUCTION_UPDATES, SINK_DISTANCE};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{BlockArg, Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value};

/// An instruction that computes the next iteration's value of a header's parameter from the current one.
struct Update {
    inst: Inst,
    param: Value,
    next: Value,
    /// Whether an instruction between the update and the branch uses the next value: the update then stays.
    next_used: bool,
    /// Whether an instruction between the update and the branch uses the parameter: sinking the update then frees a
    /// register.
    param_used: bool,
    /// Whether the backward scan from the branch has reached the update.
    visited: bool,
}

/// Sinks the updates that one back edge passes to the end of its block. Returns whether there may have been any.
pub(super) fn sink(func: &mut Function, edge: &BackEdge) -> bool {
    let mut updates = updates(func, edge);
    if updates.is_empty() {
        return false;
    }
    compare_next(func, edge, &updates);
    let anchor = anchor(func, edge);
    walk_back(func, anchor, &mut updates);
    for update in updates.iter().filter(|s| s.visited && s.param_used && !s.next_used) {
        func.layout.remove_inst(update.inst);
        func.layout.insert_inst(update.inst, anchor);
    }
    true
}

fn updates(func: &Function, edge: &BackEdge) -> Vec<Update> {
    let params = func.dfg.block_params(edge.header);
    let update = |(&param, next): (&Value, BlockArg)| {
        let next = func.dfg.resolve_aliases(next.as_value()?);
        let inst = defining_inst(func, next)?;
        let here = func.layout.inst_block(inst) == Some(edge.block);
        let is_one = is_update(func.dfg.insts[inst].opcode()) && uses(func, inst, param);
        (here && is_one).then_some(Update {
            inst,
            param,
            next,
            next_used: false,
            param_used: false,
            visited: false,
        })
    };
    params
        .iter()
        .zip(arguments(func, edge.branch, edge.index))
        .filter_map(update)
        .take(INDUCTION_UPDATES)
        .collect()
}

/// Pure instructions that update an induction variable. Their position within a block does not matter.
fn is_update(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Iadd
            | Opcode::Isub
            | Opcode::Imul
            | Opcode::Ishl
            | Opcode::Ushr
            | Opcode::Sshr
            | Opcode::Band
            | Opcode::Bor
            | Opcode::Bxor
            | Opcode::Rotl
    )
}

fn uses(func: &Function, inst: Inst, value: Value) -> bool {
    func.dfg.inst_args(inst).iter().any(|arg| func.dfg.resolve_aliases(*arg) == value)
}

/// Makes the branch compare the next value if it compares the current one with a constant.
fn compare_next(func: &mut Function, edge: &BackEdge, updates: &[Update]) {
    let Some((condition, value, limit)) = comparison(func, edge.branch) else { return };
    let Some(update) = updates.iter().find(|s| s.param == value) else { return };
    let Some(distance) = distance(func, update) else { return };
    let ty = func.dfg.value_type(value);
    let limit = truncated(ty, limit.wrapping_add(distance));
    let (next, srcloc) = (update.next, func.srcloc(edge.branch));
    let mut cursor = FuncCursor::new(func).at_inst(edge.branch).with_srcloc(srcloc);
    let limit = cursor.ins().iconst(ty, limit);
    let compared = cursor.ins().icmp(condition, next, limit);
    func.dfg.inst_args_mut(edge.branch)[0] = compared;
}

/// Returns the comparison for equality with a constant that a branch depends on.
fn comparison(func: &Function, branch: Inst) -> Option<(IntCC, Value, i64)> {
    let InstructionData::Brif { arg, .. } = func.dfg.insts[branch] else { return None };
    let InstructionData::IntCompare { cond, args: [x, y], .. } = func.dfg.insts[defining_inst(func, arg)?]
    else {
        return None;
    };
    let equality = matches!(cond, IntCC::Equal | IntCC::NotEqual);
    equality.then_some((cond, func.dfg.resolve_aliases(x), integer(func, y)?))
}

/// Returns the constant that an update adds, if it adds one.
fn distance(func: &Function, update: &Update) -> Option<i64> {
    let InstructionData::Binary { opcode: Opcode::Iadd, args: [x, y] } = func.dfg.insts[update.inst] else {
        return None;
    };
    if func.dfg.resolve_aliases(x) == update.param { integer(func, y) } else { integer(func, x) }
}

fn integer(func: &Function, value: Value) -> Option<i64> {
    match func.dfg.insts[defining_inst(func, value)?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
        _ => None,
    }
}

/// Returns a constant in CLIF's format: zero-extended from its width.
fn truncated(ty: Type, value: i64) -> Imm64 {
    let unused = 64 - ty.bits().min(64);
    Imm64::new(((value as u64) << unused >> unused) as i64)
}

/// Returns the instruction before which updates are placed: the branch, or the comparison that is selected together
/// with it.
fn anchor(func: &mut Function, edge: &BackEdge) -> Inst {
    let InstructionData::Brif { arg, .. } = func.dfg.insts[edge.branch] else { return edge.branch };
    let condition = func.dfg.resolve_aliases(arg);
    let Some(inst) = defining_inst(func, condition) else { return edge.branch };
    let compares = matches!(func.dfg.insts[inst].opcode(), Opcode::Icmp | Opcode::Fcmp);
    if !compares || func.layout.inst_block(inst) != Some(edge.block) {
        return edge.branch;
    }
    let mut next = func.layout.next_inst(inst);
    while let Some(between) = next.filter(|n| *n != edge.branch) {
        if uses(func, between, condition) {
            return edge.branch;
        }
        next = func.layout.next_inst(between);
    }
    func.layout.remove_inst(inst);
    func.layout.insert_inst(inst, edge.branch);
    inst
}

/// Scans the instructions between each update and the anchor.
fn walk_back(func: &Function, anchor: Inst, updates: &mut [Update]) {
    let mut current = func.layout.prev_inst(anchor);
    for _ in 0..SINK_DISTANCE {
        let Some(inst) = current else { return };
        for update in updates.iter_mut().filter(|s| s.inst == inst) {
            update.visited = true;
        }
        for arg in func.dfg.inst_args(inst) {
            let arg = func.dfg.resolve_aliases(*arg);
            for update in updates.iter_mut().filter(|s| !s.visited) {
                update.next_used |= arg == update.next;
                update.param_used |= arg == update.param;
            }
        }
        if updates.iter().all(|s| s.visited) {
            return;
        }
        current = func.layout.prev_inst(inst);
    }
}
