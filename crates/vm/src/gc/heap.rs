//! A store's heap: one mapping, a nursery in which objects are made and an old space for those that last.
//!
//! In: requests for objects. Out: references. Never: a decision when to collect; that is the store's, which knows
//! the roots. Layout: [`belljar_abi::gc`].

use super::marks::Marks;
use super::shape::Shape;
use super::spaces::{NURSERY_SIZE, OLD};
use super::stats::GcStats;
use crate::sys::{Mapping, Protection, page_size, prefetch};
use crate::vm_ptr::VmPtr;
use belljar_abi::gc::{
    ALIGN, CARD_DIRTY, CARD_SHIFT, CARD_SIZE, CARD_TABLE_SIZE, CONTROL, ELEMENTS, HEAP_REACH, HeapControl,
    LENGTH, NULL_PAGE, NURSERY,
};
use std::io;

/// Objects larger than this are made in the old space at once.
pub(crate) const LARGE: u32 = NURSERY_SIZE / 4;

/// Bytes that the old space may fill before it is first collected.
const FIRST_OLD: u32 = 4 << 20;

/// Bytes beyond what is kept that are overwritten in place when a heap goes back.
const WIPED_IN_PLACE: u32 = 4 << 20;

/// What is hoped for as address space, then what is taken if that is refused.
const REACHES: [usize; 4] = [HEAP_REACH - (1 << 16), 1 << 30, 256 << 20, 32 << 20];

/// A store's heap. Offsets count from the base; references are offsets.
#[derive(Debug)]
pub(crate) struct GcHeap {
    mapping: Mapping,
    /// Bytes from the base that are address space of ours.
    reach: u32,
    /// First free byte of the old space.
    pub(super) old_top: u32,
    /// How far the old space reached before a collection made it smaller, since it was last wiped.
    pub(super) old_reached: u32,
    /// Where the old space is to be collected before it grows beyond.
    pub(super) old_limit: u32,
    /// For each card of the old space, the object that the card's first byte lies in.
    pub(super) starts: Vec<u32>,
    /// Room to list dirty cards in.
    pub(super) dirty_cards: Vec<u32>,
    /// Host values made since the last collection, and older ones.
    pub(super) young_externs: Vec<u32>,
    pub(super) old_externs: Vec<u32>,
    /// Collect at every allocation.
    pub(super) stress: bool,
    pub(super) marks: Marks,
    pub(super) stats: GcStats,
}

