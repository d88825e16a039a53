//! Builds the initial contents of memories from the active data segments, ahead of instantiation.

use crate::memory_images::{ImagePiece, MemoryImages};
use crate::module::Module;
use crate::segments::{ElemSegment, SegmentMode};
use belljar_abi::IMAGE_PAGE;
use belljar_core::MemoryIndex;
use std::ops::Range;

/// Smaller images are not built: a page and a mapping cost more than copying these few bytes.
const IMAGE_MINIMUM: usize = 16 << 10;
/// The cost of a segment, in bytes.
const SEGMENT_COST: usize = 256;
/// A run of at least this many zeros splits a memory's image into two pieces.
const PIECE_GAP: usize = 4 * IMAGE_PAGE;
/// An image with more zeros than this between its segments is not built.
const IMAGE_HOLES: usize = 16 << 20;

impl Module {
    /// Returns the initial contents of memories. If the module does not hold them, each call builds them.
    pub fn memory_images(&self) -> MemoryImages {
        self.known_images().cloned().unwrap_or_else(|| build(self))
    }
}

/// Builds the images of a module whose data segments are all present.
fn build(module: &Module) -> MemoryImages {
    let mut images = ImageBuilder::default();
    if !partial_init_is_observable(module) {
        for memory in module.imported_memories()..module.memories().len() {
            images.add(module, MemoryIndex::new(memory));
        }
    }
    MemoryImages { bytes: images.bytes.into(), pieces: images.pieces.into() }
}

/// Returns whether other instances can observe a partly initialized instance: one of its functions is already in
/// another instance's table when a segment turns out not to fit. The effects of the earlier segments then matter.
fn partial_init_is_observable(module: &Module) -> bool {
    let fits = |offset: Option<u64>, length: usize, room: Option<u64>| {
        let end = offset.and_then(|offset| offset.checked_add(length as u64));
        end.zip(room).is_some_and(|(end, room)| end <= room)
    };
    let escapes = |elem: &ElemSegment| matches!(elem.mode, SegmentMode::Active(table, _) if table.index() < module.imported_tables());
    let elem_fits = |elem: &ElemSegment| match &elem.mode {
        SegmentMode::Active(table, offset) => {
            let room = module.tables()[table.index()].minimum();
            fits(offset.as_number(), elem.items.len(), Some(room))
        }
        _ => true,
    };
    module.elems().iter().any(escapes)
        && !(module.elems().iter().all(elem_fits)
            && module.active_data().iter().all(|data| {
                let room = module.memories()[data.memory.index()].minimum_bytes();
                fits(data.offset.as_number(), data.bytes.len(), room)
            }))
}

/// Images under construction.
#[derive(Default)]
struct ImageBuilder {
    bytes: Vec<u8>,
    pieces: Vec<ImagePiece>,
}

impl ImageBuilder {
    /// Adds a memory's image if its segments have constant offsets within the initial size and an image is worth its
    /// cost.
    fn add(&mut self, module: &Module, memory: MemoryIndex) -> Option<()> {
        let initial = usize::try_from(module.memories()[memory.index()].minimum_bytes()?).ok()?;
        let mut parts: Vec<(usize, &[u8])> = Vec::new();
        for segment in module.active_data().iter().filter(|data| data.memory == memory) {
            let start = usize::try_from(segment.offset.as_number()?).ok()?;
            let bytes = module.data_bytes(segment.index);
            if start.checked_add(bytes.len())? > initial {
                return None;
            }
            parts.push((start, bytes));
        }
        let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes == 0 || bytes + SEGMENT_COST * parts.len() < IMAGE_MINIMUM {
            return None;
        }
        let ranges = pages(&parts);
        let size: usize = ranges.iter().map(Range::len).sum();
        if size > bytes + IMAGE_HOLES {
            return None;
        }
        let mut at = self.bytes.len();
        self.bytes.resize(at + size, 0);
        let first = self.pieces.len();
        for pages in &ranges {
            let range = at..at + pages.len();
            at = range.end;
            self.pieces.push(ImagePiece { memory, offset: pages.start as u64, range });
        }
        // In order: a later segment may overlap an earlier one.
        for (start, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            let of_part = ranges.partition_point(|pages| pages.start <= start) - 1;
            let at = self.pieces[first + of_part].range.start + (start - ranges[of_part].start);
            self.bytes[at..at + part.len()].copy_from_slice(part);
        }
        Some(())
    }
}

