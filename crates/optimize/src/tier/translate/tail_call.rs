//! Tail calls: `return_call` and its variants, which leave no frame behind.
//!
//! | tail call | becomes |
//! |---|---|
//! | of a body to itself | new values for its locals, and a jump to its start |
//! | of the function's own body | a jump out of the frame, or the callee's body |
//! | of an inlined body | a call, or the callee's body; then the end of the inlined body |
//!
//! In an inlined body that replaces a tail call, tail calls stay tail calls, so the stack does not grow.

use super::state::{CallPosition, CallTarget, Callee};
use super::translator::Translator;
use crate::tier::failure::Failure;
use belljar_core::{DefinedFuncIndex, FuncIndex};
use cranelift_codegen::ir::{Block, InstBuilder, SourceLoc};
use wasmparser::Operator;

impl Translator<'_> {
    /// Returns the callee of an operator that calls a function, and whether the call is a tail call.
    pub(super) fn callee(&mut self, op: &Operator<'_>) -> Option<(Callee, bool)> {
        Some(match *op {
            Operator::Call { function_index } => (Callee::Known(FuncIndex(function_index)), false),
            Operator::ReturnCall { function_index } => (Callee::Known(FuncIndex(function_index)), true),
            Operator::CallIndirect { type_index, table_index } => {
                (self.element_callee(type_index, table_index), false)
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                (self.element_callee(type_index, table_index), true)
            }
            Operator::CallRef { type_index } => (self.ref_callee(type_index), false),
            Operator::ReturnCallRef { type_index } => (self.ref_callee(type_index), true),
            _ => return None,
        })
    }

    /// Calls with the topmost values, and returns the callee's results.
    pub(super) fn return_call(&mut self, callee: Callee) -> Result<(), Failure> {
        let call_position = self.activations[self.activations.len() - 1].call_position;
        if let Callee::Known(func) = callee
            && let Some(defined) = self.module.defined_func(func)
        {
            if self.jump_to_own_start(defined) {
                return Ok(());
            }
            if self.is_worth_inlining(defined) {
                let call_position = if call_position == CallPosition::Tail {
                    CallPosition::Tail
                } else {
                    CallPosition::TailOfInlined
                };
                return self.inline(defined, call_position);
            }
        }
        if call_position == CallPosition::Tail {
            self.emit_tail_call(callee);
        } else {
            // A tail call leaves the body's own handlers.
            let handler = self.body_handler();
            // The body is not on the callee's stack either.
            self.b.set_srcloc(SourceLoc::new(self.returns_to().0));
            self.emit_call(callee, handler);
            self.return_();
        }
        Ok(())
    }

    fn emit_tail_call(&mut self, callee: Callee) {
        let (target, _) = self.prepare_call(callee);
        let args = &self.s.call_args;
        match target {
            CallTarget::Func(func) => self.b.ins().return_call(func, args),
            CallTarget::Code(signature, code) => self.b.ins().return_call_indirect(signature, code, args),
        };
        self.reachable = false;
    }

    /// Jumps to the start of a body that tail-calls itself, directly or through inlined tail calls. Returns whether
    /// there is one.
    fn jump_to_own_start(&mut self, callee: DefinedFuncIndex) -> bool {
        for i in (0..self.activations.len()).rev() {
            let activation = &self.activations[i];
            if let (true, Some(header)) = (activation.func == callee, activation.header) {
                let first = activation.first_local;
                self.flush_fuel();
                let count = self.module.func_type(self.module.func_index(callee)).params().len();
                self.collect_call_args(count);
                if self.frame_locals.is_some() {
                    (0..count).for_each(|i| self.store_local(i, self.s.call_args[i]));
                }
                for (arg, variable) in self.s.call_args.iter().zip(&self.s.locals[first..]) {
                    self.b.def_var(*variable, *arg);
                }
                self.b.ins().jump(header, &[]);
                self.reachable = false;
                return true;
            }
            if activation.call_position == CallPosition::NonTail || i == 0 {
                return false;
            }
        }
        false
    }

    /// Opens the loop of a body that tail-calls itself.
    pub(super) fn start_tail_loop(&mut self) -> Block {
        self.flush_fuel();
        let header = self.b.create_block();
        self.b.ins().jump(header, &[]);
        self.b.switch_to_block(header);
        self.loops += 1;
        header
    }

    pub(super) fn end_tail_loop(&mut self, header: Block) {
        self.b.seal_block(header);
        self.loops -= 1;
    }
}
