//! Address space in which memories lie, one after the other, and how it is cleaned in between.
//!
//! Written pages are anonymous and stay so: the kernel lists them, and they are overwritten in place. If the list stays
//! the same for a while, the memory becomes [`WriteProtected`]: all other pages are write-protected, and the kernel is
//! no longer asked.

use super::accounts::{Accounts, Share};
use super::image::{ExtraMappings, MemoryImage};
use super::reservation::RESERVATION;
use super::resident::{KEPT_BYTES, MOST_KEPT, Resident, SMALL_PAGES, TRIAL, TRIM_INTERVAL};
use crate::sys::{LARGE_PAGE, Mapping, Protection, page_size, written_pages};
use crate::write_protected::{WriteProtected, WriteStability};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Address space that held a memory and is kept for another.
#[derive(Debug)]
pub(super) struct Slot {
    /// Declared before the mapping, so that the watch is dropped first.
    pub(super) write_protected: Option<WriteProtected>,
    pub(super) stability: WriteStability,
    pub(super) mapping: Mapping,
    /// The number of bytes from the start that are readable, and writable unless write-protected. Beyond, every access
    /// faults.
    pub(super) accessible: usize,
    pub(super) image: Option<Arc<MemoryImage>>,
    /// Set if the image is mapped in several pieces.
    pub(super) in_pieces: Option<ExtraMappings>,
    /// Whether mapping an image failed halfway: the contents are unknown then.
    pub(super) is_torn: bool,
    /// The number of cleanings since [`Slot::trim`], and the number after which it runs again.
    pub(super) cleaned: u32,
    pub(super) trim_after: u32,
    pub(super) resident: Box<Resident>,
}

impl Slot {
    /// Creates a slot of which nothing is accessible yet.
    pub(super) fn new(mapping: Mapping) -> Self {
        let stability = WriteStability::default();
        Self {
            write_protected: None,
            stability,
            mapping,
            accessible: 0,
            image: None,
            in_pieces: None,
            is_torn: false,
            cleaned: 0,
            trim_after: TRIM_INTERVAL,
            resident: Box::new(Resident {
                keeps: KEPT_BYTES,
                on_trial: Share::default(),
                beyond: Share::default(),
                history: None,
                large_pages: [None; 2],
                has_given_back: false,
                most_written: 0,
                border: None,
            }),
        }
    }

    pub(super) fn base(&self) -> usize {
        self.mapping.base()
    }

    /// Returns the size of the address space in bytes.
    pub(super) fn room(&self) -> usize {
        self.mapping.length()
    }

    pub(super) fn image(&self) -> Option<&Arc<MemoryImage>> {
        self.image.as_ref()
    }

    /// Returns whether all but a few of the pages are protected, or were until one of them was written.
    #[cfg(test)]
    pub(super) fn is_write_protected(&self) -> bool {
        self.write_protected.is_some()
    }

    /// Returns whether large pages were requested.
    #[cfg(test)]
    pub(super) fn asked_for_large_pages(&self) -> bool {
        self.resident.large_pages[1] == Some(true)
    }

    /// Makes all accessible pages writable without faults, also for the kernel.
    pub(super) fn unprotect(&mut self) -> io::Result<()> {
        let Some(write_protected) = &self.write_protected else { return Ok(()) };
        if !write_protected.is_broken() {
            self.mapping.protect(0, write_protected.length(), Protection::ReadWrite)?;
        }
        self.write_protected = None;
        Ok(())
    }

    /// Makes the pages of the first `length` bytes accessible.
    pub(super) fn make_accessible(&mut self, length: usize) -> io::Result<()> {
        let length = length.next_multiple_of(page_size());
        if length > self.accessible {
            self.mapping.protect(self.accessible, length - self.accessible, Protection::ReadWrite)?;
            self.accessible = length;
            if length > SMALL_PAGES {
                self.advise_page_size();
            }
        }
        Ok(())
    }

    /// Moves the memory to a larger mapping.
    pub(super) fn relocate(&mut self, mut to: Mapping) -> io::Result<()> {
        self.unprotect()?;
        // Do this first, since nothing may fail once a part has moved.
        to.protect(0, self.accessible, Protection::ReadWrite)?;
        let image = self.image.as_ref().map_or(0..0, |image| image.range());
        debug_assert!(self.in_pieces.is_none(), "a reservation does not move");
        // The kernel moves pages of only one kind at a time.
        for range in [0..image.start, image.clone(), image.end..self.accessible] {
            if self.mapping.move_pages(&mut to, range.clone()).is_err() {
                if range == image {
                    // From now on the image is ordinary memory.
                    self.image = None;
                }
                // SAFETY: the range is accessible in both mappings (IN-BOUNDS), which are different ones
                // (OWNED-MAPPING); the store that uses the memory is held exclusively.
                unsafe { to.write(range.start, self.mapping.bytes(range.clone())) };
            }
        }
        self.mapping = to;
        self.resident.large_pages = [None; 2];
        Ok(())
    }

