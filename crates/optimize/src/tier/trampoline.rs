//! Trampolines between a buffer of values and the guest calling convention, and thunks for imports.

use crate::tier::failure::Failure;
use crate::tier::finalize::finalize;
use crate::tier::isa::{Isas, OptLevel, Settings};
use crate::tier::region::{self, Region, Regions};
use crate::tier::signature::{self, ADDRESS, value_type};
use crate::tier::translate::Translated;
use crate::tier::workspace::Workspace;
use belljar_abi::{CompiledFunction, FuncObject, SourcePos};
use belljar_compile::{Budget, ModulePlan, TrampolineKind};
use belljar_core::{FuncIndex, FuncType, RawVal, ValType};
use cranelift_codegen::ir::{
    Endianness, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, UserFuncName, Value,
    types,
};
use cranelift_frontend::FunctionBuilder;
use std::mem::offset_of;

/// Compiles a trampoline of either kind.
pub(crate) fn trampoline(
    workspace: &mut Workspace,
    isas: &Isas,
    canonical_nans: bool,
    kind: TrampolineKind,
    ty: &FuncType,
) -> Result<CompiledFunction, Failure> {
    match kind {
        TrampolineKind::Entry => {
            build(workspace, isas, canonical_nans, signature::guest_addresses(4), |b, params| {
                array_entry(b, params, ty)
            })
        }
        TrampolineKind::Exit => build(workspace, isas, canonical_nans, signature::guest(ty), |b, params| {
            array_exit(b, params, ty)
        }),
    }
}

/// Compiles the thunk of an import.
pub(crate) fn thunk(
    workspace: &mut Workspace,
    isas: &Isas,
    canonical_nans: bool,
    plan: &ModulePlan<'_>,
    import: FuncIndex,
) -> Result<CompiledFunction, Failure> {
    let ty = plan.module.func_type(import);
    let slot = plan.module.layout().imported_func(import);
    build(workspace, isas, canonical_nans, signature::guest(ty), |b, params| {
        let own = params[0];
        let code = b.ins().load(ADDRESS, region::constant(), own, slot);
        params[0] = b.ins().load(ADDRESS, region::constant(), own, slot + size_of::<usize>() as i32);
        let callee = b.import_signature(signature::guest(ty));
        // A tail call leaves no frame, so that stack walks never see a thunk.
        b.ins().return_call_indirect(callee, code, params);
    })
}

/// Compiles a function of one block.
fn build(
    workspace: &mut Workspace,
    isas: &Isas,
    canonical_nans: bool,
    signature: Signature,
    body: impl FnOnce(&mut FunctionBuilder<'_>, &mut [Value]),
) -> Result<CompiledFunction, Failure> {
    workspace.context.clear();
    let func = &mut workspace.context.func;
    func.name = UserFuncName::user(0, 0);
    func.signature = signature;
    let mut builder = FunctionBuilder::new(func, &mut workspace.builder);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let mut params = builder.block_params(entry).to_vec();
    body(&mut builder, &mut params);
    builder.finalize(isas.get(canonical_nans, OptLevel::SPEED).frontend_config());
    let budget = Budget::unlimited();
    let mut budget = budget.function(FuncIndex(0), 0)?;
    let settings = Settings { canonical_nans, opt_level: OptLevel::SPEED };
    finalize(workspace, isas, None, settings, SourcePos::NONE, Translated::default(), &mut budget)
}

/// `(context, callee context, code, values)`: calls `code` with parameters from `values`, and stores the results over
/// them.
fn array_entry(b: &mut FunctionBuilder<'_>, params: &[Value], ty: &FuncType) {
    let &[_, context, code, values] = params else { return };
    let mut args = vec![context];
    for (i, param) in ty.params().iter().enumerate() {
        args.push(load_slot(b, *param, values, i));
    }
    let callee = b.import_signature(signature::guest(ty));
    let call = b.ins().call_indirect(callee, code, &args);
    let results = b.inst_results(call).to_vec();
    for (i, (result, ty)) in results.iter().zip(ty.results()).enumerate() {
        store_slot(b, *ty, *result, values, i);
    }
    b.ins().return_(&[]);
}

/// `(object, parameters…)`: calls the object's exit stub with a buffer of the parameters, which the stub replaces by
/// the results.
fn array_exit(b: &mut FunctionBuilder<'_>, params: &[Value], ty: &FuncType) {
    let Some((&object, args)) = params.split_first() else { return };
    let slots = ty.params().len().max(ty.results().len()).max(1);
    let size = (slots * size_of::<RawVal>()) as u32;
    let align = align_of::<RawVal>().trailing_zeros() as u8;
    let buffer = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, align));
    let values = b.ins().stack_addr(ADDRESS, buffer, 0);
    for (i, (arg, ty)) in args.iter().zip(ty.params()).enumerate() {
        store_slot(b, *ty, *arg, values, i);
    }
    let stub = b.ins().load(ADDRESS, region::constant(), object, offset_of!(FuncObject, exit_stub) as i32);
    let native = b.import_signature(signature::native_addresses(2));
    b.ins().call_indirect(native, stub, &[object, values]);
    let results: Vec<Value> =
        ty.results().iter().enumerate().map(|(i, ty)| load_slot(b, *ty, values, i)).collect();
    b.ins().return_(&results);
}

fn slot_flags(b: &mut FunctionBuilder<'_>) -> MemFlagsData {
    Regions::default().trusted(b.func, Region::VALUES)
}

fn slot_offset(index: usize) -> i32 {
    (index * size_of::<RawVal>()) as i32
}

fn load_slot(b: &mut FunctionBuilder<'_>, ty: ValType, values: Value, index: usize) -> Value {
    let flags = slot_flags(b);
    b.ins().load(value_type(ty), flags, values, slot_offset(index))
}

/// Stores a value in the format of [`RawVal`]: scalars zero-extended to 64 bits.
fn store_slot(b: &mut FunctionBuilder<'_>, ty: ValType, value: Value, values: Value, index: usize) {
    let bits = match ty {
        ValType::F32 => {
            let flags = MemFlagsData::new().with_endianness(Endianness::Little);
            b.ins().bitcast(types::I32, flags, value)
        }
        _ => value,
    };
    let wide = match ty {
        ValType::I32 | ValType::F32 | ValType::Ref(_) => b.ins().uextend(types::I64, bits),
        _ => bits,
    };
    let flags = slot_flags(b);
    b.ins().store(flags, wide, values, slot_offset(index));
}
