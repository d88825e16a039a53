//! The states of a request that one thread sends to another thread's signal handler.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Free` | `Asked` | the requester, which owns the slot | the request is filled in |
//! | `Asked` | `Answering` | the handler that gets the signal | it begins to answer; the requester waits until it is done |
//! | `Answering` | `Answered` | that handler | the answer is complete |
//! | `Asked` | `Free` | the requester | it gives up; a handler that runs later ignores the request |
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
enum QuestionState {
    Free,
    Asked,
    Answering,
    Answered,
}

impl QuestionState {
    const MASK: u32 = 3;
    const ONE_ROUND: u32 = 4;
}

/// The generation of a slot: which use of it a request belongs to. The signal carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Round(pub(super) u32);

impl Round {
    fn word(self, state: QuestionState) -> u32 {
        self.0 | state as u32
    }
}

/// The word that the requester and the handler share, with what is needed to wait for a change of it.
pub(super) struct Question {
    word: AtomicU32,
    /// Whether the requester sleeps and must be woken.
    sleeps: AtomicBool,
}

impl Question {
    constructor! {
        /// Creates the state of a free slot.
        pub(super) fn new() -> Self {
            Self { word: AtomicU32::new(QuestionState::Free as u32), sleeps: AtomicBool::new(false) }
        }
    }

    /// Publishes the request that is filled in. The caller must own the slot.
    pub(super) fn ask(&self) -> Round {
        self.sleeps.store(false, Ordering::Relaxed);
        let round = Round(self.word.load(Ordering::Relaxed) & !QuestionState::MASK);
        self.word.store(round.word(QuestionState::Asked), Ordering::Release);
        round
    }

    /// Returns whether the answer is complete and belongs to the caller.
    pub(super) fn is_answered(&self, round: Round) -> bool {
        self.word.load(Ordering::Acquire) == round.word(QuestionState::Answered)
    }

    /// Waits for the answer and returns whether there is one. `left` returns how much longer to wait for a handler to
    /// begin. After that the request is given up, and no handler answers it.
    pub(super) fn wait(&self, round: Round, left: impl Fn() -> Duration) -> bool {
        let asked = round.word(QuestionState::Asked);
        // ORDER: the handler checks whether we sleep after it has completed the answer.
        self.sleeps.swap(true, Ordering::SeqCst);
        loop {
            let word = self.word.load(Ordering::Acquire);
            if word == round.word(QuestionState::Answered) {
                return true;
            }
            let left = left();
            if left.is_zero() && word == asked {
                let given_up = round.word(QuestionState::Free);
                if self.word.compare_exchange(asked, given_up, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return false;
                }
                continue;
            }
            // A handler that has begun to answer finishes in a moment.
            futex_wait(&self.word, word, left.max(Duration::from_millis(1)));
        }
    }

    /// Ends a request that no handler knows of, that was given up, or whose answer was read.
    pub(super) fn end(&self, round: Round) {
        let next = Round(round.0.wrapping_add(QuestionState::ONE_ROUND));
        self.word.store(next.word(QuestionState::Free), Ordering::Release);
    }

    /// Ends any request, in a process that has neither its requester nor its handler's thread any more.
    pub(super) fn forget(&self) {
        self.end(Round(self.word.load(Ordering::Relaxed) & !QuestionState::MASK));
    }

    /// Begins to answer, unless the request was given up. Async-signal-safe.
    pub(super) fn begin_answer(&self, round: Round) -> bool {
        let (asked, answering) = (round.word(QuestionState::Asked), round.word(QuestionState::Answering));
        self.word.compare_exchange(asked, answering, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Marks the answer as complete. Async-signal-safe.
    pub(super) fn end_answer(&self, round: Round) {
        self.word.swap(round.word(QuestionState::Answered), Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            futex_wake(&self.word);
        }
    }
}
