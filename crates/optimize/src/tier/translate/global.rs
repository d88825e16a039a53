//! Globals, and dispatch to the other instructions on state other than memories and control.

use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::region::Region;
use crate::tier::signature::{ADDRESS, value_type};
use belljar_core::{FuncIndex, GlobalIndex, Mutability, RawVal, ValType};
use belljar_module::ConstOp;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Value};
use wasmparser::Operator;

impl<'a> Translator<'a> {
    /// Translates instructions on globals, tables and references.
    pub(super) fn state(&mut self, op: &Operator<'a>) -> Result<bool, Failure> {
        match *op {
            Operator::GlobalGet { global_index } => {
                let value = self.global(GlobalIndex(global_index))?;
                self.note_result(self.module.globals()[global_index as usize].content());
                self.push(value);
            }
            Operator::GlobalSet { global_index } => self.global_set(GlobalIndex(global_index)),
            Operator::TableGet { table } => self.table_get(table),
            Operator::TableSet { table } => self.table_set(table),
            Operator::TableSize { table } => self.table_size(table),
            Operator::RefNull { .. } => self.ref_null(),
            Operator::RefIsNull => self.ref_is_null(),
            Operator::RefFunc { function_index } => {
                let id = self.func_ref(FuncIndex(function_index))?;
                self.push(id);
            }
            _ => return self.objects(op),
        }
        Ok(true)
    }

    fn global(&mut self, global: GlobalIndex) -> Result<Value, Failure> {
        let ty = self.module.globals()[global.index()];
        let defined = global.index() >= self.module.imported_globals();
        let constant = ty.mutability() == Mutability::Const;
        if defined && constant {
            let init: &[ConstOp] = self.module.global_init(global).ops();
            match *init {
                [ConstOp::Value(value)] => return Ok(self.raw_const(ty.content(), value)),
                [ConstOp::RefNull] => return Ok(self.i32_const(0)),
                [ConstOp::RefFunc(func)] => return self.func_ref(func),
                _ => {}
            }
        }
        Ok(self.load_global(global))
    }

    fn load_global(&mut self, global: GlobalIndex) -> Value {
        let ty = self.module.globals()[global.index()];
        let constant = ty.mutability() == Mutability::Const;
        let clif = value_type(ty.content());
        self.vectors |= clif.is_vector();
        let (address, offset) = self.global_address(global);
        let traced = self.is_traced(ty.content());
        // The collector may move the object that a constant refers to, and then updates the global.
        if constant && !traced {
            return self.load_constant(clif, address, offset);
        }
        let region = Region::global(global, self.module.imported_globals());
        let flags = self.regions.trusted(self.b.func, region);
        let value = self.b.ins().load(clif, flags, address, offset);
        self.track_if(traced, value);
        if constant {
            self.s.constants.set(value.as_u32() as usize, (global.0, self.safepoints));
        }
        value
    }

    /// Returns a value for use. If it was read from a constant global before a call, it is read again: otherwise it
    /// would be kept in the frame across the call for the collector, and reloaded from there. Generated code uses
    /// thousands of such values.
    pub(super) fn reload_if_stale(&mut self, value: Value) -> Value {
        match self.s.constants.get(value.as_u32() as usize) {
            Some((global, safepoints)) if safepoints != self.safepoints => {
                self.load_global(GlobalIndex(global))
            }
            _ => value,
        }
    }

    fn global_set(&mut self, global: GlobalIndex) {
        let value = self.pop();
        let value = self.canonical(value);
        let (address, offset) = self.global_address(global);
        let region = Region::global(global, self.module.imported_globals());
        let flags = self.regions.trusted(self.b.func, region);
        self.b.ins().store(flags, value, address, offset);
    }

    fn global_address(&mut self, global: GlobalIndex) -> (Value, i32) {
        let layout = self.module.layout();
        if global.index() >= self.module.imported_globals() {
            return (self.context, layout.defined_global(global));
        }
        (self.load_constant(ADDRESS, self.context, layout.imported_global(global)), 0)
    }

    fn raw_const(&mut self, ty: ValType, value: RawVal) -> Value {
        match ty {
            ValType::I32 | ValType::Ref(_) => self.i32_const(value.u32()),
            ValType::I64 => self.i64_const(value.u64()),
            ValType::F32 => self.b.ins().f32const(Ieee32::with_bits(value.u32())),
            ValType::F64 => self.b.ins().f64const(Ieee64::with_bits(value.u64())),
            ValType::V128 => self.v128_const(value.v128().to_le_bytes()),
        }
    }
}
