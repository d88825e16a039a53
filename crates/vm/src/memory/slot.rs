//! Address space that memories lie in, one after the other, and how it is made clean in between.
//!
//! Pages that were written are anonymous ones, which stay so: the kernel lists them, and they are overwritten in place. Where the list
//! has been the same for a while the memory is [`WriteProtected`]: the rest is write-protected, and nobody is asked any more.

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
    /// Before the mapping, so that nothing is watched that is no longer there.
    write_protected: Option<WriteProtected>,
    stability: WriteStability,
    mapping: Mapping,
    /// Bytes from the start that may be read, and written unless it is settled; beyond, everything faults.
    accessible: usize,
    image: Option<Arc<MemoryImage>>,
    /// Where the image is mapped in several pieces.
    in_pieces: Option<ExtraMappings>,
    /// Whether an image could be mapped only in part: then nobody knows any more what is there.
    is_torn: bool,
    /// How often it was made clean since [`Slot::trim`], and after how often it is time for that.
    cleaned: u32,
    thin_after: u32,
    resident: Box<Resident>,
}

/// What of a memory stays resident, and in what pages.
#[derive(Debug)]
struct Resident {
    /// Bytes of written pages that stay resident: more where so many are written again and again, or may be.
    keeps: usize,
    /// How many of them are kept to see whether they are written again.
    on_trial: Share,
    /// How many more than [`MOST_KEPT`] may be.
    beyond: Share,
    /// How guests like the one that it holds have used theirs; none for memories that do not go back.
    history: Option<Arc<MemoryHistory>>,
    /// Whether large pages were asked for, or refused, below [`SMALL_PAGES`] and beyond.
    large_pages: [Option<bool>; 2],
    /// Whether a reset has given pages back, since it holds such a memory.
    has_given_back: bool,
    /// The most bytes that were found written at once.
    most_written: usize,
    /// Where what was asked for differs.
    border: Option<ExtraMappings>,
}

/// Clean reservations, kept because making one costs more than all else of an instantiation.
#[derive(Debug, Default)]
pub(crate) struct MemoryPool {
    slots: Mutex<Vec<Slot>>,
    pub(super) accounts: Accounts,
}

/// Bytes of written pages that any memory keeps resident.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes of them that a memory keeps whose guests write to so many each time.
const MOST_KEPT: usize = 128 << 20;

/// The same, as long as there is memory for what exceeds [`MOST_KEPT`] ([`Accounts`]).
const MOST_KEPT_BEYOND: usize = 1 << 30;

/// So often a memory is looked at for pages that nobody writes to any more.
pub(super) const THINNING: u32 = 64;

/// The same, for a memory that has just begun to keep more than [`KEPT_BYTES`]. To give a page back and to have it come anew takes at
/// least four times as long as to overwrite it on the machines that were measured; so that to overwrite it in vain so often costs no more than giving it
/// back would have cost had it been needed again.
const TRIAL: u32 = 4;

/// Where in a memory that goes back large pages begin, unless its guests are known to write here and there. One write to such a page
/// makes 2 MiB, and cleaning it overwrites 2 MiB: that small guests should never have.
const SMALL_PAGES: usize = 2 << 20;

/// Bytes of written pages that are not worth a look.
const FEW_BYTES: usize = 64 << 10;

/// Reservations that a pool keeps at most.
const POOL_SLOTS: usize = 64;

impl Resident {
    /// As many of so many bytes as may be kept.
    fn as_many_as(&mut self, wanted: usize, beyond: &Arc<Account>) -> usize {
        let excess = wanted.min(MOST_KEPT_BEYOND).saturating_sub(MOST_KEPT);
        self.beyond.more(excess.saturating_sub(self.beyond.bytes), beyond);
        wanted.min(MOST_KEPT) + self.beyond.bytes.min(excess)
    }
}

impl MemoryPool {
    /// One with another bound than the machine's memory gives.
    #[cfg(test)]
    pub(super) fn with_beyond(most: fn() -> usize) -> Self {
        let beyond = Account::new(most);
        Self { slots: Mutex::default(), accounts: Accounts { beyond, ..Accounts::default() } }
    }

