//! Linear memories: a reservation of address space, its accessible part, and the image it starts from.
//!
//! In: a type and perhaps an image. Out: bytes. Never: a decision whether growth is allowed; the store and its limiter
//! decide that.

mod accounts;
mod history;
mod image;
mod pool;
mod reservation;
mod residency;
mod resident;
mod settings;
mod slot;

pub(crate) use image::MemoryImage;
pub(crate) use pool::MemoryPool;
pub(crate) use reservation::RESERVATION;
pub use settings::MemorySettings;

use crate::byte_scan::{first_difference, first_written};
use crate::limits::ResourceLimiter;
use crate::machine::MemorySpace;
use crate::sys::{Mapping, Protection, page_size, written_pages};
use crate::vm_ptr::VmPtr;
use belljar_abi::{GUARD_SIZE, can_be_reserved, is_guarded};
use belljar_core::{MemoryType, PageCount};
use history::MemoryHistory;
use slot::Slot;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Returns the address space that a memory of this type needs for this many bytes: whole pages, at least one, and the
/// guard.
fn footprint(ty: &MemoryType, bytes: usize) -> io::Result<usize> {
    let guard = if is_guarded(ty) { GUARD_SIZE as usize } else { 0 };
    let pages = bytes.max(1).checked_next_multiple_of(page_size());
    pages.and_then(|b| b.checked_add(guard)).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Maps address space for a memory that is not fully reserved: for `room` bytes, as far as the type and the kernel
/// allow, otherwise for `length` bytes.
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

/// Maps address space for the maximum size of a memory that several threads use, which cannot move.
fn unmovable(ty: &MemoryType) -> io::Result<Mapping> {
    let most = ty.bytes(ty.page_limit()).and_then(|bytes| usize::try_from(bytes).ok());
    Mapping::new(footprint(ty, most.ok_or(io::ErrorKind::OutOfMemory)?)?, Protection::None)
}

/// Returns whether address space for all 32-bit addresses can be reserved now.
pub(crate) fn can_reserve() -> bool {
    Mapping::new(RESERVATION, Protection::None).is_ok()
}

/// The contents of a memory at one moment.
#[derive(Debug)]
pub(crate) struct MemoryCheckpoint {
    /// The contents; `None` if all bytes were zero.
    image: Option<Arc<MemoryImage>>,
    length: usize,
    history: Arc<MemoryHistory>,
}

impl MemoryCheckpoint {
    /// Returns the contents that are not zero.
    pub(crate) fn image(&self) -> Option<&Arc<MemoryImage>> {
        self.image.as_ref()
    }

    /// Returns the size in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns the offset of the first difference from a memory with these bytes.
    pub(crate) fn first_difference(&self, now: &[u8]) -> Option<usize> {
        let range = self.image.as_ref().map_or(0..0, |image| image.range());
        let (start, end) = (range.start.min(now.len()), range.end.min(now.len()));
        let mut found = first_written(&now[..start]);
        if let Some(image) = &self.image {
            image.divide(start..end, |part, contents| {
                let now = &now[part.clone()];
                let differs = || match contents {
                    Some(contents) => first_difference(now, contents),
                    None => first_written(now),
                };
                found = found.or_else(|| differs().map(|at| part.start + at));
            });
        }
        found.or_else(|| first_written(&now[end..]).map(|at| end + at))
    }
}

/// A linear memory.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    /// Taken only when the memory is dropped.
    slot: Option<Slot>,
    length: usize,
    ty: MemoryType,
    /// Whether all of [`RESERVATION`] is reserved, so that code needs no checks.
    reserved: bool,
    /// Whether anything may have been written since the memory was clean.
    touched: bool,
    pool: Arc<MemoryPool>,
}

