//! Address space in which memories lie, one after the other, and how it is cleaned in between.
//!
//! Written pages are anonymous and stay so: the kernel lists them, and they are overwritten in place. If the list stays
//! the same for a while, the memory becomes [`WriteProtected`]: all other pages are write-protected, and the kernel is
//! no longer asked.

use super::accounts::{Account, Accounts, Share};
use super::history::{LargePages, MemoryHistory};
use super::image::{ExtraMappings, MemoryImage};
use super::reservation::RESERVATION;
use crate::byte_scan::first_written;
use crate::sys::{
    LARGE_PAGE, LargePageMode, Mapping, Protection, free_large_pages_go_to_the_host, large_page_mode,
    page_size, written_pages,
};
use crate::write_protected::{WriteProtected, WriteStability};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Address space that held a memory and is kept for another.
#[derive(Debug)]
pub(super) struct Slot {
    /// Declared before the mapping, so that the watch is dropped first.
    write_protected: Option<WriteProtected>,
    stability: WriteStability,
    mapping: Mapping,
    /// The number of bytes from the start that are readable, and writable unless write-protected. Beyond, every access
    /// faults.
    accessible: usize,
    image: Option<Arc<MemoryImage>>,
    /// Set if the image is mapped in several pieces.
    in_pieces: Option<ExtraMappings>,
    /// Whether mapping an image failed halfway: the contents are unknown then.
    is_torn: bool,
    /// The number of cleanings since [`Slot::trim`], and the number after which it runs again.
    cleaned: u32,
    trim_after: u32,
    resident: Box<Resident>,
}

/// How much of a memory stays resident, and in pages of which size.
#[derive(Debug)]
struct Resident {
    /// Bytes of written pages that stay resident. This grows if more are written repeatedly, or on trial.
    keeps: usize,
    /// How many of them are kept on trial, to find out whether they are written again.
    on_trial: Share,
    /// How many bytes beyond [`MOST_KEPT`] may be kept.
    beyond: Share,
    /// How guests like the current one have used their memories; `None` for memories that are not rewound.
    history: Option<Arc<MemoryHistory>>,
    /// Whether large pages were requested (`true`) or refused (`false`) below [`SMALL_PAGES`] and beyond.
    large_pages: [Option<bool>; 2],
    /// Whether a reset has discarded pages since the slot holds its current memory.
    has_given_back: bool,
    /// The largest number of bytes that was found written at once.
    most_written: usize,
    /// The mapping for the border between the two requests, if they differ.
    border: Option<ExtraMappings>,
}

/// Clean reservations. They are kept because making one costs more than the rest of an instantiation.
#[derive(Debug, Default)]
pub(crate) struct MemoryPool {
    slots: Mutex<Vec<Slot>>,
    pub(super) accounts: Accounts,
}

/// Bytes of written pages that every memory keeps resident.
const KEPT_BYTES: usize = 4 << 20;

/// The largest number of bytes that a memory keeps if its guests write to that many each time.
const MOST_KEPT: usize = 128 << 20;

/// The same, if there is memory for what exceeds [`MOST_KEPT`] ([`Accounts`]).
const MOST_KEPT_BEYOND: usize = 1 << 30;

/// The number of cleanings after which a memory is searched for pages that are no longer written.
pub(super) const TRIM_INTERVAL: u32 = 64;

/// The same, for a memory that has just begun to keep more than [`KEPT_BYTES`]. On the machines that were measured,
/// discarding a page and faulting it in again takes at least four times as long as overwriting it. So overwriting a
/// page in vain this often costs no more than discarding it would have cost had it been needed again.
const TRIAL: u32 = 4;

/// The offset from which a memory that is rewound gets large pages, unless its guests are known to write to scattered
/// places. One write to a large page makes 2 MiB resident, and cleaning it overwrites 2 MiB. Small guests should never
/// pay that.
const SMALL_PAGES: usize = 2 << 20;

/// If no more bytes than this are written, searching them is not worth the time.
const FEW_BYTES: usize = 64 << 10;

/// The largest number of reservations that a pool keeps.
const POOL_SLOTS: usize = 64;

