//! `call_indirect`: through the text if the table never changes, through function objects otherwise.
//!
//! The contents of a table that never changes are known at compile time, so only what is uncertain is checked. A table
//! without nulls and without other types needs only a bounds check, and an index that can mean only one function
//! becomes a direct call. If the table has a null, an out-of-bounds index is replaced by the null's index, so that one
//! comparison detects all three errors; a cold block tells them apart.

use super::state::Callee;
use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::signature::ADDRESS;
use crate::tier::tuning::TABLE_INDEX_GUARD;
use crate::tier::{name, trap_code};
use belljar_abi::{FuncObject, ReadOnlyEntry, RelocTarget};
use belljar_compile::{ReadOnlyContents, ReadOnlyTable};
use belljar_core::{TableIndex, Trap, TypeIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ExternalName, GlobalValueData, InstBuilder, Value, types};
use std::mem::offset_of;

impl Translator<'_> {
    /// Returns the callee of a `call_indirect`: the element whose index is the topmost value.
    pub(super) fn element_callee(&mut self, ty: u32, table: u32) -> Callee {
        let (ty, table) = (TypeIndex(ty), TableIndex(table));
        let index = self.pop();
        match self.plan.read_only_table(table, ty) {
            Some(contents) => self.read_only_callee(ty, table, contents, index),
            None => self.object_callee(ty, table, index),
        }
    }

    fn read_only_callee(
        &mut self,
        ty: TypeIndex,
        table: TableIndex,
        elements: &ReadOnlyTable,
        index: Value,
    ) -> Callee {
        let wanted = self.module.canonical_type(ty);
        if let Some(constant) = self.constant(index) {
            let element = usize::try_from(constant).ok().and_then(|i| elements.elements.get(i));
            if let Some(Some(func)) = element
                && self.plan.canonical_type_of(*func) == wanted
            {
                return Callee::Known(*func);
            }
        }
        let contents = elements.contents(wanted);
        if let (1, Some((only, func))) = (contents.matching, contents.first) {
            let wrong = self.b.ins().icmp_imm_u(IntCC::NotEqual, index, i64::from(only));
            self.refuse_if(wrong, table, &contents, index);
            return Callee::Known(func);
        }
        let entry = self.checked_entry(wanted, table, &contents, index);
        let offset = offset_of!(ReadOnlyEntry, code) as i32;
        let distance = self.load_constant(types::I32, entry, offset);
        let distance = self.widen(distance);
        let text = self.text_base();
        let code = self.b.ins().iadd(text, distance);
        Callee::Code { ty, code, context: self.context }
    }

    /// Returns the address of the entry at `index`, checked to have the wanted type.
    fn checked_entry(
        &mut self,
        wanted: TypeIndex,
        table: TableIndex,
        contents: &ReadOnlyContents,
        index: Value,
    ) -> Value {
        let length = i64::from(contents.length);
        let outside = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, index, length);
        let inside = match contents.null {
            Some(null) => {
                let ty = self.type_of(index);
                let null = self.b.ins().iconst(ty, i64::from(null));
                self.b.ins().select_spectre_guard(outside, null, index)
            }
            None => {
                self.b.ins().trapnz(outside, trap_code::encode(Trap::UndefinedElement));
                self.guard_index(outside, index)
            }
        };
        let entry = self.entry(table, inside);
        if contents.null.is_none() && contents.foreign == 0 {
            return entry;
        }
        let found = self.load_constant(types::I32, entry, offset_of!(ReadOnlyEntry, ty) as i32);
        let wrong = self.b.ins().icmp_imm_u(IntCC::NotEqual, found, i64::from(wanted.0));
        if contents.null.is_some() {
            self.refuse_if(wrong, table, contents, index);
        } else {
            self.b.ins().trapnz(wrong, trap_code::encode(Trap::BadSignature));
        }
        entry
    }

    /// Returns the address of a read-only table's entry.
    fn entry(&mut self, table: TableIndex, index: Value) -> Value {
        let name = name::of(RelocTarget::ReadOnlyTable(table));
        let name = self.b.func.declare_imported_user_function(name);
        let symbol = self.b.create_global_value(GlobalValueData::Symbol {
            name: ExternalName::user(name),
            offset: 0.into(),
            colocated: true,
            tls: false,
        });
        let start = self.b.ins().symbol_value(ADDRESS, symbol);
        let index = self.widen(index);
        let offset = self.b.ins().ishl_imm_u(index, size_of::<ReadOnlyEntry>().trailing_zeros() as i64);
        self.b.ins().iadd(start, offset)
    }

    /// Returns an index that is in bounds even if execution speculates past the bounds check.
    fn guard_index(&mut self, outside: Value, index: Value) -> Value {
        if !TABLE_INDEX_GUARD {
            return index;
        }
        let ty = self.type_of(index);
        let zero = self.b.ins().iconst(ty, 0);
        self.b.ins().select_spectre_guard(outside, zero, index)
    }

    /// Traps if `wrong`, with the trap for the element at `index` of a read-only table.
    fn refuse_if(&mut self, wrong: Value, table: TableIndex, contents: &ReadOnlyContents, index: Value) {
        let next = self.start_refusal(wrong);
        let length = i64::from(contents.length);
        let outside = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::UndefinedElement));
        if contents.null.is_some() {
            let entry = self.entry(table, index);
            let found = self.load_constant(types::I32, entry, offset_of!(ReadOnlyEntry, ty) as i32);
            let null = self.i32_const(ReadOnlyEntry::NULL);
            let null = self.b.ins().icmp(IntCC::Equal, found, null);
            self.b.ins().trapnz(null, trap_code::encode(Trap::IndirectCallToNull));
        }
        self.b.ins().trap(trap_code::encode(Trap::BadSignature));
        self.b.switch_to_block(next);
    }

    /// Continues in a cold block if `wrong`. Returns the block for the other case.
    fn start_refusal(&mut self, wrong: Value) -> cranelift_codegen::ir::Block {
        let (refusal, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(refusal);
        self.b.ins().brif(wrong, refusal, &[], next, &[]);
        self.b.seal_block(refusal);
        self.b.seal_block(next);
        self.b.switch_to_block(refusal);
        next
    }

    fn object_callee(&mut self, ty: TypeIndex, table: TableIndex, index: Value) -> Callee {
        let id = self.load_element(table, index, Trap::UndefinedElement);
        let base = self.const_base();
        let offset = self.widen(id);
        let object = self.b.ins().iadd(base, offset);
        let found = self.load_constant(types::I32, object, offset_of!(FuncObject, sig) as i32);
        let wanted = self.type_id(ty);
        let wrong = self.b.ins().icmp(IntCC::NotEqual, found, wanted);
        let (refusal, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(refusal);
        self.b.ins().brif(wrong, refusal, &[], next, &[]);
        self.b.seal_block(refusal);
        self.b.switch_to_block(refusal);
        let null = self.b.ins().icmp_imm_u(IntCC::Equal, id, 0);
        self.b.ins().trapnz(null, trap_code::encode(Trap::IndirectCallToNull));
        if self.module.is_final(ty) {
            self.b.ins().trap(trap_code::encode(Trap::BadSignature));
        } else {
            let below = self.is_below(found, ty);
            self.b.ins().trapz(below, trap_code::encode(Trap::BadSignature));
            self.b.ins().jump(next, &[]);
        }
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        let code = self.load_constant(ADDRESS, object, offset_of!(FuncObject, code) as i32);
        let context = self.load_constant(ADDRESS, object, offset_of!(FuncObject, context) as i32);
        Callee::Code { ty, code, context }
    }

    /// Loads an element of a table that may change.
    pub(super) fn load_element(&mut self, table: TableIndex, index: Value, outside: Trap) -> Value {
        let (address, offset) = self.element_address(table, index, outside);
        let flags = self.regions.trusted(self.b.func, Region::TABLE_ELEMENT);
        self.b.ins().load(types::I32, flags, address, offset)
    }

    /// Returns the address of an element after a bounds check.
    pub(super) fn element_address(&mut self, table: TableIndex, index: Value, trap: Trap) -> (Value, i32) {
        let length = self.table_length(table);
        let length = if self.type_of(index) == types::I64 { self.widen(length) } else { length };
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.b.ins().trapnz(outside, trap_code::encode(trap));
        let index = self.guard_index(outside, index);
        let (start, offset) = self.table_start(table);
        let index = self.widen(index);
        let distance = self.b.ins().ishl_imm_u(index, 2);
        (self.b.ins().iadd(start, distance), offset)
    }
}
