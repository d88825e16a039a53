//! The states of a request that one thread sends to another thread's signal handler.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Free` | `Requested` | the requester, which owns the slot | the request is filled in |
//! | `Requested` | `Answering` | the handler that gets the signal | it begins to answer; the requester waits until it is done |
//! | `Answering` | `Answered` | that handler | the answer is complete |
//! | `Requested` | `Free` | the requester | it gives up; a handler that runs later ignores the request |
//! | `Answered` | `Free` | the requester | it has read the answer |
//!
//! The subject and the answer belong to the handler in state `Answering`, and to the requester in all other states.
//! Each request has a generation of its own, so a late signal of an earlier request is ignored. `tests/models` checks
//! these functions in every interleaving.

use crate::sync::{AtomicBool, AtomicU32, Ordering, constructor, futex_wait, futex_wake};
use std::time::Duration;

/// The state of a request, in the lowest two bits of the slot's word; the remaining bits are the generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum RequestPhase {
    Free,
    Requested,
    Answering,
    Answered,
}

impl RequestPhase {
    const MASK: u32 = 3;
    const ONE_GENERATION: u32 = 4;
}

/// The generation of a slot: which use of it a request belongs to. The signal carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Generation(pub(super) u32);

impl Generation {
    fn word(self, state: RequestPhase) -> u32 {
        self.0 | state as u32
    }
}

/// The word that the requester and the handler share, with what is needed to wait for a change of it.
pub(super) struct SlotState {
    word: AtomicU32,
    /// Whether the requester sleeps and must be woken.
    sleeps: AtomicBool,
}

impl SlotState {
    constructor! {
        /// Creates the state of a free slot.
        pub(super) fn new() -> Self {
            Self { word: AtomicU32::new(RequestPhase::Free as u32), sleeps: AtomicBool::new(false) }
        }
    }

    /// Publishes the request that is filled in. The caller must own the slot.
    pub(super) fn send(&self) -> Generation {
        self.sleeps.store(false, Ordering::Relaxed);
        let generation = Generation(self.word.load(Ordering::Relaxed) & !RequestPhase::MASK);
        self.word.store(generation.word(RequestPhase::Requested), Ordering::Release);
        generation
    }

    /// Returns whether the answer is complete and belongs to the caller.
    pub(super) fn is_answered(&self, generation: Generation) -> bool {
        self.word.load(Ordering::Acquire) == generation.word(RequestPhase::Answered)
    }

    /// Waits for the answer and returns whether there is one. `left` returns how much longer to wait for a handler to
    /// begin. After that the request is given up, and no handler answers it.
    pub(super) fn wait(&self, generation: Generation, left: impl Fn() -> Duration) -> bool {
        let requested = generation.word(RequestPhase::Requested);
        // ORDER: the handler checks whether we sleep after it has completed the answer.
        self.sleeps.swap(true, Ordering::SeqCst);
        loop {
            let word = self.word.load(Ordering::Acquire);
            if word == generation.word(RequestPhase::Answered) {
                return true;
            }
            let left = left();
            if left.is_zero() && word == requested {
                let given_up = generation.word(RequestPhase::Free);
                if self
                    .word
                    .compare_exchange(requested, given_up, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
                {
                    return false;
                }
                continue;
            }
            // A handler that has begun to answer finishes in a moment.
            futex_wait(&self.word, word, left.max(Duration::from_millis(1)));
        }
    }

    /// Ends a request that no handler knows of, that was given up, or whose answer was read.
    pub(super) fn end(&self, generation: Generation) {
        let next = Generation(generation.0.wrapping_add(RequestPhase::ONE_GENERATION));
        self.word.store(next.word(RequestPhase::Free), Ordering::Release);
    }

    /// Ends any request, in a process that has neither its requester nor its handler's thread any more.
    pub(super) fn reset(&self) {
        self.end(Generation(self.word.load(Ordering::Relaxed) & !RequestPhase::MASK));
    }

    /// Begins to answer, unless the request was given up. Async-signal-safe.
    pub(super) fn begin_answer(&self, generation: Generation) -> bool {
        let (requested, answering) =
            (generation.word(RequestPhase::Requested), generation.word(RequestPhase::Answering));
        self.word.compare_exchange(requested, answering, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Marks the answer as complete. Async-signal-safe.
    pub(super) fn end_answer(&self, generation: Generation) {
        self.word.swap(generation.word(RequestPhase::Answered), Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            futex_wake(&self.word);
        }
    }
}
