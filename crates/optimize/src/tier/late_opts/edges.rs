//! Back edges, the arguments on an edge, and definitions of values.

use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, InstructionData, Opcode, Value, ValueDef};
use cranelift_codegen::loop_analysis::LoopAnalysis;

/// An edge from inside a loop to its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackEdge {
    /// The block that it leaves.
    pub(super) block: Block,
    /// The branch at the block's end.
    pub(super) branch: Inst,
    /// The index among the branch's destinations.
    pub(super) index: usize,
    /// The loop's header.
    pub(super) header: Block,
}

/// Returns all back edges, in the order of their blocks.
pub(super) fn back_edges(func: &Function, loops: &LoopAnalysis) -> Vec<BackEdge> {
    let mut edges = Vec::new();
    for block in func.layout.blocks() {
        if loops.innermost_loop(block).is_none() {
            continue;
        }
        let Some(branch) = func.layout.last_inst(block) else { continue };
        let dfg = &func.dfg;
        let dests = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        for (index, dest) in dests.iter().enumerate() {
            let header = dest.block(&dfg.value_lists);
            if loops.is_loop_header(header).is_some_and(|l| loops.is_in_loop(block, l)) {
                edges.push(BackEdge { block, branch, index, header });
            }
        }
    }
    edges
}

/// Returns the arguments that a branch passes to one of its destinations.
pub(super) fn arguments(func: &Function, branch: Inst, index: usize) -> impl Iterator<Item = BlockArg> {
    let dfg = &func.dfg;
    let dests = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
    dests.get(index).into_iter().flat_map(|dest| dest.args(&dfg.value_lists))
}

/// Returns the value that a branch passes for a parameter of one of its destinations. Takes time linear in the
/// parameter's index.
pub(super) fn argument(func: &Function, branch: Inst, index: usize, param: usize) -> Option<Value> {
    let value = arguments(func, branch, index).nth(param)?.as_value()?;
    Some(func.dfg.resolve_aliases(value))
}

/// Returns the instruction that defines a value, or `None` for a block parameter.
pub(super) fn defining_inst(func: &Function, value: Value) -> Option<Inst> {
    match func.dfg.value_def(func.dfg.resolve_aliases(value)) {
        ValueDef::Result(inst, _) => Some(inst),
        _ => None,
    }
}

/// Returns the bits of an integer constant, zero-extended.
pub(super) fn integer(func: &Function, value: Value) -> Option<u64> {
    match func.dfg.insts[defining_inst(func, value)?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
            let unused = 64 - func.dfg.value_type(value).bits().min(64);
            Some((imm.bits() as u64) << unused >> unused)
        }
        _ => None,
    }
}
