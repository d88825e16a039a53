//! Traps: the reasons for stopping a guest that the specification or the runtime defines.
//!
//! Each trap is one row; the enum, its codes, names and messages are generated from the rows.

use std::fmt;

/// One row of the trap table.
#[derive(Clone, Copy, Debug)]
pub struct TrapRow {
    /// The trap.
    pub trap: Trap,
    /// The name of the variant.
    pub name: &'static str,
    /// The message for users.
    pub message: &'static str,
    /// The text that the specification's test scripts expect, if it differs from `message`.
    pub spec: &'static str,
}

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $message:literal, $spec:literal;)*) => {
        /// The reason why a guest was stopped.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Trap {
            $($(#[$doc])* $name,)*
        }

        impl Trap {
            /// Every trap, in code order.
            pub const ROWS: &'static [TrapRow] = &[
                $(TrapRow { trap: Trap::$name, name: stringify!($name), message: $message, spec: $spec },)*
            ];
        }
    };
}

traps! {
    /// The guest's calls nested deeper than the stack allows.
    StackOverflow = "call stack exhausted", "call stack exhausted";
    /// A load, store or bulk operation outside its memory.
    MemoryOutOfBounds = "memory access out of bounds", "out of bounds memory access";
    /// A table access, or bulk operation on a table, outside its bounds.
    TableOutOfBounds = "table access out of bounds", "out of bounds table access";
    /// `call_indirect` through an index outside its table.
    UndefinedElement = "undefined element: indirect call outside its table", "undefined element";
    /// `call_indirect` through a null element.
    IndirectCallToNull = "uninitialized element: indirect call to null", "uninitialized element";
    /// `call_indirect` to a function of another type.
    BadSignature = "indirect call type mismatch", "indirect call type mismatch";
    /// A signed division whose result does not fit, or a float too large for its integer type.
    IntegerOverflow = "integer overflow", "integer overflow";
    /// An integer division or remainder by zero.
    IntegerDivisionByZero = "integer divide by zero", "integer divide by zero";
    /// A conversion of NaN to an integer.
    BadConversionToInteger = "invalid conversion to integer", "invalid conversion to integer";
    /// The `unreachable` instruction.
    UnreachableCodeReached = "wasm `unreachable` instruction executed", "unreachable";
    /// The host stopped the run: it killed the guest, a time limit expired, or the epoch deadline passed. The error
    /// says which.
    Interrupt = "interrupted by the host", "interrupt";
    /// The fuel is used up.
    OutOfFuel = "all fuel consumed", "all fuel consumed";
    /// A null reference where an object was expected.
    NullReference = "null reference", "null reference";
    /// An index outside an array, or a range of an array or segment.
    ArrayOutOfBounds = "array access out of bounds", "out of bounds array access";
    /// `ref.cast` of a reference to something else.
    CastFailure = "cast failure: the reference is of another type", "cast failure";
    /// An array that is too large to be created.
    AllocationTooLarge = "allocation size too large", "allocation size too large";
    /// The garbage-collected heap is full and may not grow.
    GcHeapExhausted = "garbage-collected heap exhausted", "garbage-collected heap exhausted";
    /// An atomic access at an address that is not a multiple of its size.
    HeapMisaligned = "unaligned atomic access", "unaligned atomic";
    /// `memory.atomic.wait` on an unshared memory.
    AtomicWaitNonSharedMemory = "atomic wait on a memory that is not shared", "expected shared memory";
    /// An import that `Linker::define_unknown_imports_as_traps` filled in.
    UnknownImport = "called an import that has no definition", "unknown import";
    /// A part of the compiled module that was loaded on demand does not match its seal.
    ArtifactDamaged = "the compiled module is damaged: a part loaded on demand does not match its seal", "damaged";
}

impl Trap {
    /// Returns the trap with this code, or `None` for a number outside the table.
    pub fn from_code(code: u8) -> Option<Trap> {
        Self::ROWS.get(code as usize).map(|row| row.trap)
    }

    /// Returns the sentence that the trap is printed as.
    pub fn trap_message(&self) -> &'static str {
        self.row().message
    }

    /// Returns the trap with this code: the same as [`Trap::from_code`].
    pub fn from_u8(byte: u8) -> Option<Trap> {
        Self::from_code(byte)
    }

    /// Returns the number that stands for this trap in compiled code and tables.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// This trap's row.
    pub fn row(self) -> &'static TrapRow {
        &Self::ROWS[self as usize]
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().message)
    }
}

impl std::error::Error for Trap {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_rows_agree() {
        for (i, row) in Trap::ROWS.iter().enumerate() {
            assert_eq!(row.trap.code() as usize, i);
            assert_eq!(Trap::from_code(i as u8), Some(row.trap));
        }
        assert_eq!(Trap::from_code(Trap::ROWS.len() as u8), None);
    }
}
