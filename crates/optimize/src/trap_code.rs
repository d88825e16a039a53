//! Traps as Cranelift numbers them, and back.

use belljar_core::Trap;
use cranelift_codegen::ir::TrapCode;

/// The code for a trap. Zero is no code, so that ours begin at one.
pub(crate) const fn encode(trap: Trap) -> TrapCode {
    TrapCode::unwrap_user(trap.code() + 1)
}

/// What a code means; `None` for one that no instruction of ours carries.
pub(crate) fn decode(code: TrapCode) -> Option<Trap> {
    Some(match code {
        TrapCode::STACK_OVERFLOW => Trap::StackOverflow,
        TrapCode::INTEGER_OVERFLOW => Trap::IntegerOverflow,
        TrapCode::HEAP_OUT_OF_BOUNDS => Trap::MemoryOutOfBounds,
        TrapCode::INTEGER_DIVISION_BY_ZERO => Trap::IntegerDivisionByZero,
        TrapCode::BAD_CONVERSION_TO_INTEGER => Trap::BadConversionToInteger,
        user => return Trap::from_code(user.as_raw().get() - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_survives_the_way_there_and_back() {
        for row in Trap::ROWS {
            assert_eq!(decode(encode(row.trap)), Some(row.trap));
        }
        for code in TrapCode::non_user_traps() {
            assert!(decode(*code).is_some());
        }
    }
}
