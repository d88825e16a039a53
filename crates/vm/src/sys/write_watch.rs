//! Ranges of memory that are write-protected to learn whether anybody writes to them: the first write makes them writable again
//! and is noted.
//!
//! A write by the host or a guest faults once. The kernel's own writes do not: they fail (`EFAULT`), so whoever hands the kernel
//! such memory to be written prepares it first ([`prepare_for_kernel`]).

use super::map::{make_writable, page_size};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Ranges that can be watched at once.
const SLOTS: usize = 1024;

/// Mappings that watched ranges may cost at most, all together: a process has 65,530 by default, and others need them too.
const MAPPINGS: usize = 8192;

/// Bytes that are touched to have the kernel write to them; of more, all that is watched becomes writable.
const TOUCHED: usize = 64 << 10;

/// What a slot's state says of its range, in the lowest two bits. The rest counts how often it was used.
const FREE: u64 = 0;
const TAKEN: u64 = 1;
const ARMED: u64 = 2;
const BROKEN: u64 = 3;
const STATE: u64 = 3;

/// One range, as the signal handler reads it: addresses mean something only between two equal looks at the state.
struct Slot {
    state: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    /// Where it was written to first, once it is broken.
    written: AtomicUsize,
}

static WATCHED: [Slot; SLOTS] = [const {
    let [start, end, written] = [const { AtomicUsize::new(0) }; 3];
    Slot { state: AtomicU64::new(FREE), start, end, written }
}; SLOTS];

/// Slots, from the first on, that were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Mappings that all ranges cost now.
static SPENT: AtomicUsize = AtomicUsize::new(0);

/// A range that is watched until this is dropped. Its owner protects its pages once it exists, and makes all of them writable before
/// it goes.
#[derive(Debug)]
pub(crate) struct WriteWatch {
    slot: usize,
    mappings: usize,
}

impl WriteWatch {
    /// Watches a range, whose protection will take so many mappings; nothing where there are too many.
    pub(crate) fn new(range: Range<usize>, mappings: usize) -> Option<Self> {
        debug_assert!(range.start.is_multiple_of(page_size()) && range.end.is_multiple_of(page_size()));
        if SPENT.fetch_add(mappings, Ordering::Relaxed) + mappings > MAPPINGS {
            SPENT.fetch_sub(mappings, Ordering::Relaxed);
            return None;
        }
        let free = (0..SLOTS).find(|slot| WATCHED[*slot].take());
        let Some(slot) = free else {
            SPENT.fetch_sub(mappings, Ordering::Relaxed);
            return None;
        };
        USED.fetch_max(slot + 1, Ordering::Relaxed);
        let watched = &WATCHED[slot];
        // ORDER: who reads one of these sees that the slot was taken anew.
        watched.start.store(range.start, Ordering::Release);
        watched.end.store(range.end, Ordering::Release);
        watched.become_(ARMED);
        Some(Self { slot, mappings })
    }

    /// Whether anybody has written to what was protected.
    pub(crate) fn is_broken(&self) -> bool {
        // By this thread, or by one that has passed the memory on since.
        WATCHED[self.slot].state.load(Ordering::Relaxed) & STATE == BROKEN
    }

    /// The address of the first write to what was protected.
    pub(crate) fn first_written(&self) -> Option<usize> {
        self.is_broken().then(|| WATCHED[self.slot].written.load(Ordering::Relaxed))
    }
}

impl Drop for WriteWatch {
    fn drop(&mut self) {
        let slot = &WATCHED[self.slot];
        slot.become_(FREE);
        SPENT.fetch_sub(self.mappings, Ordering::Relaxed);
    }
}

impl Slot {
    fn take(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let taken = (state & !STATE).wrapping_add(STATE + 1) | TAKEN;
        state & STATE == FREE
            && self.state.compare_exchange(state, taken, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Changes the state; only its owner does, and the handler from armed to broken while the owner is in it.
    fn become_(&self, new: u64) {
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state & !STATE | new, Ordering::Release);
    }

    /// Its range and state, if it is watched.
    fn read(&self) -> Option<(Range<usize>, u64)> {
        let state = self.state.load(Ordering::Acquire);
        if state & STATE < ARMED {
            return None;
        }
        let range = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        // Another thread may have given it away and another taken it: then it is not this thread's range.
        std::sync::atomic::fence(Ordering::Acquire);
        let same = self.state.load(Ordering::Relaxed) & !STATE == state & !STATE;
        same.then_some((range, state & STATE))
    }
}

/// What is watched at an address, and how.
fn at(address: usize) -> Option<(&'static Slot, Range<usize>, u64)> {
    let watched = &WATCHED[..USED.load(Ordering::Relaxed)];
    watched.iter().find_map(|slot| {
        let (range, state) = slot.read().filter(|(range, _)| range.contains(&address))?;
        Some((slot, range, state))
    })
}

/// If a write to this address was not possible because it is watched: makes the range writable and notes that. Whether the write can
/// be tried again. Async-signal-safe.
pub(super) fn note_write(address: usize) -> io::Result<bool> {
    let Some((slot, range, state)) = at(address) else { return Ok(false) };
    // It is the memory of whoever writes: nobody takes it away meanwhile.
    if state == ARMED {
        make_writable(range)?;
        slot.written.store(address, Ordering::Relaxed);
        slot.become_(BROKEN);
    }
    Ok(true)
}

/// Has anybody write to bytes, the kernel included. Where that cannot be had, the kernel says so when it is to write there.
pub(crate) fn write_anywhere(bytes: &mut [u8]) {
    let _ = note_write(bytes.as_ptr().addr());
}

/// Has the kernel write to bytes. Few of them are touched, so that nothing changes where they are written to each time.
pub fn prepare_for_kernel(bytes: &mut [u8]) {
    let Some((slot, _, ARMED)) = at(bytes.as_ptr().addr()) else { return };
    if bytes.len() > TOUCHED {
        return write_anywhere(bytes);
    }
    let first = bytes.as_ptr().addr();
    let pages = (first / page_size()..=(first + bytes.len().saturating_sub(1)) / page_size()).skip(1);
    for at in std::iter::once(0).chain(pages.map(|page| page * page_size() - first)) {
        let Some(byte) = bytes.get_mut(at) else { return };
        *byte = std::hint::black_box(*byte);
        if slot.state.load(Ordering::Relaxed) & STATE != ARMED {
            return;
        }
    }
}
