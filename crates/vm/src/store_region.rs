//! A store's region: one mapping that holds every instance's constants and all guest-mutable state that is not in a
//! linear memory.
//!
//! ```text
//!   0                        CONTEXT_DISTANCE             2 × CONTEXT_DISTANCE
//!   │ constants              │ contexts (guest state)     │ heap (tables)          │
//! ```
//!
//! A block of constants at offset `x` belongs to the context at `CONTEXT_DISTANCE + x`.

use crate::region_area::{Area, AreaCheckpoint};
use crate::snapshot_bytes::{Reader, Writer};
use crate::sys::{Mapping, Protection, page_size};
use belljar_abi::{CONTEXT_DISTANCE, FuncObject};
use belljar_core::ensure;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Sizes of the address space for tables, in the order in which they are tried.
const HEAP_SIZES: [usize; 3] = [256 << 20, 32 << 20, 1 << 20];

/// Up to this many bytes, writing zeros is faster than asking the kernel for zero pages.
const ZERO_BY_WRITING: usize = 64 << 10;

/// A store's region with its allocation cursors. Offsets count from the region's base.
#[derive(Debug)]
pub(crate) struct StoreRegion {
    mapping: Option<Mapping>,
    /// The first free offset among the constants and, at the same distance, among the contexts.
    next_block: usize,
    /// The allocated ranges of the contexts. Blocks that have only constants take no space there.
    states: Vec<Range<usize>>,
    /// The first free offset of the heap.
    next_heap: usize,
    free: FreeSpace,
    /// The contexts, and the heap.
    areas: [Area; 2],
    pool: Arc<RegionPool>,
}

/// Freed table space.
#[derive(Debug, Default)]
struct FreeSpace {
    /// Offsets by size class (a power of two).
    classes: [Vec<u32>; 32],
    /// A bit for each class that may have free space. Usually there is none, and 32 checks take as long as a small
    /// call.
    some: u32,
}

impl FreeSpace {
    fn class(bytes: usize) -> usize {
        bytes.trailing_zeros() as usize & 31
    }

    fn push(&mut self, size: usize, offset: u32) {
        self.some |= 1 << Self::class(size);
        self.classes[Self::class(size)].push(offset);
    }

    fn pop(&mut self, size: usize) -> Option<u32> {
        self.classes[Self::class(size)].pop()
    }
}

impl Clone for FreeSpace {
    fn clone(&self) -> Self {
        Self { classes: self.classes.clone(), some: self.some }
    }

    fn clone_from(&mut self, other: &Self) {
        let mut either = self.some | other.some;
        while either != 0 {
            let class = either.trailing_zeros() as usize;
            self.classes[class].clone_from(&other.classes[class]);
            either &= either - 1;
        }
        self.some = other.some;
    }
}

/// The contents of a region at one moment.
#[derive(Debug)]
pub(crate) struct RegionCheckpoint {
    next_block: usize,
    next_heap: usize,
    free: FreeSpace,
    /// The allocated parts of the contexts and of the heap.
    areas: [AreaCheckpoint; 2],
}

impl RegionCheckpoint {
    /// Returns whether a region is large enough for this checkpoint.
    pub(crate) fn fits(&self, region: &StoreRegion) -> bool {
        self.next_heap <= region.mapping().length()
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.number(self.next_block as u64);
        to.number(self.next_heap as u64);
        for area in &self.areas {
            to.number(area.pieces().count() as u64);
            for (offset, bytes) in area.pieces() {
                to.number(offset as u64);
                to.bytes(bytes);
            }
        }
        self.free.classes.iter().for_each(|offsets| to.words(offsets));
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (next_block, next_heap) = (from.size()?, from.size()?);
        let heap = next_heap.checked_sub(2 * CONTEXT_DISTANCE)?;
        let mut area = |length: usize| {
            let mut pieces: Vec<(usize, Box<[u8]>)> = Vec::new();
            let mut end = 0;
            for _ in 0..from.size()? {
                let (offset, bytes) = (from.size()?, from.bytes()?);
                if offset < end || length.checked_sub(offset)? < bytes.len() {
                    return None;
                }
                end = offset + bytes.len();
                pieces.push((offset, bytes.into()));
            }
            Some(AreaCheckpoint::new(pieces))
        };
        let areas = [area(next_block)?, area(heap)?];
        let mut free = FreeSpace { some: u32::MAX, ..FreeSpace::default() };
        for (class, offsets) in free.classes.iter_mut().enumerate() {
            *offsets = from.words()?;
            let end = |offset: &u32| *offset as usize + CONTEXT_DISTANCE + (1 << class);
            let is_in = |offset: &u32| *offset as usize >= CONTEXT_DISTANCE && end(offset) <= next_heap;
            if !offsets.iter().all(is_in) {
                return None;
            }
        }
        Some(Self { next_block, next_heap, free, areas })
    }
}

