//! Exception handlers of a function, and the calls inside them.
//!
//! Every exception thrown inside a `try`, by a call or by an instruction, goes to the one block of its handler, which
//! checks the exception's tag. A call inside a `try` has two successors, which costs nothing if it returns.

use super::state::{CallTarget, Handler, HandlerId};
use super::translator::Translator;
use belljar_abi::Builtin;
use belljar_core::{Trap, TypeIndex};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTable, ExceptionTableData, ExceptionTableItem, InstBuilder, SigRef,
    Value, types,
};
use std::ops::Range;

impl Translator<'_> {
    /// Returns the handler for exceptions thrown here.
    pub(super) fn handler(&self) -> Option<HandlerId> {
        self.s.control.last().and_then(|frame| frame.handler)
    }

    /// Returns the handler for exceptions that leave the innermost body.
    pub(super) fn body_handler(&mut self) -> Option<HandlerId> {
        if self.s.control.is_empty() {
            return None;
        }
        let depth = self.body_depth();
        self.frame(depth).handler
    }

    pub(super) fn handler_at(&self, id: HandlerId) -> &Handler {
        &self.s.handlers[id.0 as usize]
    }

    /// Creates a handler for the frame that is opened next.
    pub(super) fn new_handler(&mut self, clauses: Option<Range<usize>>) -> HandlerId {
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        let exception = self.b.append_block_param(block, types::I32);
        self.track(exception);
        let (outer, frame) = (self.handler(), self.s.control.len());
        self.s.handlers.push(Handler { block, used: false, outer, frame, clauses });
        HandlerId(self.s.handlers.len() as u32 - 1)
    }

    /// Starts the block of a handler if the handler is used. Returns the exception.
    pub(super) fn start_handler(&mut self, id: HandlerId) -> Option<Value> {
        let Handler { block, used, .. } = *self.handler_at(id);
        if !used {
            return None;
        }
        self.b.seal_block(block);
        self.b.switch_to_block(block);
        Some(self.b.block_params(block)[0])
    }

    /// Passes an exception to a handler, or throws it out of the function.
    pub(super) fn throw_to(&mut self, exception: Value, handler: Option<HandlerId>) {
        self.flush_fuel();
        match handler {
            Some(id) => {
                let handler = &mut self.s.handlers[id.0 as usize];
                handler.used = true;
                self.b.ins().jump(handler.block, &[BlockArg::from(exception)]);
                self.reachable = false;
            }
            None => {
                self.call_builtin(Builtin::ThrowRef, &[exception]);
                self.trap(Trap::UnreachableCodeReached);
            }
        }
    }

    /// Calls with the collected arguments. Exceptions go to the handler.
    pub(super) fn try_call(&mut self, target: CallTarget, ty: TypeIndex, handler: HandlerId) {
        let (normal, thrown) = (self.b.create_block(), self.b.create_block());
        let results = self.module.func_type_at(ty).results();
        for result in results {
            self.append_param(normal, *result);
        }
        let word = self.b.append_block_param(thrown, types::I64);
        self.b.set_cold_block(thrown);
        match target {
            CallTarget::Func(func) => {
                let signature = self.b.func.dfg.ext_funcs[func].signature;
                let table = self.exception_table(signature, normal, results.len(), thrown);
                self.b.ins().try_call(func, &self.s.call_args, table);
            }
            CallTarget::Code(signature, code) => {
                let table = self.exception_table(signature, normal, results.len(), thrown);
                self.b.ins().try_call_indirect(code, &self.s.call_args, table);
            }
        }
        self.b.seal_block(thrown);
        self.b.seal_block(normal);
        // A block in between makes the other values that the handler needs be reloaded after the call: the collector
        // may have moved their objects.
        self.b.switch_to_block(thrown);
        let exception = self.b.ins().ireduce(types::I32, word);
        self.throw_to(exception, Some(handler));
        self.reachable = true;
        let height = self.s.stack.len() - self.module.func_type_at(ty).params().len();
        self.start_block(normal, height);
    }

    fn exception_table(
        &mut self,
        signature: SigRef,
        normal: Block,
        results: usize,
        thrown: Block,
    ) -> ExceptionTable {
        let dfg = &mut self.b.func.dfg;
        let returned = (0..results as u32).map(BlockArg::TryCallRet);
        let normal = BlockCall::new(normal, returned, &mut dfg.value_lists);
        let thrown = BlockCall::new(thrown, [BlockArg::TryCallExn(0)], &mut dfg.value_lists);
        let table = ExceptionTableData::new(signature, normal, [ExceptionTableItem::Default(thrown)]);
        dfg.exception_tables.push(table)
    }
}
