//! Cranelift types of wasm types, and the signatures of the three kinds of callee.

use belljar_abi::{Builtin, BuiltinType};
use belljar_core::{FuncType, ValType};
use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type, types};
use cranelift_codegen::isa::CallConv;

/// Returns the type of a value in locals, block parameters and calls. References are 32-bit ids; vectors are sixteen
/// bytes, whatever their lanes.
pub(crate) const fn value_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 | ValType::Ref(_) => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// The type of an address.
pub(crate) const ADDRESS: Type = types::I64;

/// Returns the type of a wasm value from the parser's type.
pub(crate) fn parsed_type(ty: wasmparser::ValType) -> Type {
    match ty {
        wasmparser::ValType::I32 | wasmparser::ValType::Ref(_) => types::I32,
        wasmparser::ValType::I64 => types::I64,
        wasmparser::ValType::F32 => types::F32,
        wasmparser::ValType::F64 => types::F64,
        wasmparser::ValType::V128 => types::I8X16,
    }
}

/// Returns the signature of a guest function: context, then parameters.
pub(crate) fn guest(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.reserve(ty.params().len() + 1);
    signature.params.push(AbiParam::special(ADDRESS, ArgumentPurpose::VMContext));
    signature.params.extend(ty.params().iter().map(|t| AbiParam::new(value_type(*t))));
    signature.returns.extend(ty.results().iter().map(|t| AbiParam::new(value_type(*t))));
    signature
}

/// Returns the signature of a guest function that takes only addresses and returns nothing.
pub(crate) fn guest_addresses(count: usize) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::special(ADDRESS, ArgumentPurpose::VMContext));
    signature.params.extend((1..count).map(|_| AbiParam::new(ADDRESS)));
    signature
}

/// Returns the signature of a native function that takes only addresses and returns nothing.
pub(crate) fn native_addresses(count: usize) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend((0..count).map(|_| AbiParam::new(ADDRESS)));
    signature
}

/// Returns the signature of a builtin function.
pub(crate) fn builtin(builtin: Builtin) -> Signature {
    let clif = |t: BuiltinType| match t {
        BuiltinType::I32 => types::I32,
        BuiltinType::I64 => types::I64,
    };
    let row = builtin.row();
    let mut signature = native_addresses(1);
    signature.params.extend(row.params.iter().map(|t| AbiParam::new(clif(*t))));
    signature.returns.extend(row.result.iter().map(|t| AbiParam::new(clif(*t))));
    signature
}