    /// Bytes that are kept beyond [`MOST_KEPT`].
    #[cfg(test)]
    pub(super) fn kept_beyond(&self) -> usize {
        self.accounts.beyond.used()
    }

    /// A clean reservation, if possible one that has this image mapped.
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
        // Modules and checkpoints have gone since others came.
        slots.retain_mut(|slot| slot.forget_own_image().is_ok());
        if slots.len() < POOL_SLOTS {
            slots.push(slot);
        }
    }
}

impl Slot {
    /// Nothing of it is accessible yet.
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
            thin_after: THINNING,
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

    /// Bytes of address space.
    pub(super) fn room(&self) -> usize {
        self.mapping.length()
    }

    pub(super) fn image(&self) -> Option<&Arc<MemoryImage>> {
        self.image.as_ref()
    }

    /// Whether all but a few of its pages are protected, or were until somebody wrote to them.
    #[cfg(test)]
    pub(super) fn is_write_protected(&self) -> bool {
        self.write_protected.is_some()
    }

    /// Whether it may have large pages.
    #[cfg(test)]
    pub(super) fn asked_for_large_pages(&self) -> bool {
        self.resident.large_pages[1] == Some(true)
    }

    /// Has all its accessible pages written to by whoever likes, the kernel included.
    pub(super) fn unprotect(&mut self) -> io::Result<()> {
        let Some(write_protected) = &self.write_protected else { return Ok(()) };
        if !write_protected.is_broken() {
            self.mapping.protect(0, write_protected.length(), Protection::ReadWrite)?;
        }
        self.write_protected = None;
        Ok(())
    }

    /// Makes the pages that hold the first `length` bytes accessible.
    pub(super) fn make_accessible(&mut self, length: usize) -> io::Result<()> {
        let length = length.next_multiple_of(page_size());
        if length > self.accessible {
            self.mapping.protect(self.accessible, length - self.accessible, Protection::ReadWrite)?;
            self.accessible = length;
            if length > SMALL_PAGES {
                self.ask_for_pages();
            }
        }
        Ok(())
    }

