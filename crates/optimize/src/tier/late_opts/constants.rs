//! Float constants in loops.
//!
//! Instruction selection creates a float constant from an integer one, with two instructions, in each block that uses
//! it: constants are rematerialized, and the middle end keeps none in a register. A small loop without calls leaves
//! enough vector registers to keep a few.

use super::loads::replace;
use crate::tier::tuning::{HOIST_LOOP_INSTRUCTIONS, HOISTED_CONSTANTS};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};

/// Facts about a loop's own blocks.
#[derive(Clone, Default)]
struct Body {
    instructions: usize,
    calls: bool,
    /// Whether the loop contains other loops.
    outer: bool,
    constants: Vec<Inst>,
}

/// Hoists the float constants of small innermost loops. Returns whether there were any.
pub(super) fn hoist(func: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis) -> bool {
    let mut changed = false;
    let mut bodies: SecondaryMap<Loop, Body> = SecondaryMap::new();
    for l in loops.loops() {
        if let Some(parent) = loops.loop_parent(l) {
            bodies[parent].outer = true;
        }
    }
    for block in func.layout.blocks() {
        if let Some(l) = loops.innermost_loop(block) {
            survey(func, block, &mut bodies[l]);
        }
    }
    for l in loops.loops() {
        let body = &bodies[l];
        let small = body.instructions <= HOIST_LOOP_INSTRUCTIONS;
        if !small || body.calls || body.outer || body.constants.is_empty() {
            continue;
        }
        if let Some(before) = domtree.idom(loops.loop_header(l)).and_then(|b| func.layout.last_inst(b)) {
            move_before(func, before, &body.constants);
            changed = true;
        }
    }
    changed
}

fn survey(func: &Function, block: Block, body: &mut Body) {
    for inst in func.layout.block_insts(block) {
        body.instructions += 1;
        body.calls |= func.dfg.insts[inst].opcode().is_call();
        if bits(func, inst).is_some_and(|(_, bits)| bits != 0) {
            body.constants.push(inst);
        }
    }
}

/// Returns size and bits of a float constant.
fn bits(func: &Function, inst: Inst) -> Option<(u32, u64)> {
    match func.dfg.insts[inst] {
        InstructionData::UnaryIeee32 { imm, .. } => Some((4, u64::from(imm.bits()))),
        InstructionData::UnaryIeee64 { imm, .. } => Some((8, imm.bits())),
        _ => None,
    }
}

fn move_before(func: &mut Function, before: Inst, constants: &[Inst]) {
    let mut hoisted: Vec<((u32, u64), Inst)> = Vec::with_capacity(HOISTED_CONSTANTS);
    for &inst in constants {
        let Some(key) = bits(func, inst) else { continue };
        if let Some((_, first)) = hoisted.iter().find(|(k, _)| *k == key) {
            let value = func.dfg.first_result(*first);
            replace(func, inst, value);
        } else if hoisted.len() < HOISTED_CONSTANTS {
            func.layout.remove_inst(inst);
            func.layout.insert_inst(inst, before);
            hoisted.push((key, inst));
        }
    }
}
