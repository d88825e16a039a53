//! Requests to signal handlers: `machine/slot_state.rs`.

use crate::slot_state::{Generation, SlotState};
use crate::{model, model_with_preemptions};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::time::Duration;

/// A request with its subject and its answer. The checker rejects unordered accesses to a cell.
struct Slot {
    state: SlotState,
    subject: UnsafeCell<u32>,
    answer: UnsafeCell<u32>,
    /// The number of signals that were sent; the last belongs to the generation with this number.
    sent: AtomicUsize,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: SlotState::new(),
            subject: UnsafeCell::new(0),
            answer: UnsafeCell::new(0),
            sent: AtomicUsize::new(0),
        })
    }

    /// Sends a request about a subject. Returns the answer, unless the request was given up. The subject is gone
    /// afterwards.
    fn request(&self, subject: u32, left: Duration) -> Option<u32> {
        // SAFETY: the checker ensures that no thread reads meanwhile, here and below.
        self.subject.with_mut(|at| unsafe { *at = subject });
        let generation = self.state.send();
        self.sent.store(generation.0 as usize + 1, Ordering::Release);
        let is_answered = self.state.wait(generation, || left);
        // SAFETY: as above.
        let answer = is_answered.then(|| self.answer.with(|answer| unsafe { *answer }));
        // SAFETY: as above.
        self.subject.with_mut(|at| unsafe { *at = u32::MAX });
        self.state.end(generation);
        answer
    }

    /// Handles a signal of this generation, whose request has this subject.
    fn answer(&self, generation: Generation, asked: u32) {
        if !self.state.begin_answer(generation) {
            return;
        }
        // SAFETY: as above.
        let subject = self.subject.with(|subject| unsafe { *subject });
        assert_eq!(subject, asked, "the subject is gone, or another question's");
        // SAFETY: as above.
        self.answer.with_mut(|answer| unsafe { *answer = subject + 1 });
        self.state.end_answer(generation);
    }

    /// Handles the first signal, of a request about 6.
    fn handle_first(&self) {
        loop {
            match self.sent.load(Ordering::Acquire) {
                0 => thread::yield_now(),
                sent => return self.answer(Generation(sent as u32 - 1), 6),
            }
        }
    }
}

const FOR_EVER: Duration = Duration::from_secs(1);

#[test]
fn whoever_waits_for_an_answer_gets_it() {
    model(|| {
        let slot = Slot::new();
        let handler = {
            let slot = slot.clone();
            thread::spawn(move || slot.handle_first())
        };
        assert_eq!(slot.request(6, FOR_EVER), Some(7));
        handler.join().unwrap();
    });
}

#[test]
fn a_question_that_was_given_up_is_left_alone() {
    model(|| {
        let slot = Slot::new();
        let handler = {
            let slot = slot.clone();
            thread::spawn(move || slot.handle_first())
        };
        let answer = slot.request(6, Duration::ZERO);
        assert!(answer.is_none() || answer == Some(7));
        handler.join().unwrap();
    });
}

/// The signal of a request that was given up arrives when the slot is used again.
#[test]
fn a_late_signal_is_not_taken_for_the_next_one() {
    model_with_preemptions(3, || {
        let slot = Slot::new();
        let late = {
            let slot = slot.clone();
            thread::spawn(move || slot.answer(Generation(0), 6))
        };
        let first = slot.request(6, Duration::ZERO);
        assert!(first.is_none() || first == Some(7));
        let handler = {
            let slot = slot.clone();
            thread::spawn(move || slot.answer(Generation(4), 8))
        };
        // If the signal came too early for its request, there is no other.
        let second = slot.request(8, Duration::ZERO);
        assert!(second.is_none() || second == Some(9));
        late.join().unwrap();
        handler.join().unwrap();
    });
}
