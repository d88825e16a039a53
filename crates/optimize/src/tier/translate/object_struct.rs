//! Structs.

use super::object::Extension;
use super::state::RefInfo;
use super::translator::Translator;
use crate::tier::region::Region;
use belljar_abi::gc::FIELDS;
use belljar_core::{CompositeType, StorageType, TypeIndex};
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::Operator;

impl<'a> Translator<'a> {
    pub(super) fn structs(&mut self, op: &Operator<'_>) -> bool {
        match *op {
            Operator::StructNew { struct_type_index } => self.struct_new(TypeIndex(struct_type_index)),
            Operator::StructNewDefault { struct_type_index } => {
                self.struct_new_default(TypeIndex(struct_type_index));
            }
            Operator::StructGet { struct_type_index, field_index } => {
                self.struct_get(TypeIndex(struct_type_index), field_index, Extension::None);
            }
            Operator::StructGetS { struct_type_index, field_index } => {
                self.struct_get(TypeIndex(struct_type_index), field_index, Extension::Signed);
            }
            Operator::StructGetU { struct_type_index, field_index } => {
                self.struct_get(TypeIndex(struct_type_index), field_index, Extension::Unsigned);
            }
            Operator::StructSet { struct_type_index, field_index } => {
                self.struct_set(TypeIndex(struct_type_index), field_index);
            }
            _ => return false,
        }
        true
    }

    fn field(&self, ty: TypeIndex, field: u32) -> (u32, StorageType) {
        let offset = self.plan.fields(ty).offsets[field as usize];
        match self.module.composite_type(ty) {
            CompositeType::Struct(ty) => (offset, ty.fields()[field as usize].element_type()),
            _ => panic!("validation checked that this is a struct type"),
        }
    }

    fn struct_new(&mut self, ty: TypeIndex) {
        let layout = self.plan.fields(ty);
        let count = layout.offsets.len();
        let object = self.alloc(ty, layout.size);
        let address = self.object_address(object);
        let height = self.s.stack.len() - count;
        for i in 0..count {
            let (offset, storage) = self.field(ty, i as u32);
            let flags = self.regions.trusted(self.b.func, Region::field(offset));
            let value = self.reload_if_stale(self.s.stack[height + i]);
            self.store_storage(storage, flags, value, address, offset as i32);
        }
        self.s.stack.truncate(height);
        self.result_info = RefInfo::OBJECT;
        self.push(object);
    }

    fn struct_new_default(&mut self, ty: TypeIndex) {
        let size = self.plan.fields(ty).size;
        let object = self.alloc(ty, size);
        let address = self.object_address(object);
        let mut at = FIELDS;
        while at < size {
            let (clif, bytes) = if at.is_multiple_of(8) { (types::I64, 8) } else { (types::I32, 4) };
            let flags = self.regions.trusted(self.b.func, Region::field(at));
            let zero = self.b.ins().iconst(clif, 0);
            self.b.ins().store(flags, zero, address, at as i32);
            at += bytes;
        }
        self.result_info = RefInfo::OBJECT;
        self.push(object);
    }

    fn struct_get(&mut self, ty: TypeIndex, field: u32, extension: Extension) {
        let object = self.pop();
        let (offset, storage) = self.field(ty, field);
        let flags = self.object_flags(object, Region::field(offset), offset);
        let address = self.object_address(object);
        let value = self.load_storage(storage, extension, flags, address, offset as i32);
        self.note_stored_result(storage);
        self.push(value);
    }

    fn struct_set(&mut self, ty: TypeIndex, field: u32) {
        let (object, value) = self.pop2();
        let (offset, storage) = self.field(ty, field);
        let flags = self.object_flags(object, Region::field(offset), offset);
        let address = self.object_address(object);
        self.store_storage(storage, flags, value, address, offset as i32);
        if self.is_storage_traced(storage) && self.may_be_object(value) {
            let object = self.widen(object);
            let slot = self.b.ins().iadd_imm_s(object, i64::from(offset));
            self.mark_card(slot);
        }
    }
}
