//! Loop variables that are used as addresses.
//!
//! A 32-bit variable that a loop carries must be zero-extended at each use as an address, because instruction selection
//! does not know the upper half of its register. As a 64-bit variable it needs the extension only where it is computed,
//! which is free: 32-bit arithmetic and loads clear the upper half.

use super::edges::{BackEdge, argument, defining_inst};
use super::loads::{extension, load, replace};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, InstBuilder, Opcode, Value, ValueDef, types};
use cranelift_codegen::loop_analysis::LoopAnalysis;

/// Widens the loop variables that are zero-extended inside their loop to 64 bits. Returns whether there were any.
pub(super) fn widen(
    func: &mut Function,
    cfg: &ControlFlowGraph,
    loops: &LoopAnalysis,
    edges: &[BackEdge],
) -> bool {
    let mut changed = false;
    let extensions = extensions(func, loops);
    let mut edges = edges.to_vec();
    edges.sort_by_key(|edge| edge.header);
    for edges in edges.chunk_by(|a, b| a.header == b.header) {
        let header = edges[0].header;
        for index in 0..func.dfg.num_block_params(header) {
            let param = func.dfg.block_params(header)[index];
            if extensions[param].is_empty() || !is_free(func, edges, index, param) {
                continue;
            }
            widen_param(func, cfg, header, index, &extensions[param]);
            changed = true;
        }
    }
    changed
}

/// Returns the instructions inside loops that zero-extend each loop variable.
fn extensions(func: &Function, loops: &LoopAnalysis) -> SecondaryMap<Value, Vec<Inst>> {
    let mut found: SecondaryMap<Value, Vec<Inst>> = SecondaryMap::new();
    for block in func.layout.blocks() {
        if loops.innermost_loop(block).is_none() {
            continue;
        }
        for inst in func.layout.block_insts(block) {
            let Some(narrow) = extension(func, inst) else { continue };
            let ValueDef::Param(header, _) = func.dfg.value_def(narrow) else { continue };
            if loops.is_loop_header(header).is_some_and(|l| loops.is_in_loop(block, l)) {
                found[narrow].push(inst);
            }
        }
    }
    found
}

/// Returns whether the variable's next value is zero-extended for free on every back edge of its loop.
fn is_free(func: &Function, edges: &[BackEdge], index: usize, param: Value) -> bool {
    edges.iter().all(|edge| {
        argument(func, edge.branch, edge.index, index)
            .is_some_and(|next| next == param || clears_upper_half(func, next))
    })
}

fn clears_upper_half(func: &Function, value: Value) -> bool {
    let Some(inst) = defining_inst(func, value) else { return false };
    match func.dfg.insts[inst].opcode() {
        Opcode::Iadd
        | Opcode::Isub
        | Opcode::Imul
        | Opcode::Band
        | Opcode::Bor
        | Opcode::Bxor
        | Opcode::Ishl
        | Opcode::Ushr
        | Opcode::Iconst
        | Opcode::Load => true,
        // A load that has already been widened.
        Opcode::Ireduce => {
            let wide = func.dfg.inst_args(inst)[0];
            defining_inst(func, wide).is_some_and(|load| func.dfg.insts[load].opcode() == Opcode::Uload32)
        }
        _ => false,
    }
}

fn widen_param(func: &mut Function, cfg: &ControlFlowGraph, header: Block, index: usize, uses: &[Inst]) {
    let param = func.dfg.block_params(header)[index];
    let wide = func.dfg.replace_block_param(param, types::I64);
    let narrow = FuncCursor::new(func).at_first_insertion_point(header).ins().ireduce(types::I32, wide);
    func.dfg.change_to_alias(param, narrow);
    for inst in uses {
        replace(func, *inst, wide);
    }
    let mut branches: Vec<Inst> = cfg.pred_iter(header).map(|p| p.inst).collect();
    branches.sort_unstable();
    branches.dedup();
    for branch in branches {
        widen_arguments(func, branch, header, index, narrow, wide);
    }
}

/// Makes a branch pass 64 bits for a parameter of `header`.
fn widen_arguments(
    func: &mut Function,
    branch: Inst,
    header: Block,
    index: usize,
    narrow: Value,
    wide: Value,
) {
    let dfg = &func.dfg;
    let count = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables).len();
    for dest in 0..count {
        let dfg = &func.dfg;
        let dests = dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        if dests[dest].block(&dfg.value_lists) != header {
            continue;
        }
        let Some(value) = argument(func, branch, dest, index) else { continue };
        let widened = if value == narrow { wide } else { zero_extended(func, branch, value) };
        let dfg = &mut func.dfg;
        let dests = dfg.insts[branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
        let mut i = 0;
        dests[dest].update_args(&mut dfg.value_lists, |arg| {
            i += 1;
            if i - 1 == index { BlockArg::Value(widened) } else { arg }
        });
    }
}

fn zero_extended(func: &mut Function, branch: Inst, value: Value) -> Value {
    if let Some(wide) = load(func, value) {
        return wide;
    }
    let srcloc = func.srcloc(branch);
    let mut cursor = FuncCursor::new(func).at_inst(branch).with_srcloc(srcloc);
    cursor.ins().uextend(types::I64, value)
}
