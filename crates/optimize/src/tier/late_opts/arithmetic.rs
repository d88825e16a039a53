//! Arithmetic for which the processor has a shorter form.
//!
//! * A multiplication by 3, 5 or 9 is one address computation, and by some other constants two cheap operations: one or
//!   two cycles instead of three.
//! * A mask of a zero-extended value is a zero-extended mask: the extension is then free.
//! * The sum that computes the upper half of a 128-bit product from 32-bit halves is one multiplication: see
//!   [`super::product`].

use super::edges::{defining_inst, integer};
use super::loads::replace;
use super::product;
use crate::tier::instructions::for_each_inst;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value, types};

/// Rewrites the patterns in the whole function. Returns whether there were any.
pub(super) fn shorten(func: &mut Function) -> bool {
    let mut changed = false;
    for_each_inst(func, |func, _, inst| {
        if let Some(value) = shorter(func, inst) {
            replace(func, inst, value);
            changed = true;
        }
    });
    changed
}

/// Inserts a cheaper value equal to an instruction's result before the instruction.
fn shorter(func: &mut Function, inst: Inst) -> Option<Value> {
    let InstructionData::Binary { opcode, args: [x, y] } = func.dfg.insts[inst] else { return None };
    match opcode {
        Opcode::Imul => multiply(func, inst, x, integer(func, y)?),
        Opcode::Band => mask(func, inst, x, integer(func, y)?),
        Opcode::Iadd => product::upper_half(func, inst),
        Opcode::Bor => product::lower_half(func, inst),
        _ => None,
    }
}

/// A product with a constant, as shifts and one addition or subtraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ShiftAdd {
    /// `(x + (x << a)) << b`
    Sum(u8, u8),
    /// `(x << a) − x`
    Difference(u8),
}

fn shift_add(factor: u64) -> Option<ShiftAdd> {
    if factor == 0 {
        return None;
    }
    let twos = factor.trailing_zeros() as u8;
    match factor >> twos {
        3 => Some(ShiftAdd::Sum(1, twos)),
        5 => Some(ShiftAdd::Sum(2, twos)),
        9 => Some(ShiftAdd::Sum(3, twos)),
        odd if twos == 0 && odd > 1 && (odd + 1).is_power_of_two() => {
            Some(ShiftAdd::Difference((odd + 1).trailing_zeros() as u8))
        }
        _ => None,
    }
}

fn multiply(func: &mut Function, inst: Inst, x: Value, factor: u64) -> Option<Value> {
    let ty = func.dfg.value_type(x);
    if !matches!(ty, types::I32 | types::I64) {
        return None;
    }
    let shift_add = shift_add(factor)?;
    let srcloc = func.srcloc(inst);
    let mut cursor = FuncCursor::new(func).at_inst(inst).with_srcloc(srcloc);
    Some(match shift_add {
        ShiftAdd::Sum(a, b) => {
            let shifted = shift(&mut cursor, ty, x, a);
            let sum = cursor.ins().iadd(x, shifted);
            if b == 0 { sum } else { shift(&mut cursor, ty, sum, b) }
        }
        ShiftAdd::Difference(a) => {
            let shifted = shift(&mut cursor, ty, x, a);
            cursor.ins().isub(shifted, x)
        }
    })
}

fn shift(cursor: &mut FuncCursor<'_>, ty: Type, x: Value, by: u8) -> Value {
    let by = cursor.ins().iconst(ty, i64::from(by));
    cursor.ins().ishl(x, by)
}

fn mask(func: &mut Function, inst: Inst, x: Value, bits: u64) -> Option<Value> {
    let bits = u32::try_from(bits).ok()?;
    let narrow = super::loads::extension(func, defining_inst(func, x)?)?;
    let srcloc = func.srcloc(inst);
    let mut cursor = FuncCursor::new(func).at_inst(inst).with_srcloc(srcloc);
    let bits = cursor.ins().iconst(types::I32, i64::from(bits));
    let masked = cursor.ins().band(narrow, bits);
    Some(cursor.ins().uextend(types::I64, masked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_and_additions_give_the_product() {
        for factor in 1..2000u64 {
            for x in [0u64, 1, 7, 0xffff_ffff, u64::MAX, 0x8000_0000_0000_0000] {
                let got = match shift_add(factor) {
                    None => continue,
                    Some(ShiftAdd::Sum(a, b)) => x.wrapping_add(x << a) << b,
                    Some(ShiftAdd::Difference(a)) => (x << a).wrapping_sub(x),
                };
                assert_eq!(got, x.wrapping_mul(factor), "{x} * {factor}");
            }
        }
        assert_eq!(shift_add(31), Some(ShiftAdd::Difference(5)));
        assert_eq!(shift_add(1), None);
        assert_eq!(shift_add(8), None);
    }
}