impl LinearMemory {
    /// Creates a memory of `length` bytes, which is at least its type's minimum. With `reserve`, address space for all
    /// 32-bit addresses is reserved if possible; a memory with other addresses gets room to grow.
    pub(crate) fn new(
        ty: MemoryType,
        length: usize,
        image: Option<&Arc<MemoryImage>>,
        reserve: bool,
        pool: &Arc<MemoryPool>,
    ) -> io::Result<Self> {
        let reserve = reserve && pool.settings.reserves_whole();
        let pooled = if reserve && can_be_reserved(&ty) { pool.take(image) } else { None };
        let (mut slot, reserved) = match pooled {
            Some(slot) => (slot, true),
            None => Self::fresh_slot(&ty, length, reserve, pool.settings)?,
        };
        if ty.is_shared() {
            // Several threads and the kernel will write to it.
            slot.unprotect()?;
        }
        slot.prepare(length, image)?;
        slot.clear_history();
        let touched = false;
        Ok(Self { slot: Some(slot), length, ty, reserved, touched, pool: pool.clone() })
    }

    fn fresh_slot(
        ty: &MemoryType,
        length: usize,
        reserve: bool,
        settings: MemorySettings,
    ) -> io::Result<(Slot, bool)> {
        let whole = reserve && can_be_reserved(ty);
        if whole && let Ok(mapping) = Mapping::new(RESERVATION, Protection::None) {
            return Ok((Slot::new(mapping), true));
        }
        if ty.is_shared() {
            return Ok((Slot::new(unmovable(ty)?), false));
        }
        let usual = if reserve && !whole { MemorySettings::DEFAULT_GROWTH } else { 0 };
        let for_growth = settings.growth.map_or(0, |bytes| length.saturating_add(bytes));
        let room = settings.reservation.unwrap_or(usual).max(for_growth);
        Ok((Slot::new(movable(ty, length, room)?), false))
    }

