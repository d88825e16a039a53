//! Tests and casts of references, and the branches on them.
//!
//! An object's header holds the canonical id of its type, and its kind. One comparison decides for a final type. Other
//! types take one more, with the entry of the object's supertype display at the wanted type's depth.

use super::state::RefInfo;
use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::region::Region;
use crate::tier::trap_code;
use belljar_abi::gc::header;
use belljar_abi::{FuncObject, TYPE_DISPLAY_SIZE};
use belljar_core::{HeapType, RefType, Trap, TypeIndex, TypeRef};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value, types};
use std::mem::offset_of;
use wasmparser::Operator;

impl<'a> Translator<'a> {
    pub(super) fn casts(&mut self, op: &Operator<'_>) -> Result<bool, Failure> {
        match *op {
            Operator::RefTestNonNull { hty } => self.ref_test(wanted(false, hty)?),
            Operator::RefTestNullable { hty } => self.ref_test(wanted(true, hty)?),
            Operator::RefCastNonNull { hty } => self.ref_cast(wanted(false, hty)?),
            Operator::RefCastNullable { hty } => self.ref_cast(wanted(true, hty)?),
            Operator::BrOnCast { relative_depth, from_ref_type, to_ref_type } => {
                let (from, to) = (parsed(from_ref_type)?, parsed(to_ref_type)?);
                self.br_on_cast(relative_depth, from, to, true);
            }
            Operator::BrOnCastFail { relative_depth, from_ref_type, to_ref_type } => {
                let (from, to) = (parsed(from_ref_type)?, parsed(to_ref_type)?);
                self.br_on_cast(relative_depth, from, to, false);
            }
            Operator::BrOnNull { relative_depth } => self.br_on_null(relative_depth),
            Operator::BrOnNonNull { relative_depth } => self.br_on_non_null(relative_depth),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn ref_test(&mut self, to: RefType) {
        let value = self.pop();
        let (yes, no, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I32);
        self.branch_on_type(value, to, yes, no);
        for (block, answer) in [(yes, 1), (no, 0)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            let answer = self.i32_const(answer);
            self.b.ins().jump(done, &[BlockArg::from(answer)]);
        }
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.push(result);
    }

    fn ref_cast(&mut self, to: RefType) {
        let value = self.pop();
        let (yes, no) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(no);
        self.branch_on_type(value, to, yes, no);
        self.b.seal_block(no);
        self.b.switch_to_block(no);
        self.b.ins().trap(trap_code::encode(Trap::CastFailure));
        self.b.seal_block(yes);
        self.b.switch_to_block(yes);
        self.result_info = self.operand_info.and(RefInfo::of(to));
        self.push(value);
    }

    /// Branches with the reference still on the stack if it has a type, or if it does not.
    fn br_on_cast(&mut self, depth: u32, from: RefType, to: RefType, if_it_is: bool) {
        self.operand_info = self.operand_info.and(RefInfo::of(from));
        self.flush_fuel();
        let value = *self.s.stack.last().expect("validation bounds the stack");
        let (taken, next) = (self.b.create_block(), self.b.create_block());
        let (yes, no) = if if_it_is { (taken, next) } else { (next, taken) };
        self.branch_on_type(value, to, yes, no);
        self.take_branch(taken, depth);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    /// Fills a block that jumps to a frame with the topmost values.
    fn take_branch(&mut self, taken: Block, depth: u32) {
        self.b.seal_block(taken);
        self.b.switch_to_block(taken);
        let (target, count) = self.target(depth as usize);
        self.jump(target, count);
    }

    fn br_on_null(&mut self, depth: u32) {
        self.flush_fuel();
        let value = self.pop();
        let (target, count) = self.target(depth as usize);
        self.collect_block_args(count);
        let next = self.b.create_block();
        self.b.ins().brif(value, next, &[], target, &self.s.block_args);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        self.result_info = RefInfo { may_be_null: false, ..self.operand_info };
        self.push(value);
    }

    fn br_on_non_null(&mut self, depth: u32) {
        self.flush_fuel();
        let value = *self.s.stack.last().expect("validation bounds the stack");
        let (target, count) = self.target(depth as usize);
        self.collect_block_args(count);
        let next = self.b.create_block();
        self.b.ins().brif(value, target, &self.s.block_args, next, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        self.pop();
    }

    /// Branches to `yes` if a reference has a type, and to `no` otherwise. Uses the known facts about the reference.
    fn branch_on_type(&mut self, value: Value, to: RefType, yes: Block, no: Block) {
        let if_null = if to.is_nullable() { yes } else { no };
        match to.heap_type() {
            HeapType::None | HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn => {
                self.b.ins().brif(value, no, &[], if_null, &[]);
            }
            HeapType::Any | HeapType::Func | HeapType::Extern | HeapType::Exn => {
                self.b.ins().brif(value, yes, &[], if_null, &[]);
            }
            HeapType::I31 => {
                self.skip_null(value, if_null);
                let odd = self.b.ins().band_imm_u(value, 1);
                self.b.ins().brif(odd, yes, &[], no, &[]);
            }
            HeapType::Eq => {
                let head = self.head_of(value, if_null, yes);
                let foreign = self.b.ins().band_imm_u(head, i64::from(header::EXTERN));
                self.b.ins().brif(foreign, no, &[], yes, &[]);
            }
            HeapType::Struct => {
                let head = self.head_of(value, if_null, no);
                let kind = self.b.ins().band_imm_u(head, i64::from(header::KIND));
                self.b.ins().brif(kind, no, &[], yes, &[]);
            }
            HeapType::Array => {
                let head = self.head_of(value, if_null, no);
                let array = self.b.ins().band_imm_u(head, i64::from(header::ARRAY));
                self.b.ins().brif(array, yes, &[], no, &[]);
            }
            HeapType::Defined(TypeRef::Index(ty)) => self.branch_on_defined(value, ty, if_null, yes, no),
            // A module's own types are given by index, and there are no other heap types.
            _ => {
                self.b.ins().jump(no, &[]);
            }
        }
    }

    fn branch_on_defined(&mut self, value: Value, ty: TypeIndex, if_null: Block, yes: Block, no: Block) {
        let is_func = self.module.composite_type(ty).as_func().is_some();
        let (found, wanted) = if is_func {
            self.skip_null(value, if_null);
            let base = self.const_base();
            let offset = self.widen(value);
            let object = self.b.ins().iadd(base, offset);
            let found = self.load_constant(types::I32, object, offset_of!(FuncObject, sig) as i32);
            (found, self.type_id(ty))
        } else {
            let head = self.head_of(value, if_null, no);
            (head, self.header_of(ty))
        };
        let same = self.b.ins().icmp(IntCC::Equal, found, wanted);
        if self.module.is_final(ty) {
            self.b.ins().brif(same, yes, &[], no, &[]);
            return;
        }
        let compare_display = self.b.create_block();
        self.b.ins().brif(same, yes, &[], compare_display, &[]);
        self.b.seal_block(compare_display);
        self.b.switch_to_block(compare_display);
        let found = if is_func { found } else { self.b.ins().band_imm_u(found, i64::from(header::TYPE)) };
        let below = self.is_below(found, ty);
        self.b.ins().brif(below, yes, &[], no, &[]);
    }

    /// Returns the canonical id of a type of the module.
    pub(super) fn type_id(&mut self, ty: TypeIndex) -> Value {
        self.load_constant(types::I32, self.context, self.module.layout().type_id(ty))
    }

    /// Returns whether the type with the canonical id `found` is `ty` or a subtype of it.
    pub(super) fn is_below(&mut self, found: Value, ty: TypeIndex) -> Value {
        let displays = self.type_displays();
        let row = self.widen(found);
        let row = self.b.ins().ishl_imm_u(row, i64::from(TYPE_DISPLAY_SIZE.trailing_zeros()));
        let display = self.b.ins().iadd(displays, row);
        let flags = self.regions.trusted(self.b.func, Region::TYPE_DISPLAY);
        let at_depth = self.b.ins().load(types::I32, flags, display, self.module.type_depth(ty) as i32 * 4);
        let wanted = self.type_id(ty);
        self.b.ins().icmp(IntCC::Equal, at_depth, wanted)
    }

    /// Branches to a block if a reference is null, and continues otherwise.
    fn skip_null(&mut self, value: Value, if_null: Block) {
        if !self.operand_info.may_be_null {
            return;
        }
        let next = self.b.create_block();
        self.b.ins().brif(value, next, &[], if_null, &[]);
        self.b.seal_block(next);
        self.b.switch_to_block(next);
    }

    /// Returns the header of an object, after branching on null and small integers.
    fn head_of(&mut self, value: Value, if_null: Block, if_small: Block) -> Value {
        self.skip_null(value, if_null);
        if self.operand_info.may_be_i31 {
            let next = self.b.create_block();
            let odd = self.b.ins().band_imm_u(value, 1);
            self.b.ins().brif(odd, if_small, &[], next, &[]);
            self.b.seal_block(next);
            self.b.switch_to_block(next);
        }
        let address = self.object_address(value);
        let flags = self.regions.trusted(self.b.func, Region::HEADER);
        self.b.ins().load(types::I32, flags, address, 0)
    }
}

fn wanted(nullable: bool, heap: wasmparser::HeapType) -> Result<RefType, Failure> {
    let heap = belljar_module::heap_type(heap).map_err(|e| Failure::new(e.to_string()))?;
    Ok(RefType::new(nullable, heap))
}

fn parsed(ty: wasmparser::RefType) -> Result<RefType, Failure> {
    belljar_module::ref_type(ty).map_err(|e| Failure::new(e.to_string()))
}
