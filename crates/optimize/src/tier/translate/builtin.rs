//! Calls of the runtime's builtin functions.

use super::translator::Translator;
use crate::tier::signature;
use crate::tier::signature::ADDRESS;
use belljar_abi::Builtin;
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_> {
    /// Calls a builtin with the context and these arguments. Returns its result, if it has one.
    pub(super) fn call_builtin(&mut self, builtin: Builtin, args: &[Value]) -> Option<Value> {
        self.flush_fuel();
        self.calls = true;
        self.safepoints += 1;
        let table = self.builtins();
        let code = self.load_constant(ADDRESS, table, builtin.table_offset() as i32);
        let signature = self.b.import_signature(signature::builtin(builtin));
        self.s.call_args.clear();
        self.s.call_args.push(self.context);
        self.s.call_args.extend_from_slice(args);
        let call = self.b.ins().call_indirect(signature, code, &self.s.call_args);
        self.b.inst_results(call).first().copied()
    }
}