    #[inline]
    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("present until drop")
    }

    /// Returns the address of byte 0.
    #[inline]
    pub(crate) fn base(&self) -> usize {
        self.slot().base()
    }

    /// Returns the number of accessible bytes.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns the declared type.
    pub(crate) fn ty(&self) -> MemoryType {
        self.ty
    }

    /// Returns whether code without checks may use the memory.
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Returns whether an access that faulted at this address belongs to this memory.
    pub(crate) fn holds(&self, address: usize) -> bool {
        self.reserved && address.wrapping_sub(self.base()) < self.slot().room()
    }

    /// Returns the memory's address space.
    pub(crate) fn space(&self) -> MemorySpace {
        MemorySpace { base: self.base(), length: self.length, room: self.slot().room(), is_shared: false }
    }

    /// Returns ranges, in order, outside of which all bytes are zero: written pages, and the image.
    pub(crate) fn in_use(&self) -> Vec<Range<usize>> {
        let (base, slot) = (self.base(), self.slot());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let scanned = written_pages(base..base + self.length.next_multiple_of(page_size()), |range| {
            ranges.push(range.start - base..(range.end - base).min(self.length));
            true
        });
        if scanned.is_err() {
            return std::iter::once(0..self.length).collect();
        }
        let runs = slot.image().map_or(&[][..], |image| image.runs());
        ranges.extend(runs.iter().map(|run| run.start..run.end.min(self.length)));
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|next, range| {
            let joins = next.start <= range.end;
            if joins {
                range.end = range.end.max(next.end);
            }
            joins
        });
        ranges
    }

    /// Returns a checkpoint of the current contents. From now on the memory maps these contents, so that later writes
    /// can be told apart.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no space for a copy, or it cannot be mapped. The memory is unchanged.
    pub(crate) fn checkpoint(&mut self) -> io::Result<MemoryCheckpoint> {
        let length = self.length;
        let history = Arc::new(MemoryHistory::default());
        let in_use = self.in_use();
        let (Some(first), Some(last)) = (in_use.first(), in_use.last()) else {
            self.slot.as_mut().expect("present until drop").set_history(&history);
            return Ok(MemoryCheckpoint { image: None, length, history });
        };
        let start = first.start / page_size() * page_size();
        let end = last.end.next_multiple_of(page_size());
        let base = self.base();
        let parts = in_use.iter().map(|range| {
            // SAFETY: the range lies in the memory (IN-BOUNDS), which nothing else uses now.
            (range.start - start, unsafe { VmPtr::at(base + range.start).slice(range.len()) })
        });
        let image = Arc::new(MemoryImage::new("belljar-checkpoint", start..end, parts)?);
        let slot = self.slot.as_mut().expect("present until drop");
        slot.replace_image(&image).inspect_err(|_| self.touched = true)?;
        slot.set_history(&history);
        Ok(MemoryCheckpoint { image: Some(image), length, history })
    }

    /// Rewinds the memory to a checkpoint.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error. Then the contents are undefined.
    pub(crate) fn rewind(&mut self, to: &MemoryCheckpoint) -> io::Result<()> {
        let slot = self.slot.as_mut().expect("present until drop");
        if self.touched {
            slot.clean(to.length, &self.pool.accounts)?;
        }
        // In a store that adopts another one's checkpoint, the embedder may have grown a memory of its own there.
        if !self.reserved && footprint(&self.ty, to.length)? > slot.room() {
            slot.relocate(movable(&self.ty, to.length, to.length)?)?;
        }
        slot.prepare(to.length, to.image.as_ref())?;
        slot.set_history(&to.history);
        self.length = to.length;
        self.touched = false;
        Ok(())
    }

    /// Notes that the contents may change from now on.
    #[inline]
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }

    /// Calls a function that writes to bytes of a memory that has not been used yet.
    ///
    /// # Panics
    ///
    /// Panics if the range lies outside the memory.
    pub(crate) fn fill_fresh<R>(&mut self, range: Range<usize>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(range.start <= range.end && range.end <= self.length, "contents outside the memory");
        self.touched = true;
        let target = VmPtr::at(self.base() + range.start);
        // SAFETY: the range was compared with the memory's length, up to which it is accessible and initialised
        // (IN-BOUNDS), and nothing else refers to its bytes (OWNED-MAPPING).
        fill(unsafe { target.slice_mut(range.len()) })
    }

    /// Grows the memory by pages. Returns the old size in pages, or `None` if growth is not allowed or fails.
    ///
    /// # Errors
    ///
    /// Returns the limiter's error.
    pub(crate) fn grow(
        &mut self,
        delta: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> belljar_core::Result<Option<u64>> {
        let ty = self.ty;
        let old_pages = self.length as u64 / ty.page_size();
        let desired = old_pages.saturating_add(delta);
        let desired_bytes = ty.bytes(desired).and_then(|b| usize::try_from(b).ok());
        let allowed = desired <= ty.page_limit() && desired_bytes.is_some();
        let desired_bytes = desired_bytes.unwrap_or(usize::MAX);
        match limiter {
            Some(limiter) if !allowed => {
                limiter.memory_grow_failed(belljar_core::format_err!(
                    "the memory's maximum is {}",
                    PageCount(ty.page_limit())
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

    /// Makes the memory `length` bytes long. Its address changes only if it is not reserved.
    pub(crate) fn grow_to(&mut self, length: usize) -> io::Result<()> {
        self.touched = true;
        let slot = self.slot.as_mut().expect("present until drop");
        if !self.reserved && footprint(&self.ty, length)? > slot.room() {
            let MemorySettings { growth, may_move, .. } = self.pool.settings;
            if !may_move {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            // Twice as much as requested: a memory that grows step by step rarely moves.
            let room = length.saturating_add(growth.unwrap_or(length));
            slot.relocate(movable(&self.ty, length, room)?)?;
        }
        slot.make_accessible(length)?;
        self.length = length;
        Ok(())
    }
}

impl Drop for LinearMemory {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot.take() else { return };
        if self.reserved && slot.clean_for_pool(self.touched).is_ok() {
            self.pool.give(slot);
        }
    }
}

#[cfg(test)]
mod tests;
