//! The states of a question that one thread asks another thread's signal handler.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | `Free` | `Asked` | the asking side, which has the slot | the question is filled in |
//! | `Asked` | `Answering` | the handler that gets the signal | it begins to answer; the asking side waits for its end |
//! | `Answering` | `Answered` | that handler | the answer is there |
//! | `Asked` | `Free` | the asking side | it gives up; a handler that comes later leaves it alone |
//! | `Answered` | `Free` | the asking side | it has read the answer |
//!
//! The subject and the answer belong to the handler in `Answering`, and to the asking side in all other states. Each question has its
//! own round, so a late signal of an earlier question is ignored. `tests/models` checks these functions in every interleaving.

use crate::sync::{AtomicBool, AtomicU32, Ordering, constructor, futex_wait, futex_wake};
use std::time::Duration;

/// The state of a question, in the lowest two bits of its word; the rest is the round.
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

/// Which time a slot was used. It goes with the signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Round(pub(super) u32);

impl Round {
    fn word(self, state: QuestionState) -> u32 {
        self.0 | state as u32
    }
}

/// The word that both sides look at, and what it takes to wait for it.
pub(super) struct Question {
    word: AtomicU32,
    /// Whether whoever asks sleeps, and must be woken.
    sleeps: AtomicBool,
}

impl Question {
    constructor! {
        /// None is asked.
        pub(super) fn new() -> Self {
            Self { word: AtomicU32::new(QuestionState::Free as u32), sleeps: AtomicBool::new(false) }
        }
    }

    /// Asks what is filled in. The caller alone uses the slot.
    pub(super) fn ask(&self) -> Round {
        self.sleeps.store(false, Ordering::Relaxed);
        let round = Round(self.word.load(Ordering::Relaxed) & !QuestionState::MASK);
        self.word.store(round.word(QuestionState::Asked), Ordering::Release);
        round
    }

    /// Whether the answer is there, and the caller's.
    pub(super) fn is_answered(&self, round: Round) -> bool {
        self.word.load(Ordering::Acquire) == round.word(QuestionState::Answered)
    }

    /// Waits for the answer. `left`: how long from now on, until somebody has begun to answer. Whether it is there; otherwise the
    /// question is given up, and nobody answers it.
    pub(super) fn wait(&self, round: Round, left: impl Fn() -> Duration) -> bool {
        let asked = round.word(QuestionState::Asked);
        // ORDER: whoever answers looks whether we sleep once the answer is there.
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
            // Whoever has begun to answer is done in a moment.
            futex_wait(&self.word, word, left.max(Duration::from_millis(1)));
        }
    }

    /// Ends a question of which no handler knows, or whose answer was read, or that was given up.
    pub(super) fn end(&self, round: Round) {
        let next = Round(round.0.wrapping_add(QuestionState::ONE_ROUND));
        self.word.store(next.word(QuestionState::Free), Ordering::Release);
    }

    /// Ends whatever was asked, in a process in which nobody is left who asked or would answer.
    pub(super) fn forget(&self) {
        self.end(Round(self.word.load(Ordering::Relaxed) & !QuestionState::MASK));
    }

    /// Begins to answer, unless the question was given up. Async-signal-safe.
    pub(super) fn begin_answer(&self, round: Round) -> bool {
        let (asked, answering) = (round.word(QuestionState::Asked), round.word(QuestionState::Answering));
        self.word.compare_exchange(asked, answering, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that the answer is there. Async-signal-safe.
    pub(super) fn end_answer(&self, round: Round) {
        self.word.swap(round.word(QuestionState::Answered), Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            futex_wake(&self.word);
        }
    }
}
