//! The contents of memories, as the data section of a core dump.
//!
//! In: a store. Out: active segments for the runs of bytes that are not zero, written directly from the memories.
//! Never: a copy of a memory; more segments or bytes than readers accept.

use belljar_vm::StoreCore;
use std::io::{self, Write};
use std::ops::Range;
use wasm_encoder::{ConstExpr, Encode, SectionId};

/// Bytes that are compared with zero at once.
const CELL: usize = 64;

/// The most zeros that are written between two runs: fewer than the header of a segment may take.
const GAP: usize = 16;

/// Bytes of a page of the machine.
const PAGE: usize = 4096;

/// The most segments that readers accept ([limits](https://webassembly.github.io/spec/js-api/#limits)).
const SEGMENTS: usize = 100_000;

/// The most runs that are kept while memories are searched, before close ones are joined: a dense memory can have
/// millions.
const RUNS_KEPT: usize = 4 * SEGMENTS;

/// The largest length of a section, less the bytes of the number of segments.
const SECTION_SIZE: u64 = u32::MAX as u64 - 5;

/// Bytes that are read at a time.
const PIECE: usize = 16 * PAGE;

/// A range of a memory that is written as one segment.
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
    /// Finds the bytes that are not zero in the store's first `count` memories.
    pub(super) fn of(core: &StoreCore, count: usize) -> Self {
        let mut found = NonZeroRuns::default();
        for memory in 0..count {
            found.search(core, memory);
        }
        found.limit(SEGMENTS);
        Self::fitting(found.runs, |run| header(core, run).len() as u64, SECTION_SIZE)
    }

    /// Keeps the runs that fit into `room` bytes, up to the first that has to be cut.
    fn fitting(runs: Vec<Run>, header: impl Fn(&Run) -> u64, mut room: u64) -> Self {
        let mut fitting = Self { runs: Vec::new(), left_out: 0 };
        for run in runs {
            let (head, length) = (header(&run), run.range.len() as u64);
            // The header of a shorter run is not longer.
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

    /// Returns how many bytes did not fit.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes the section, unless it is empty.
    pub(super) fn write_to(&self, core: &StoreCore, out: &mut impl Write) -> io::Result<()> {
        if self.runs.is_empty() {
            return Ok(());
        }
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

/// Returns the header of a segment: the memory, the offset in it, the length.
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

/// The runs that were found in memories.
struct NonZeroRuns {
    runs: Vec<Run>,
    /// The largest number of bytes between two runs that are joined.
    gap: usize,
}

impl Default for NonZeroRuns {
    fn default() -> Self {
        Self { runs: Vec::new(), gap: GAP }
    }
}

impl NonZeroRuns {
    /// Adds the bytes of a memory that are not zero.
    fn search(&mut self, core: &StoreCore, memory: usize) {
        let mut buffer = Vec::new();
        for range in core.memory_in_use(memory) {
            for piece in pieces(range) {
                self.add(memory, piece.start, bytes(core, memory, piece, &mut buffer));
                if self.runs.len() > RUNS_KEPT {
                    self.limit(RUNS_KEPT / 2);
                }
            }
        }
    }

    /// Adds those of `bytes`, which lie at `start`, that are not zero.
    fn add(&mut self, memory: usize, start: usize, bytes: &[u8]) {
        for (i, cell) in bytes.chunks(CELL).enumerate() {
            let is_set = |byte: &u8| *byte != 0;
            let (Some(first), Some(last)) = (cell.iter().position(is_set), cell.iter().rposition(is_set))
            else {
                continue;
            };
            let start = start + i * CELL;
            push(&mut self.runs, Run { memory, range: start + first..start + last + 1 }, self.gap);
        }
    }

    /// Joins the closest runs of the same memory until at most `most` runs are left.
    fn limit(&mut self, most: usize) {
        while self.runs.len() > most && self.gap < usize::MAX / 2 {
            self.gap *= 2;
            let excess = self.runs.len() - most;
            self.runs = joined(std::mem::take(&mut self.runs), self.gap, excess);
        }
    }
}

/// Adds a run, and joins it with the last one if at most `gap` bytes of the same memory lie between them.
fn push(runs: &mut Vec<Run>, run: Run, gap: usize) {
    match runs.last_mut() {
        Some(last) if last.memory == run.memory && run.range.start - last.range.end <= gap => {
            last.range.end = run.range.end;
        }
        _ => runs.push(run),
    }
}

/// Joins runs that are at most `gap` bytes apart, until there are `excess` fewer runs.
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

/// Splits a range into parts that are read at once.
fn pieces(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(PIECE).map(move |start| start..end.min(start + PIECE))
}

/// Returns bytes of a memory: in place, or copied to `buffer` if other threads may write to them.
fn bytes<'a>(core: &'a StoreCore, memory: usize, range: Range<usize>, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(shared) = core.shared_memory(memory) else { return &core.memory_data(memory)[range] };
    buffer.resize(range.len(), 0);
    // A shared memory never shrinks, so the range is inside.
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
    fn zeros_need_no_bytes() {
        let mut bytes = vec![0; 10 * CELL];
        // Across the border of two cells, close to one another, far from one another, and in the last cell.
        for at in [CELL - 1, CELL, CELL + GAP + 1, 3 * CELL, 10 * CELL - 1] {
            bytes[at] = 1;
        }
        let mut found = NonZeroRuns::default();
        found.add(0, PAGE, &bytes);
        let near = PAGE + CELL - 1..PAGE + CELL + 1;
        let last = PAGE + 10 * CELL - 1;
        let all = [near.start..near.end + GAP + 1, PAGE + 3 * CELL..PAGE + 3 * CELL + 1, last..last + 1];
        assert_eq!(found.runs, all.map(|range| run(0, range)));
    }

    #[test]
    fn runs_are_limited_by_joining_near_ones() {
        let mut found =
            NonZeroRuns { runs: (0..1000).map(|i| run(0, i * 100..i * 100 + 1)).collect(), gap: GAP };
        found.runs.push(run(1, 5..6));
        found.limit(100);
        assert!((1..=100).contains(&found.runs.len()));
        assert_eq!((&found.runs[0].range.start, found.runs.last()), (&0, Some(&run(1, 5..6))));
        let bytes: usize = found.runs.iter().map(|run| run.range.len()).sum();
        assert!(bytes < 100_000, "{bytes}");
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
        let found: Vec<_> = pieces(PAGE..PAGE + PIECE + 1).collect();
        assert_eq!(found, [PAGE..PAGE + PIECE, PAGE + PIECE..PAGE + PIECE + 1]);
    }
}
