//! 128-bit products.
//!
//! WebAssembly 2.0 has no multiplication that returns the upper half, so compilers compute it from 32-bit halves:
//!
//! ```text
//!   x = b·2³² + a    y = d·2³² + c
//!   t = (a·c >> 32) + a·d            (or b·c)
//!   u = (t & M) + b·c                (or a·d)
//!   upper = b·d + (t >> 32) + (u >> 32)
//!   lower = (u << 32) | (a·c & M)
//! ```
//!
//! This pass turns `upper` into `umulhi x, y` and `lower` into `imul x, y`. Instructions that are left without a use
//! are not selected.

use super::edges::{defining_inst, integer};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Value, types};

const LOW: u64 = 0xffff_ffff;

/// Inserts `umulhi` if an addition completes the pattern of an upper half.
pub(super) fn upper_half(func: &mut Function, inst: Inst) -> Option<Value> {
    let (x, y) = upper_factors(func, inst)?;
    let srcloc = func.srcloc(inst);
    Some(FuncCursor::new(func).at_inst(inst).with_srcloc(srcloc).ins().umulhi(x, y))
}

/// Inserts `imul` if a disjunction completes the pattern of a lower half.
pub(super) fn lower_half(func: &mut Function, inst: Inst) -> Option<Value> {
    let (x, y) = lower_factors(func, inst)?;
    let srcloc = func.srcloc(inst);
    Some(FuncCursor::new(func).at_inst(inst).with_srcloc(srcloc).ins().imul(x, y))
}

/// Returns the operands of an instruction in both orders.
fn either(func: &Function, value: Value, opcode: Opcode) -> Option<[(Value, Value); 2]> {
    let inst = defining_inst(func, value)?;
    match func.dfg.insts[inst] {
        InstructionData::Binary { opcode: found, args } if found == opcode => {
            let [x, y] = args.map(|v| func.dfg.resolve_aliases(v));
            Some([(x, y), (y, x)])
        }
        _ => None,
    }
}

/// Returns the value that is shifted or masked by a constant.
fn by_constant(func: &Function, value: Value, opcode: Opcode, constant: u64) -> Option<Value> {
    let [(x, y), _] = either(func, value, opcode)?;
    (integer(func, y)? == constant).then_some(x)
}

fn high(func: &Function, value: Value) -> Option<Value> {
    by_constant(func, value, Opcode::Ushr, 32)
}

fn low(func: &Function, value: Value) -> Option<Value> {
    by_constant(func, value, Opcode::Band, LOW)
}

/// Returns `v` such that the value is `v · w`, for a given `w`.
fn cofactor(func: &Function, value: Value, of: impl Fn(Value) -> bool) -> Option<Value> {
    either(func, value, Opcode::Imul)?.into_iter().find(|(w, _)| of(*w)).map(|(_, v)| v)
}

/// Returns `x` and `y` for a product of their low halves.
fn low_product(func: &Function, value: Value) -> Option<(Value, Value)> {
    let [(a, c), _] = either(func, value, Opcode::Imul)?;
    Some((low(func, a)?, low(func, c)?))
}

/// Returns whether a value is the product of the high half of one and the low half of the other.
fn is_cross(func: &Function, value: Value, high_of: Value, low_of: Value) -> bool {
    cofactor(func, value, |v| high(func, v) == Some(high_of))
        .is_some_and(|other| low(func, other) == Some(low_of))
}

/// Returns `x` and `y` if `t` is `(a·c >> 32)` plus a cross product, and `u` is its low half plus the other one.
fn middle(func: &Function, t: Value, u: Value) -> Option<(Value, Value)> {
    let sums = either(func, t, Opcode::Iadd)?;
    let (x, y, first) = sums.into_iter().find_map(|(carried, cross)| {
        let (x, y) = low_product(func, high(func, carried)?)?;
        Some((x, y, cross))
    })?;
    let second = either(func, u, Opcode::Iadd)?
        .into_iter()
        .find_map(|(masked, cross)| (low(func, masked)? == t).then_some(cross))?;
    let crosses = |x, y| is_cross(func, first, x, y) && is_cross(func, second, y, x);
    (crosses(x, y) || crosses(y, x)).then_some((x, y))
}

/// Returns the factors if the instruction is a sum of three terms that match, trying all orders.
fn upper_factors(func: &Function, inst: Inst) -> Option<(Value, Value)> {
    let sum = func.dfg.first_result(inst);
    if func.dfg.value_type(sum) != types::I64 {
        return None;
    }
    for (first, rest) in either(func, sum, Opcode::Iadd)? {
        let Some(pairs) = either(func, rest, Opcode::Iadd) else { continue };
        for (second, third) in pairs {
            let found = upper_terms(func, [first, second, third])
                .or_else(|| upper_terms(func, [second, first, third]))
                .or_else(|| upper_terms(func, [third, first, second]));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// Returns `x` and `y` if the terms are the product of the high halves and two carries, in either order.
fn upper_terms(func: &Function, [product, one, other]: [Value; 3]) -> Option<(Value, Value)> {
    let (one, other) = (high(func, one)?, high(func, other)?);
    let (x, y) = middle(func, one, other).or_else(|| middle(func, other, one))?;
    let top = cofactor(func, product, |v| high(func, v) == Some(x))?;
    (high(func, top)? == y).then_some((x, y))
}

fn lower_factors(func: &Function, inst: Inst) -> Option<(Value, Value)> {
    let value = func.dfg.first_result(inst);
    if func.dfg.value_type(value) != types::I64 {
        return None;
    }
    either(func, value, Opcode::Bor)?.into_iter().find_map(|(shifted, masked)| {
        let u = by_constant(func, shifted, Opcode::Ishl, 32)?;
        let (x, y) = low_product(func, low(func, masked)?)?;
        let [(p, q), _] = either(func, u, Opcode::Iadd)?;
        let t = low(func, p).or_else(|| low(func, q))?;
        let (found_x, found_y) = middle(func, t, u)?;
        ((found_x, found_y) == (x, y)).then_some((x, y))
    })
}
