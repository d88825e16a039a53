//! Values that the collector must trace: references to objects, which it moves.
//!
//! Such a value is declared to the function builder. If it is live across a call, the builder keeps it in a slot of the
//! frame, lists the slot in the call's stack map, and reloads it after the call.

use super::translator::Translator;
use belljar_abi::gc;
use belljar_core::ValType;
use cranelift_codegen::ir::Value;

impl Translator<'_> {
    pub(super) fn is_traced(&self, ty: ValType) -> bool {
        gc::is_traced(ty, self.module)
    }

    pub(super) fn is_parsed_traced(&self, ty: wasmparser::ValType) -> bool {
        // Validation has accepted the type, so the conversion succeeds.
        ty.is_reference_type() && belljar_module::val_type(ty).is_ok_and(|ty| self.is_traced(ty))
    }

    pub(super) fn track(&mut self, value: Value) {
        self.b.declare_value_needs_stack_map(value);
    }

    pub(super) fn track_if(&mut self, traced: bool, value: Value) {
        if traced {
            self.track(value);
        }
    }
}