/// Returns the ranges of pages that the parts cover, merged across small gaps.
fn pages(parts: &[(usize, &[u8])]) -> Vec<Range<usize>> {
    let page = |(start, part): &(usize, &[u8])| {
        start / IMAGE_PAGE * IMAGE_PAGE..(start + part.len()).next_multiple_of(IMAGE_PAGE)
    };
    let mut all: Vec<_> = parts.iter().filter(|(_, part)| !part.is_empty()).map(page).collect();
    all.sort_unstable_by_key(|pages| pages.start);
    all.dedup_by(|next, pages| {
        let joins = next.start < pages.end + PIECE_GAP;
        if joins {
            pages.end = pages.end.max(next.end);
        }
        joins
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate;
    use wasmparser::WasmFeatures;

    fn images(wat: &str) -> MemoryImages {
        let module = validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM3).unwrap();
        module.memory_images()
    }

    /// Returns a data segment of 20,000 bytes.
    fn large(at: &str) -> String {
        format!("(data {at} \"{}\")", "x".repeat(20_000))
    }

    #[test]
    fn later_segments_lie_on_top_and_gaps_divide() {
        let found = images(&format!(
            "(module (memory 40) {} (data (i32.const 5001) \"yy\") (data (i32.const 2000000) \"z\") (data (i32.const 9) \"\"))",
            large("(i32.const 5000)")
        ));
        let [first, second] = found.pieces() else { panic!("{:?}", found.pieces()) };
        assert_eq!((first.offset, first.range.clone()), (4096, 0..6 * 4096));
        assert_eq!((second.offset, second.range.clone()), (488 * 4096, 6 * 4096..7 * 4096));
        let bytes = found.piece(first);
        assert_eq!(&bytes[902..908], b"\0\0xyyx");
        assert_eq!(&bytes[904 + 19_999..][..2], b"x\0");
        assert_eq!(found.piece(second)[2_000_000 % 4096], b'z');
    }

    #[test]
    fn many_small_segments_are_worth_an_image() {
        let segments = |count: usize| {
            let all: String = (0..count).map(|i| format!("(data (i32.const {}) \"a\")", i * 2)).collect();
            images(&format!("(module (memory 1) {all})")).pieces().len()
        };
        assert_eq!((segments(5), segments(1000)), (0, 1));
    }

    #[test]
    fn what_may_not_fit_has_no_image() {
        let at = |place: &str| format!("(module (memory $m 1) (memory $other 1) {})", large(place));
        assert_eq!(images(&at("(i32.const 45536)")).pieces().len(), 1);
        assert_eq!(images(&at("(i32.const 45537)")).pieces().len(), 0);
        let [only] = &*images(&at("(memory 1) (i32.const 0)")).pieces else { panic!() };
        assert_eq!(only.memory, MemoryIndex(1));
        let imported =
            |offset| format!("(module (import \"a\" \"g\" (global i32)) (memory 1) {})", large(offset));
        assert_eq!(images(&imported("(global.get 0)")).pieces().len(), 0);
        assert_eq!(images(&imported("(i32.const 0)")).pieces().len(), 1);
        assert_eq!(
            images(&format!("(module (import \"a\" \"m\" (memory 1)) {})", large("(i32.const 0)")))
                .bytes()
                .len(),
            0
        );
    }

    /// A segment that does not fit fails instantiation after functions may have been written to an imported table.
    #[test]
    fn what_may_be_seen_half_done_has_no_image() {
        let with = |elem: &str| {
            let data = large("(i32.const 0)");
            let module = format!(
                "(module (import \"a\" \"t\" (table 4 funcref)) (table $own 4 funcref) (memory 1) (func $f) {elem} {data})"
            );
            images(&module).pieces().len()
        };
        assert_eq!(with("(elem (i32.const 3) $f)"), 1);
        assert_eq!(with("(elem (i32.const 4) $f)"), 0);
        assert_eq!(with("(elem (table $own) (i32.const 4) func $f)"), 1);
        assert_eq!(with("(elem (i32.const 3) $f) (elem (table $own) (i32.const 4) func $f)"), 0);
    }
}
