//! The translator of one function, with the loop over its operators.

use super::scratch::Scratch;
use super::state::{Activation, CallPosition, FrameLocals, RefInfo, Slots};
use crate::tier::failure::Failure;
use crate::tier::huge::FunctionSize;
use crate::tier::region::Regions;
use crate::tier::tuning::LEAF_VALUES;
use belljar_abi::{InlinedPos, SourcePos};
use belljar_compile::{FunctionBudget, ModulePlan};
use belljar_core::{DefinedFuncIndex, TagIndex, WasmPc};
use belljar_module::Module;
use cranelift_codegen::ir::{Block, SourceLoc, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

/// The state of one function's translation.
pub(super) struct Translator<'a> {
    pub(super) b: FunctionBuilder<'a>,
    pub(super) plan: &'a ModulePlan<'a>,
    pub(super) module: &'a Module,
    pub(super) s: &'a mut Scratch,
    /// The function that is compiled.
    pub(super) func: DefinedFuncIndex,
    /// The bodies being translated: the function's own, then inlined callees.
    pub(super) activations: Vec<Activation<'a>>,
    /// The function's first block. Code at its top dominates every use.
    pub(super) entry: Block,
    /// The instance's context.
    pub(super) context: Value,
    pub(super) regions: Regions,
    pub(super) slots: Slots,
    /// Facts about the topmost value before the current operator.
    pub(super) operand_info: RefInfo,
    /// Facts about the topmost value after the current operator.
    pub(super) result_info: RefInfo,
    /// Whether the current operator is reachable. Unreachable operators are skipped.
    pub(super) reachable: bool,
    /// Blocks opened since the code became unreachable.
    skipped: u32,
    /// Source position of the current operator.
    pub(super) position: SourcePos,
    /// Offset of the current operator in the binary.
    pub(super) pc: WasmPc,
    pub(super) inlined: Vec<InlinedPos>,
    /// Fuel used since it was last charged to the store.
    pub(super) fuel: i64,
    /// Whether the function calls anything.
    pub(super) calls: bool,
    /// Number of calls so far, at each of which the collector may move objects.
    pub(super) safepoints: u32,
    /// Nesting of loops around the current operator, in all activations.
    pub(super) loops: u32,
    /// Number of operators that inlining has added.
    pub(super) growth: u32,
    /// Number of copies of unknown length with inline code for short lengths.
    pub(super) copies: u32,
    /// Whether any vector occurred. Otherwise no value needs conversion to its canonical type.
    pub(super) vectors: bool,
    /// Whether the processor has a fused multiply-add.
    pub(super) native_fma: bool,
    /// Whether callees may be inlined.
    pub(super) inlines: bool,
    /// The function's locals, if they lie in the stack frame. Nothing is inlined then.
    pub(super) frame_locals: Option<FrameLocals>,
    pub(super) size: FunctionSize,
    /// Number of values that calls, branches and their targets pass, and of references that calls keep.
    pub(super) operands: u64,
}

/// The output of a translation besides the CLIF function.
#[derive(Default)]
pub(crate) struct Translated {
    pub(crate) inlined: Vec<InlinedPos>,
    pub(crate) size: FunctionSize,
    /// Number of references in the frame that one mark in every stack map stands for.
    pub(crate) frame_references: u32,
}

