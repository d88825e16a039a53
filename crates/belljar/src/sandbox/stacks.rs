//! A bounded pool of values: one stack of idle values for each group of threads, so that threads seldom contend, and a gate at which
//! threads wait when all values are taken.
//!
//! A value is idle on a stack or taken; otherwise there is room to make one:
//!
//! | from | to | by |
//! |---|---|---|
//! | room | taken | [`Stacks::reserve`], whose [`Reservation`] is kept as long as the value is there ([`Reservation::keep`]) |
//! | idle | taken | [`Stacks::idle`], from the own stack or another |
//! | taken | idle | [`Stacks::put`] |
//! | taken | room | [`Stacks::discard`] |
//!
//! No thread waits while a value is idle or there is room: a thread announces that it waits before it looks once more, and a thread that
//! gives a value or room looks for waiting threads afterwards ([`Stacks::wake`]). `tests/models` checks this in every interleaving.

use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, fence};
use smallvec::SmallVec;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How many values there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub(super) most: usize,
    /// Idle ones that a stack keeps.
    pub(super) kept: usize,
}

/// Idle values, and room for more.
pub(super) struct Stacks<W> {
    capacity: Capacity,
    stacks: Box<[Stack<W>]>,
    /// Values that there are.
    made: AtomicUsize,
    /// The most that there were.
    most: AtomicUsize,
    /// Threads that wait for one.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

/// On lines of its own, so that threads do not slow each other down.
#[repr(align(128))]
struct Stack<W> {
    idle: Mutex<Idle<W>>,
    /// Returns, counted under the lock and read without it.
    given: AtomicUsize,
}

/// The idle values of a group of threads.
pub(super) struct Idle<W> {
    /// The first few beside the lock: a line fewer to fetch, and none that another stack has a part of.
    values: SmallVec<[W; 4]>,
    /// A stack may count sessions that another uncounts: only the sum of all stacks means something.
    sessions: u64,
    /// The fewest since the stack was last looked at: so many were not needed.
    fewest: usize,
    looked: Instant,
}

/// Returns between looks at the clock.
const GIVEN: usize = 256;

/// What whoever needs a value finds.
pub(super) enum Available<'a, W> {
    Idle(W),
    Capacity(Reservation<'a, W>),
}

/// A value fewer, when it is dropped.
pub(super) struct Reservation<'a, W>(&'a Stacks<W>);

impl<W> Stack<W> {
    fn lock(&self) -> MutexGuard<'_, Idle<W>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Reservation<'_, W> {
    /// The value is made, and there is no room for another in its stead.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl<W> Drop for Reservation<'_, W> {
    fn drop(&mut self) {
        self.0.made.fetch_sub(1, Ordering::Relaxed);
        self.0.wake();
    }
}

impl<W> Stacks<W> {
    /// `count` stacks, a power of two.
    pub(super) fn new(capacity: Capacity, count: usize) -> Self {
        let idle = || Idle { values: SmallVec::new(), sessions: 0, fewest: 0, looked: Instant::now() };
        let stack = |_| Stack { idle: Mutex::new(idle()), given: AtomicUsize::new(0) };
        Self {
            capacity,
            stacks: (0..count).map(stack).collect(),
            made: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// Values that there are, idle or not.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// The most that there were at a time.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    fn of(&self, group: usize) -> &Stack<W> {
        &self.stacks[group & (self.stacks.len() - 1)]
    }

    /// The stack of a group of threads, by its number.
    pub(super) fn stack(&self, group: usize) -> MutexGuard<'_, Idle<W>> {
        self.of(group).lock()
    }

    /// An idle value, of the group's stack if there is one.
    #[inline]
    pub(super) fn idle(&self, group: usize) -> Option<W> {
        (group..group + self.stacks.len()).find_map(|number| {
            let mut idle = self.stack(number);
            let value = idle.values.pop()?;
            idle.fewest = idle.fewest.min(idle.values.len());
            idle.sessions = idle.sessions.wrapping_add(1);
            Some(value)
        })
    }

    /// Counts a session whose value was not idle.
    pub(super) fn count_session(&self, group: usize) {
        let mut idle = self.stack(group);
        idle.sessions = idle.sessions.wrapping_add(1);
    }

    /// Takes back the count of a session that took an idle value and could not begin.
    pub(super) fn uncount_session(&self, group: usize) {
        let mut idle = self.stack(group);
        idle.sessions = idle.sessions.wrapping_sub(1);
    }

    /// Capacity for one more value, if there may be one.
    pub(super) fn reserve(&self) -> Option<Reservation<'_, W>> {
        let one_more = |made: usize| (made < self.capacity.most).then_some(made + 1);
        let before = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Reservation(self))
    }

    /// An idle value, or room for another.
    #[inline]
    pub(super) fn find(&self, group: usize) -> Option<Available<'_, W>> {
        self.idle(group).map(Available::Idle).or_else(|| self.reserve().map(Available::Capacity))
    }

    /// As [`Stacks::find`], once there is something to be found, for as long as `left` says; without an end if that is `None`.
    pub(super) fn wait(&self, group: usize, left: impl Fn() -> Option<Duration>) -> Option<Available<'_, W>> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            // ORDER: announced first, then looked.
            fence(Ordering::SeqCst);
            if let Some(found) = self.find(group) {
                break Some(found);
            }
            gate = match left() {
                Some(Duration::ZERO) => break None,
                Some(left) => self.freed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.freed.wait(gate).unwrap_or_else(PoisonError::into_inner),
            };
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        found
    }

    /// Puts a value on a stack; the value, where that has enough. Those who wait are told by [`Stacks::wake`].
    pub(super) fn put(&self, group: usize, value: W) -> Option<W> {
        let stack = self.of(group);
        let mut idle = stack.lock();
        if idle.values.len() >= self.capacity.kept {
            return Some(value);
        }
        idle.values.push(value);
        stack.given.store(stack.given.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        None
    }

    /// Drops a value, for which there is room then.
    pub(super) fn discard(&self, value: W) {
        let _reservation = Reservation(self);
        drop(value);
    }

    /// Tells one who waits to look again.
    pub(super) fn wake(&self) {
        // ORDER: given first, then looked who waits.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.freed.notify_one();
        }
    }

    /// Drops values that nobody has needed for some time, if it is time to look.
    pub(super) fn shrink_after(&self, group: usize, time: Duration, least: usize) {
        let stack = self.of(group);
        // Most of the time that is all, and nothing is locked.
        if !stack.given.load(Ordering::Relaxed).is_multiple_of(GIVEN) {
            return;
        }
        let mut idle = stack.lock();
        if idle.looked.elapsed() < time {
            return;
        }
        idle.looked = Instant::now();
        let surplus = idle.fewest;
        let spare = self.made().saturating_sub(least);
        // Those at the bottom have waited longest.
        let gone: Vec<_> = idle.values.drain(..surplus.min(spare)).collect();
        idle.fewest = idle.values.len();
        drop(idle);
        gone.into_iter().for_each(|value| self.discard(value));
    }

    /// Drops all idle values but so many.
    pub(super) fn shrink(&self, least: usize) {
        for number in 0..self.stacks.len() {
            while self.made() > least {
                let Some(value) = self.stack(number).values.pop() else { break };
                self.discard(value);
            }
        }
    }

    /// Values that are idle, and sessions that there were.
    pub(super) fn count(&self) -> (usize, u64) {
        let of = |number| {
            let stack = self.stack(number);
            (stack.values.len(), stack.sessions)
        };
        (0..self.stacks.len()).map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b.wrapping_add(d)))
    }
}
