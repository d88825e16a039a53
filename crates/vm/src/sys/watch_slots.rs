//! Slots for watched address ranges, which signal handlers search while other threads take and free slots.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Free` | `Taken` | the thread that wins the exchange | it wants to watch a range |
//! | `Taken` | `Armed` | the owner | the range is filled in |
//! | `Armed` | `Broken` | the writing thread, which owns the memory | the range is writable again |
//! | `Armed`, `Broken` | `Free` | the owner | it stops watching |
//!
//! Taking a slot changes its generation. A reader uses the addresses of a slot only if the generation is the same
//! before and after reading them. `tests/models` checks these functions in every interleaving.

use crate::sync::{AtomicU64, AtomicUsize, Ordering, constructor, fence};
use std::ops::Range;

/// The state of a slot, in the lowest two bits of its word; the remaining bits are the generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(super) enum WatchState {
    Free,
    Taken,
    Armed,
    Broken,
}

impl WatchState {
    const MASK: u64 = 3;
    const ONE_GENERATION: u64 = 4;
    const ALL: [Self; 4] = [Self::Free, Self::Taken, Self::Armed, Self::Broken];

    fn of(word: u64) -> Self {
        Self::ALL[(word & Self::MASK) as usize]
    }
}

/// One range, as signal handlers read it.
pub(super) struct WatchSlot {
    word: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    /// The address of the first write, once the slot is `Broken`.
    written: AtomicUsize,
}

impl WatchSlot {
    constructor! {
        /// Creates a free slot.
        pub(super) fn new() -> Self {
            Self {
                word: AtomicU64::new(WatchState::Free as u64),
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                written: AtomicUsize::new(0),
            }
        }
    }

    fn take(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let generation = (word & !WatchState::MASK).wrapping_add(WatchState::ONE_GENERATION);
        let taken = generation | WatchState::Taken as u64;
        WatchState::of(word) == WatchState::Free
            && self.word.compare_exchange(word, taken, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Changes the state. Only the slot's owner does this, and the signal handler, which changes `Armed` to `Broken` on
    /// behalf of the range's owner.
    fn set_state(&self, to: WatchState) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word & !WatchState::MASK | to as u64, Ordering::Release);
    }

    /// Returns the state. The caller must own the range.
    pub(super) fn state(&self) -> WatchState {
        WatchState::of(self.word.load(Ordering::Relaxed))
    }

    /// Returns the address of the first write to the range, if there was one.
    pub(super) fn first_written(&self) -> Option<usize> {
        (self.state() == WatchState::Broken).then(|| self.written.load(Ordering::Relaxed))
    }

    /// Records the first write. The range is writable again.
    pub(super) fn break_at(&self, address: usize) {
        self.written.store(address, Ordering::Relaxed);
        self.set_state(WatchState::Broken);
    }

    /// Frees the slot.
    pub(super) fn free(&self) {
        self.set_state(WatchState::Free);
    }

    /// Returns the range and the state, if the slot watches a range.
    fn read(&self) -> Option<(Range<usize>, WatchState)> {
        let word = self.word.load(Ordering::Acquire);
        let state = WatchState::of(word);
        if !matches!(state, WatchState::Armed | WatchState::Broken) {
            return None;
        }
        let range = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        // Another thread may have freed the slot and a third one taken it. Then the range is not this thread's.
        fence(Ordering::Acquire);
        let now = self.word.load(Ordering::Relaxed);
        (now & !WatchState::MASK == word & !WatchState::MASK).then_some((range, state))
    }
}

/// All slots.
pub(super) struct WatchSlots<const N: usize> {
    slots: [WatchSlot; N],
    /// The number of slots, counted from the first, that were ever used.
    used: AtomicUsize,
}

impl<const N: usize> WatchSlots<N> {
    constructor! {
        /// Creates slots that are all free.
        pub(super) fn new(slots: [WatchSlot; N]) -> Self {
            Self { slots, used: AtomicUsize::new(0) }
        }
    }

    /// Takes a slot for a range, if one is free.
    pub(super) fn arm(&self, range: Range<usize>) -> Option<&WatchSlot> {
        let at = self.slots.iter().position(WatchSlot::take)?;
        self.used.fetch_max(at + 1, Ordering::Relaxed);
        let slot = &self.slots[at];
        // ORDER: a thread that reads one of these values also sees that the slot was taken anew.
        slot.start.store(range.start, Ordering::Release);
        slot.end.store(range.end, Ordering::Release);
        slot.set_state(WatchState::Armed);
        Some(slot)
    }

    /// Returns the slot that watches an address. Async-signal-safe.
    pub(super) fn at(&self, address: usize) -> Option<(&WatchSlot, Range<usize>, WatchState)> {
        self.slots[..self.used.load(Ordering::Relaxed)].iter().find_map(|slot| {
            let (range, state) = slot.read().filter(|(range, _)| range.contains(&address))?;
            Some((slot, range, state))
        })
    }
}
