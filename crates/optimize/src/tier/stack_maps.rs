//! Stack maps: the slots of a frame that hold references during a call.
//!
//! Generated code evaluates lists of thousands of elements, each by a call, with the previous elements on the stack.
//! Its stack maps would grow with the square of the list's length. Slots at equal distances are therefore one row, and
//! calls with the same slots share rows.

use crate::tier::translate::{MARK, REFERENCE};
use belljar_abi::{StackMapRow, StackSlots};
use belljar_core::CodeOffset;
use cranelift_codegen::CompiledCode;
use std::collections::HashMap;

/// Returns the stack maps of a function. A mark stands for all references among the locals in the frame.
pub(crate) fn stack_maps(code: &CompiledCode, frame_references: u32) -> (Vec<StackMapRow>, Vec<StackSlots>) {
    let mut rows = Vec::new();
    let mut slots = Vec::new();
    let mut known: HashMap<Vec<StackSlots>, u32> = HashMap::new();
    let mut live = Vec::new();
    for (offset, frame_size, map) in code.buffer.user_stack_maps() {
        live.clear();
        for (ty, sp_offset) in map.entries() {
            // Cranelift's offsets are relative to the stack pointer; stack walking uses the frame pointer.
            let distance = frame_size - sp_offset;
            match ty {
                MARK => append_locals(&mut live, distance, frame_references),
                _ => append(&mut live, distance),
            }
        }
        let first = known.get(&live).copied().unwrap_or_else(|| {
            let first = slots.len() as u32;
            slots.extend_from_slice(&live);
            known.insert(live.clone(), first);
            first
        });
        rows.push(StackMapRow { offset: CodeOffset(*offset), first, count: live.len() as u32 });
    }
    (rows, slots)
}

/// Adds a slot, given by its distance below the frame pointer.
fn append(to: &mut Vec<StackSlots>, distance: u32) {
    if !to.last_mut().is_some_and(|last| last.append(distance)) {
        to.push(StackSlots::one(distance));
    }
}

/// Adds adjacent references. They are the same at each call, so that nothing is done for each single one.
fn append_locals(to: &mut Vec<StackSlots>, mut distance: u32, mut count: u32) {
    while count > 0 {
        let row = StackSlots { distance, count: count.min(u16::MAX.into()) as u16, step: REFERENCE as u16 };
        to.push(row);
        distance = distance.wrapping_sub(u32::from(row.count) * REFERENCE);
        count -= u32::from(row.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_for_the_slots_that_they_were_made_of() {
        let many: Vec<u32> = (0..70_000).map(|i| 1_000_000 - 8 * i).collect();
        let cases: [(&[u32], usize); 6] = [
            (&[], 0),
            (&[40], 1),
            (&[400, 392, 384], 1),
            (&[400, 392, 388, 384, 200, 204, 100_000, 8], 6),
            (&[16, 16], 2),
            (&many, 2),
        ];
        for (distances, expected) in cases {
            let mut rows = Vec::new();
            distances.iter().for_each(|distance| append(&mut rows, *distance));
            let found: Vec<u32> = rows.iter().flat_map(|row| row.distances()).collect();
            assert!(found == distances, "{rows:?}");
            assert_eq!(rows.len(), expected, "{rows:?}");
        }
    }

    #[test]
    fn locals_are_as_many_rows_as_they_need() {
        for (count, expected) in [(0, 0), (1, 1), (65_535, 1), (65_536, 2), (140_000, 3)] {
            let mut rows = Vec::new();
            append_locals(&mut rows, 600_000, count);
            let found: Vec<u32> = rows.iter().flat_map(|row| row.distances()).collect();
            assert!(found.into_iter().eq((0..count).map(|i| 600_000 - i * REFERENCE)), "{count}");
            assert_eq!(rows.len(), expected);
        }
    }
}