    /// Prepares a clean slot: makes `length` bytes accessible and maps `image`.
    pub(super) fn prepare(&mut self, length: usize, image: Option<&Arc<MemoryImage>>) -> io::Result<()> {
        let same = match (&self.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let whole = length.next_multiple_of(page_size());
        if !same {
            self.check_whole()?;
            // The observations are those of another guest.
            self.stability = WriteStability::default();
        }
        if !same
            || self.write_protected.as_ref().is_some_and(|write_protected| whole < write_protected.length())
        {
            self.unprotect()?;
        }
        if !same && let Some(old) = &self.image {
            let Range { start, end } = old.range();
            let accessible = if start < self.accessible { Protection::ReadWrite } else { Protection::None };
            self.mapping.map_zero(start, end - start, accessible)?;
            // Not earlier: the field states what is mapped.
            self.image = None;
            self.in_pieces = None;
        }
        self.make_accessible(length)?;
        if whole < self.accessible {
            self.mapping.protect(whole, self.accessible - whole, Protection::None)?;
            self.accessible = whole;
        }
        if !same && let Some(new) = image {
            self.map_image(new, None)?;
        }
        Ok(())
    }

    /// Maps an image over a range that is fresh or reads as the image does. All of `replaced`, if given, is mapped
    /// anew.
    pub(super) fn map_image(
        &mut self,
        image: &Arc<MemoryImage>,
        replaced: Option<Range<usize>>,
    ) -> io::Result<()> {
        let whole = image.range();
        // The image of a memory that can move is mapped in one piece, which moves as one.
        let is_reservation = self.room() >= RESERVATION;
        let in_pieces = is_reservation.then(|| ExtraMappings::of_pieces(image.pieces().len())).flatten();
        let pieces = if in_pieces.is_some() { image.pieces() } else { std::slice::from_ref(&whole) };
        for piece in pieces {
            self.mapping.map_file(piece.start, piece.len(), image.file(), piece.start - whole.start)?;
            self.is_torn = true;
        }
        if let Some(replaced) = replaced {
            let starts = std::iter::once(replaced.start).chain(pieces.iter().map(|piece| piece.end));
            let ends = pieces.iter().map(|piece| piece.start).chain(std::iter::once(replaced.end));
            for (start, end) in starts.zip(ends) {
                self.mapping.map_zero(start, end.saturating_sub(start), Protection::ReadWrite)?;
                self.is_torn = true;
            }
        }
        self.is_torn = false;
        self.image = Some(image.clone());
        self.in_pieces = in_pieces;
        Ok(())
    }

    /// Checks that no image was mapped in part.
    ///
    /// # Errors
    ///
    /// Returns an error if one was.
    pub(super) fn check_whole(&self) -> io::Result<()> {
        if self.is_torn { Err(io::Error::other("an image was only partly mapped")) } else { Ok(()) }
    }

    /// Replaces the contents by an image of the same contents.
    pub(super) fn replace_image(&mut self, image: &Arc<MemoryImage>) -> io::Result<()> {
        self.unprotect()?;
        self.stability = WriteStability::default();
        // What lies outside of the new image's pieces is zero: part of an old image, or zero pages.
        let new = image.range();
        let old = self.image.as_ref().map_or(new.clone(), |old| old.range());
        self.map_image(image, Some(new.start.min(old.start)..new.end.max(old.end)))
    }

    /// Unmaps an image that is used nowhere else, which frees its file.
    pub(super) fn forget_own_image(&mut self) -> io::Result<()> {
        match &self.image {
            Some(image) if Arc::strong_count(image) == 1 => self.prepare(self.accessible, None),
            _ => Ok(()),
        }
    }

    /// Cleans the slot for guests that may be different ones: pages that only the previous ones wrote repeatedly are
    /// discarded.
    pub(super) fn clean_for_pool(&mut self, is_touched: bool) -> io::Result<()> {
        self.check_whole()?;
        self.resident.history = None;
        self.resident.has_given_back = false;
        self.resident.most_written = 0;
        let has_much = self.resident.keeps > KEPT_BYTES;
        if has_much {
            self.unprotect()?;
            self.reset_kept();
        }
        if is_touched || has_much {
            self.clean(0, &Accounts::default())?;
            self.reset_kept();
        }
        Ok(())
    }

    /// Cleans the slot: discards everything that was written. Written pages are overwritten in place, so that the next
    /// guest does not fault them in again. If there are many, the rest is returned to the kernel.
    ///
    /// Of the first `lasting` bytes, which every guest has from the start, many may be kept on trial. Memory that a
    /// guest got by growth may never be used by the next one.
    #[inline]
    pub(super) fn clean(&mut self, lasting: usize, accounts: &Accounts) -> io::Result<()> {
        self.cleaned += 1;
        // The case of most resets.
        if self.cleaned < self.trim_after
            && let Some(write_protected) = &self.write_protected
            && write_protected.length() == self.accessible
            && !write_protected.is_broken()
        {
            write_protected.written().iter().for_each(|range| self.restore(range.clone()));
            return Ok(());
        }
        self.clean_slowly(lasting, accounts)
    }

    /// The general case of [`Slot::clean`].
    fn clean_slowly(&mut self, lasting: usize, accounts: &Accounts) -> io::Result<()> {
        self.check_whole()?;
        if self.cleaned >= self.trim_after {
            self.trim()?;
        }
        let mut start = 0;
        if let Some(write_protected) = &self.write_protected {
            if !write_protected.is_broken() {
                write_protected.written().iter().for_each(|range| self.restore(range.clone()));
                start = write_protected.length();
            } else {
                self.unprotect()?;
                self.stability.reset();
            }
        }
        if start == self.accessible {
            return Ok(());
        }
        let base = self.mapping.base();
        let (mut kept, mut keeps) = (0, self.resident.keeps);
        let mut on_trial = std::mem::take(&mut self.resident.on_trial);
        let mut beyond = None;
        let scanned = written_pages(base + start..base + self.accessible, |range| {
            let offset = range.start - base;
            if kept + range.len() > keeps {
                let wanted = kept + lasting.saturating_sub(offset).min(range.len());
                keeps += on_trial.claim(wanted.min(MOST_KEPT).saturating_sub(keeps), &accounts.trials);
            }
            let length = range.len().min(keeps - kept);
            self.restore(offset..offset + length);
            kept += length;
            if length < range.len() {
                beyond = Some(offset + length);
            }
            beyond.is_none()
        });
        self.resident.on_trial = on_trial;
        if keeps > self.resident.keeps {
            self.resident.keeps = keeps;
            (self.cleaned, self.trim_after) = (0, TRIAL);
        }
        if kept >= self.resident.most_written + LARGE_PAGE {
            self.resident.most_written = kept;
            if self.resident.large_pages[1] == Some(true) || beyond.is_some() {
                self.schedule_large_page_check();
            }
        }
        match (scanned, beyond) {
            (Ok(()), None) if start == 0 && self.stability.is_stable_after(kept, self.accessible) => {
                self.protect_unwritten()
            }
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(offset)) => {
                // If no trial is possible, keep twice as much as before.
                let wanted = (2 * self.resident.keeps).min(self.accessible);
                self.resident.keeps = self.resident.claim_kept(wanted, &accounts.beyond);
                self.resident.has_given_back = true;
                self.advise_page_size();
                self.mapping.discard(offset, self.accessible - offset)
            }
            (Err(_), _) => self.mapping.discard(start, self.accessible - start),
        }
    }

