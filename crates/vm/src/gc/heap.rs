//! A store's heap: one mapping, with a nursery in which objects are allocated and an old space for those that survive.
//!
//! In: requests for objects. Out: references. Never: a decision when to collect; the store decides that, since it knows
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

/// Objects larger than this are allocated in the old space.
pub(crate) const LARGE: u32 = NURSERY_SIZE / 4;

/// Bytes that the old space may fill before its first collection.
const FIRST_OLD: u32 = 4 << 20;

/// When a heap is rewound, this many bytes beyond what is kept are overwritten in place.
const WIPED_IN_PLACE: u32 = 4 << 20;

/// Sizes of the address space, in the order in which they are tried.
const REACHES: [usize; 4] = [HEAP_REACH - (1 << 16), 1 << 30, 256 << 20, 32 << 20];

/// A store's heap. Offsets count from the base; references are offsets.
#[derive(Debug)]
pub(crate) struct GcHeap {
    mapping: Mapping,
    /// Bytes of address space, counted from the base.
    reach: u32,
    /// The first free byte of the old space.
    pub(super) old_top: u32,
    /// The highest end of the old space, before collections made it smaller, since it was last wiped.
    pub(super) old_reached: u32,
    /// The old space is collected before it grows beyond this offset.
    pub(super) old_limit: u32,
    /// For each card of the old space, the object that contains the card's first byte.
    pub(super) starts: Vec<u32>,
    /// Scratch space for a list of dirty cards.
    pub(super) dirty_cards: Vec<u32>,
    /// Host values created since the last collection, and older ones.
    pub(super) young_externs: Vec<u32>,
    pub(super) old_externs: Vec<u32>,
    /// Collect at every allocation.
    pub(super) stress: bool,
    pub(super) marks: Marks,
    pub(super) stats: GcStats,
}

impl GcHeap {
    /// Creates an empty heap.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no address space for it.
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

    /// Returns the address of offset 0.
    pub(crate) fn base(&self) -> usize {
        self.mapping.base() + CARD_TABLE_SIZE
    }

    /// Returns the largest offset at which the old space may end, so that all of the nursery still fits behind it.
    pub(super) fn old_end(&self) -> u32 {
        self.reach - NURSERY_SIZE
    }

    pub(super) fn at<V>(&self, offset: u32) -> VmPtr<V> {
        debug_assert!(offset as usize + size_of::<V>() <= self.reach as usize);
        VmPtr::at(self.base() + offset as usize)
    }

    /// Prefetches the memory at an offset.
    #[inline]
    pub(super) fn prefetch(&self, offset: u32) {
        prefetch(self.base() + offset as usize);
    }

    /// Reads the 32 bits at an offset inside an object or the control block.
    pub(crate) fn word(&self, offset: u32) -> u32 {
        // SAFETY: GC-OBJECT: offsets come from references of this heap and layouts of their types, so they lie in the
        // mapping (OWNED-MAPPING), at a multiple of 4, in readable pages.
        unsafe { self.at::<u32>(offset).read() }
    }

    /// Writes the 32 bits at an offset.
    pub(crate) fn set_word(&mut self, offset: u32, value: u32) {
        // SAFETY: as in `word`, with the heap held exclusively.
        unsafe { self.at::<u32>(offset).write(value) };
    }