/// Clean regions for reuse.
#[derive(Debug, Default)]
pub(crate) struct RegionPool {
    mappings: Mutex<Vec<Mapping>>,
}

/// The largest number of regions that a pool keeps.
const POOL_REGIONS: usize = 64;

impl StoreRegion {
    pub(crate) fn new(pool: &Arc<RegionPool>) -> io::Result<Self> {
        let pooled = pool.mappings.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let mapping = match pooled {
            Some(mapping) => mapping,
            None => Self::map()?,
        };
        Ok(Self {
            mapping: Some(mapping),
            // The null function object is at 0.
            next_block: FuncObject::GUEST_SIZE.next_multiple_of(64),
            states: Vec::new(),
            next_heap: 2 * CONTEXT_DISTANCE,
            free: FreeSpace::default(),
            areas: [CONTEXT_DISTANCE, 2 * CONTEXT_DISTANCE].map(Area::new),
            pool: pool.clone(),
        })
    }

    fn map() -> io::Result<Mapping> {
        let mut last = None;
        for heap in HEAP_SIZES {
            match Mapping::new(2 * CONTEXT_DISTANCE + heap, Protection::ReadWrite) {
                Ok(mapping) => return Ok(mapping),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory)))
    }

    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("present until drop")
    }

    /// Returns the address of the constants: function references are offsets from it.
    pub(crate) fn const_base(&self) -> usize {
        self.mapping().base()
    }

    /// Returns the address of the state: table offsets are relative to it.
    pub(crate) fn state_base(&self) -> usize {
        self.mapping().base() + CONTEXT_DISTANCE
    }

    /// Allocates a block of constants and a block of state at the same offset in their halves, all zero. Returns the
    /// offset of the constants, or `None` if the region is full.
    pub(crate) fn block(&mut self, const_size: usize, state_size: usize) -> Option<usize> {
        let at = self.next_block;
        let end = at.checked_add(const_size.max(state_size))?.next_multiple_of(64);
        if end > CONTEXT_DISTANCE {
            return None;
        }
        self.next_block = end;
        if state_size > 0 {
            self.states.push(at..at + state_size);
        }
        Some(at)
    }

    /// Allocates `bytes` of table space, zeroed up to the size of its class. Returns an offset from the state base.
    pub(crate) fn table_space(&mut self, bytes: usize) -> Option<u32> {
        let class = bytes.max(16).next_power_of_two();
        if let Some(offset) = self.free.pop(class) {
            self.zero(offset as usize + CONTEXT_DISTANCE, class);
            return Some(offset);
        }
        let at = self.next_heap;
        let end = at.checked_add(class)?;
        if end > self.mapping().length() {
            return None;
        }
        self.next_heap = end;
        Some((at - CONTEXT_DISTANCE) as u32)
    }

    /// Returns the number of bytes that blocks take in each half.
    pub(crate) fn blocks(&self) -> usize {
        self.next_block
    }

    /// Frees space that [`StoreRegion::table_space`] returned for `bytes`.
    pub(crate) fn free_table_space(&mut self, offset: u32, bytes: usize) {
        let class = bytes.max(16).next_power_of_two();
        self.free.push(class, offset);
    }

    /// Returns the number of bytes left in the heap.
    pub(crate) fn heap_left(&self) -> usize {
        self.mapping().length() - self.next_heap
    }

    fn zero(&mut self, offset: usize, length: usize) {
        // SAFETY: the range came from this region's allocator (IN-BOUNDS) and nothing refers to it now.
        unsafe { self.mapping().fill(offset..offset + length, 0) };
    }

    /// Returns a checkpoint of the current contents.
    pub(crate) fn checkpoint(&self) -> RegionCheckpoint {
        let heap = 0..self.next_heap - 2 * CONTEXT_DISTANCE;
        let [states, heaps] = &self.areas;
        // SAFETY: ranges of this region's allocator (IN-BOUNDS); no guest runs while the store is borrowed (STORE-EXCLUSIVE).
        let piece = |area: &Area, range: &Range<usize>| unsafe {
            (range.start, area.bytes(self.mapping(), range.clone()).into())
        };
        let areas = [
            self.states.iter().map(|range| piece(states, range)).collect(),
            if heap.is_empty() { Vec::new() } else { vec![piece(heaps, &heap)] },
        ];
        RegionCheckpoint {
            next_block: self.next_block,
            next_heap: self.next_heap,
            free: self.free.clone(),
            areas: areas.map(AreaCheckpoint::new),
        }
    }

    /// Returns whether the allocated blocks of a checkpoint are those of this region. (A region that has just been
    /// linked has no more of the heap than the checkpoint.)
    pub(crate) fn has_pieces_of(&self, of: &RegionCheckpoint) -> bool {
        let pieces = of.areas[0].pieces().map(|(offset, bytes)| offset..offset + bytes.len());
        self.next_block == of.next_block && pieces.eq(self.states.iter().cloned())
    }

    /// Rewinds the region to a checkpoint. Blocks allocated since then become zero.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub(crate) fn rewind(&mut self, to: &RegionCheckpoint) -> io::Result<()> {
        let added = self.next_block - to.next_block;
        self.clear(to.next_block, added)?;
        self.clear(CONTEXT_DISTANCE + to.next_block, added)?;
        // A store that has just been linked can only have fewer tables.
        self.clear(to.next_heap, self.next_heap.saturating_sub(to.next_heap))?;
        let mapping = self.mapping.as_mut().expect("present until drop");
        for (area, to) in self.areas.iter_mut().zip(&to.areas) {
            // SAFETY: pieces are ranges of this region's allocator, or of one that made the same allocations
            // (IN-BOUNDS); the store is held exclusively (STORE-EXCLUSIVE).
            unsafe { area.rewind(mapping, to)? };
        }
        self.states.truncate(to.areas[0].pieces().count());
        self.next_block = to.next_block;
        self.next_heap = to.next_heap;
        self.free.clone_from(&to.free);
        Ok(())
    }

    /// Compares the region with a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns an error if they differ.
    pub(crate) fn verify(&self, was: &RegionCheckpoint) -> belljar_core::Result<()> {
        ensure!(
            (self.next_block, self.next_heap) == (was.next_block, was.next_heap),
            "its tables take {} bytes of its region, and took {}",
            self.next_heap,
            was.next_heap
        );
        let lengths = [self.next_block, self.next_heap - 2 * CONTEXT_DISTANCE];
        let areas = self.areas.iter().zip(&was.areas).zip(lengths).zip(["state", "tables"]);
        for (((area, was), length), what) in areas {
            // SAFETY: this much was allocated, or is zero (IN-BOUNDS); the store is borrowed (STORE-EXCLUSIVE).
            if let Some(at) = unsafe { area.difference(self.mapping(), was, length) } {
                belljar_core::bail!("the {what} of its instances differ from byte {at:#x} on");
            }
        }
        Ok(())
    }

    /// Clears a range: by writing zeros, or, for the whole pages of a large range, by discarding them.
    fn clear(&mut self, offset: usize, length: usize) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let (start, end) =
            (offset.next_multiple_of(page_size()), (offset + length) / page_size() * page_size());
        if length <= ZERO_BY_WRITING || start >= end {
            self.zero(offset, length);
            return Ok(());
        }
        self.zero(offset, start - offset);
        self.zero(end, offset + length - end);
        self.mapping.as_mut().expect("present until drop").discard(start, end - start)
    }

    /// Clears every byte that was allocated.
    fn clean(&mut self) -> io::Result<()> {
        let mapping = self.mapping.as_mut().expect("present until drop");
        self.areas.iter_mut().try_for_each(|area| area.unprotect(mapping))?;
        let used = [
            (0, self.next_block),
            (CONTEXT_DISTANCE, self.next_block),
            (2 * CONTEXT_DISTANCE, self.next_heap - 2 * CONTEXT_DISTANCE),
        ];
        for (offset, length) in used {
            if length <= ZERO_BY_WRITING {
                self.zero(offset, length);
            } else {
                let length = length.next_multiple_of(page_size());
                self.mapping.as_mut().expect("present until drop").discard(offset, length)?;
            }
        }
        Ok(())
    }
}

impl Drop for StoreRegion {
    fn drop(&mut self) {
        if self.clean().is_err() {
            return;
        }
        let Some(mapping) = self.mapping.take() else { return };
        let mut pooled = self.pool.mappings.lock().unwrap_or_else(|e| e.into_inner());
        if pooled.len() < POOL_REGIONS {
            pooled.push(mapping);
        }
    }
}