    /// Moves the memory to a larger mapping.
    pub(super) fn relocate(&mut self, mut to: Mapping) -> io::Result<()> {
        self.unprotect()?;
        // First, since nothing may fail once a part has moved.
        to.protect(0, self.accessible, Protection::ReadWrite)?;
        let image = self.image.as_ref().map_or(0..0, |image| image.range());
        debug_assert!(self.in_pieces.is_none(), "a reservation does not move");
        // The kernel moves pages of one kind at a time.
        for range in [0..image.start, image.clone(), image.end..self.accessible] {
            if self.mapping.move_pages(&mut to, range.clone()).is_err() {
                if range == image {
                    // From now on it is memory like any other.
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

    /// It holds a memory that goes back and whose guests are like others.
    #[inline]
    pub(super) fn follow(&mut self, history: &Arc<MemoryHistory>) {
        if !self.resident.history.as_ref().is_some_and(|own| Arc::ptr_eq(own, history)) {
            self.resident.keeps = self.resident.keeps.max(history.kept());
            self.resident.history = Some(history.clone());
            self.ask_for_pages();
        }
    }

    /// It holds a memory of which nothing is known.
    pub(super) fn follow_nobody(&mut self) {
        self.resident.history = None;
        self.ask_for_pages();
    }

    /// Asks for large or small pages: a wish.
    fn ask_for_pages(&mut self) {
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
                // Where they come from the host, only those that come back again and again, and so soon that it has not got them yet.
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
            // To be looked at once it has been used.
            (self.cleaned, self.thin_after) = (0, 1);
        }
        let is_new = [0, 1].map(|at| wanted[at] != self.resident.large_pages[at].unwrap_or(by_default));
        let (near, far) = (0..SMALL_PAGES, SMALL_PAGES..self.room());
        // One mapping where that is enough.
        if wanted[0] == wanted[1] && is_new != [false; 2] {
            self.mapping.prefer_large_pages(near.start..far.end, wanted[0]);
        } else {
            for (range, at) in [(near, 0), (far, 1)].into_iter().filter(|(_, at)| is_new[*at]) {
                self.mapping.prefer_large_pages(range, wanted[at]);
            }
        }
        self.resident.large_pages = wanted.map(Some);
    }

    /// From clean to: `length` bytes accessible, `image` mapped.
    pub(super) fn prepare(&mut self, length: usize, image: Option<&Arc<MemoryImage>>) -> io::Result<()> {
        let same = match (&self.image, image) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let whole = length.next_multiple_of(page_size());
        if !same {
            self.check_whole()?;
            // Another guest's.
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
            // Not before: what it says is what is mapped.
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

    /// Maps an image where all reads as it does there, or is fresh. `replaced`: all of that is mapped anew.
    fn map_image(&mut self, image: &Arc<MemoryImage>, replaced: Option<Range<usize>>) -> io::Result<()> {
        let whole = image.range();
        // A memory that moves has its image in one piece, which moves as one.
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

    /// # Errors
    ///
    /// Where an image was mapped in part.
    fn check_whole(&self) -> io::Result<()> {
        if self.is_torn { Err(io::Error::other("an image was mapped in part")) } else { Ok(()) }
    }

    /// Maps an image of what is there, in place of what is there.
    pub(super) fn replace_image(&mut self, image: &Arc<MemoryImage>) -> io::Result<()> {
        self.unprotect()?;
        self.stability = WriteStability::default();
        // What lies outside of the new image's pieces is zero: an old image's, or pages of zeros.
        let new = image.range();
        let old = self.image.as_ref().map_or(new.clone(), |old| old.range());
        self.map_image(image, Some(new.start.min(old.start)..new.end.max(old.end)))
    }

    /// Unmaps an image that nobody else will ever want: the file goes with it.
    fn forget_own_image(&mut self) -> io::Result<()> {
        match &self.image {
            Some(image) if Arc::strong_count(image) == 1 => self.prepare(self.accessible, None),
            _ => Ok(()),
        }
    }

    /// Back to clean, for guests that may be others: what those before wrote to so often is given back.
    pub(super) fn clean_for_pool(&mut self, is_touched: bool) -> io::Result<()> {
        self.check_whole()?;
        self.resident.history = None;
        self.resident.has_given_back = false;
        self.resident.most_written = 0;
        let has_much = self.resident.keeps > KEPT_BYTES;
        if has_much {
            self.unprotect()?;
            self.keep_few();
        }
        if is_touched || has_much {
            self.clean(0, &Accounts::default())?;
            self.keep_few();
        }
        Ok(())
    }

    /// Back to clean: what was written is gone, for good. Written pages are overwritten in place, so that the
    /// next guest does not fault them in again; of many, the rest is given back to the machine.
    ///
    /// Of the first `lasting` bytes, which every guest has from the beginning, many may be kept on trial. What a guest got by growth
    /// the next one may never have.
    #[inline]
    pub(super) fn clean(&mut self, lasting: usize, accounts: &Accounts) -> io::Result<()> {
        self.cleaned += 1;
        // What most resets find.
        if self.cleaned < self.thin_after
            && let Some(write_protected) = &self.write_protected
            && write_protected.length() == self.accessible
            && !write_protected.is_broken()
        {
            write_protected.written().iter().for_each(|range| self.restore(range.clone()));
            return Ok(());
        }
        self.clean_anything(lasting, accounts)
    }

    /// The same, whatever there is.
    fn clean_anything(&mut self, lasting: usize, accounts: &Accounts) -> io::Result<()> {
        self.check_whole()?;
        if self.cleaned >= self.thin_after {
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
                keeps += on_trial.more(wanted.min(MOST_KEPT).saturating_sub(keeps), &accounts.trials);
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
            (self.cleaned, self.thin_after) = (0, TRIAL);
        }
        if kept >= self.resident.most_written + LARGE_PAGE {
            self.resident.most_written = kept;
            if self.resident.large_pages[1] == Some(true) || beyond.is_some() {
                self.look_for_large_pages();
            }
        }
        match (scanned, beyond) {
            (Ok(()), None) if start == 0 && self.stability.is_stable_after(kept, self.accessible) => {
                self.protect_unwritten()
            }
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(offset)) => {
                // Where nothing is to be had on trial, twice as much as has been kept before is.
                let wanted = (2 * self.resident.keeps).min(self.accessible);
                self.resident.keeps = self.resident.as_many_as(wanted, &accounts.beyond);
                self.resident.has_given_back = true;
                self.ask_for_pages();
                self.mapping.discard(offset, self.accessible - offset)
            }
            (Err(_), _) => self.mapping.discard(start, self.accessible - start),
        }
    }

    /// Has the next reset find out whether guests fill large pages, unless that is known.
    fn look_for_large_pages(&mut self) {
        let unknown = |history: &Arc<MemoryHistory>| history.large_pages() == LargePages::Unknown;
        if self.resident.history.as_ref().is_some_and(unknown) {
            (self.cleaned, self.thin_after) = (0, 1);
        }
    }

    /// Begins anew with what any memory keeps.
    fn keep_few(&mut self) {
        self.resident.keeps = KEPT_BYTES;
        self.resident.on_trial.end();
        self.resident.beyond.end();
        (self.cleaned, self.thin_after) = (0, THINNING);
    }

    /// Write-protects everything but the pages that are overwritten each time.
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
                // Too many mappings: then all stays as it was.
                self.stability.reset();
                return self.mapping.protect(0, self.accessible, Protection::ReadWrite).map_err(|_| error);
            }
        }
        self.write_protected = Some(write_protected);
        Ok(())
    }

    /// Gives pages back to the machine that were written once and are what they were again: the call before did not change them, and
    /// yet they would be overwritten after each one. Those that it did change are left to others.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    fn trim(&mut self) -> io::Result<()> {
        (self.cleaned, self.thin_after) = (0, self.thin_after.saturating_mul(4).min(THINNING));
        let base = self.mapping.base();
        let mut written = Vec::new();
        let scanned = written_pages(base..base + self.accessible, |range| {
            written.push(range.start - base..range.end - base);
            true
        });
        // Where the kernel does not tell, all pages are given back each time.
        if scanned.is_err() || written.iter().map(Range::len).sum::<usize>() <= FEW_BYTES {
            self.keep_few();
            return Ok(());
        }
        let mut same: Vec<Range<usize>> = Vec::new();
        let mut changed = 0;
        // Large pages, or room for such, and what was changed there.
        let (mut last_large, mut large, mut large_changed) = (0..0, 0, 0);
        for page in written.into_iter().flat_map(|range| range.step_by(page_size())) {
            let is_same = self.is_initial(page);
            if !last_large.contains(&page) {
                let start = (base + page) / LARGE_PAGE * LARGE_PAGE;
                // Of such that would lie here in part there are none.
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
                    self.ask_for_pages();
                    // Whole: of a large page no part is free before all of it is.
                    same.retain(|range| range.start < SMALL_PAGES);
                    self.mapping.discard(SMALL_PAGES, self.accessible - SMALL_PAGES)?;
                }
            }
        }
        same.into_iter().try_for_each(|range| self.mapping.discard(range.start, range.len()))
    }

    /// Whether a page has its initial contents.
    fn is_initial(&self, page: usize) -> bool {
        // SAFETY: the page is accessible memory of this slot (IN-BOUNDS), which no store uses now.
        let now = unsafe { self.mapping.bytes(page..page + page_size()) };
        let mut same = true;
        self.divide(page..page + page_size(), |_, contents| {
            same = contents.map_or_else(|| first_written(now).is_none(), |contents| now == contents);
        });
        same
    }

    /// Divides a range of whole pages into what has contents initially and what is zero.
    #[inline]
    fn divide(&self, range: Range<usize>, mut visit: impl FnMut(Range<usize>, Option<&[u8]>)) {
        match &self.image {
            Some(image) => image.divide(range, visit),
            None if !range.is_empty() => visit(range, None),
            None => {}
        }
    }

    /// Writes a range's initial contents over it.
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
