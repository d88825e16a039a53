//! A store's region: one mapping that holds every instance's constants and all guest-mutable state that is
//! not in a linear memory.
//!
//! ```text
//!   0                        CONTEXT_DISTANCE             2 × CONTEXT_DISTANCE
//!   │ constants              │ contexts (guest state)     │ heap (tables)          │
//! ```
//!
//! A block of constants at offset `x` belongs to the context at `CONTEXT_DISTANCE + x`.

use crate::checkpoint::first_difference;
use crate::frozen::{Reader, Writer};
use crate::sys::{Mapping, Protection, page_size};
use anyhow::ensure;
use belljar_abi::{CONTEXT_DISTANCE, FuncObject};
use std::io;
use std::sync::{Arc, Mutex};

/// Address space for tables: first what is hoped for, then what is taken if that is refused.
const HEAP_SIZES: [usize; 3] = [256 << 20, 32 << 20, 1 << 20];

/// Bytes up to which writing zeros is faster than asking the kernel for zero pages.
const ZERO_BY_WRITING: usize = 64 << 10;

/// A store's region with its allocation cursors. Offsets count from the region's base.
#[derive(Debug)]
pub(crate) struct StoreRegion {
    mapping: Option<Mapping>,
    /// First free offset among the constants and, at the same distance, among the contexts.
    next_block: usize,
    /// First free offset of the heap.
    next_heap: usize,
    free: FreeSpace,
    pool: Arc<RegionPool>,
}

/// Freed table space.
#[derive(Debug, Default)]
struct FreeSpace {
    /// Offsets by size class (a power of two).
    classes: [Vec<u32>; 32],
    /// A bit for each class that may have some. Mostly there is none, and 32 looks take as long as a small call.
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

/// What a region was at one moment.
#[derive(Debug)]
pub(crate) struct RegionCheckpoint {
    next_block: usize,
    next_heap: usize,
    free: FreeSpace,
    /// The state half, as far as it was handed out, and the tables.
    state: Box<[u8]>,
    tables: Box<[u8]>,
}

impl RegionCheckpoint {
    /// Bytes that blocks took in each half.
    pub(crate) fn blocks(&self) -> usize {
        self.next_block
    }

    /// Whether a region has room for it.
    pub(crate) fn fits(&self, region: &StoreRegion) -> bool {
        self.next_heap <= region.mapping().length()
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.bytes(&self.state);
        to.bytes(&self.tables);
        self.free.classes.iter().for_each(|offsets| to.words(offsets));
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (state, tables): (Box<[u8]>, Box<[u8]>) = (from.bytes()?.into(), from.bytes()?.into());
        let next_heap = tables.len().checked_add(2 * CONTEXT_DISTANCE)?;
        let mut free = FreeSpace { some: u32::MAX, ..FreeSpace::default() };
        for (class, offsets) in free.classes.iter_mut().enumerate() {
            *offsets = from.words()?;
            let end = |offset: &u32| *offset as usize + CONTEXT_DISTANCE + (1 << class);
            let is_in = |offset: &u32| *offset as usize >= CONTEXT_DISTANCE && end(offset) <= next_heap;
            if !offsets.iter().all(is_in) {
                return None;
            }
        }
        Some(Self { next_block: state.len(), next_heap, free, state, tables })
    }
}

/// Clean regions for reuse.
#[derive(Debug, Default)]
pub(crate) struct RegionPool {
    mappings: Mutex<Vec<Mapping>>,
}

/// Regions that a pool keeps at most.
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
            next_heap: 2 * CONTEXT_DISTANCE,
            free: FreeSpace::default(),
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

    /// Address of the constants: what function references are offsets from.
    pub(crate) fn const_base(&self) -> usize {
        self.mapping().base()
    }

    /// Address of the state: what table offsets count from.
    pub(crate) fn state_base(&self) -> usize {
        self.mapping().base() + CONTEXT_DISTANCE
    }

