//! Conversion of traps to Cranelift's trap codes and back.

use belljar_core::Trap;
use cranelift_codegen::ir::TrapCode;

/// Returns the code of a trap. Codes start at one, as zero is not a valid code.
pub(crate) const fn encode(trap: Trap) -> TrapCode {
    TrapCode::unwrap_user(trap.code() + 1)
}

/// Returns the trap of a code, or `None` if no generated instruction has this code.
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
