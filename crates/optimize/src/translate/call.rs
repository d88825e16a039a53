//! Calls of functions known by index.

use super::translator::Translator;
use crate::failure::Failure;
use crate::harvest;
use crate::signature;
use crate::signature::ADDRESS;
use belljar_abi::RelocTarget;
use belljar_core::{DefinedFuncIndex, FuncIndex, TypeIndex};
use cranelift_codegen::ir::{ExtFuncData, ExternalName, FuncRef, Inst, InstBuilder, SigRef, Value};

impl Translator<'_> {
    pub(super) fn call(&mut self, index: u32) -> Result<(), Failure> {
        self.call_known(FuncIndex(index))
    }

    /// Calls a function of this module with the topmost values.
    pub(super) fn call_known(&mut self, func: FuncIndex) -> Result<(), Failure> {
        match self.module.defined_func(func) {
            Some(defined) if self.is_worth_inlining(defined) => self.inline(defined),
            Some(defined) => {
                self.call_defined(defined);
                Ok(())
            }
            None => {
                self.call_import(func);
                Ok(())
            }
        }
    }

    fn call_defined(&mut self, func: DefinedFuncIndex) {
        let ty = self.module.funcs()[self.module.func_index(func).index()];
        let count = self.module.func_type_at(ty).params().len();
        let callee = self.import_func(func, ty);
        self.before_call(self.context, count);
        let call = self.b.ins().call(callee, &self.s.call_args);
        self.after_call(call, ty);
    }

    fn call_import(&mut self, func: FuncIndex) {
        let slot = self.module.layout().imported_func(func);
        let code = self.load_constant(ADDRESS, self.context, slot);
        let context = self.load_constant(ADDRESS, self.context, slot + size_of::<usize>() as i32);
        self.call_address(self.module.funcs()[func.index()], code, context);
    }

    /// Calls code of a type with a context and the topmost values.
    pub(super) fn call_address(&mut self, ty: TypeIndex, code: Value, context: Value) {
        let count = self.module.func_type_at(ty).params().len();
        let signature = self.import_type(ty);
        self.before_call(context, count);
        let call = self.b.ins().call_indirect(signature, code, &self.s.call_args);
        self.after_call(call, ty);
    }

    fn before_call(&mut self, context: Value, count: usize) {
        self.flush_fuel();
        self.calls = true;
        self.collect_call_args(count);
        self.s.call_args.insert(0, context);
    }

    /// Takes the topmost values, without removing them, as arguments.
    pub(super) fn collect_call_args(&mut self, count: usize) {
        self.s.call_args.clear();
        for i in self.s.stack.len() - count..self.s.stack.len() {
            let value = self.s.stack[i];
            let value = self.canonical(value);
            self.s.call_args.push(value);
        }
    }

    /// Replaces the arguments of a call of a type by its results.
    fn after_call(&mut self, call: Inst, ty: TypeIndex) {
        let ty = self.module.func_type_at(ty);
        let height = self.s.stack.len() - ty.params().len();
        self.s.stack.truncate(height);
        self.s.stack.extend_from_slice(self.b.inst_results(call));
        for (i, result) in ty.results().iter().enumerate() {
            let value = self.s.stack[height + i];
            self.track_if(self.is_traced(*result), value);
        }
    }

    /// A signature, imported once for each function.
    fn import_type(&mut self, ty: TypeIndex) -> SigRef {
        let canonical = self.module.canonical_type(ty).index();
        if let Some(known) = self.s.signatures.get(canonical).and_then(|s| s.expand()) {
            return known;
        }
        let ty = self.module.func_type_at(self.module.canonical_type(ty));
        self.vectors |= ty.results().contains(&belljar_core::ValType::V128);
        let signature = self.b.import_signature(signature::guest(ty));
        self.s.signatures.set(canonical, signature.into());
        signature
    }

    /// A callee, imported once for each function.
    fn import_func(&mut self, func: DefinedFuncIndex, ty: TypeIndex) -> FuncRef {
        if let Some(known) = self.s.funcs.get(func.index()).and_then(|f| f.expand()) {
            return known;
        }
        let signature = self.import_type(ty);
        let name = self.b.func.declare_imported_user_function(harvest::name(RelocTarget::Func(func)));
        let callee = self.b.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            // In the same text, so that a call reaches it by a 32-bit distance.
            colocated: true,
            patchable: false,
        });
        self.s.funcs.set(func.index(), callee.into());
        callee
    }
}
