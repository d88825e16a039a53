//! What the bytes of an operator tell that the operator does not: whether they are as WebAssembly 1.0 has them.
//!
//! Indices of tables and memories were a zero byte in 1.0, and are LEB128 numbers since there can be several. A linker that
//! pads them to five bytes makes a module that needs the newer encoding, although the index is 0.

use wasmparser::Operator;

/// The first of the bytes that begin an operator of two parts.
const FIRST_PREFIX: u8 = 0xfb;

/// The bit of an access's alignment that says that the memory's index follows.
const NAMES_MEMORY: u8 = 0x40;

/// An operator's bytes without those that say which it is.
pub(super) fn operands(bytes: &[u8]) -> &[u8] {
    match bytes {
        [prefix, rest @ ..] if *prefix >= FIRST_PREFIX => skip_number(rest),
        [_, rest @ ..] => rest,
        [] => bytes,
    }
}

/// Whether a call names its table by more than a zero byte.
pub(super) fn has_long_table_index(op: &Operator<'_>, operands: &[u8]) -> bool {
    matches!(op, Operator::CallIndirect { .. }) && skip_number(operands) != [0]
}

/// Whether an operator other than a load or store names its memory by more than a zero byte.
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

/// Whether a load or store names its memory at all.
pub(super) fn names_memory(operands: &[u8]) -> bool {
    operands.first().is_some_and(|align| align & NAMES_MEMORY != 0)
}

/// Without a LEB128 number at their beginning.
fn skip_number(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    bytes.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{BinaryReader, OperatorsReader};

    /// Whether the operator in these bytes has a long index of a table, and of a memory.
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
