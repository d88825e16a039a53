//! Waiting and notifying: the queues of one shared memory, one for each address.
//!
//! In: addresses, counts, deadlines. Out: which threads were woken. Never: a lock held while a thread waits, or while
//! code of the embedder runs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a wait ended. The numbers are the results of `memory.atomic.wait32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitResult {
    /// It was notified.
    Ok = 0,
    /// The memory did not hold the expected value.
    Mismatch = 1,
    /// The timeout expired.
    TimedOut = 2,
}

/// How a wait can be interrupted.
pub struct Interruption<'a> {
    /// Called whenever the waiting thread is woken; an error ends the wait.
    pub(crate) ask: &'a mut dyn FnMut() -> belljar_core::Result<()>,
    /// Whether it is also called periodically, without being woken.
    pub(crate) now_and_then: bool,
    /// Called with the condition variable that wakes the thread, and with `None` when the wait is over.
    pub(crate) wakes: &'a dyn Fn(Option<Arc<Condvar>>),
}

/// The longest time that an interruptible thread sleeps. Incrementing the epoch wakes no thread, since signal handlers
/// may do it.
const SLEEP: Duration = Duration::from_millis(10);

/// The queues of one memory.
#[derive(Debug, Default)]
pub(crate) struct ParkingLot {
    queues: Mutex<Queues>,
}

type Queues = HashMap<u64, VecDeque<Arc<Waiter>>>;

/// A thread in a queue.
#[derive(Debug, Default)]
struct Waiter {
    wake: Arc<Condvar>,
    /// Set, under the lock, by the thread that removes it from its queue.
    notified: AtomicBool,
}

/// A waiter's place in its queue. It is removed when the wait ends, for whatever reason.
struct QueueEntry<'a> {
    lot: &'a ParkingLot,
    address: u64,
    waiter: Arc<Waiter>,
}

impl ParkingLot {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at an address, if `is_expected` returns true after the queue is locked, so that no notification in between
    /// is lost.
    ///
    /// # Errors
    ///
    /// Returns the error of the interruption.
    pub(crate) fn wait(
        &self,
        address: u64,
        is_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
        mut interruption: Option<Interruption<'_>>,
    ) -> belljar_core::Result<WaitResult> {
        // An end beyond the range of the clock never comes.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut queues = self.lock();
        if !is_expected() {
            return Ok(WaitResult::Mismatch);
        }
        let waiter = Arc::<Waiter>::default();
        queues.entry(address).or_default().push_back(waiter.clone());
        let place = QueueEntry { lot: self, address, waiter };
        let _woken =
            interruption.as_ref().map(|interruption| Wakeable::new(interruption.wakes, &place.waiter));
        loop {
            let now_and_then = interruption.as_ref().is_some_and(|interruption| interruption.now_and_then);
            queues = place.sleep(queues, deadline, now_and_then);
            if place.waiter.notified.load(Ordering::Relaxed) {
                return Ok(WaitResult::Ok);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                place.leave(&mut queues);
                return Ok(WaitResult::TimedOut);
            }
            if let Some(interruption) = &mut interruption {
                drop(queues);
                (interruption.ask)()?;
                queues = self.lock();
            }
        }
    }

    /// Wakes at most `count` of the threads that have waited longest at an address. Returns how many were woken.
    pub(crate) fn notify(&self, address: u64, count: u32) -> u32 {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&address) else { return 0 };
        let woken = queue.len().min(count as usize);
        for waiter in queue.drain(..woken) {
            waiter.notified.store(true, Ordering::Relaxed);
            waiter.wake.notify_one();
        }
        if queue.is_empty() {
            queues.remove(&address);
        }
        woken as u32
    }
}

/// A thread that others can wake.
struct Wakeable<'a>(&'a dyn Fn(Option<Arc<Condvar>>));

impl<'a> Wakeable<'a> {
    fn new(wakes: &'a dyn Fn(Option<Arc<Condvar>>), waiter: &Waiter) -> Self {
        wakes(Some(waiter.wake.clone()));
        Self(wakes)
    }
}

impl Drop for Wakeable<'_> {
    fn drop(&mut self) {
        (self.0)(None);
    }
}

impl QueueEntry<'_> {
    /// Releases the lock until there may be something to check.
    fn sleep<'q>(
        &self,
        queues: MutexGuard<'q, Queues>,
        deadline: Option<Instant>,
        can_be_interrupted: bool,
    ) -> MutexGuard<'q, Queues> {
        if self.waiter.notified.load(Ordering::Relaxed) {
            return queues;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = if can_be_interrupted { Some(left.map_or(SLEEP, |left| left.min(SLEEP))) } else { left };
        match left {
            Some(left) => {
                let slept = self.waiter.wake.wait_timeout(queues, left);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.waiter.wake.wait(queues).unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn leave(&self, queues: &mut Queues) {
        let Some(queue) = queues.get_mut(&self.address) else { return };
        queue.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
        if queue.is_empty() {
            queues.remove(&self.address);
        }
        // It will not be notified any more, and nothing is left to do when it is dropped.
        self.waiter.notified.store(true, Ordering::Relaxed);
    }
}

impl Drop for QueueEntry<'_> {
    fn drop(&mut self) {
        // Only an interruption leaves the entry in its queue, with the lock released.
        if !self.waiter.notified.load(Ordering::Relaxed) {
            let mut queues = self.lot.lock();
            self.leave(&mut queues);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(lot: &ParkingLot, address: u64, timeout: Option<Duration>) -> WaitResult {
        lot.wait(address, || true, timeout, None).unwrap()
    }

    #[test]
    fn those_who_waited_longest_are_woken_and_nobody_elsewhere() {
        let lot = ParkingLot::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| wait(&lot, 8, None))).collect();
            while lot.lock().get(&8).map_or(0, VecDeque::len) < 3 {
                std::thread::yield_now();
            }
            assert_eq!(lot.notify(4, u32::MAX), 0);
            assert_eq!(lot.notify(8, 0), 0);
            assert_eq!(lot.notify(8, 1), 1);
            assert_eq!(lot.notify(8, u32::MAX), 2);
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == WaitResult::Ok));
        });
        assert!(lot.lock().is_empty());
    }

    #[test]
    fn waits_end_by_time_mismatch_and_interruption() {
        let lot = ParkingLot::default();
        assert_eq!(wait(&lot, 0, Some(Duration::ZERO)), WaitResult::TimedOut);
        assert_eq!(wait(&lot, 0, Some(Duration::from_millis(1))), WaitResult::TimedOut);
        assert_eq!(lot.wait(0, || false, None, None).unwrap(), WaitResult::Mismatch);
        let mut asked = 0;
        let mut ask = || {
            asked += 1;
            belljar_core::ensure!(asked < 3, "enough");
            Ok(())
        };
        let interruption = Interruption { ask: &mut ask, now_and_then: true, wakes: &|_| () };
        let error = lot.wait(0, || true, Some(Duration::MAX), Some(interruption));
        assert_eq!(error.unwrap_err().to_string(), "enough");
        assert!(lot.lock().is_empty());
    }
}