impl<'a> Translator<'a> {
    pub(super) fn new(
        mut b: FunctionBuilder<'a>,
        plan: &'a ModulePlan<'a>,
        s: &'a mut Scratch,
        func: DefinedFuncIndex,
    ) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.ensure_inserted_block();
        b.seal_block(entry);
        let params = b.block_params(entry);
        let context = params[0];
        s.stack.extend_from_slice(&params[1..]);
        Self {
            b,
            plan,
            module: plan.module,
            s,
            func,
            activations: Vec::new(),
            entry,
            context,
            regions: Regions::default(),
            slots: Slots::default(),
            operand_info: RefInfo::UNKNOWN,
            result_info: RefInfo::UNKNOWN,
            reachable: true,
            skipped: 0,
            position: SourcePos::NONE,
            pc: WasmPc(0),
            inlined: Vec::new(),
            fuel: 0,
            calls: false,
            safepoints: 0,
            loops: 0,
            growth: 0,
            copies: 0,
            vectors: false,
            native_fma: false,
            inlines: false,
            frame_locals: None,
            size: FunctionSize::default(),
            operands: 0,
        }
    }

    /// Translates the whole body within `budget`.
    pub(super) fn run(&mut self, budget: &mut FunctionBudget<'_>) -> Result<(), Failure> {
        let mut enough = budget.grown_to(0)?;
        self.position = SourcePos(self.module.body(self.func).start as u32);
        self.vectors = self.has_vector_params();
        self.enter(self.func, CallPosition::Tail)?;
        loop {
            if self.operands + self.b.func.dfg.num_values() as u64 > enough {
                enough = budget.grown_to(self.written_out())?;
            }
            let Some(activation) = self.activations.last_mut() else {
                budget.grown_to(self.written_out())?;
                return Ok(());
            };
            let (op, offset) = activation.reader.read_with_offset()?;
            if self.reachable {
                self.locate(&op, offset as u32);
                self.operator(&op)?;
            } else {
                self.skip(&op);
            }
        }
    }

    /// Returns the number of instructions, values and operands so far.
    fn written_out(&self) -> u64 {
        let dfg = &self.b.func.dfg;
        self.operands + dfg.num_insts() as u64 + dfg.num_values() as u64
    }

    fn has_vector_params(&self) -> bool {
        let ty = self.module.func_type(self.module.func_index(self.func));
        ty.params().contains(&belljar_core::ValType::V128)
    }

    /// Tracks the nesting of unreachable operators.
    fn skip(&mut self, op: &Operator<'_>) {
        match op {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => self.skipped += 1,
            Operator::End | Operator::Delegate { .. } if self.skipped > 0 => self.skipped -= 1,
            Operator::End => self.end(),
            Operator::Delegate { relative_depth } => self.delegate(*relative_depth as usize),
            Operator::Catch { tag_index } if self.skipped == 0 => self.catch(Some(TagIndex(*tag_index))),
            Operator::CatchAll if self.skipped == 0 => self.catch(None),
            Operator::Else if self.skipped == 0 => self.start_else(),
            _ => {}
        }
    }

    /// Sets the position of the following instructions to that of an operator. In an inlined callee each position is a
    /// row of a table, so operators without significant instructions keep the previous one.
    fn locate(&mut self, op: &Operator<'_>, offset: u32) {
        self.pc = WasmPc(offset);
        self.position = match self.activations.as_slice() {
            [_] => SourcePos(offset),
            _ if is_silent(op) => return,
            activations => {
                let caller = activations[activations.len() - 1].call;
                self.inlined.push(InlinedPos { pc: WasmPc(offset), caller });
                SourcePos(SourcePos::INLINED + self.inlined.len() as u32 - 1)
            }
        };
        self.b.set_srcloc(SourceLoc::new(self.position.0));
    }

    fn operator(&mut self, op: &Operator<'a>) -> Result<(), Failure> {
        self.charge(op);
        self.operand_info = std::mem::replace(&mut self.result_info, RefInfo::UNKNOWN);
        self.size.height = self.size.height.max(self.s.stack.len());
        self.size.loops = self.size.loops.max(self.loops);
        match *op {
            Operator::LocalGet { local_index } => self.local_get(local_index),
            Operator::LocalSet { local_index } => self.local_set(local_index),
            Operator::LocalTee { local_index } => self.local_tee(local_index),
            Operator::Drop => drop(self.s.stack.pop()),
            Operator::Nop => {}
            _ => {
                if let Some((callee, last)) = self.callee(op) {
                    return if last { self.return_call(callee) } else { self.call(callee) };
                }
                let done = self.numeric(op)
                    || self.memory(op)
                    || self.branch(op)
                    || self.control(op)
                    || self.exceptions(op)
                    || self.state(op)?
                    || self.bulk(op)
                    || self.simd(op)
                    || self.wide(op)
                    || self.atomic(op);
                if !done {
                    return Err(Failure::new(format!("the instruction {op:?} is not supported yet")));
                }
            }
        }
        Ok(())
    }

    /// Finishes the function, and decides whether it checks the stack.
    pub(super) fn finish(mut self, isa: &dyn TargetIsa) -> Translated {
        let small = self.b.func.dfg.num_values() <= LEAF_VALUES && self.frame_locals.is_none();
        if self.calls || !small {
            self.check_stack();
        }
        let frame_references = self.mark_references();
        self.size.instructions = self.b.func.dfg.num_insts();
        self.size.blocks = self.b.func.dfg.num_blocks();
        self.size.written_out = self.written_out() as usize;
        self.b.finalize(isa.frontend_config());
        Translated { inlined: self.inlined, size: self.size, frame_references }
    }
}

/// Returns whether an operator's instructions, if any, neither trap nor call.
fn is_silent(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::LocalGet { .. }
            | Operator::LocalSet { .. }
            | Operator::LocalTee { .. }
            | Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::Block { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Drop
            | Operator::Nop
            | Operator::Else
            | Operator::End
    )
}
