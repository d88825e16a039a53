//! Back edges, and the arguments on an edge.

use cranelift_codegen::entity::EntityList;
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, Value, ValueDef};
use cranelift_codegen::loop_analysis::LoopAnalysis;

/// An edge from inside a loop to its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackEdge {
    /// The block that it leaves.
    pub(super) block: Block,
    /// The branch at the block's end.
    pub(super) branch: Inst,
    /// Which of the branch's destinations it is.
    pub(super) index: usize,
    /// The loop's header.
    pub(super) header: Block,
}

impl BackEdge {
    /// What each parameter of the header becomes: the parameter, and its value in the next round.
    pub(super) fn nexts(&self, func: &Function) -> Vec<(Value, Value)> {
        let dfg = &func.dfg;
        let dests = dfg.insts[self.branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        let args = dests[self.index].args(&dfg.value_lists).filter_map(BlockArg::as_value_of);
        dfg.block_params(self.header).iter().copied().zip(args.map(|v| dfg.resolve_aliases(v))).collect()
    }
}
