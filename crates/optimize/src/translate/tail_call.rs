//! Calls in place of a return: `return_call` and its like, which leave no frame behind.
//!
//! | where | becomes |
//! |---|---|
//! | a body calls itself last | new values for its locals, and a jump to its start |
//! | the function's own body calls another last | a jump out of the frame, or the callee's body |
//! | an inlined body calls another last | a call, or the callee's body; then the end of the inlined one |
//!
//! A callee's body that stands for such a call calls last what it calls last: the stack stays as deep as it is.

use super::state::{CallPosition, CallTarget, Callee};
use super::translator::Translator;
use crate::failure::Failure;
use belljar_core::{DefinedFuncIndex, FuncIndex};
use cranelift_codegen::ir::{Block, InstBuilder, SourceLoc};
use wasmparser::Operator;

impl Translator<'_> {
    /// What an operator calls, if it calls a function, and whether it does so in place of a return.
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

    /// Calls with the topmost values, and returns what the callee returns.
    pub(super) fn return_call(&mut self, callee: Callee) -> Result<(), Failure> {
        let call_position = self.activations[self.activations.len() - 1].call_position;
        if let Callee::Known(func) = callee
            && let Some(defined) = self.module.defined_func(func)
        {
            if self.call_itself(defined) {
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
            self.jump_out(callee);
        } else {
            // The body's own handlers are left with it.
            let handler = self.body_handler();
            // Nor is the body on the stack of who is called.
            self.b.set_srcloc(SourceLoc::new(self.returns_to().0));
            self.call_out(callee, handler);
            self.return_();
        }
        Ok(())
    }

    fn jump_out(&mut self, callee: Callee) {
        let (target, _) = self.before_call(callee);
        let args = &self.s.call_args;
        match target {
            CallTarget::Func(func) => self.b.ins().return_call(func, args),
            CallTarget::Code(signature, code) => self.b.ins().return_call_indirect(signature, code, args),
        };
        self.reachable = false;
    }

    /// Goes back to the start of a body that is being read and that the innermost one ends in. Whether there is one.
    fn call_itself(&mut self, callee: DefinedFuncIndex) -> bool {
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

    /// Opens the loop that a body is which calls itself last.
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
