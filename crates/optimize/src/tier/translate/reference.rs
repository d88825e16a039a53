//! References: 32-bit ids, zero for null.

use super::translator::Translator;
use crate::tier::failure::Failure;
use belljar_core::FuncIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

impl Translator<'_> {
    pub(super) fn ref_null(&mut self) {
        let null = self.i32_const(0);
        self.push(null);
    }

    pub(super) fn ref_is_null(&mut self) {
        let value = self.pop();
        let null = self.b.ins().icmp_imm_u(IntCC::Equal, value, 0);
        let null = self.b.ins().uextend(types::I32, null);
        self.push(null);
    }

    /// Returns the id of a function: the distance of its object from the constant base.
    pub(super) fn func_ref(&mut self, func: FuncIndex) -> Result<Value, Failure> {
        let nth = self.module.escaping(func).ok_or_else(|| {
            Failure::new(format!("function {} is referred to but not declared; this is a bug", func.0))
        })?;
        let object = self.b.ins().iadd_imm_s(self.context, i64::from(self.module.layout().func_object(nth)));
        let base = self.const_base();
        let id = self.b.ins().isub(object, base);
        Ok(self.b.ins().ireduce(types::I32, id))
    }
}