    /// Room for a block of constants and a block of state at the same place in their halves, all zero.
    /// Returns the offset of the constants. `None`: full.
    pub(crate) fn block(&mut self, const_size: usize, state_size: usize) -> Option<usize> {
        let at = self.next_block;
        let end = at.checked_add(const_size.max(state_size))?.next_multiple_of(64);
        if end > CONTEXT_DISTANCE {
            return None;
        }
        self.next_block = end;
        Some(at)
    }

    /// Room for `bytes` of table, zeroed where `class_size` says. Returns an offset from the state base.
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

    /// Bytes that blocks take in each half.
    pub(crate) fn blocks(&self) -> usize {
        self.next_block
    }

    /// Gives back what [`StoreRegion::table_space`] gave for `bytes`.
    pub(crate) fn free_table_space(&mut self, offset: u32, bytes: usize) {
        let class = bytes.max(16).next_power_of_two();
        self.free.push(class, offset);
    }

    /// Bytes that the heap could still give.
    pub(crate) fn heap_left(&self) -> usize {
        self.mapping().length() - self.next_heap
    }

    fn zero(&mut self, offset: usize, length: usize) {
        // SAFETY: the range came from this region's allocator (IN-BOUNDS) and nothing refers to it now.
        unsafe {
            std::ptr::with_exposed_provenance_mut::<u8>(self.const_base() + offset).write_bytes(0, length);
        }
    }

    /// A range that was handed out.
    fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: the range came from this region's allocator (IN-BOUNDS); no guest runs while the store is borrowed
        // (STORE-EXCLUSIVE).
        unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance(self.const_base() + offset), length)
        }
    }

    /// What it is now.
    pub(crate) fn checkpoint(&self) -> RegionCheckpoint {
        RegionCheckpoint {
            next_block: self.next_block,
            next_heap: self.next_heap,
            free: self.free.clone(),
            state: self.bytes(CONTEXT_DISTANCE, self.next_block).into(),
            tables: self.bytes(2 * CONTEXT_DISTANCE, self.next_heap - 2 * CONTEXT_DISTANCE).into(),
        }
    }

    /// Makes it again what it was. What was handed out since is zero.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub(crate) fn rewind(&mut self, to: &RegionCheckpoint) -> io::Result<()> {
        let added = self.next_block - to.next_block;
        self.clear(to.next_block, added)?;
        self.clear(CONTEXT_DISTANCE + to.next_block, added)?;
        // A store that has just been linked has no more than fewer tables.
        self.clear(to.next_heap, self.next_heap.saturating_sub(to.next_heap))?;
        self.write(CONTEXT_DISTANCE, &to.state);
        self.write(2 * CONTEXT_DISTANCE, &to.tables);
        self.next_block = to.next_block;
        self.next_heap = to.next_heap;
        self.free.clone_from(&to.free);
        Ok(())
    }

    /// Compares it with what it was.
    ///
    /// # Errors
    ///
    /// Where they differ.
    pub(crate) fn verify(&self, was: &RegionCheckpoint) -> anyhow::Result<()> {
        ensure!(
            (self.next_block, self.next_heap) == (was.next_block, was.next_heap),
            "its tables take {} bytes of its region, and took {}",
            self.next_heap,
            was.next_heap
        );
        let parts = [(CONTEXT_DISTANCE, &was.state, "state"), (2 * CONTEXT_DISTANCE, &was.tables, "tables")];
        for (offset, was, what) in parts {
            if let Some(at) = first_difference(self.bytes(offset, was.len()), was) {
                anyhow::bail!("the {what} of its instances differ from byte {at:#x} on");
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        // To write nothing where no page is takes a processor longer than to write something.
        if bytes.is_empty() {
            return;
        }
        let target = std::ptr::with_exposed_provenance_mut::<u8>(self.const_base() + offset);
        // SAFETY: as in `bytes`, with the store held exclusively.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Makes a range zero: by writing, or, of whole pages of a large one, by giving them back.
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

    /// Makes every byte that was handed out zero again.
    fn clean(&mut self) -> io::Result<()> {
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
