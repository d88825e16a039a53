//! How much is alive, over all of a function: what the backtracking allocator's time grows with.
//!
//! In: a function after the middle end, and its control flow. Out: its area, as far as a limit. The area is the sum over all values
//! of the code that each is alive in, from its definition to its last use. Never: a change, or work that grows with more than the
//! area up to the limit.
//!
//! From each use the walk goes back through the blocks, up to the definition, as in Boissinot and others, *Fast liveness checking for
//! SSA-form programs* (2008), and Brandner and others, *Computing liveness sets for SSA-form programs* (2011), section 4; nothing is
//! kept but the sum.

use cranelift_codegen::entity::{EntityRef, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Value};

/// Where something lies: a block, and how much code of the block is before it. An instruction is as long as it has operands and
/// results, for each of a call's is moved.
#[derive(Clone, Copy)]
struct ProgramPoint {
    block: Block,
    at: u32,
}

/// What is alive, summed over the function: of more than `limit`, something above that.
pub(crate) fn live_range_sum(func: &Function, cfg: &ControlFlowGraph, limit: u64) -> u64 {
    LiveRanges::of(func).live_range_sum(cfg, limit)
}

/// Definitions and uses of all values.
struct LiveRanges {
    /// Of each value that is defined.
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
        // The last value that was found alive at a block's end.
        let mut seen: SecondaryMap<Block, Option<Value>> = SecondaryMap::new();
        let mut open = Vec::new();
        for uses in self.uses.chunk_by(|(a, _), (b, _)| a == b) {
            let value = uses[0].0;
            let Some(def) = self.defs[value.index()] else { continue };
            // In each block only the last use counts; those of a block lie side by side.
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
    use crate::isa::Isas;
    use crate::translate::translate;
    use crate::workspace::Workspace;
    use belljar_compile::{Budget, ModulePlan, Tunables};
    use belljar_core::DefinedFuncIndex;
    use belljar_module::{WasmFeatures, validate};

    /// The area of a function of one parameter.
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
        // Twice as many take four times as much, or twice.
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
        // Values that nothing uses are not alive, wherever they lie on the stack.
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
