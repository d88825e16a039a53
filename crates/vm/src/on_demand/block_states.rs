//! Which thread may do what with the blocks of a file that is loaded on demand.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Missing` | `Loading` | one of the threads that want it | its bytes are needed at their place |
//! | `Missing` | `Copying` | one of the threads that want it | its bytes are wanted somewhere else alone |
//! | `Loading` | `Loaded` | the thread that loads it | its bytes are right, and at their place |
//! | `Copying` | `Missing` | the thread that copies it | its bytes are right, and still not at their place |
//! | `Loading`, `Copying` | `Refused` | the same thread | its bytes are wrong, or could not be read |
//!
//! `Loaded` and `Refused` are final. The file is read by the owner of a `Loading` or `Copying` block alone, so that a thread that has
//! seen every block in a final state may close it. `Missing` is not final: a thread that waits for a block and finds it missing
//! takes it.
//!
//! Never: what a block is or where it goes. `tests/models` checks all interleavings of these functions.

use crate::sync::{AtomicU8, Ordering, fence, yield_now};
use std::ops::Range;

/// The state of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum BlockState {
    /// It is in the file alone.
    Missing,
    /// A thread brings it to its place.
    Loading,
    /// A thread reads it from the file for itself.
    Copying,
    /// It is at its place, for good.
    Loaded,
    /// It is not what it should be, for good.
    Refused,
}

impl BlockState {
    const ALL: [Self; 5] = [Self::Missing, Self::Loading, Self::Copying, Self::Loaded, Self::Refused];
}

/// The states of all blocks of a file.
pub(crate) struct BlockStates(Box<[AtomicU8]>);

impl BlockStates {
    /// So many blocks that are missing.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU8::new(BlockState::Missing as u8)).collect())
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The state of a block. Of one that is loaded, the bytes can be read.
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

    /// Says how blocks ended that the caller was given to load.
    pub(crate) fn finish(&self, blocks: Range<usize>, end: BlockState) {
        debug_assert!(matches!(end, BlockState::Loaded | BlockState::Refused));
        blocks.for_each(|i| self.set(i, end));
    }

    /// Has `copy` read a block from the file, if it is missing and no other thread is at it. Whether what it read is right, and
    /// the block so missing as before; otherwise `copy` has to see to it that it is never used, and it is refused.
    pub(crate) fn copy(&self, i: usize, copy: impl FnOnce() -> bool) -> Option<bool> {
        if !self.take(i, BlockState::Copying) {
            return None;
        }
        let is_right = copy();
        self.set(i, if is_right { BlockState::Missing } else { BlockState::Refused });
        Some(is_right)
    }

    /// Loads blocks, up to `most` at once, and waits for those that other threads load: each has its final state afterwards. `bring`
    /// loads a range that the caller owns, and says how it ended by [`BlockStates::finish`]. Whether all of them are loaded.
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
        // All of them, whatever is found on the way.
        blocks.filter(|i| !self.load_one(*i, &bring)).count() == 0
    }

    fn load_one(&self, i: usize, bring: &impl Fn(Range<usize>)) -> bool {
        loop {
            match self.get(i) {
                BlockState::Loaded => return true,
                BlockState::Refused => return false,
                // Another thread had it for a copy, and has left it missing.
                BlockState::Missing => {
                    if self.take(i, BlockState::Loading) {
                        bring(i..i + 1);
                    }
                }
                // Another thread is done with it in a moment.
                BlockState::Loading | BlockState::Copying => yield_now(),
            }
        }
    }

    /// Calls `visit` with each of some blocks that were loaded before the caller announced something, or while it did. Blocks that it
    /// is not called with are taken by threads that see what was announced.
    pub(crate) fn after_announcement(&self, blocks: Range<usize>, mut visit: impl FnMut(usize)) {
        // ORDER: announced first, then looked; who takes a block, takes it first and then looks at what was announced.
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
