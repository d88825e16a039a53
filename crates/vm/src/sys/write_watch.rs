//! Ranges of memory that are write-protected to detect writes: the first write makes the range writable again and is
//! recorded.
//!
//! A write by the host or a guest faults once. Writes by the kernel do not fault, they fail (`EFAULT`). So code that
//! passes such memory to the kernel for writing must prepare it first ([`prepare_for_kernel`]).

use super::map::{make_writable, page_size};
use super::watch_slots::{WatchSlot, WatchSlots, WatchState};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of ranges that can be watched at once.
const SLOTS: usize = 1024;

/// The largest number of mappings that all watched ranges together may cost. A process has 65,530 by default, and needs
/// them for other purposes as well.
const MAPPINGS: usize = 8192;

/// Up to this many bytes are touched page by page to prepare them for the kernel. For more, the whole watched range
/// becomes writable.
const TOUCHED: usize = 64 << 10;

static WATCHED: WatchSlots<SLOTS> = WatchSlots::new([const { WatchSlot::new() }; SLOTS]);

/// The number of mappings that all ranges cost now.
static SPENT: AtomicUsize = AtomicUsize::new(0);

/// A range that is watched until this is dropped. Its owner write-protects the pages after creating it, and makes all
/// of them writable before dropping it.
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
    /// Watches a range whose protection will take this many mappings. Returns `None` if that exceeds the limit.
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

    /// Returns whether a protected page was written to.
    pub(crate) fn is_broken(&self) -> bool {
        // By this thread, or by one that has passed the memory on since.
        self.slot.state() == WatchState::Broken
    }

    /// Returns the address of the first write to a protected page.
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

/// If a write to this address faulted because the address is watched, makes the range writable and records the write.
/// Returns whether the write can be retried. Async-signal-safe.
pub(crate) fn record_write(address: usize) -> io::Result<bool> {
    let Some((slot, range, state)) = WATCHED.at(address) else { return Ok(false) };
    // The writing thread owns the memory, so no other thread unmaps it meanwhile.
    if state == WatchState::Armed {
        make_writable(range)?;
        slot.break_at(address);
    }
    Ok(true)
}

/// Makes bytes writable for everything, including the kernel. If that fails, the kernel's own write there fails.
pub(crate) fn write_anywhere(bytes: &mut [u8]) {
    let _ = record_write(bytes.as_ptr().addr());
}

/// Makes bytes writable for the kernel. A small number of bytes is touched page by page, so that the watch stays intact
/// if they are written each time.
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
