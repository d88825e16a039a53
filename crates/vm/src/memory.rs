//! Linear memories: a reservation of address space, the accessible part of it, and the image it starts from.
//!
//! In: a type and perhaps an image. Out: bytes. Never: a decision whether growth is allowed; that is the
//! store's and its limiter's.

use crate::checkpoint::first_difference;
use crate::limits::ResourceLimiter;
use crate::sys::{Mapping, Protection, anonymous_file, page_size, written_pages};
use belljar_abi::{GUARD_SIZE, can_be_reserved, is_guarded};
use belljar_core::{MemoryIndex, MemoryType};
use belljar_module::MemoryImages;
use rustix::fd::OwnedFd;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Address space of a reserved 32-bit memory.
pub(crate) const RESERVATION: usize = (4 << 30) + GUARD_SIZE as usize;

/// Address space that other memories get to grow into, so that growth moves few of them.
const GROWTH_ROOM: usize = 8 << 30;

/// Address space that so many bytes of a memory of this type need: whole pages, one at least, and the guard.
fn footprint(ty: &MemoryType, bytes: usize) -> io::Result<usize> {
    let guard = if is_guarded(ty) { GUARD_SIZE as usize } else { 0 };
    let pages = bytes.max(1).checked_next_multiple_of(page_size());
    pages.and_then(|b| b.checked_add(guard)).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Address space for a memory that is not reserved whole: for `room` bytes as far as its type allows and they
/// can be had, for `length` bytes otherwise.
fn movable(ty: &MemoryType, length: usize, room: usize) -> io::Result<Mapping> {
    let needed = footprint(ty, length)?;
    let most = ty.bytes(ty.page_limit()).and_then(|b| usize::try_from(b).ok());
    let wanted = footprint(ty, room.min(most.unwrap_or(usize::MAX))).unwrap_or(needed);
    if wanted > needed
        && let Ok(mapping) = Mapping::new(wanted, Protection::None)
    {
        return Ok(mapping);
    }
    Mapping::new(needed, Protection::None)
}

/// Address space for all that a memory may ever have: one that several threads use cannot move.
fn unmovable(ty: &MemoryType) -> io::Result<Mapping> {
    let most = ty.bytes(ty.page_limit()).and_then(|bytes| usize::try_from(bytes).ok());
    Mapping::new(footprint(ty, most.ok_or(io::ErrorKind::OutOfMemory)?)?, Protection::None)
}

/// Whether a reservation for every 32-bit address can be had now.
pub(crate) fn can_reserve() -> bool {
    Mapping::new(RESERVATION, Protection::None).is_ok()
}

/// The initial contents of a memory, shared by all its instances copy-on-write.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    file: OwnedFd,
    /// The same bytes, to copy from.
    contents: Mapping,
    /// Offset in the memory, a multiple of the page size.
    offset: usize,
    length: usize,
}

/// Images whose pieces have more than so many bytes between them are not mapped, but copied.
const IMAGE_HOLES: usize = 16 << 20;

impl MemoryImage {
    /// The image of a memory, if it has one that is to be mapped.
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
        let file = anonymous_file("belljar-image", end - offset, parts).ok()?;
        let contents = Mapping::of_file(&file, end - offset).ok()?;
        Some(MemoryImage { file, contents, offset, length: end - offset })
    }
}

impl MemoryImage {
    fn bytes(&self) -> &[u8] {
        let at = std::ptr::with_exposed_provenance::<u8>(self.contents.base());
        // SAFETY: the mapping is that long, readable, and nobody writes it (OWNED-MAPPING).
        unsafe { std::slice::from_raw_parts(at, self.length) }
    }
}

/// Address space that held a memory and is kept for another.
#[derive(Debug)]
struct Slot {
    mapping: Mapping,
    /// Bytes from the start that may be read and written; beyond, everything faults.
    accessible: usize,
    image: Option<Arc<MemoryImage>>,
    /// How often it was made clean, for [`Slot::thin`].
    cleaned: u32,
}

