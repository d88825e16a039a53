//! Instructions on structs, arrays, small integers and references, and dispatch to the files of each.

use super::state::{Callee, RefInfo};
use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::region::Region;
use crate::tier::signature::{ADDRESS, value_type};
use crate::tier::trap_code;
use belljar_abi::FuncObject;
use belljar_abi::gc::NULL_PAGE;
use belljar_core::{StorageType, Trap, TypeIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Opcode, Value, types};
use std::mem::offset_of;
use wasmparser::Operator;

/// The extension of a small field to an `i32`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// None: it is a whole value.
    None,
    /// Sign extension.
    Signed,
    /// Zero extension.
    Unsigned,
}

impl<'a> Translator<'a> {
    pub(super) fn objects(&mut self, op: &Operator<'a>) -> Result<bool, Failure> {
        match *op {
            Operator::RefEq => {
                let (x, y) = self.pop2();
                let equal = self.b.ins().icmp(IntCC::Equal, x, y);
                self.push_bool(equal);
            }
            Operator::RefAsNonNull => {
                let value = self.pop();
                if self.operand_info.may_be_null {
                    self.trap_if_null(value);
                }
                self.result_info = RefInfo { may_be_null: false, ..self.operand_info };
                self.push(value);
            }
            Operator::RefI31 => {
                let value = self.pop();
                let shifted = self.b.ins().ishl_imm_u(value, 1);
                let value = self.b.ins().bor_imm_u(shifted, 1);
                self.push(value);
            }
            Operator::I31GetS => {
                let value = self.pop();
                self.trap_if_null(value);
                let value = self.b.ins().sshr_imm_u(value, 1);
                self.push(value);
            }
            Operator::I31GetU => {
                let value = self.pop();
                self.trap_if_null(value);
                let value = self.b.ins().ushr_imm_u(value, 1);
                self.push(value);
            }
            // Both hierarchies have the same representation.
            Operator::AnyConvertExtern | Operator::ExternConvertAny => {}
            _ => return Ok(self.structs(op) || self.arrays(op) || self.casts(op)?),
        }
        Ok(true)
    }

    /// Returns the callee of a `call_ref`: the topmost value.
    pub(super) fn ref_callee(&mut self, ty: u32) -> Callee {
        let func = self.pop();
        let (code, context) = self.func_words(func);
        Callee::Code { ty: TypeIndex(ty), code, context }
    }

    /// Returns code and context of a function reference, after a null check.
    pub(super) fn func_words(&mut self, func: Value) -> (Value, Value) {
        self.trap_if_null(func);
        let base = self.const_base();
        let offset = self.widen(func);
        let object = self.b.ins().iadd(base, offset);
        let code = self.load_constant(ADDRESS, object, offset_of!(FuncObject, code) as i32);
        (code, self.load_constant(ADDRESS, object, offset_of!(FuncObject, context) as i32))
    }

    pub(super) fn trap_if_null(&mut self, value: Value) {
        self.b.ins().trapz(value, trap_code::encode(Trap::NullReference));
    }

    /// Returns the address of an object.
    pub(super) fn object_address(&mut self, object: Value) -> Value {
        let base = self.gc_base();
        let offset = self.widen(object);
        self.b.ins().iadd(base, offset)
    }

    /// Returns the flags of an access at a constant offset from an object that may be null. Near the start of the
    /// object null faults; beyond that it is checked.
    pub(super) fn object_flags(&mut self, object: Value, region: Region, offset: u32) -> MemFlagsData {
        if offset + 16 > NULL_PAGE {
            self.trap_if_null(object);
            return self.regions.trusted(self.b.func, region);
        }
        self.regions.object(self.b.func, region)
    }

    /// Loads a field or element.
    pub(super) fn load_storage(
        &mut self,
        storage: StorageType,
        extension: Extension,
        flags: MemFlagsData,
        address: Value,
        offset: i32,
    ) -> Value {
        let opcode = match (storage, extension) {
            (StorageType::I8, Extension::Signed) => Opcode::Sload8,
            (StorageType::I8, _) => Opcode::Uload8,
            (StorageType::I16, Extension::Signed) => Opcode::Sload16,
            (StorageType::I16, _) => Opcode::Uload16,
            (StorageType::Val(ty), _) => {
                let clif = value_type(ty);
                self.vectors |= clif.is_vector();
                let value = self.b.ins().load(clif, flags, address, offset);
                self.track_if(self.is_traced(ty), value);
                return value;
            }
        };
        let flags = self.b.func.dfg.mem_flags.insert_unchecked(flags);
        let (load, dfg) = self.b.ins().Load(opcode, types::I32, flags, offset.into(), address);
        dfg.first_result(load)
    }

    /// Stores a field or element.
    pub(super) fn store_storage(
        &mut self,
        storage: StorageType,
        flags: MemFlagsData,
        value: Value,
        address: Value,
        offset: i32,
    ) {
        match storage {
            StorageType::I8 => self.b.ins().istore8(flags, value, address, offset),
            StorageType::I16 => self.b.ins().istore16(flags, value, address, offset),
            StorageType::Val(_) => {
                let value = self.canonical(value);
                self.b.ins().store(flags, value, address, offset)
            }
        };
    }

    /// Returns whether a field or element holds references that the collector must trace.
    pub(super) fn is_storage_traced(&self, storage: StorageType) -> bool {
        matches!(storage, StorageType::Val(ty) if self.is_traced(ty))
    }
}
