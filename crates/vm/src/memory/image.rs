//! Initial contents of memories, mapped copy-on-write.

use crate::byte_scan::first_written;
use crate::sys::{Mapping, anonymous_file, page_size};
use belljar_core::MemoryIndex;
use belljar_module::MemoryImages;
use rustix::fd::OwnedFd;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The initial contents of a memory, shared by all its instances copy-on-write.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    file: OwnedFd,
    /// The same bytes, mapped for copying.
    contents: Mapping,
    /// The offset in the memory, a multiple of the page size.
    offset: usize,
    length: usize,
    /// Ranges of the memory, in whole pages and in order. Everything outside of them is zero.
    runs: Vec<Range<usize>>,
    /// The parts to map while mappings are not scarce: the runs, joined over small gaps.
    pieces: Vec<Range<usize>>,
}

/// An image whose pieces have more than this many bytes between them is copied, not mapped.
const IMAGE_HOLES: usize = 16 << 20;

/// A gap of this many zeros is worth two more mappings: anonymous memory takes one fault per page instead of two, and
/// needs no space in the file.
const GAP: usize = 256 << 10;

/// The largest number of pieces in which an image is mapped.
const PIECES: usize = 4;

impl MemoryImage {
    /// Returns the image of a memory, if it has one that is to be mapped.
    pub(crate) fn of(images: &MemoryImages, memory: MemoryIndex) -> Option<MemoryImage> {
        let pieces = images.of_memory(memory);
        let (first, last) = (pieces.first()?, pieces.last()?);
        let offset = usize::try_from(first.offset).ok()?;
        let end = usize::try_from(last.offset).ok()? + last.range.len();
        let bytes: usize = pieces.iter().map(|piece| piece.range.len()).sum();
        let is_whole = |at: usize| at.is_multiple_of(page_size());
        if end - offset > bytes + IMAGE_HOLES || !is_whole(offset) || !is_whole(end) {
            return None;
        }
        let parts = pieces.iter().map(|piece| (piece.offset as usize - offset, images.piece(piece)));
        Self::new("belljar-image", offset..end, parts).ok()
    }

    /// Creates the image of a range of whole pages, which is zero except for these parts. The parts are in order, and
    /// their offsets are relative to the start of the range.
    pub(super) fn new<'a>(
        name: &str,
        range: Range<usize>,
        parts: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> io::Result<MemoryImage> {
        let (offset, length) = (range.start, range.len());
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut written = Vec::new();
        for (start, bytes) in parts {
            for within in written_pages_of(start, bytes) {
                let (from, to) = (start + within.start, start + within.end);
                let pages = from / page_size() * page_size()..to.next_multiple_of(page_size());
                let pages = offset + pages.start..offset + pages.end;
                match runs.last_mut() {
                    Some(last) if pages.start <= last.end => last.end = pages.end.max(last.end),
                    _ => runs.push(pages),
                }
                written.push((from, &bytes[within]));
            }
        }
        // Zero pages take no space in the file.
        let file = anonymous_file(name, length, written.into_iter())?;
        let contents = Mapping::of_file(&file, length)?;
        let pieces = pieces_of(&runs);
        Ok(MemoryImage { file, contents, offset, length, runs, pieces })
    }

    /// Returns the file to map. Its first byte is the byte of the memory at the start of the range.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Returns the range of the memory that the image covers, in whole pages.
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }

    /// Returns the ranges of the memory, in whole pages and in order, outside of which everything is zero.
    pub(super) fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// Returns the ranges to map. They cover all runs.
    pub(super) fn pieces(&self) -> &[Range<usize>] {
        &self.pieces
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, and nothing writes it (OWNED-MAPPING).
        unsafe { self.contents.bytes(0..self.length) }
    }

    /// Divides a range of the memory, in whole pages, into parts with contents and parts that are zero.
    #[inline]
    pub(super) fn divide(&self, range: Range<usize>, mut visit: impl FnMut(Range<usize>, Option<&[u8]>)) {
        let mut at = range.start;
        let first = self.runs.partition_point(|run| run.end <= at);
        for run in self.runs[first..].iter().take_while(|run| run.start < range.end) {
            let run = run.start.max(at)..run.end.min(range.end);
            if at < run.start {
                visit(at..run.start, None);
            }
            at = run.end;
            visit(run.clone(), Some(&self.bytes()[run.start - self.offset..run.end - self.offset]));
        }
        if at < range.end {
            visit(at..range.end, None);
        }
    }
}

/// Returns the parts of `bytes`, which begin at offset `start`, that lie on pages with a nonzero byte.
fn written_pages_of(start: usize, bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let page_end = (start + at + 1).next_multiple_of(page_size()) - start;
        let end = page_end.min(bytes.len());
        if first_written(&bytes[at..end]).is_some() {
            match found.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => found.push(at..end),
            }
        }
        at = end;
    }
    found
}

