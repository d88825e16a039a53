//! Branches, returns and traps: how control leaves a block.

use super::translator::Translator;
use crate::tier::trap_code;
use crate::tier::tuning::{BR_TABLE_DIRECT, BR_TABLE_RUNS};
use belljar_core::Trap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, Value};
use wasmparser::{BrTable, Operator};

impl Translator<'_> {
    pub(super) fn branch(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::Br { relative_depth } => self.br(*relative_depth as usize),
            Operator::BrIf { relative_depth } => self.br_if(*relative_depth as usize),
            Operator::BrTable { targets } => self.br_table(targets),
            Operator::Return => self.return_(),
            Operator::Unreachable => self.trap(Trap::UnreachableCodeReached),
            Operator::Select => self.select(),
            Operator::TypedSelect { ty } => {
                self.select();
                let traced = self.is_parsed_traced(*ty);
                if let (true, Some(value)) = (traced, self.s.stack.last()) {
                    self.b.declare_value_needs_stack_map(*value);
                }
            }
            _ => return false,
        }
        true
    }

    /// Jumps to a block with the topmost values.
    pub(super) fn jump(&mut self, block: Block, count: usize) {
        self.collect_block_args(count);
        self.b.ins().jump(block, &self.s.block_args);
    }

    pub(super) fn collect_block_args(&mut self, count: usize) {
        self.s.block_args.clear();
        self.operands += count as u64;
        for i in self.s.stack.len() - count..self.s.stack.len() {
            let value = self.s.stack[i];
            let value = self.canonical(value);
            self.s.block_args.push(value.into());
        }
    }

    pub(super) fn br(&mut self, depth: usize) {
        self.flush_fuel();
        let (block, count) = self.target(depth);
        self.jump(block, count);
        self.reachable = false;
    }

    fn br_if(&mut self, depth: usize) {
        self.flush_fuel();
        let condition = self.pop_condition();
        let likely = self.likely();
        let (block, count) =
            if likely == Some(false) { self.unlikely_target(depth) } else { self.target(depth) };
        self.collect_block_args(count);
        let next = self.b.create_block();
        // A likely backward branch does not make the code after the loop cold.
        if likely == Some(true) && !self.is_loop(depth) {
            self.b.set_cold_block(next);
        }
        self.b.ins().brif(condition, block, &self.s.block_args, next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    pub(super) fn return_(&mut self) {
        if self.is_inlined() {
            return self.br(self.body_depth());
        }
        self.return_from_function();
        self.reachable = false;
    }

    /// Returns the topmost values from the function that is compiled.
    pub(super) fn return_from_function(&mut self) {
        self.flush_fuel();
        let count = self.b.func.signature.returns.len();
        self.collect_call_args(count);
        self.b.ins().return_(&self.s.call_args);
    }

    /// Traps unconditionally.
    pub(super) fn trap(&mut self, trap: Trap) {
        self.flush_fuel();
        self.b.ins().trap(trap_code::encode(trap));
        self.reachable = false;
    }

    fn br_table(&mut self, targets: &BrTable<'_>) {
        self.flush_fuel();
        let index = self.pop();
        let default = targets.default();
        let (_, count) = self.target(default as usize);
        if self.runs(targets, default) {
            return self.compare_runs(index, default, count);
        }
        if count == 0 && targets.len() as usize <= BR_TABLE_DIRECT {
            self.direct_table(targets, default);
        } else {
            self.table_of_edges(targets, default);
        }
        let entries = &self.s.jump_table;
        let (first, rest) = entries.split_first().expect("the default is always there");
        let table = self.b.create_jump_table(JumpTableData::new(*first, rest));
        self.b.ins().br_table(index, table);
        self.fill_edges(count);
        self.reachable = false;
    }

    /// Returns whether the entries form so few runs of one target that comparisons are faster than a table: a jump
    /// through a table takes seven instructions and is predicted no better. Leaves the runs in the scratch memory: each
    /// is a target and the index after its last entry.
    fn runs(&mut self, targets: &BrTable<'_>, default: u32) -> bool {
        let runs = &mut self.s.runs;
        runs.clear();
        for (i, depth) in targets.targets().map_while(Result::ok).enumerate() {
            let end = i as u32 + 1;
            let count = runs.len();
            match runs.last_mut() {
                Some(last) if last.0 == depth => last.1 = end,
                _ if count > BR_TABLE_RUNS => return false,
                _ => runs.push((depth, end)),
            }
        }
        if runs.last().is_some_and(|last| last.0 == default) {
            runs.pop();
        }
        runs.len() <= BR_TABLE_RUNS
    }

    fn compare_runs(&mut self, index: Value, default: u32, count: usize) {
        let mut start = 0;
        for i in 0..self.s.runs.len() {
            let (depth, end) = self.s.runs[i];
            let (block, _) = self.target(depth as usize);
            let inside = if end == start + 1 {
                self.b.ins().icmp_imm_u(IntCC::Equal, index, i64::from(start))
            } else {
                self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, i64::from(end))
            };
            start = end;
            self.collect_block_args(count);
            let next = self.b.create_block();
            self.b.ins().brif(inside, block, &self.s.block_args, next, &[]);
            self.b.seal_block(next);
            self.b.switch_to_block(next);
        }
        let (block, _) = self.target(default as usize);
        self.jump(block, count);
        self.reachable = false;
    }

    /// Fills a jump table whose entries are the targets.
    fn direct_table(&mut self, targets: &BrTable<'_>, default: u32) {
        self.s.edges.clear();
        self.s.jump_table.clear();
        for depth in depths(targets, default) {
            let (block, _) = self.target(depth as usize);
            self.add_entry(block);
        }
    }

    /// Fills a jump table whose entries are blocks on the edges, one for each target.
    fn table_of_edges(&mut self, targets: &BrTable<'_>, default: u32) {
        self.s.edges.clear();
        self.s.jump_table.clear();
        self.s.edge_of_depth.clear();
        for depth in depths(targets, default) {
            let known = self.s.edge_of_depth.get(depth as usize).and_then(|edge| edge.expand());
            let edge = known.unwrap_or_else(|| {
                let edge = self.b.create_block();
                self.s.edge_of_depth.set(depth as usize, edge.into());
                self.s.edges.push((depth, edge));
                edge
            });
            self.add_entry(edge);
        }
    }

    fn add_entry(&mut self, block: Block) {
        let entry = BlockCall::new(block, std::iter::empty(), &mut self.b.func.dfg.value_lists);
        self.s.jump_table.push(entry);
    }

    /// Makes each block on an edge jump to its target.
    fn fill_edges(&mut self, count: usize) {
        for i in 0..self.s.edges.len() {
            let (depth, edge) = self.s.edges[i];
            self.b.seal_block(edge);
            self.b.switch_to_block(edge);
            let (block, _) = self.target(depth as usize);
            self.jump(block, count);
        }
    }
}

/// Returns the depths with the default first, as in a jump table.
fn depths<'t>(targets: &'t BrTable<'_>, default: u32) -> impl Iterator<Item = u32> + 't {
    // A validated table parses; a malformed one would end here, and the missing entries would take the default.
    std::iter::once(default).chain(targets.targets().map_while(Result::ok))
}
