//! Source positions of loads that become operands, of traps that become part of a branch, and of instructions added by
//! the middle end.
//!
//! Instruction selection merges a load into the instruction that uses its value (`add eax, [mem]`), and gives both the
//! position of the latter: a fault would be reported at an `i32.add`. An instruction that cannot trap does not need its
//! own position, so it gets the load's.
//!
//! The middle end turns a branch to a block that only traps into a conditional trap with the branch's position: an
//! `unreachable` behind an `if` would be reported at the `if`. The branch therefore gets the trap's position first.
//!
//! The middle end copies instructions that cannot trap to their uses and creates new ones, both without positions. In a
//! loop that only computes, profiles could then not tell which function, inlined or not, spends the time. Each such
//! instruction gets the position of the next one in its block, for which it was placed there.

use super::edges::defining_inst;
use crate::tier::instructions::for_each_inst;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode};

/// Gives each instruction without a position that of the next one in its block that has one.
pub(super) fn fill_missing(func: &mut Function) {
    let mut next_block = func.layout.entry_block();
    while let Some(block) = next_block {
        next_block = func.layout.next_block(block);
        let mut position = None;
        let mut next = func.layout.last_inst(block);
        while let Some(inst) = next {
            next = func.layout.prev_inst(inst);
            let own = func.srcloc(inst);
            match position {
                Some(position) if own.is_default() => func.set_srcloc(inst, position),
                _ => position = Some(own).filter(|own| !own.is_default()),
            }
        }
    }
}

/// Gives the position of each load to the instruction that it may be merged into.
pub(super) fn move_to_users(func: &mut Function) {
    for_each_inst(func, |func, block, inst| {
        if let Some(load) = operand(func, inst, block) {
            let position = func.srcloc(load);
            func.set_srcloc(inst, position);
        }
    });
}

/// Gives each branch to a block that only traps the position of the trap.
pub(super) fn give_branches_trap_positions(func: &mut Function) {
    let mut next_block = func.layout.entry_block();
    while let Some(block) = next_block {
        next_block = func.layout.next_block(block);
        let Some(branch) = func.layout.last_inst(block) else { continue };
        if let InstructionData::Brif { blocks, .. } = func.dfg.insts[branch]
            && let [then, other] = blocks.map(|target| target.block(&func.dfg.value_lists))
            && let Some(trap) = only_trap(func, then).or_else(|| only_trap(func, other))
        {
            let position = func.srcloc(trap);
            func.set_srcloc(branch, position);
        }
    }
}

/// Returns the trap of a block that does nothing else.
fn only_trap(func: &Function, block: Block) -> Option<Inst> {
    let trap = func.layout.last_inst(block)?;
    let does_nothing = |inst: Inst| {
        let opcode = func.dfg.insts[inst].opcode();
        !(opcode.can_trap() || opcode.can_load() || opcode.other_side_effects())
    };
    let before = func.layout.block_insts(block).take_while(|inst| *inst != trap);
    (func.dfg.insts[trap].opcode() == Opcode::Trap && { before }.all(does_nothing)).then_some(trap)
}

/// Returns the load that may be merged into an instruction.
fn operand(func: &Function, inst: Inst, block: Block) -> Option<Inst> {
    let opcode = func.dfg.insts[inst].opcode();
    if opcode.can_trap() || opcode.can_store() || opcode.is_call() || opcode.is_return() {
        return None;
    }
    // A comparison, and a mask in it, are merged into the branch or select that uses them.
    let depth = if opcode.is_branch() || opcode == Opcode::Select { 2 } else { 0 };
    latest_load(func, inst, block, depth)
}

/// Returns the last load of a block among the definitions of an instruction's operands. Only the last can be merged:
/// loads are not reordered.
fn latest_load(func: &Function, inst: Inst, block: Block, depth: u32) -> Option<Inst> {
    let makers = func.dfg.inst_args(inst).iter().filter_map(|arg| defining_inst(func, *arg));
    makers
        .filter(|from| func.layout.inst_block(*from) == Some(block))
        .filter_map(|from| match func.dfg.insts[from].memflags() {
            Some(flags) => {
                let is_load = func.dfg.insts[from].opcode().can_load();
                (is_load && func.dfg.mem_flags[flags].trap_code().is_some()).then_some(from)
            }
            None => depth.checked_sub(1).and_then(|depth| latest_load(func, from, block, depth)),
        })
        .max_by(|a, b| func.layout.pp_cmp(*a, *b))
}