/// What a memory was at one moment.
#[derive(Debug)]
pub(crate) struct MemoryCheckpoint {
    /// Its contents; none if all were zero.
    image: Option<Arc<MemoryImage>>,
    length: usize,
}

impl MemoryCheckpoint {
    /// Its contents, as far as they are not zero.
    pub(crate) fn image(&self) -> Option<&Arc<MemoryImage>> {
        self.image.as_ref()
    }

    /// Its size in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Where it differs from the memory that has these bytes, if anywhere.
    pub(crate) fn first_difference(&self, now: &[u8]) -> Option<usize> {
        let (start, contents) =
            self.image.as_ref().map_or((0, &[][..]), |image| (image.offset, image.bytes()));
        let end = (start + contents.len()).min(now.len());
        let contents = &contents[..end - start];
        let first_written = |bytes: &[u8]| bytes.iter().position(|byte| *byte != 0);
        first_written(&now[..start])
            .or_else(|| first_difference(&now[start..end], contents).map(|at| start + at))
            .or_else(|| first_written(&now[end..]).map(|at| end + at))
    }
}

/// Clean reservations, kept because making one costs more than all else of an instantiation.
#[derive(Debug, Default)]
pub(crate) struct MemoryPool {
    slots: Mutex<Vec<Slot>>,
}

/// Bytes of written pages that a pooled memory keeps resident.
const KEPT_BYTES: usize = 4 << 20;

/// So often a memory is looked at for pages that nobody writes to any more.
const THINNING: u32 = 64;

/// Bytes of written pages that are not worth a look.
const FEW_BYTES: usize = 64 << 10;

/// Reservations that a pool keeps at most.
const POOL_SLOTS: usize = 64;

impl MemoryPool {
    /// A clean reservation, if possible one that has this image mapped.
    fn take(&self, image: Option<&Arc<MemoryImage>>) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        let same = |s: &Slot| match (&s.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let at = slots.iter().rposition(same).or_else(|| slots.len().checked_sub(1))?;
        Some(slots.swap_remove(at))
    }

    fn give(&self, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        // Modules and checkpoints have gone since others came.
        slots.retain_mut(|slot| slot.forget_own_image().is_ok());
        if slots.len() < POOL_SLOTS {
            slots.push(slot);
        }
    }
}

/// A linear memory.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    /// Taken only when the memory is dropped.
    slot: Option<Slot>,
    length: usize,
    ty: MemoryType,
    /// Whether the whole of [`RESERVATION`] is behind it, so that code needs no checks.
    reserved: bool,
    /// Whether anything may have been written since it was clean.
    touched: bool,
    pool: Arc<MemoryPool>,
}

impl LinearMemory {
    /// A memory of so many bytes, which are no fewer than its type's minimum. `reserve`: with room for every 32-bit address if it can be had, or with
    /// room to grow where it has other addresses.
    pub(crate) fn new(
        ty: MemoryType,
        length: usize,
        image: Option<&Arc<MemoryImage>>,
        reserve: bool,
        pool: &Arc<MemoryPool>,
    ) -> io::Result<Self> {
        let pooled = if reserve && can_be_reserved(&ty) { pool.take(image) } else { None };
        let (mut slot, reserved) = match pooled {
            Some(slot) => (slot, true),
            None => Self::fresh_slot(&ty, length, reserve)?,
        };
        slot.prepare(length, image)?;
        let touched = false;
        Ok(Self { slot: Some(slot), length, ty, reserved, touched, pool: pool.clone() })
    }

