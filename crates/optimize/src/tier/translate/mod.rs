//! Translates a validated body to CLIF.
//!
//! One loop reads operators, and each group of operators has a file. Values of the wasm stack are CLIF values, locals
//! are the builder's variables, labels are frames of the control stack. An inlined call pushes another *activation*:
//! the loop continues with the callee's operators on the same stacks.

mod activation;
mod atomic;
mod barrier;
mod branch;
mod builtin;
mod bulk;
mod call;
mod call_indirect;
mod cast;
mod control;
mod exception;
mod frame_local;
mod global;
mod handler;
mod inlining;
mod legacy_exception;
mod memory;
mod memory_access;
mod meter;
mod numeric;
mod object;
mod object_alloc;
mod object_array;
mod object_struct;
mod ref_info;
mod reference;
mod relaxed;
pub(crate) mod scratch;
mod short_copy;
mod simd;
mod simd_arithmetic;
mod simd_memory;
mod slot;
mod stack;
mod state;
mod table;
mod tail_call;
mod traced;
mod translator;
mod wide;

pub(crate) use frame_local::{MARK, REFERENCE};

use crate::tier::failure::Failure;
use crate::tier::huge::{frame_locals, may_inline_into};
use crate::tier::isa::{Isas, OptLevel};
use crate::tier::signature;
use crate::tier::workspace::Workspace;
use belljar_compile::{FunctionBudget, ModulePlan};
use belljar_core::DefinedFuncIndex;
use cranelift_codegen::ir::UserFuncName;
use cranelift_frontend::FunctionBuilder;
pub(crate) use translator::Translated;
use translator::Translator;

/// Translates one defined function.
pub(crate) fn translate(
    workspace: &mut Workspace,
    isas: &Isas,
    plan: &ModulePlan<'_>,
    func: DefinedFuncIndex,
    budget: &mut FunctionBudget<'_>,
) -> Result<Translated, Failure> {
    let module = plan.module;
    workspace.context.clear();
    workspace.scratch.clear();
    let clif = &mut workspace.context.func;
    clif.name = UserFuncName::user(0, func.0);
    clif.signature = signature::guest(module.func_type(module.func_index(func)));
    let builder = FunctionBuilder::new(clif, &mut workspace.builder);
    let mut translator = Translator::new(builder, plan, &mut workspace.scratch, func);
    let isa = isas.get(plan.tunables.canonical_nans, OptLevel::SPEED);
    translator.native_fma = isa.has_native_fma();
    translator.inlines = may_inline_into(plan, func);
    if let Some(locals) = frame_locals(plan, func)? {
        translator.assign_frame_offsets(&locals);
        translator.inlines = false;
    }
    translator.run(budget)?;
    Ok(translator.finish(isa))
}
