//! Loads whose value is used as an address.
//!
//! A 32-bit load clears the upper half of its register, but instruction selection does not rely on that: it adds a move
//! where the loaded value is zero-extended to an address. This pass turns such a load into a zero-extending load.

use super::edges::defining_inst;
use crate::tier::instructions::for_each_inst;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Value, types};

/// Gives each 32-bit load whose value is zero-extended a 64-bit result. Returns whether there was one.
pub(super) fn widen(func: &mut Function) -> bool {
    let mut changed = false;
    for_each_inst(func, |func, _, inst| {
        if let Some(narrow) = extension(func, inst)
            && let Some(wide) = load(func, narrow)
        {
            replace(func, inst, wide);
            changed = true;
        }
    });
    changed
}

/// Returns the 32-bit value that an instruction zero-extends.
pub(super) fn extension(func: &Function, inst: Inst) -> Option<Value> {
    match func.dfg.insts[inst] {
        InstructionData::Unary { opcode: Opcode::Uextend, arg } => {
            let arg = func.dfg.resolve_aliases(arg);
            let result = func.dfg.first_result(inst);
            let widens = func.dfg.value_type(arg) == types::I32 && func.dfg.value_type(result) == types::I64;
            widens.then_some(arg)
        }
        _ => None,
    }
}

/// Returns the zero-extended value of a 32-bit load, widening the load if it is not yet wide.
pub(super) fn load(func: &mut Function, narrow: Value) -> Option<Value> {
    let inst = defining_inst(func, narrow)?;
    match func.dfg.insts[inst] {
        InstructionData::Unary { opcode: Opcode::Ireduce, arg } => {
            let wide = func.dfg.resolve_aliases(arg);
            let load = defining_inst(func, wide)?;
            (func.dfg.insts[load].opcode() == Opcode::Uload32).then_some(wide)
        }
        InstructionData::Load { opcode: Opcode::Load, flags, arg, offset }
            if func.dfg.value_type(narrow) == types::I32 =>
        {
            let flags = func.dfg.mem_flags[flags];
            let srcloc = func.srcloc(inst);
            let mut cursor = FuncCursor::new(func).at_inst(inst).with_srcloc(srcloc);
            let wide = cursor.ins().uload32(flags, arg, offset);
            let reduced = cursor.ins().ireduce(types::I32, wide);
            replace(func, inst, reduced);
            Some(wide)
        }
        _ => None,
    }
}

/// Removes an instruction and replaces its result by another value.
pub(super) fn replace(func: &mut Function, inst: Inst, by: Value) {
    let result = func.dfg.first_result(inst);
    func.dfg.clear_results(inst);
    func.layout.remove_inst(inst);
    func.dfg.change_to_alias(result, by);
}
