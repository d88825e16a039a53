//! The sum of live ranges of a function, which determines the time of the backtracking allocator.
//!
//! In: a function after the middle end and its control flow graph. Out: the sum of the lengths of all live ranges, up
//! to a limit. The live range of a value is the code from its definition to its last use. Never: a change, or work
//! beyond a constant for each unit of the sum up to the limit.
//!
//! From each use, the search goes backwards through the blocks to the definition, as in Boissinot and others, *Fast
//! liveness checking for SSA-form programs* (2008), and Brandner and others, *Computing liveness sets for SSA-form
//! programs* (2011), section 4. Only the sum is kept.

use cranelift_codegen::entity::{EntityRef, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Value};

/// A program point: a block, and the length of the code before it in the block. The length of an instruction is its
/// number of operands and results, because each of a call's is moved.
#[derive(Clone, Copy)]
struct ProgramPoint {
    block: Block,
    at: u32,
}

/// Returns the sum of live ranges; if it exceeds `limit`, some number above `limit`.
pub(crate) fn live_range_sum(func: &Function, cfg: &ControlFlowGraph, limit: u64) -> u64 {
    LiveRanges::of(func).live_range_sum(cfg, limit)
}

/// Definitions and uses of all values.
struct LiveRanges {
    /// The definition of each value that has one.
    defs: Vec<Option<ProgramPoint>>,
    /// Sorted by value.
    uses: Vec<(Value, ProgramPoint)>,
    lengths: SecondaryMap<Block, u32>,
}

impl LiveRanges {
    fn of(func: &Function) -> Self {
        let dfg = &func.dfg;
        let mut defs = vec![None; dfg.num_values()];
        let mut uses = Vec::new();
        let mut lengths = SecondaryMap::with_capacity(dfg.num_blocks());
        for block in func.layout.blocks() {
            let mut at = 0;
            for param in dfg.block_params(block) {
                defs[param.index()] = Some(ProgramPoint { block, at });
                at += 1;
            }
            for inst in func.layout.block_insts(block) {
                let before = uses.len();
                uses.extend(
                    dfg.inst_values(inst)
                        .map(|value| (dfg.resolve_aliases(value), ProgramPoint { block, at })),
                );
                at += 1 + (uses.len() - before) as u32;
                for result in dfg.inst_results(inst) {
                    defs[result.index()] = Some(ProgramPoint { block, at });
                    at += 1;
                }
            }
            lengths[block] = at;
        }
        uses.sort_by_key(|(value, _)| *value);
        Self { defs, uses, lengths }
    }

    fn live_range_sum(&self, cfg: &ControlFlowGraph, limit: u64) -> u64 {
        let mut sum = 0_u64;
        // The last value that was found live at the end of the block.
        let mut seen: SecondaryMap<Block, Option<Value>> = SecondaryMap::new();
        let mut open = Vec::new();
        for uses in self.uses.chunk_by(|(a, _), (b, _)| a == b) {
            let value = uses[0].0;
            let Some(def) = self.defs[value.index()] else { continue };
            // Only the last use in a block counts; the uses of a block are adjacent.
            for of_block in uses.chunk_by(|(_, a), (_, b)| a.block == b.block) {
                let last = of_block[of_block.len() - 1].1;
                if last.block == def.block && last.at >= def.at {
                    sum += u64::from(last.at - def.at);
                } else {
                    sum += u64::from(last.at);
                    open.push(last.block);
                }
            }
            while let Some(block) = open.pop() {
                for pred in cfg.pred_iter(block) {
                    if seen[pred.block] == Some(value) {
                        continue;
                    }
                    seen[pred.block] = Some(value);
                    if pred.block == def.block {
                        sum += u64::from(self.lengths[pred.block] - def.at);
                    } else {
                        sum += u64::from(self.lengths[pred.block]);
                        open.push(pred.block);
                    }
                }
                if sum > limit {
                    return sum;
                }
            }
            if sum > limit {
                return sum;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::isa::Isas;
    use crate::tier::translate::translate;
    use crate::tier::workspace::Workspace;
    use belljar_compile::{Budget, ModulePlan, Tunables};
    use belljar_core::DefinedFuncIndex;
    use belljar_module::{WasmFeatures, validate};

    /// Returns the sum of live ranges of a function with one parameter.
    fn live_range_sum(body: &str) -> u64 {
        let wat = format!("(module (memory 1) (func (param i32) (local i32) {body}))");
        let module = validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM3).unwrap();
        let plan = ModulePlan::new(&module, Tunables::default());
        let (func, isas, mut workspace) =
            (DefinedFuncIndex::new(0), Isas::for_host().unwrap(), Workspace::new());
        let budget = Budget::unlimited();
        let mut budget = budget.function(plan.module.func_index(func), 0).unwrap();
        translate(&mut workspace, &isas, &plan, func, &mut budget).unwrap();
        let func = &workspace.context.func;
        let cfg = ControlFlowGraph::with_function(func);
        let exact = super::live_range_sum(func, &cfg, u64::MAX);
        assert!(super::live_range_sum(func, &cfg, exact / 2) > exact / 2);
        exact
    }

    #[test]
    fn what_is_alive_at_once_counts_and_what_comes_and_goes_does_not() {
        let loads = |count: usize| "(i32.load (local.get 0))".repeat(count);
        let alive =
            |count| live_range_sum(&format!("{} {} drop", loads(count), "i32.add ".repeat(count - 1)));
        let one_by_one = |count| live_range_sum(&"(drop (i32.load (local.get 0)))".repeat(count));
        // Twice as many values make the sum four times as large, or twice.
        let (small, large) = (alive(500), alive(1000));
        assert!((39..41).contains(&(large * 10 / small)), "{small} {large}");
        assert!(large > 1000 * 1000, "{large}");
        let (small, large) = (one_by_one(500), one_by_one(1000));
        assert!((19..21).contains(&(large * 10 / small)), "{small} {large}");
    }

    #[test]
    fn what_lives_through_blocks_is_alive_in_them_all() {
        let values = 100;
        let blocks = |count| "(if (local.get 1) (then (drop (i32.load (local.get 0)))))".repeat(count);
        let push = "(i32.load (local.get 0))".repeat(values);
        let pop = "drop ".repeat(values);
        let used = "i32.add ".repeat(values - 1);
        // Values without uses are not live, even if they are on the stack.
        let dead = live_range_sum(&format!("{push} {} {pop}", blocks(50)));
        let [one, two, three] =
            [50, 100, 150].map(|count| live_range_sum(&format!("{push} {} {used} drop", blocks(count))));
        assert!(one > dead + 50 * values as u64, "{dead} {one}");
        assert!((9..11).contains(&((three - two) * 10 / (two - one))), "{one} {two} {three}");
    }

    #[test]
    fn what_a_loop_needs_is_alive_in_all_of_it() {
        let round = "(drop (i32.load (local.get 0)))".repeat(200);
        let before = "(local.set 1 (i32.load (local.get 0)))";
        let inside = |first: &str| {
            live_range_sum(&format!("{before} (loop {first} {round} (br_if 0 (i32.load (local.get 0))))"))
        };
        assert!(inside("(drop (i32.load (local.get 1)))") > inside("") + 200);
    }
}