    /// Returns the number of bytes used in the old space, plus the size of the nursery.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.old_top - OLD + NURSERY_SIZE)
    }

    fn control(&self) -> HeapControl {
        // SAFETY: the control block lies behind the null page of the mapping; guest code that writes it runs under an
        // exclusive borrow of the store (STORE-EXCLUSIVE).
        unsafe { self.at::<HeapControl>(CONTROL).read() }
    }

    fn set_control(&self, control: HeapControl) {
        // SAFETY: as in `control`.
        unsafe { self.at::<HeapControl>(CONTROL).write(control) };
    }

    /// Returns the first free byte of the nursery.
    pub(super) fn nursery_top(&self) -> u32 {
        self.control().top
    }

    /// Empties the nursery.
    pub(super) fn reset_nursery(&self) {
        // Under stress no object fits, so that every allocation calls the runtime.
        let end = if self.stress { NURSERY } else { OLD };
        self.set_control(HeapControl { top: NURSERY, end });
    }

    /// Allocates space in the nursery if there is enough. Its contents are undefined.
    pub(super) fn take_young(&mut self, size: u32) -> Option<u32> {
        let HeapControl { top, end } = self.control();
        if size > OLD - top {
            return None;
        }
        self.set_control(HeapControl { top: top + size, end });
        Some(top)
    }

    /// Allocates space in the old space if there is enough below `end`.
    pub(super) fn take_old(&mut self, size: u32, end: u32) -> Option<u32> {
        let at = self.old_top;
        let top = at.checked_add(size).filter(|top| *top <= end)?;
        self.old_top = top;
        self.record_start(at, size);
        Some(at)
    }

    /// Records an object of the old space for the cards whose first byte it contains.
    #[inline]
    pub(super) fn record_start(&mut self, at: u32, size: u32) {
        let first = ((at - OLD).div_ceil(CARD_SIZE)) as usize;
        let end = ((at - OLD + size).div_ceil(CARD_SIZE)) as usize;
        if first < end {
            self.record_starts(first, end, at);
        }
    }

    fn record_starts(&mut self, first: usize, end: usize, at: u32) {
        if self.starts.len() < end {
            self.starts.resize(end.next_multiple_of(1024), 0);
        }
        self.starts[first..end].fill(at);
    }

    fn card(&self, offset: u32) -> VmPtr<u8> {
        VmPtr::at(self.mapping.base() + (offset >> CARD_SHIFT) as usize)
    }

    /// Records that references may have been written to a range of the heap.
    pub(crate) fn dirty(&mut self, offset: u32, size: u32) {
        if size == 0 {
            return;
        }
        let count = (((offset + size - 1) >> CARD_SHIFT) - (offset >> CARD_SHIFT) + 1) as usize;
        // SAFETY: the range lies in the heap, and so its cards in the table of cards (OWNED-MAPPING), held exclusively.
        unsafe { self.card(offset).as_ptr().write_bytes(CARD_DIRTY, count) };
    }

    /// Returns the cards of the old space up to its top, one byte each.
    pub(super) fn cards(&mut self) -> &mut [u8] {
        let count = ((self.old_top - OLD).div_ceil(CARD_SIZE)) as usize;
        // SAFETY: those cards lie in the table of cards (OWNED-MAPPING), which is initialised (it starts as zero) and
        // held exclusively.
        unsafe { self.card(OLD).slice_mut(count) }
    }

    /// Returns the size in bytes of an object of this shape.
    #[inline]
    pub(super) fn size_of(&self, object: u32, shape: &Shape) -> u32 {
        match shape {
            Shape::Fields(layout) => layout.size,
            // The object exists, so its size is in range.
            Shape::Array(layout) => layout.size(self.word(object + LENGTH)).unwrap_or(ALIGN),
            Shape::Extern => ELEMENTS,
        }
    }

    /// Copies an object to a place that does not overlap it. Most objects have a few words.
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

    /// Fills a range with zeros, and returns most of its pages to the kernel if it is large.
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

    /// Returns the bytes of a range of an object.
    pub(crate) fn bytes(&self, offset: u32, size: u32) -> &[u8] {
        // SAFETY: GC-OBJECT; an object is initialised when it is allocated.
        unsafe { self.at(offset).slice(size as usize) }
    }

    /// Returns the bytes of a range of an object for writing.
    pub(crate) fn bytes_mut(&mut self, offset: u32, size: u32) -> &mut [u8] {
        // SAFETY: as in `bytes`, with the heap held exclusively.
        unsafe { self.at(offset).slice_mut(size as usize) }
    }

    /// Returns unused pages of the old space to the kernel.
    pub(super) fn give_back(&mut self, used_before: u32) {
        let page = page_size() as u32;
        let from = self.old_limit.max(self.old_top).next_multiple_of(page);
        let to = used_before.next_multiple_of(page);
        if from < to {
            // If this fails, the process only uses more memory than needed.
            let _ = self.mapping.discard(CARD_TABLE_SIZE + from as usize, (to - from) as usize);
        }
    }
}
