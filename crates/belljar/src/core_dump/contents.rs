//! What memories hold, as the data section of a core dump.
//!
//! In: a store. Out: active segments for runs of blocks that are not all zero, written straight from the memories. Never: a copy
//! of a memory; more segments or bytes than readers take.

use belljar_vm::StoreCore;
use std::io::{self, Write};
use std::ops::Range;
use wasm_encoder::{ConstExpr, Encode, SectionId};

/// Bytes that are looked at together: a page of the machine.
const BLOCK: usize = 4096;

/// Segments at most: what readers agreed on ([limits](https://webassembly.github.io/spec/js-api/#limits)).
const SEGMENTS: usize = 100_000;

/// What a section's length can count, less what the number of segments takes.
const SECTION_SIZE: u64 = u32::MAX as u64 - 5;

/// Bytes that are read at a time.
const PIECE: usize = 16 * BLOCK;

/// Bytes of a memory that are written as one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Run {
    memory: usize,
    range: Range<usize>,
}

/// The segments of a data section.
pub(super) struct Contents {
    runs: Vec<Run>,
    left_out: u64,
}

impl Contents {
    /// What is not zero in the store's first `count` memories.
    pub(super) fn of(core: &StoreCore, count: usize) -> Self {
        let mut runs = Vec::new();
        for memory in 0..count {
            find_runs(core, memory, &mut runs);
        }
        let mut gap = BLOCK;
        while runs.len() > SEGMENTS && gap < usize::MAX / 2 {
            let excess = runs.len() - SEGMENTS;
            runs = joined(runs, gap, excess);
            gap *= 2;
        }
        Self::fitting(runs, |run| header(core, run).len() as u64, SECTION_SIZE)
    }

    /// As much of these runs as there is room for, up to the first that has to be cut.
    fn fitting(runs: Vec<Run>, header: impl Fn(&Run) -> u64, mut room: u64) -> Self {
        let mut fitting = Self { runs: Vec::new(), left_out: 0 };
        for run in runs {
            let (head, length) = (header(&run), run.range.len() as u64);
            // The header of a shorter run is no longer.
            let taken = length.min(room.saturating_sub(head));
            room = if taken == length { room - head - taken } else { 0 };
            fitting.left_out += length - taken;
            if taken > 0 {
                let end = run.range.start + taken as usize;
                fitting.runs.push(Run { range: run.range.start..end, ..run });
            }
        }
        fitting
    }

    /// How many bytes there was no room for.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes the section.
    pub(super) fn write_to(&self, core: &StoreCore, out: &mut impl Write) -> io::Result<()> {
        let mut count = Vec::new();
        (self.runs.len() as u32).encode(&mut count);
        let segments = self.runs.iter().map(|run| header(core, run).len() + run.range.len()).sum::<usize>();
        let mut start = vec![SectionId::Data.into()];
        ((count.len() + segments) as u32).encode(&mut start);
        out.write_all(&start)?;
        out.write_all(&count)?;
        for run in &self.runs {
            out.write_all(&header(core, run))?;
            write_bytes(core, run, out)?;
        }
        Ok(())
    }
}

/// What comes before a segment's bytes: the memory, the offset in it, the length.
fn header(core: &StoreCore, run: &Run) -> Vec<u8> {
    let mut out = Vec::new();
    match run.memory {
        0 => 0_u32.encode(&mut out),
        memory => {
            2_u32.encode(&mut out);
            (memory as u32).encode(&mut out);
        }
    }
    let offset = match core.memory_type(run.memory).is_64() {
        true => ConstExpr::i64_const(run.range.start as i64),
        false => ConstExpr::i32_const((run.range.start as u32).cast_signed()),
    };
    offset.encode(&mut out);
    u32::try_from(run.range.len()).unwrap_or(u32::MAX).encode(&mut out);
    out
}