    fn fresh_slot(ty: &MemoryType, length: usize, reserve: bool) -> io::Result<(Slot, bool)> {
        let slot = |mapping| Slot { mapping, accessible: 0, image: None, cleaned: 0 };
        let whole = reserve && can_be_reserved(ty);
        if whole && let Ok(mapping) = Mapping::new(RESERVATION, Protection::None) {
            return Ok((slot(mapping), true));
        }
        if ty.is_shared() {
            return Ok((slot(unmovable(ty)?), false));
        }
        let room = if reserve && !whole { GROWTH_ROOM } else { 0 };
        Ok((slot(movable(ty, length, room)?), false))
    }

    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("present until drop")
    }

    /// Address of byte 0.
    pub(crate) fn base(&self) -> usize {
        self.slot().mapping.base()
    }

    /// Accessible bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Its declared type.
    pub(crate) fn ty(&self) -> MemoryType {
        self.ty
    }

    /// Whether code without checks may use it.
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Whether an access that faulted here was one to this memory, by the address that the guest gave.
    pub(crate) fn holds(&self, address: usize) -> bool {
        self.reserved && address.wrapping_sub(self.base()) < self.slot().mapping.length()
    }

    /// Ranges, in order, outside of which all bytes are zero: pages that were written, and the image.
    pub(crate) fn in_use(&self) -> Vec<Range<usize>> {
        let (base, slot) = (self.base(), self.slot());
        let image = slot.image.as_ref().map_or(0..0, |i| i.offset..(i.offset + i.length).min(self.length));
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let scanned = written_pages(base..base + self.length.next_multiple_of(page_size()), |range| {
            let range = range.start - base..(range.end - base).min(self.length);
            // Of what lies in the image, all counts.
            ranges.push(range.start..range.end.min(image.start.max(range.start)));
            ranges.push(range.start.max(image.end).min(range.end)..range.end);
            true
        });
        if scanned.is_err() {
            return std::iter::once(0..self.length).collect();
        }
        ranges.push(image);
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by_key(|range| range.start);
        ranges
    }

    /// What it is now. From now on it maps these contents, and what is written to it is told from them.
    ///
    /// # Errors
    ///
    /// Where there is no room for a copy, or no mapping of it: the memory is as it was.
    pub(crate) fn checkpoint(&mut self) -> io::Result<MemoryCheckpoint> {
        let length = self.length;
        let in_use = self.in_use();
        let (Some(first), Some(last)) = (in_use.first(), in_use.last()) else {
            return Ok(MemoryCheckpoint { image: None, length });
        };
        let start = first.start / page_size() * page_size();
        let end = last.end.next_multiple_of(page_size());
        let base = self.base();
        let parts = in_use.iter().map(|range| {
            let at = std::ptr::with_exposed_provenance::<u8>(base + range.start);
            // SAFETY: the range lies in the memory (IN-BOUNDS), which nobody else uses now.
            (range.start - start, unsafe { std::slice::from_raw_parts(at, range.len()) })
        });
        let file = anonymous_file("belljar-checkpoint", end - start, parts)?;
        let contents = Mapping::of_file(&file, end - start)?;
        let image = Arc::new(MemoryImage { file, contents, offset: start, length: end - start });
        self.slot.as_mut().expect("present until drop").replace_image(&image)?;
        Ok(MemoryCheckpoint { image: Some(image), length })
    }

    /// Makes it again what it was.
    ///
    /// # Errors
    ///
    /// Those of the kernel: then its contents are anything.
    pub(crate) fn rewind(&mut self, to: &MemoryCheckpoint) -> io::Result<()> {
        let slot = self.slot.as_mut().expect("present until drop");
        if self.touched {
            slot.clean()?;
        }
        // In a store that was made like another, one of the host's may have grown there.
        if !self.reserved && footprint(&self.ty, to.length)? > slot.mapping.length() {
            slot.relocate(movable(&self.ty, to.length, to.length)?)?;
        }
        slot.prepare(to.length, to.image.as_ref())?;
        self.length = to.length;
        self.touched = false;
        Ok(())
    }

    /// Notes that its contents may change from now on.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }

    /// Has bytes of a memory that nobody has used yet written by a function.
    ///
    /// # Panics
    ///
    /// Where they lie outside.
    pub(crate) fn fill_fresh<R>(&mut self, range: Range<usize>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(range.start <= range.end && range.end <= self.length, "contents outside the memory");
        self.touched = true;
        let target = std::ptr::with_exposed_provenance_mut::<u8>(self.base() + range.start);
        // SAFETY: the range was compared with the memory's length, up to which it is accessible and initialised
        // (IN-BOUNDS), and nothing else refers to its bytes (OWNED-MAPPING).
        fill(unsafe { std::slice::from_raw_parts_mut(target, range.len()) })
    }

    /// Grows it by pages; the old size in pages, or `None` where it may not or cannot.
    ///
    /// # Errors
    ///
    /// What the limiter returns.
    pub(crate) fn grow(
        &mut self,
        delta: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> anyhow::Result<Option<u64>> {
        let ty = self.ty;
        let old_pages = self.length as u64 / ty.page_size();
        let desired = old_pages.saturating_add(delta);
        let desired_bytes = ty.bytes(desired).and_then(|b| usize::try_from(b).ok());
        let allowed = desired <= ty.page_limit() && desired_bytes.is_some();
        let desired_bytes = desired_bytes.unwrap_or(usize::MAX);
        match limiter {
            Some(limiter) if !allowed => {
                limiter.memory_grow_failed(anyhow::anyhow!(
                    "the memory's maximum is {} pages",
                    ty.page_limit()
                ))?;
                return Ok(None);
            }
            None if !allowed => return Ok(None),
            Some(limiter) => {
                let maximum = ty.maximum().map(|m| ty.bytes(m).unwrap_or(u64::MAX) as usize);
                if !limiter.memory_growing(self.length, desired_bytes, maximum)? {
                    return Ok(None);
                }
                if delta > 0
                    && let Err(error) = self.grow_to(desired_bytes)
                {
                    limiter.memory_grow_failed(error.into())?;
                    return Ok(None);
                }
            }
            None => {
                if delta > 0 && self.grow_to(desired_bytes).is_err() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(old_pages))
    }

    /// Makes it `length` bytes long. Its address changes only if it is not reserved.
    pub(crate) fn grow_to(&mut self, length: usize) -> io::Result<()> {
        self.touched = true;
        let slot = self.slot.as_mut().expect("present until drop");
        if !self.reserved && footprint(&self.ty, length)? > slot.mapping.length() {
            // Twice as much as is asked for: a memory that grows step by step moves seldom.
            slot.relocate(movable(&self.ty, length, length.saturating_mul(2))?)?;
        }
        slot.make_accessible(length)?;
        self.length = length;
        Ok(())
    }
}

impl Slot {
    /// Makes the pages that hold the first `length` bytes accessible.
    fn make_accessible(&mut self, length: usize) -> io::Result<()> {
        let length = length.next_multiple_of(page_size());
        if length > self.accessible {
            self.mapping.protect(self.accessible, length - self.accessible, Protection::ReadWrite)?;
            self.accessible = length;
        }
        Ok(())
    }

    /// Moves the memory to a larger mapping.
    fn relocate(&mut self, mut to: Mapping) -> io::Result<()> {
        // First, since nothing may fail once a part has moved.
        to.protect(0, self.accessible, Protection::ReadWrite)?;
        let image = self.image.as_ref().map_or(0..0, |i| i.offset..i.offset + i.length);
        // The kernel moves pages of one kind at a time.
        for range in [0..image.start, image.clone(), image.end..self.accessible] {
            if self.mapping.move_pages(&mut to, range.clone()).is_err() {
                if range == image {
                    // From now on it is memory like any other.
                    self.image = None;
                }
                let from = std::ptr::with_exposed_provenance::<u8>(self.mapping.base() + range.start);
                let target = std::ptr::with_exposed_provenance_mut::<u8>(to.base() + range.start);
                // SAFETY: the range is accessible in both mappings (IN-BOUNDS), which are different ones
                // (OWNED-MAPPING); the store that uses the memory is held exclusively.
                unsafe { target.copy_from_nonoverlapping(from, range.len()) };
            }
        }
        self.mapping = to;
        Ok(())
    }

    /// From clean to: `length` bytes accessible, `image` mapped.
    fn prepare(&mut self, length: usize, image: Option<&Arc<MemoryImage>>) -> io::Result<()> {
        let same = match (&self.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same && let Some(old) = &self.image {
            let accessible =
                if old.offset < self.accessible { Protection::ReadWrite } else { Protection::None };
            self.mapping.map_zero(old.offset, old.length, accessible)?;
            // Not before: what it says is what is mapped.
            self.image = None;
        }
        self.make_accessible(length)?;
        let length = length.next_multiple_of(page_size());
        if length < self.accessible {
            self.mapping.protect(length, self.accessible - length, Protection::None)?;
            self.accessible = length;
        }
        if !same && let Some(new) = image {
            self.mapping.map_file(new.offset, new.length, &new.file)?;
            self.image = Some(new.clone());
        }
        Ok(())
    }

    /// Maps an image of what is there, in place of what is there.
    fn replace_image(&mut self, image: &Arc<MemoryImage>) -> io::Result<()> {
        // What the old image has beyond the new one is zero: pages of its own, or its pages as they are.
        self.mapping.map_file(image.offset, image.length, &image.file)?;
        let old = self.image.replace(image.clone());
        if let Some(old) = old {
            let protection = Protection::ReadWrite;
            let (start, end) = (old.offset, old.offset + old.length);
            let (low, high) =
                (image.offset.clamp(start, end), (image.offset + image.length).clamp(start, end));
            for range in [start..low, high..end] {
                if !range.is_empty() {
                    self.mapping.map_zero(range.start, range.len(), protection)?;
                }
            }
        }
        Ok(())
    }

    /// Unmaps an image that nobody else will ever want: the file goes with it.
    fn forget_own_image(&mut self) -> io::Result<()> {
        match &self.image {
            Some(image) if Arc::strong_count(image) == 1 => self.prepare(self.accessible, None),
            _ => Ok(()),
        }
    }

    /// Back to clean: what was written is gone, for good. Written pages are overwritten in place, so that the
    /// next guest does not fault them in again; of many, the rest is given back to the machine.
    fn clean(&mut self) -> io::Result<()> {
        let base = self.mapping.base();
        self.cleaned = self.cleaned.wrapping_add(1);
        if self.cleaned.is_multiple_of(THINNING) {
            self.thin()?;
        }
        let mut kept = 0;
        let mut beyond = None;
        let scanned = written_pages(base..base + self.accessible, |range| {
            kept += range.len();
            if kept > KEPT_BYTES {
                beyond = Some(range.start - base);
                return false;
            }
            self.restore(range.start - base, range.len());
            true
        });
        match (scanned, beyond) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(offset)) => self.mapping.discard(offset, self.accessible - offset),
            (Err(_), _) => self.mapping.discard(0, self.accessible),
        }
    }

    /// Gives pages back to the machine that were written once and are what they were again: the call before did not change them, and
    /// yet they would be overwritten after each one. Those that it did change are left to others.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    fn thin(&mut self) -> io::Result<()> {
        let base = self.mapping.base();
        let mut written = Vec::new();
        let scanned = written_pages(base..base + self.accessible, |range| {
            written.push(range.start - base..range.end - base);
            true
        });
        // Where the kernel does not tell, all pages are given back each time.
        if scanned.is_err() || written.iter().map(Range::len).sum::<usize>() <= FEW_BYTES {
            return Ok(());
        }
        for range in written {
            let mut same = range.start..range.start;
            for page in range.clone().step_by(page_size()) {
                if self.is_initial(page) {
                    same.end = page + page_size();
                    continue;
                }
                self.mapping.discard(same.start, same.len())?;
                same = page + page_size()..page + page_size();
            }
            self.mapping.discard(same.start, same.len())?;
        }
        Ok(())
    }

    /// Whether a page has its initial contents.
    fn is_initial(&self, page: usize) -> bool {
        let at = std::ptr::with_exposed_provenance::<u8>(self.mapping.base() + page);
        // SAFETY: the page is accessible memory of this slot (IN-BOUNDS), which no store uses now.
        let now = unsafe { std::slice::from_raw_parts(at, page_size()) };
        let image =
            self.image.as_ref().filter(|image| (image.offset..image.offset + image.length).contains(&page));
        match image {
            Some(image) => now == &image.bytes()[page - image.offset..][..page_size()],
            None => now.iter().all(|byte| *byte == 0),
        }
    }

    /// Writes a range's initial contents over it.
    fn restore(&self, offset: usize, length: usize) {
        let target = |at: usize| std::ptr::with_exposed_provenance_mut::<u8>(self.mapping.base() + at);
        let end = offset + length;
        let (low, high) = match &self.image {
            Some(image) => {
                (image.offset.clamp(offset, end), (image.offset + image.length).clamp(offset, end))
            }
            None => (end, end),
        };
        // SAFETY: the range is accessible memory of this slot (IN-BOUNDS), which no store uses now; the image
        // is at least as long as the part of it that is copied, and is another mapping (OWNED-MAPPING).
        unsafe {
            // To write nothing to a page that cannot be written takes a processor longer than to write a page.
            if offset < low {
                target(offset).write_bytes(0, low - offset);
            }
            if let Some(image) = &self.image
                && low < high
            {
                let from = image.contents.base() + (low - image.offset);
                target(low).copy_from_nonoverlapping(std::ptr::with_exposed_provenance(from), high - low);
            }
            if high < end {
                target(high).write_bytes(0, end - high);
            }
        }
    }
}

