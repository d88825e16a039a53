//! Which values the collector must know of: references to objects, which move.
//!
//! Such a value is declared to the function builder. Where it lives across a call, the builder keeps it in a slot of the
//! frame, names the slot in the call's stack map, and reads it again after the call.

use super::translator::Translator;
use belljar_abi::gc;
use belljar_core::ValType;
use cranelift_codegen::ir::Value;

impl Translator<'_> {
    pub(super) fn is_traced(&self, ty: ValType) -> bool {
        gc::is_traced(ty, self.module)
    }

    pub(super) fn is_parsed_traced(&self, ty: wasmparser::ValType) -> bool {
        // Validation has let the type through, so that we have it too.
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
