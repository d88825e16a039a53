//! The states of the blocks of a file that is loaded on demand, and which thread may change them.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Missing` | `Loading` | the thread that wins the exchange | it needs the bytes in place |
//! | `Missing` | `Copying` | the thread that wins the exchange | it needs the bytes elsewhere only |
//! | `Loading` | `Loaded` | the owner | the bytes are correct and in place |
//! | `Copying` | `Missing` | the owner | the bytes were correct; they are still not in place |
//! | `Loading`, `Copying` | `Refused` | the owner | the bytes are wrong or cannot be read |
//!
//! `Loaded` and `Refused` are final. Only the owner of a `Loading` or `Copying` block reads the file, so a thread that has seen all
//! blocks in a final state may close it. `Missing` is not final: a thread that waits for a block and finds it missing takes it.
//!
//! Never: knowledge of what a block is or where it goes. `tests/models` checks these functions in every interleaving.

use crate::sync::{AtomicU8, Ordering, fence, yield_now};
use std::ops::Range;

/// The state of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum BlockState {
    /// Only the file has it.
    Missing,
    /// A thread is bringing it into place.
    Loading,
    /// A thread is reading it from the file to somewhere else.
    Copying,
    /// It is in place. Final.
    Loaded,
    /// It is damaged or unreadable. Final.
    Refused,
}

impl BlockState {
    const ALL: [Self; 5] = [Self::Missing, Self::Loading, Self::Copying, Self::Loaded, Self::Refused];
}

/// The states of all blocks of a file.
pub(crate) struct BlockStates(Box<[AtomicU8]>);

impl BlockStates {
    /// Creates this many missing blocks.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU8::new(BlockState::Missing as u8)).collect())
    }

    /// Returns the number of blocks.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the state of a block. The bytes of a loaded block are readable.
    pub(crate) fn get(&self, i: usize) -> BlockState {
        BlockState::ALL[usize::from(self.0[i].load(Ordering::Acquire))]
    }

    fn set(&self, i: usize, to: BlockState) {
        self.0[i].store(to as u8, Ordering::Release);
    }

    /// Makes a missing block the caller's.
    fn take(&self, i: usize, to: BlockState) -> bool {
        let (missing, to) = (BlockState::Missing as u8, to as u8);
        let taken = self.0[i].compare_exchange(missing, to, Ordering::Acquire, Ordering::Acquire).is_ok();
        // ORDER: the other half of `after_announcement`.
        fence(Ordering::SeqCst);
        taken
    }

    /// Sets the final state of blocks that the caller owns.
    pub(crate) fn finish(&self, blocks: Range<usize>, end: BlockState) {
        debug_assert!(matches!(end, BlockState::Loaded | BlockState::Refused));
        blocks.for_each(|i| self.set(i, end));
    }

    /// Runs `copy`, which reads a block from the file, if the block is missing and no other thread owns it; `None`
    /// otherwise. If `copy` returns true the block is missing as before; if it returns false the block is refused.
    pub(crate) fn copy(&self, i: usize, copy: impl FnOnce() -> bool) -> Option<bool> {
        if !self.take(i, BlockState::Copying) {
            return None;
        }
        let is_right = copy();
        self.set(i, if is_right { BlockState::Missing } else { BlockState::Refused });
        Some(is_right)
    }

    /// Loads blocks, at most `most` at a time, and waits for those that other threads own. Every block is in a final state afterwards;
    /// returns whether all of them are loaded. `bring` loads a range that the caller owns and calls [`BlockStates::finish`] for it.
    ///
    /// Async-signal-safe if `bring` is.
    pub(crate) fn load(&self, blocks: Range<usize>, most: usize, bring: impl Fn(Range<usize>)) -> bool {
        let mut at = blocks.start;
        while at < blocks.end {
            let limit = blocks.end.min(at + most);
            let end = (at..limit).find(|i| !self.take(*i, BlockState::Loading)).unwrap_or(limit);
            if at < end {
                bring(at..end);
            }
            at = end.max(at + 1);
        }
        // Visit all of them, even after a refused one.
        blocks.filter(|i| !self.load_one(*i, &bring)).count() == 0
    }

    fn load_one(&self, i: usize, bring: &impl Fn(Range<usize>)) -> bool {
        loop {
            match self.get(i) {
                BlockState::Loaded => return true,
                BlockState::Refused => return false,
                // Another thread copied it, and left it missing.
                BlockState::Missing => {
                    if self.take(i, BlockState::Loading) {
                        bring(i..i + 1);
                    }
                }
                // Its owner finishes soon.
                BlockState::Loading | BlockState::Copying => yield_now(),
            }
        }
    }

    /// Calls `visit` for every block whose owner may not have seen what the caller has just announced (by a store
    /// before this call). The owner of any other block sees the announcement once it has taken the block.
    pub(crate) fn after_announcement(&self, blocks: Range<usize>, mut visit: impl FnMut(usize)) {
        // ORDER: announce, then read the blocks' states. An owner takes its block, then reads the announcement.
        fence(Ordering::SeqCst);
        for i in blocks {
            while self.get(i) == BlockState::Loading {
                yield_now();
            }
            if self.get(i) == BlockState::Loaded {
                visit(i);
            }
        }
    }
}
