//! The source positions of instructions, compressed: they would otherwise be a third of all tables, and are read only
//! when a stack is shown.
//!
//! Each row consists of two LEB128 numbers: the distance of its code from the previous row, and the signed distance of
//! its position from the previous position of the same kind, with the kind in the lowest bit. Most rows take two bytes.

use belljar_core::{CodeOffset, WasmPc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The source of an instruction: a wasm offset, or the index of an inlined position.
///
/// Numbers below [`SourcePos::INLINED`] are byte offsets in the wasm binary. Numbers from there on are indices into the
/// function's [`InlinedPos`] table.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct SourcePos(pub u32);

impl SourcePos {
    /// The first number that denotes an inlined position.
    pub const INLINED: u32 = 1 << 31;
    /// An unknown position.
    pub const NONE: SourcePos = SourcePos(u32::MAX);
}

/// The position of an instruction of an inlined function, and the position of the call that it replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InlinedPos {
    /// Position in the wasm binary.
    pub pc: WasmPc,
    /// Position of the call, which may be inlined itself.
    pub caller: SourcePos,
}

/// The source position of the instructions from this code offset up to that of the next row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PosRow {
    /// Offset in the text.
    pub offset: CodeOffset,
    /// The source of the code there.
    pub pos: SourcePos,
}

/// Writes a function's rows. Offsets ascend and are relative to the function's start. Rows with the same position as
/// the row before are omitted.
pub fn write_positions(rows: &[PosRow], out: &mut Vec<u8>) {
    let mut last = Last::default();
    let mut before = SourcePos::NONE;
    for row in rows.iter().filter(|row| std::mem::replace(&mut before, row.pos) != row.pos) {
        put(out, u64::from(row.offset.0 - last.offset));
        last.offset = row.offset.0;
        let (inlined, value) = kind(row.pos);
        let slot = &mut last.values[inlined];
        let distance = i64::from(value) - i64::from(*slot);
        *slot = value;
        // Zigzag encoding: numbers close to zero of either sign become small.
        put(out, ((distance << 1) ^ (distance >> 63)) as u64 * 2 + inlined as u64);
    }
}

/// Returns the position of the instruction at an offset from the function's start, from rows written by
/// [`write_positions`].
pub fn position_at(rows: &[u8], offset: CodeOffset) -> Option<SourcePos> {
    position_rows(rows).take_while(|row| row.offset <= offset).last().map(|row| row.pos)
}

/// Returns the rows written by [`write_positions`]. In damaged data, the rows before the damage are returned.
pub fn position_rows(mut rows: &[u8]) -> impl Iterator<Item = PosRow> {
    let mut last = Last::default();
    std::iter::from_fn(move || {
        let (step, number) = (take(&mut rows)?, take(&mut rows)?);
        last.offset = last.offset.checked_add(u32::try_from(step).ok()?)?;
        let (inlined, zigzag) = ((number & 1) as usize, number >> 1);
        let distance = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let slot = &mut last.values[inlined];
        *slot = u32::try_from(i64::from(*slot).checked_add(distance)?).ok()?;
        let pos = SourcePos(slot.checked_add(inlined as u32 * SourcePos::INLINED)?);
        Some(PosRow { offset: CodeOffset(last.offset), pos })
    })
    .fuse()
}

#[derive(Default)]
struct Last {
    offset: u32,
    /// The last byte position, and the last inlined position.
    values: [u32; 2],
}

/// Returns whether a position is inlined, as an index, and its number among its kind.
fn kind(pos: SourcePos) -> (usize, u32) {
    match pos.0.checked_sub(SourcePos::INLINED) {
        Some(row) => (1, row),
        None => (0, pos.0),
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().filter(|_| shift < 64)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: u32, pos: u32) -> PosRow {
        PosRow { offset: CodeOffset(offset), pos: SourcePos(pos) }
    }

    #[test]
    fn rows_are_found_again() {
        let rows = [
            row(0, 1_000_000),
            row(3, 1_000_002),
            row(4, SourcePos::INLINED),
            row(9, 999_000),
            row(9, SourcePos::INLINED + 70_000),
            row(300, u32::MAX),
            row(301, 0),
            row(u32::MAX, SourcePos::INLINED - 1),
        ];
        let mut bytes = Vec::new();
        write_positions(&rows, &mut bytes);
        assert_eq!(position_rows(&bytes).collect::<Vec<_>>(), rows);
        for (i, this) in rows.iter().enumerate() {
            let next = rows.get(i + 1).map_or(u32::MAX, |next| next.offset.0);
            for offset in [this.offset.0, next.saturating_sub(1)] {
                let expected = rows.iter().rfind(|row| row.offset.0 <= offset).map(|row| row.pos);
                assert_eq!(position_at(&bytes, CodeOffset(offset)), expected, "{offset}");
            }
        }
    }

    #[test]
    fn before_the_first_row_nothing_is_known() {
        let mut bytes = Vec::new();
        write_positions(&[row(5, 7), row(6, 7)], &mut bytes);
        assert_eq!(bytes.len(), 2, "the second says what the first said");
        assert_eq!(position_at(&bytes, CodeOffset(4)), None);
        assert_eq!(position_at(&bytes, CodeOffset(5)), Some(SourcePos(7)));
        assert_eq!(position_at(&[], CodeOffset(0)), None);
    }

    #[test]
    fn any_bytes_can_be_read() {
        for first in 0..=255 {
            for rest in [&[0xff; 30][..], &[0x80, 0x80, 1, 0, 3], &[]] {
                let bytes = [&[first], rest].concat();
                position_at(&bytes, CodeOffset(u32::MAX));
            }
        }
    }
}