/// Joins the runs over all gaps except the few largest.
fn pieces_of(runs: &[Range<usize>]) -> Vec<Range<usize>> {
    let gaps = runs.windows(2).map(|pair| pair[1].start - pair[0].end);
    let mut gaps: Vec<(usize, usize)> = gaps.enumerate().map(|(i, gap)| (gap, i + 1)).collect();
    gaps.retain(|(gap, _)| *gap >= GAP);
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(PIECES - 1);
    let mut cuts: Vec<usize> = gaps.into_iter().map(|(_, before)| before).collect();
    cuts.extend([0, runs.len()]);
    cuts.sort_unstable();
    let joined = cuts.windows(2).filter_map(|cut| {
        let runs = &runs[cut[0]..cut[1]];
        Some(runs.first()?.start..runs.last()?.end)
    });
    joined.collect()
}

/// The largest number of mappings that all memories together may use beyond the few that each needs. A process has
/// 65,530 by default, and needs them for other purposes as well.
const MAPPINGS: u32 = 8192;

/// The number of mappings used now.
static SPENT: AtomicU32 = AtomicU32::new(0);

/// Mappings that a memory uses only for speed.
#[derive(Debug)]
pub(super) struct ExtraMappings(u32);

impl ExtraMappings {
    /// Takes this many mappings, if they are available.
    pub(super) fn take(count: u32) -> Option<Self> {
        if SPENT.fetch_add(count, Relaxed).saturating_add(count) > MAPPINGS {
            SPENT.fetch_sub(count, Relaxed);
            return None;
        }
        Some(Self(count))
    }

    /// Takes the mappings that an image in this many pieces needs.
    pub(super) fn of_pieces(pieces: usize) -> Option<Self> {
        Self::take(2 * (pieces.clamp(1, PIECES) as u32 - 1))
    }
}

impl Drop for ExtraMappings {
    fn drop(&mut self) {
        SPENT.fetch_sub(self.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pages: usize, written: &[usize]) -> MemoryImage {
        let bytes: Vec<_> =
            (0..pages).map(|page| vec![u8::from(written.contains(&page)); page_size()]).collect();
        let parts = bytes.iter().enumerate().map(|(page, bytes)| (page * page_size(), &bytes[..]));
        let start = 3 * page_size();
        MemoryImage::new("test", start..start + pages * page_size(), parts).unwrap()
    }

    #[test]
    fn pages_of_zeros_are_no_contents() {
        let page = page_size();
        let image = image(10, &[0, 1, 4, 8, 9]);
        assert_eq!(image.runs(), [3 * page..5 * page, 7 * page..8 * page, 11 * page..13 * page]);
        assert_eq!(image.pieces(), std::slice::from_ref(&(3 * page..13 * page)), "gaps are small");
        for (from, to) in [(0, 20), (3, 13), (4, 8), (5, 7), (7, 8), (12, 13), (13, 14), (0, 1)] {
            let mut at = from * page;
            image.divide(from * page..to * page, |range, contents| {
                assert_eq!(range.start, at, "{from}..{to}");
                assert!(!range.is_empty());
                at = range.end;
                let runs = image.runs().iter().any(|run| run.contains(&range.start));
                assert_eq!(contents.is_some(), runs, "{range:?}");
                if let Some(contents) = contents {
                    assert_eq!(contents.len(), range.len());
                    assert!(contents.iter().all(|byte| *byte == 1));
                }
            });
            assert_eq!(at, to * page, "{from}..{to}");
        }
    }

    #[test]
    fn large_gaps_divide_an_image_into_few_pieces() {
        let pages = |gaps: &[usize]| {
            let mut at = 0;
            let mut written = vec![0];
            for gap in gaps {
                at += gap + 1;
                written.push(at);
            }
            image(at + 1, &written).pieces().len()
        };
        let large = GAP / page_size();
        assert_eq!(pages(&[]), 1);
        assert_eq!(pages(&[large - 1]), 1);
        assert_eq!(pages(&[large]), 2);
        assert_eq!(pages(&[large, 1, large + 1]), 3);
        assert_eq!(pages(&[large; 9]), PIECES);
        assert_eq!(image(3, &[]).pieces().len(), 0);
    }

    #[test]
    fn parts_need_not_be_whole_pages() {
        let page = page_size();
        let (some, zeros) = (vec![1; 10], vec![0; 2 * page]);
        let parts = [(page - 5, &some[..]), (page + 5, &zeros[..]), (4 * page + 7, &some[..])];
        let image = MemoryImage::new("test", 0..6 * page, parts.into_iter()).unwrap();
        assert_eq!(image.runs(), [0..2 * page, 4 * page..5 * page]);
        let ones = image.bytes().iter().filter(|byte| **byte == 1).count();
        assert_eq!((ones, image.bytes()[page - 5], image.bytes()[4 * page + 16]), (20, 1, 1));
    }
}