impl Resident {
    /// Returns how many of `wanted` bytes may be kept.
    fn claim_kept(&mut self, wanted: usize, beyond: &Arc<Account>) -> usize {
        let excess = wanted.min(MOST_KEPT_BEYOND).saturating_sub(MOST_KEPT);
        self.beyond.claim(excess.saturating_sub(self.beyond.bytes), beyond);
        wanted.min(MOST_KEPT) + self.beyond.bytes.min(excess)
    }
}

impl MemoryPool {
    /// Creates a pool with another limit than the machine's memory implies.
    #[cfg(test)]
    pub(super) fn with_beyond(most: fn() -> usize) -> Self {
        let beyond = Account::new(most);
        Self { slots: Mutex::default(), accounts: Accounts { beyond, ..Accounts::default() } }
    }

    /// Returns the number of bytes that are kept beyond [`MOST_KEPT`].
    #[cfg(test)]
    pub(super) fn kept_beyond(&self) -> usize {
        self.accounts.beyond.used()
    }

    /// Takes a clean reservation, preferably one that has this image mapped.
    pub(super) fn take(&self, image: Option<&Arc<MemoryImage>>) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        let same = |s: &Slot| match (&s.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let at = slots.iter().rposition(same).or_else(|| slots.len().checked_sub(1))?;
        Some(slots.swap_remove(at))
    }

    pub(super) fn give(&self, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        // Modules and checkpoints may have been dropped since their slots were returned.
        slots.retain_mut(|slot| slot.forget_own_image().is_ok());
        if slots.len() < POOL_SLOTS {
            slots.push(slot);
        }
    }
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

    /// Prepares for a memory that is rewound and whose guests are like those of this history.
    #[inline]
    pub(super) fn set_history(&mut self, history: &Arc<MemoryHistory>) {
        if !self.resident.history.as_ref().is_some_and(|own| Arc::ptr_eq(own, history)) {
            self.resident.keeps = self.resident.keeps.max(history.kept());
            self.resident.history = Some(history.clone());
            self.advise_page_size();
        }
    }

    /// Prepares for a memory without a history.
    pub(super) fn clear_history(&mut self) {
        self.resident.history = None;
        self.advise_page_size();
    }

