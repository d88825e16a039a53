//! Calls of functions known by index, and of code addresses.

use super::state::{CallPosition, CallTarget, Callee, HandlerId};
use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::name;
use crate::tier::signature;
use crate::tier::signature::ADDRESS;
use belljar_abi::RelocTarget;
use belljar_core::{DefinedFuncIndex, TypeIndex};
use cranelift_codegen::ir::{ExtFuncData, ExternalName, FuncRef, Inst, InstBuilder, SigRef};

impl Translator<'_> {
    /// Calls with the topmost values as arguments.
    pub(super) fn call(&mut self, callee: Callee) -> Result<(), Failure> {
        if let Callee::Known(func) = callee
            && let Some(defined) = self.module.defined_func(func)
            && self.is_worth_inlining(defined)
        {
            return self.inline(defined, CallPosition::NonTail);
        }
        self.emit_call(callee, self.handler());
        Ok(())
    }

    /// Calls without inlining, with the topmost values as arguments. Exceptions go to the handler.
    pub(super) fn emit_call(&mut self, callee: Callee, handler: Option<HandlerId>) {
        let (target, ty) = self.prepare_call(callee);
        if let Some(handler) = handler {
            return self.try_call(target, ty, handler);
        }
        let call = match target {
            CallTarget::Func(func) => self.b.ins().call(func, &self.s.call_args),
            CallTarget::Code(signature, code) => {
                self.b.ins().call_indirect(signature, code, &self.s.call_args)
            }
        };
        self.finish_call(call, ty);
    }

    /// Collects the arguments of a call. Returns its target and the callee's type.
    pub(super) fn prepare_call(&mut self, callee: Callee) -> (CallTarget, TypeIndex) {
        let (target, ty, context) = match callee {
            Callee::Known(func) => {
                let ty = self.module.type_of_func(func);
                match self.module.defined_func(func) {
                    Some(defined) => (CallTarget::Func(self.import_func(defined, ty)), ty, self.context),
                    None => {
                        let slot = self.module.layout().imported_func(func);
                        let code = self.load_constant(ADDRESS, self.context, slot);
                        let slot = slot + size_of::<usize>() as i32;
                        let context = self.load_constant(ADDRESS, self.context, slot);
                        (CallTarget::Code(self.import_type(ty), code), ty, context)
                    }
                }
            }
            Callee::Code { ty, code, context } => (CallTarget::Code(self.import_type(ty), code), ty, context),
        };
        self.flush_fuel();
        self.calls = true;
        self.collect_call_args(self.module.func_type_at(ty).params().len());
        self.safepoints += 1;
        self.s.call_args.insert(0, context);
        (target, ty)
    }

    /// Copies the topmost values to the arguments, without popping them.
    pub(super) fn collect_call_args(&mut self, count: usize) {
        self.s.call_args.clear();
        self.operands += count as u64;
        for i in self.s.stack.len() - count..self.s.stack.len() {
            let value = self.reload_if_stale(self.s.stack[i]);
            let value = self.canonical(value);
            self.s.call_args.push(value);
        }
    }

    /// Replaces the arguments of a call by its results.
    fn finish_call(&mut self, call: Inst, ty: TypeIndex) {
        let ty = self.module.func_type_at(ty);
        let height = self.s.stack.len() - ty.params().len();
        self.s.stack.truncate(height);
        self.s.stack.extend_from_slice(self.b.inst_results(call));
        if let Some(last) = ty.results().last() {
            self.note_result(*last);
        }
        for (i, result) in ty.results().iter().enumerate() {
            let value = self.s.stack[height + i];
            self.track_if(self.is_traced(*result), value);
        }
    }

    /// Returns a signature, which is imported once for each function.
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

    /// Returns a callee, which is imported once for each function.
    fn import_func(&mut self, func: DefinedFuncIndex, ty: TypeIndex) -> FuncRef {
        if let Some(known) = self.s.funcs.get(func.index()).and_then(|f| f.expand()) {
            return known;
        }
        let signature = self.import_type(ty);
        let name = self.b.func.declare_imported_user_function(name::of(RelocTarget::Func(func)));
        let callee = self.b.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            // In the same text, so a call reaches it with a 32-bit distance.
            colocated: true,
            patchable: false,
        });
        self.s.funcs.set(func.index(), callee.into());
        callee
    }
}
