//! Positions of loads that become operands, of traps that become part of a branch, and of what the middle end has made.
//!
//! The instruction selector makes a load part of the instruction that uses its value (`add eax, [mem]`), and
//! gives both the position of the latter: a fault would be told as one of an `i32.add`. An instruction that
//! cannot trap has no need of its position, so it gets the load's.
//!
//! The middle end makes a conditional trap of a branch to a block that only traps, and gives it the branch's position: an
//! `unreachable` behind an `if` would be told as one of the `if`. So the branch gets the trap's before.

//!
//! The middle end copies instructions that cannot trap to where they are used, and makes new ones, without a position: of a loop
//! that only calculates nothing would tell which function, inlined or not, spends the time. Each gets the position of what
//! follows it in its block, which it was put there for.

use super::edges::defining_inst;
use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode};

/// Gives instructions without a position that of the next one in their block that has one.
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

/// Gives the positions of loads to what they may become part of.
pub(super) fn move_to_users(func: &mut Function) {
    let mut next_block = func.layout.entry_block();
    while let Some(block) = next_block {
        next_block = func.layout.next_block(block);
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            if let Some(load) = operand(func, inst, block) {
                let position = func.srcloc(load);
                func.set_srcloc(inst, position);
            }
        }
    }
}

/// Gives branches to blocks that only trap the positions of those traps.
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

/// The trap that is all that a block does.
fn only_trap(func: &Function, block: Block) -> Option<Inst> {
    let trap = func.layout.last_inst(block)?;
    let does_nothing = |inst: Inst| {
        let opcode = func.dfg.insts[inst].opcode();
        !(opcode.can_trap() || opcode.can_load() || opcode.other_side_effects())
    };
    let before = func.layout.block_insts(block).take_while(|inst| *inst != trap);
    (func.dfg.insts[trap].opcode() == Opcode::Trap && { before }.all(does_nothing)).then_some(trap)
}

/// The load that may become part of an instruction.
fn operand(func: &Function, inst: Inst, block: Block) -> Option<Inst> {
    let opcode = func.dfg.insts[inst].opcode();
    if opcode.can_trap() || opcode.can_store() || opcode.is_call() || opcode.is_return() {
        return None;
    }
    // A comparison, and a mask in it, become part of the branch or choice that they decide.
    let depth = if opcode.is_branch() || opcode == Opcode::Select { 2 } else { 0 };
    latest_load(func, inst, block, depth)
}

/// The last load of a block among what makes an instruction's operands. Only the last can sink: loads do not
/// pass one another.
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