impl Drop for LinearMemory {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot.take() else { return };
        if self.reserved && (!self.touched || slot.clean().is_ok()) {
            self.pool.give(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_nobody_writes_to_any_more_are_given_back() {
        let pool = Arc::new(MemoryPool::default());
        let length = 64 << 16;
        let mut memory = LinearMemory::new(MemoryType::new(64, None), length, None, true, &pool).unwrap();
        let was = memory.checkpoint().unwrap();
        let write = |memory: &mut LinearMemory, at: usize| memory.fill_fresh(at..at + 1, |byte| byte.fill(7));
        let resident = |memory: &LinearMemory| {
            let mut bytes = 0;
            let base = memory.base();
            written_pages(base..base + length, |range| {
                bytes += range.len();
                true
            })
            .map(|()| bytes)
        };
        // Once everywhere, then in one place.
        (0..64).for_each(|i| write(&mut memory, i << 16));
        memory.rewind(&was).unwrap();
        if !resident(&memory).is_ok_and(|bytes| bytes == 64 * page_size()) {
            return eprintln!("skipped: the kernel does not tell which pages were written");
        }
        for _ in 0..THINNING {
            write(&mut memory, 3 << 16);
            memory.rewind(&was).unwrap();
        }
        assert_eq!(resident(&memory).unwrap(), page_size(), "the one that is written to each time");
        assert_eq!(was.first_difference(&vec![0; length]), None);
    }

    #[test]
    fn a_used_memory_comes_back_clean() {
        let pool = Arc::new(MemoryPool::default());
        let ty = MemoryType::new(1, None);
        let mut first = LinearMemory::new(ty, 65536, None, true, &pool).unwrap();
        first.grow_to(3 * 65536).unwrap();
        let base = first.base();
        // SAFETY: inside the memory just made, which this test alone uses.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(base + 150_000).write(7) };
        drop(first);
        let mut second = LinearMemory::new(ty, 65536, None, true, &pool).unwrap();
        assert_eq!((second.base(), second.length()), (base, 65536));
        second.grow_to(3 * 65536).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { std::ptr::with_exposed_provenance::<u8>(base + 150_000).read() }, 0);
    }
}