impl GcHeap {
    /// An empty heap.
    ///
    /// # Errors
    ///
    /// Where there is no address space for it.
    pub(crate) fn new(stress: bool) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::OutOfMemory);
        for reach in REACHES {
            match Mapping::new(CARD_TABLE_SIZE + reach, Protection::ReadWrite) {
                Ok(mapping) => return Self::in_mapping(mapping, reach as u32, stress),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn in_mapping(mut mapping: Mapping, reach: u32, stress: bool) -> io::Result<Self> {
        mapping.protect(CARD_TABLE_SIZE, NULL_PAGE as usize, Protection::None)?;
        let heap = Self {
            mapping,
            reach,
            old_top: OLD,
            old_reached: OLD,
            old_limit: OLD + FIRST_OLD.min(reach - OLD - NURSERY_SIZE),
            starts: Vec::new(),
            dirty_cards: Vec::new(),
            young_externs: Vec::new(),
            old_externs: Vec::new(),
            stress,
            marks: Marks::default(),
            stats: GcStats::default(),
        };
        heap.reset_nursery();
        Ok(heap)
    }

    /// Address of offset 0.
    pub(crate) fn base(&self) -> usize {
        self.mapping.base() + CARD_TABLE_SIZE
    }

    /// The largest offset at which the old space may end, so that there is room for all of the nursery behind.
    pub(super) fn old_end(&self) -> u32 {
        self.reach - NURSERY_SIZE
    }

    pub(super) fn at<V>(&self, offset: u32) -> VmPtr<V> {
        debug_assert!(offset as usize + size_of::<V>() <= self.reach as usize);
        VmPtr::at(self.base() + offset as usize)
    }

    /// Begins to fetch what lies at an offset.
    #[inline]
    pub(super) fn prefetch(&self, offset: u32) {
        prefetch(self.base() + offset as usize);
    }

    /// The 32 bits at an offset inside an object or the control block.
    pub(crate) fn word(&self, offset: u32) -> u32 {
        // SAFETY: GC-OBJECT: offsets come from references of this heap and layouts of their types, so they lie in
        // the mapping (OWNED-MAPPING), at a multiple of 4, in pages that can be read.
        unsafe { self.at::<u32>(offset).read() }
    }

    /// Writes the 32 bits at an offset.
    pub(crate) fn set_word(&mut self, offset: u32, value: u32) {
        // SAFETY: as in `word`, with the heap held exclusively.
        unsafe { self.at::<u32>(offset).write(value) };
    }

    /// Bytes of the old space that are in use, and of the nursery.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.old_top - OLD + NURSERY_SIZE)
    }

    fn control(&self) -> HeapControl {
        // SAFETY: the control block lies behind the null page of the mapping; guest code that writes it runs under
        // an exclusive borrow of the store (STORE-EXCLUSIVE).
        unsafe { self.at::<HeapControl>(CONTROL).read() }
    }

    fn set_control(&self, control: HeapControl) {
        // SAFETY: as in `control`.
        unsafe { self.at::<HeapControl>(CONTROL).write(control) };
    }

    /// First free byte of the nursery.
    pub(super) fn nursery_top(&self) -> u32 {
        self.control().top
    }

    /// Makes the nursery empty.
    pub(super) fn reset_nursery(&self) {
        // Under stress no object fits, so that every one comes through the runtime.
        let end = if self.stress { NURSERY } else { OLD };
        self.set_control(HeapControl { top: NURSERY, end });
    }

    /// Room in the nursery, if there is; the contents are whatever.
    pub(super) fn take_young(&mut self, size: u32) -> Option<u32> {
        let HeapControl { top, end } = self.control();
        if size > OLD - top {
            return None;
        }
        self.set_control(HeapControl { top: top + size, end });
        Some(top)
    }

    /// Room in the old space, if there is below `end`.
    pub(super) fn take_old(&mut self, size: u32, end: u32) -> Option<u32> {
        let at = self.old_top;
        let top = at.checked_add(size).filter(|top| *top <= end)?;
        self.old_top = top;
        self.note_start(at, size);
        Some(at)
    }

    /// Notes an object of the old space for the cards whose first byte it holds.
    #[inline]
    pub(super) fn note_start(&mut self, at: u32, size: u32) {
        let first = ((at - OLD).div_ceil(CARD_SIZE)) as usize;
        let end = ((at - OLD + size).div_ceil(CARD_SIZE)) as usize;
        if first < end {
            self.note_starts(first, end, at);
        }
    }

    fn note_starts(&mut self, first: usize, end: usize, at: u32) {
        if self.starts.len() < end {
            self.starts.resize(end.next_multiple_of(1024), 0);
        }
        self.starts[first..end].fill(at);
    }

    fn card(&self, offset: u32) -> VmPtr<u8> {
        VmPtr::at(self.mapping.base() + (offset >> CARD_SHIFT) as usize)
    }

    /// Notes that a range of the heap may have had references written to it.
    pub(crate) fn dirty(&mut self, offset: u32, size: u32) {
        if size == 0 {
            return;
        }
        let count = (((offset + size - 1) >> CARD_SHIFT) - (offset >> CARD_SHIFT) + 1) as usize;
        // SAFETY: the range lies in the heap, and so its cards in the table of cards (OWNED-MAPPING), held
        // exclusively.
        unsafe { self.card(offset).as_ptr().write_bytes(CARD_DIRTY, count) };
    }

    /// The cards of the old space up to its top: a byte each.
    pub(super) fn cards(&mut self) -> &mut [u8] {
        let count = ((self.old_top - OLD).div_ceil(CARD_SIZE)) as usize;
        // SAFETY: those cards lie in the table of cards (OWNED-MAPPING), which is initialised (it starts as zero)
        // and held exclusively.
        unsafe { self.card(OLD).slice_mut(count) }
    }

    /// Bytes of an object of this shape.
    #[inline]
    pub(super) fn size_of(&self, object: u32, shape: &Shape) -> u32 {
        match shape {
            Shape::Fields(layout) => layout.size,
            // It was made, so that its size is in range.
            Shape::Array(layout) => layout.size(self.word(object + LENGTH)).unwrap_or(ALIGN),
            Shape::Extern => ELEMENTS,
        }
    }

    /// Copies an object to where it does not overlap. Most are of a few words.
    #[inline]
    pub(super) fn copy_words(&mut self, from: u32, to: u32, size: u32) {
        if size > 64 {
            return self.copy(from, to, size);
        }
        for at in (0..size).step_by(ALIGN as usize) {
            // SAFETY: as in `copy`; objects lie at multiples of 8.
            unsafe { self.at::<u64>(to + at).write(self.at::<u64>(from + at).read()) };
        }
    }

    /// Copies a range of objects.
    pub(super) fn copy(&mut self, from: u32, to: u32, size: u32) {
        // SAFETY: both ranges lie in the heap (GC-OBJECT), held exclusively; they may overlap.
        unsafe { self.at::<u8>(to).as_ptr().copy_from(self.at::<u8>(from).as_ptr(), size as usize) };
    }

    /// Fills a range with zeros.
    pub(crate) fn zero(&mut self, offset: u32, size: u32) {
        // SAFETY: as in `copy`.
        unsafe { self.at::<u8>(offset).as_ptr().write_bytes(0, size as usize) };
    }

    /// Fills a range with zeros, of which much is given back to the machine.
    pub(super) fn wipe(&mut self, offset: u32, size: u32) {
        let end = offset + size;
        let kept = end.min((offset + size.min(WIPED_IN_PLACE)).next_multiple_of(page_size() as u32));
        let whole = end / page_size() as u32 * page_size() as u32;
        self.zero(offset, kept - offset);
        if kept < whole
            && self.mapping.discard(CARD_TABLE_SIZE + kept as usize, (whole - kept) as usize).is_ok()
        {
            self.zero(whole, end - whole);
        } else {
            self.zero(kept, end - kept);
        }
    }

    /// The bytes of a range of an object.
    pub(crate) fn bytes(&self, offset: u32, size: u32) -> &[u8] {
        // SAFETY: GC-OBJECT; what an object holds is initialised when it is made.
        unsafe { self.at(offset).slice(size as usize) }
    }

    /// The bytes of a range of an object.
    pub(crate) fn bytes_mut(&mut self, offset: u32, size: u32) -> &mut [u8] {
        // SAFETY: as in `bytes`, with the heap held exclusively.
        unsafe { self.at(offset).slice_mut(size as usize) }
    }

    /// Gives back the pages of the old space that are no longer used.
    pub(super) fn give_back(&mut self, used_before: u32) {
        let page = page_size() as u32;
        let from = self.old_limit.max(self.old_top).next_multiple_of(page);
        let to = used_before.next_multiple_of(page);
        if from < to {
            // Pages that stay are merely more memory than needed.
            let _ = self.mapping.discard(CARD_TABLE_SIZE + from as usize, (to - from) as usize);
        }
    }
}