    /// Advises the kernel on large or small pages.
    fn advise_page_size(&mut self) {
        let by_default = match large_page_mode() {
            LargePageMode::Never => return,
            LargePageMode::OnRequest => false,
            LargePageMode::Always => true,
        };
        let known = self.resident.history.as_ref().map(|history| history.large_pages());
        let mut wanted = match known {
            _ if self.room() < RESERVATION => return,
            None => [by_default; 2],
            Some(LargePages::Sparse) => [false; 2],
            Some(known) => {
                // If large pages come from the host, request only those that are used repeatedly, so soon that the host
                // has not taken them yet.
                let are_near = !free_large_pages_go_to_the_host()
                    || known == LargePages::Filled && self.resident.has_given_back;
                [false, are_near && self.accessible > SMALL_PAGES]
            }
        };
        let had = self.resident.large_pages[1] == Some(true);
        if wanted[0] == wanted[1] {
            self.resident.border = None;
        } else if self.resident.border.is_none() {
            self.resident.border = ExtraMappings::take(1);
            wanted[1] &= self.resident.border.is_some();
        }
        if wanted[1] && !had && known == Some(LargePages::Unknown) {
            // Measure after the first use.
            (self.cleaned, self.trim_after) = (0, 1);
        }
        let is_new = [0, 1].map(|at| wanted[at] != self.resident.large_pages[at].unwrap_or(by_default));
        let (near, far) = (0..SMALL_PAGES, SMALL_PAGES..self.room());
        // One mapping, if both requests are the same.
        if wanted[0] == wanted[1] && is_new != [false; 2] {
            self.mapping.prefer_large_pages(near.start..far.end, wanted[0]);
        } else {
            for (range, at) in [(near, 0), (far, 1)].into_iter().filter(|(_, at)| is_new[*at]) {
                self.mapping.prefer_large_pages(range, wanted[at]);
            }
        }
        self.resident.large_pages = wanted.map(Some);
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
    fn map_image(&mut self, image: &Arc<MemoryImage>, replaced: Option<Range<usize>>) -> io::Result<()> {
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
    fn check_whole(&self) -> io::Result<()> {
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
    fn forget_own_image(&mut self) -> io::Result<()> {
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

    /// Makes the next reset measure whether guests fill large pages, unless that is known.
    fn schedule_large_page_check(&mut self) {
        let unknown = |history: &Arc<MemoryHistory>| history.large_pages() == LargePages::Unknown;
        if self.resident.history.as_ref().is_some_and(unknown) {
            (self.cleaned, self.trim_after) = (0, 1);
        }
    }

    /// Restarts with what every memory keeps.
    fn reset_kept(&mut self) {
        self.resident.keeps = KEPT_BYTES;
        self.resident.on_trial.end();
        self.resident.beyond.end();
        (self.cleaned, self.trim_after) = (0, TRIM_INTERVAL);
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

    /// Discards pages that were once written and have their initial contents again. The last call did not change them,
    /// yet they would be overwritten after each call. Pages that it did change are left to later passes.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    fn trim(&mut self) -> io::Result<()> {
        (self.cleaned, self.trim_after) = (0, self.trim_after.saturating_mul(4).min(TRIM_INTERVAL));
        let base = self.mapping.base();
        let mut written = Vec::new();
        let scanned = written_pages(base..base + self.accessible, |range| {
            written.push(range.start - base..range.end - base);
            true
        });
        // If the kernel does not list written pages, all pages are discarded each time.
        if scanned.is_err() || written.iter().map(Range::len).sum::<usize>() <= FEW_BYTES {
            self.reset_kept();
            return Ok(());
        }
        let mut same: Vec<Range<usize>> = Vec::new();
        let mut changed = 0;
        // Bytes of large pages, or of space for them, and how many of these bytes were changed.
        let (mut last_large, mut large, mut large_changed) = (0..0, 0, 0);
        for page in written.into_iter().flat_map(|range| range.step_by(page_size())) {
            let is_same = self.is_initial(page);
            if !last_large.contains(&page) {
                let start = (base + page) / LARGE_PAGE * LARGE_PAGE;
                // Large pages that would lie only partly in this range do not exist.
                if start >= base + SMALL_PAGES && start + LARGE_PAGE <= base + self.accessible {
                    last_large = start - base..start - base + LARGE_PAGE;
                    large += LARGE_PAGE;
                }
            }
            if last_large.contains(&page) && !is_same {
                large_changed += page_size();
            }
            if is_same {
                match same.last_mut() {
                    Some(last) if last.end == page => last.end += page_size(),
                    _ => same.push(page..page + page_size()),
                }
            } else {
                changed += page_size();
            }
        }
        self.resident.keeps = self.resident.keeps.min((2 * changed).max(KEPT_BYTES));
        self.resident.on_trial.end();
        self.resident.beyond.at_most(self.resident.keeps.saturating_sub(MOST_KEPT));
        if !same.is_empty() {
            self.unprotect()?;
        }
        if let Some(history) = &self.resident.history {
            history.set_kept(changed.min(MOST_KEPT));
            if large > 0 {
                let filled = 2 * large_changed >= large;
                history.set_large_pages(if filled { LargePages::Filled } else { LargePages::Sparse });
                if !filled && self.resident.large_pages[1] == Some(true) {
                    self.unprotect()?;
                    self.advise_page_size();
                    // Discard whole large pages: a part of one is not freed before all of it is.
                    same.retain(|range| range.start < SMALL_PAGES);
                    self.mapping.discard(SMALL_PAGES, self.accessible - SMALL_PAGES)?;
                }
            }
        }
        same.into_iter().try_for_each(|range| self.mapping.discard(range.start, range.len()))
    }

    /// Returns whether a page has its initial contents.
    fn is_initial(&self, page: usize) -> bool {
        // SAFETY: the page is accessible memory of this slot (IN-BOUNDS), which no store uses now.
        let now = unsafe { self.mapping.bytes(page..page + page_size()) };
        let mut same = true;
        self.divide(page..page + page_size(), |_, contents| {
            same = contents.map_or_else(|| first_written(now).is_none(), |contents| now == contents);
        });
        same
    }

    /// Divides a range of whole pages into parts with initial contents and parts that are zero.
    #[inline]
    fn divide(&self, range: Range<usize>, mut visit: impl FnMut(Range<usize>, Option<&[u8]>)) {
        match &self.image {
            Some(image) => image.divide(range, visit),
            None if !range.is_empty() => visit(range, None),
            None => {}
        }
    }

    /// Overwrites a range with its initial contents.
    #[inline]
    fn restore(&self, range: Range<usize>) {
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
