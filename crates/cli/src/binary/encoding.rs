//! Details of an operator's encoding that the parsed operator does not show: whether WebAssembly 1.0 would accept it.
//!
//! In 1.0, indices of tables and memories were a zero byte; since there can be several, they are LEB128 numbers. A
//! linker that pads them to five bytes produces a module that needs the newer encoding, even if the index is 0.

use wasmparser::Operator;

/// The first prefix byte of operators with a two-part opcode.
const FIRST_PREFIX: u8 = 0xfb;

/// The bit in an access's alignment that says that a memory index follows.
const NAMES_MEMORY: u8 = 0x40;

/// Skips the opcode. Returns the bytes of the operands.
pub(super) fn operands(bytes: &[u8]) -> &[u8] {
    match bytes {
        [prefix, rest @ ..] if *prefix >= FIRST_PREFIX => skip_number(rest),
        [_, rest @ ..] => rest,
        [] => bytes,
    }
}

/// Returns whether a call encodes its table index in more than a zero byte.
pub(super) fn has_long_table_index(op: &Operator<'_>, operands: &[u8]) -> bool {
    matches!(op, Operator::CallIndirect { .. }) && skip_number(operands) != [0]
}

/// Returns whether an operator other than a load or store encodes its memory index in more than a zero byte.
pub(super) fn has_long_memory_index(op: &Operator<'_>, operands: &[u8]) -> bool {
    match op {
        Operator::MemorySize { .. } | Operator::MemoryGrow { .. } | Operator::MemoryFill { .. } => {
            operands != [0]
        }
        Operator::MemoryCopy { .. } => operands != [0, 0],
        Operator::MemoryInit { .. } => skip_number(operands) != [0],
        _ => false,
    }
}

/// Returns whether a load or store has a memory index.
pub(super) fn names_memory(operands: &[u8]) -> bool {
    operands.first().is_some_and(|align| align & NAMES_MEMORY != 0)
}

/// Skips a LEB128 number.
fn skip_number(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    bytes.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{BinaryReader, OperatorsReader};

    /// Returns whether the operator has a long table index, and a long memory index.
    fn long_indices(bytes: &[u8]) -> (bool, bool) {
        let op = OperatorsReader::new(BinaryReader::new(bytes, 0)).read().unwrap();
        (has_long_table_index(&op, operands(bytes)), has_long_memory_index(&op, operands(bytes)))
    }

    #[test]
    fn padded_indices_are_seen() {
        const PLAIN: (bool, bool) = (false, false);
        let cases: &[(&[u8], (bool, bool))] = &[
            (&[0x11, 0x05, 0x00], PLAIN),
            (&[0x11, 0x85, 0x80, 0x00, 0x00], PLAIN),
            (&[0x11, 0x05, 0x80, 0x80, 0x80, 0x80, 0x00], (true, false)),
            (&[0x3f, 0x00], PLAIN),
            (&[0x3f, 0x80, 0x00], (false, true)),
            (&[0xfc, 0x0a, 0x00, 0x00], PLAIN),
            (&[0xfc, 0x8a, 0x00, 0x00, 0x80, 0x00], (false, true)),
            (&[0xfc, 0x08, 0x81, 0x00, 0x00], PLAIN),
            (&[0x41, 0xc0, 0x00], PLAIN),
        ];
        for (bytes, expected) in cases {
            assert_eq!(long_indices(bytes), *expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn accesses_that_name_memory_0_are_seen() {
        let cases: &[(&[u8], bool)] = &[
            (&[0x28, 0x02, 0x40], false),
            (&[0x28, 0x42, 0x00, 0x08], true),
            (&[0xfd, 0x00, 0x04, 0x40], false),
            (&[0xfd, 0x00, 0x44, 0x00, 0x40], true),
        ];
        for (bytes, expected) in cases {
            assert_eq!(names_memory(operands(bytes)), *expected, "{bytes:02x?}");
        }
    }
}