    /// Write-protects all pages except those that are overwritten each time.
    fn protect_unwritten(&mut self) -> io::Result<()> {
        let base = self.mapping.base();
        let mut written = Vec::new();
        written_pages(base..base + self.accessible, |range| {
            written.push(range.start - base..range.end - base);
            true
        })?;
        let Some(write_protected) = WriteProtected::new(base, self.accessible, written) else {
            self.stability.reset();
            return Ok(());
        };
        for range in write_protected.protected() {
            if let Err(error) = self.mapping.protect(range.start, range.len(), Protection::Read) {
                // Too many mappings: undo the protection.
                self.stability.reset();
                return self.mapping.protect(0, self.accessible, Protection::ReadWrite).map_err(|_| error);
            }
        }
        self.write_protected = Some(write_protected);
        Ok(())
    }

    /// Divides a range of whole pages into parts with initial contents and parts that are zero.
    #[inline]
    pub(super) fn divide(&self, range: Range<usize>, mut visit: impl FnMut(Range<usize>, Option<&[u8]>)) {
        match &self.image {
            Some(image) => image.divide(range, visit),
            None if !range.is_empty() => visit(range, None),
            None => {}
        }
    }

    /// Overwrites a range with its initial contents.
    #[inline]
    pub(super) fn restore(&self, range: Range<usize>) {
        self.divide(range, |part, contents| {
            // SAFETY: the range is accessible memory of this slot (IN-BOUNDS), which no store uses now; the image is another
            // mapping (OWNED-MAPPING).
            unsafe {
                match contents {
                    Some(contents) => self.mapping.write(part.start, contents),
                    None => self.mapping.fill(part, 0),
                }
            }
        });
    }
}