/// Adds the runs of a memory's blocks that are not all zero.
fn find_runs(core: &StoreCore, memory: usize, runs: &mut Vec<Run>) {
    let mut buffer = Vec::new();
    for range in core.memory_in_use(memory) {
        for piece in pieces(range) {
            for (i, block) in bytes(core, memory, piece.clone(), &mut buffer).chunks(BLOCK).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    let start = piece.start + i * BLOCK;
                    push(runs, Run { memory, range: start..start + block.len() }, 0);
                }
            }
        }
    }
}

/// Adds a run, to the last one if no more than `gap` bytes of the same memory are between them.
fn push(runs: &mut Vec<Run>, run: Run, gap: usize) {
    match runs.last_mut() {
        Some(last) if last.memory == run.memory && run.range.start - last.range.end <= gap => {
            last.range.end = run.range.end;
        }
        _ => runs.push(run),
    }
}

/// The same runs, at most `excess` fewer, with what is between those that are no more than `gap` apart.
fn joined(runs: Vec<Run>, gap: usize, excess: usize) -> Vec<Run> {
    let fewest = runs.len() - excess;
    let mut left = runs.len();
    let mut joined = Vec::new();
    for run in runs {
        let known = joined.len();
        push(&mut joined, run, if left > fewest { gap } else { 0 });
        left -= usize::from(joined.len() == known);
    }
    joined
}

fn write_bytes(core: &StoreCore, run: &Run, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = Vec::new();
    for piece in pieces(run.range.clone()) {
        out.write_all(bytes(core, run.memory, piece, &mut buffer))?;
    }
    Ok(())
}

/// A range in parts that are read at once.
fn pieces(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(PIECE).map(move |start| start..end.min(start + PIECE))
}

/// Bytes of a memory: in place, or copied to `buffer` where other threads write to them.
fn bytes<'a>(core: &'a StoreCore, memory: usize, range: Range<usize>, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(shared) = core.shared_memory(memory) else { return &core.memory_data(memory)[range] };
    buffer.resize(range.len(), 0);
    // A shared memory never becomes smaller, and so all is inside.
    let _ = shared.read(range.start as u64, buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(memory: usize, range: Range<usize>) -> Run {
        Run { memory, range }
    }

    #[test]
    fn near_runs_of_a_memory_are_joined() {
        let runs = vec![run(0, 0..4096), run(0, 8192..12288), run(0, 40960..45056), run(1, 45056..49152)];
        let few = [run(0, 0..12288), run(0, 40960..45056), run(1, 45056..49152)];
        assert_eq!(joined(runs.clone(), 4096, 4), few);
        assert_eq!(joined(runs.clone(), 4095, 4), runs);
        assert_eq!(joined(runs, 1 << 20, 4), [run(0, 0..45056), run(1, 45056..49152)]);
    }

    #[test]
    fn no_more_runs_are_joined_than_need_be() {
        let runs: Vec<Run> = (0..10).map(|i| run(0, i * 8192..i * 8192 + 4096)).collect();
        let fewer = joined(runs.clone(), 4096, 3);
        assert_eq!((fewer.len(), &fewer[0], &fewer[1..]), (7, &run(0, 0..28672), &runs[4..]));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let runs = vec![run(0, 0..100), run(0, 200..300), run(1, 0..1)];
        let all = Contents::fitting(runs.clone(), |_| 10, 1000);
        assert_eq!((all.runs, all.left_out), (runs.clone(), 0));
        let some = Contents::fitting(runs.clone(), |_| 10, 150);
        assert_eq!((some.runs, some.left_out), (vec![run(0, 0..100), run(0, 200..230)], 71));
        let none = Contents::fitting(runs, |_| 10, 10);
        assert_eq!((none.runs, none.left_out), (vec![], 201));
    }

    #[test]
    fn pieces_cover_a_range() {
        let found: Vec<_> = pieces(BLOCK..BLOCK + PIECE + 1).collect();
        assert_eq!(found, [BLOCK..BLOCK + PIECE, BLOCK + PIECE..BLOCK + PIECE + 1]);
    }
}
