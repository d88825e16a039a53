//! Ranges of memory that are write-protected to learn whether anybody writes to them: the first write makes them writable again
//! and is noted.
//!
//! A write by the host or a guest faults once. The kernel's own writes do not: they fail (`EFAULT`), so whoever hands the kernel
//! such memory to be written prepares it first ([`prepare_for_kernel`]).

use super::map::{make_writable, page_size};
use super::watch_slots::{WatchSlot, WatchSlots, WatchState};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ranges that can be watched at once.
const SLOTS: usize = 1024;

/// Mappings that watched ranges may cost at most, all together: a process has 65,530 by default, and others need them too.
const MAPPINGS: usize = 8192;

/// Bytes that are touched to have the kernel write to them; of more, all that is watched becomes writable.
const TOUCHED: usize = 64 << 10;

static WATCHED: WatchSlots<SLOTS> = WatchSlots::new([const { WatchSlot::new() }; SLOTS]);

/// Mappings that all ranges cost now.
static SPENT: AtomicUsize = AtomicUsize::new(0);

/// A range that is watched until this is dropped. Its owner protects its pages once it exists, and makes all of them writable before
/// it goes.
pub(crate) struct WriteWatch {
    slot: &'static WatchSlot,
    mappings: usize,
}

impl std::fmt::Debug for WriteWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteWatch({:?}, {} mappings)", self.slot.state(), self.mappings)
    }
}

impl WriteWatch {
    /// Watches a range, whose protection will take so many mappings; nothing where there are too many.
    pub(crate) fn new(range: Range<usize>, mappings: usize) -> Option<Self> {
        debug_assert!(range.start.is_multiple_of(page_size()) && range.end.is_multiple_of(page_size()));
        if SPENT.fetch_add(mappings, Ordering::Relaxed) + mappings > MAPPINGS {
            SPENT.fetch_sub(mappings, Ordering::Relaxed);
            return None;
        }
        let Some(slot) = WATCHED.arm(range) else {
            SPENT.fetch_sub(mappings, Ordering::Relaxed);
            return None;
        };
        Some(Self { slot, mappings })
    }

    /// Whether anybody has written to what was protected.
    pub(crate) fn is_broken(&self) -> bool {
        // By this thread, or by one that has passed the memory on since.
        self.slot.state() == WatchState::Broken
    }

    /// The address of the first write to what was protected.
    pub(crate) fn first_written(&self) -> Option<usize> {
        self.slot.first_written()
    }
}

impl Drop for WriteWatch {
    fn drop(&mut self) {
        self.slot.free();
        SPENT.fetch_sub(self.mappings, Ordering::Relaxed);
    }
}

/// If a write to this address was not possible because it is watched: makes the range writable and notes that. Whether the write can
/// be tried again. Async-signal-safe.
pub(crate) fn note_write(address: usize) -> io::Result<bool> {
    let Some((slot, range, state)) = WATCHED.at(address) else { return Ok(false) };
    // It is the memory of whoever writes: nobody takes it away meanwhile.
    if state == WatchState::Armed {
        make_writable(range)?;
        slot.break_at(address);
    }
    Ok(true)
}

/// Has anybody write to bytes, the kernel included. Where that cannot be had, the kernel says so when it is to write there.
pub(crate) fn write_anywhere(bytes: &mut [u8]) {
    let _ = note_write(bytes.as_ptr().addr());
}

/// Has the kernel write to bytes. Few of them are touched, so that nothing changes where they are written to each time.
pub fn prepare_for_kernel(bytes: &mut [u8]) {
    let Some((slot, _, WatchState::Armed)) = WATCHED.at(bytes.as_ptr().addr()) else { return };
    if bytes.len() > TOUCHED {
        return write_anywhere(bytes);
    }
    let first = bytes.as_ptr().addr();
    let pages = (first / page_size()..=(first + bytes.len().saturating_sub(1)) / page_size()).skip(1);
    for at in std::iter::once(0).chain(pages.map(|page| page * page_size() - first)) {
        let Some(byte) = bytes.get_mut(at) else { return };
        *byte = std::hint::black_box(*byte);
        if slot.state() != WatchState::Armed {
            return;
        }
    }
}
