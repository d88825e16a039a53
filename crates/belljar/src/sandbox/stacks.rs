//! A bounded pool of values: one stack of idle values for each group of threads, so that threads rarely contend, and a
//! gate at which threads wait when all values are taken.
//!
//! A value is idle on a stack, or taken. If there are fewer values than the capacity allows, there is room to create
//! one:
//!
//! | from | to | by |
//! |---|---|---|
//! | room | taken | [`Stacks::reserve`], whose [`Reservation`] is kept as long as the value exists ([`Reservation::keep`]) |
//! | idle | taken | [`Stacks::idle`], from the thread's own stack or another |
//! | taken | idle | [`Stacks::put`] |
//! | taken | room | [`Stacks::discard`] |
//!
//! No thread waits while a value is idle or there is room: a thread announces that it waits before it checks once more,
//! and a thread that returns a value or room checks for waiting threads afterwards ([`Stacks::wake`]). `tests/models`
//! checks this in all interleavings.

use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, fence};
use smallvec::SmallVec;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How many values the pool may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub(super) most: usize,
    /// The most idle values that a stack keeps.
    pub(super) kept: usize,
}

/// The idle values, and the room for more.
pub(super) struct Stacks<W> {
    capacity: Capacity,
    stacks: Box<[Stack<W>]>,
    /// Number of existing values.
    made: AtomicUsize,
    /// The most values that existed at once.
    most: AtomicUsize,
    /// Number of waiting threads.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

/// Aligned to cache lines of its own, so that threads do not slow each other down.
#[repr(align(128))]
struct Stack<W> {
    idle: Mutex<Idle<W>>,
    /// Number of returned values. Written under the lock, and read without it.
    returned: AtomicUsize,
}

/// The idle values of a group of threads.
pub(super) struct Idle<W> {
    /// The first few lie beside the lock, in a cache line that is fetched anyway and that no other stack shares.
    values: SmallVec<[W; 4]>,
    /// One stack may count a session that another uncounts: only the sum over all stacks is meaningful.
    sessions: u64,
    /// The fewest idle values since the last shrink: this many were not needed.
    fewest: usize,
    last_check: Instant,
}

/// How many returns there are between checks of the clock.
const RETURNS_PER_CHECK: usize = 256;

/// The result of looking for a value.
pub(super) enum Available<'a, W> {
    Idle(W),
    Capacity(Reservation<'a, W>),
}

/// Room for one value. Dropping it gives the room back.
pub(super) struct Reservation<'a, W>(&'a Stacks<W>);

impl<W> Stack<W> {
    fn lock(&self) -> MutexGuard<'_, Idle<W>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Reservation<'_, W> {
    /// The value was created: the room stays taken.
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
    /// Creates `count` stacks, a power of two.
    pub(super) fn new(capacity: Capacity, count: usize) -> Self {
        let idle = || Idle { values: SmallVec::new(), sessions: 0, fewest: 0, last_check: Instant::now() };
        let stack = |_| Stack { idle: Mutex::new(idle()), returned: AtomicUsize::new(0) };
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

    /// Returns the number of existing values, idle or taken.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Returns the most values that existed at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    fn of(&self, group: usize) -> &Stack<W> {
        &self.stacks[group & (self.stacks.len() - 1)]
    }

    /// Locks the stack of a group of threads, by the group's number.
    pub(super) fn stack(&self, group: usize) -> MutexGuard<'_, Idle<W>> {
        self.of(group).lock()
    }

    /// Takes an idle value, from the group's own stack if possible.
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

    /// Uncounts a session that took an idle value but could not begin.
    pub(super) fn uncount_session(&self, group: usize) {
        let mut idle = self.stack(group);
        idle.sessions = idle.sessions.wrapping_sub(1);
    }

    /// Reserves room for one more value, if the capacity allows.
    pub(super) fn reserve(&self) -> Option<Reservation<'_, W>> {
        let one_more = |made: usize| (made < self.capacity.most).then_some(made + 1);
        let before = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Reservation(self))
    }

    /// Returns an idle value, or room for a new one.
    #[inline]
    pub(super) fn find(&self, group: usize) -> Option<Available<'_, W>> {
        self.idle(group).map(Available::Idle).or_else(|| self.reserve().map(Available::Capacity))
    }

    /// Finds a value or room as [`Stacks::find`] does, but waits until there is something to find or `left` returns
    /// zero. If `left` returns `None`, it waits indefinitely.
    pub(super) fn wait(&self, group: usize, left: impl Fn() -> Option<Duration>) -> Option<Available<'_, W>> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            // ORDER: announce that this thread waits, then check.
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

    /// Puts a value on a stack, or returns it if the stack is full. [`Stacks::wake`] then notifies waiting threads.
    pub(super) fn put(&self, group: usize, value: W) -> Option<W> {
        let stack = self.of(group);
        let mut idle = stack.lock();
        if idle.values.len() >= self.capacity.kept {
            return Some(value);
        }
        idle.values.push(value);
        stack.returned.store(stack.returned.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        None
    }

    /// Drops a value, which leaves room for another.
    pub(super) fn discard(&self, value: W) {
        let _reservation = Reservation(self);
        drop(value);
    }

    /// Wakes a waiting thread, if there is one, so that it checks again.
    pub(super) fn wake(&self) {
        // ORDER: return the value, then check for waiting threads.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.freed.notify_one();
        }
    }

    /// Drops values that were not needed for `time`, if it is time to check.
    pub(super) fn shrink_after(&self, group: usize, time: Duration, least: usize) {
        let stack = self.of(group);
        // Usually this check is all, and no lock is taken.
        if !stack.returned.load(Ordering::Relaxed).is_multiple_of(RETURNS_PER_CHECK) {
            return;
        }
        let mut idle = stack.lock();
        if idle.last_check.elapsed() < time {
            return;
        }
        idle.last_check = Instant::now();
        let surplus = idle.fewest;
        let spare = self.made().saturating_sub(least);
        // The values at the bottom have been idle longest.
        let gone: Vec<_> = idle.values.drain(..surplus.min(spare)).collect();
        idle.fewest = idle.values.len();
        drop(idle);
        gone.into_iter().for_each(|value| self.discard(value));
    }

    /// Drops idle values until `least` values are left in all.
    pub(super) fn shrink(&self, least: usize) {
        for number in 0..self.stacks.len() {
            while self.made() > least {
                let Some(value) = self.stack(number).values.pop() else { break };
                self.discard(value);
            }
        }
    }

    /// Returns the number of idle values, and the number of sessions so far.
    pub(super) fn count(&self) -> (usize, u64) {
        let of = |number| {
            let stack = self.stack(number);
            (stack.values.len(), stack.sessions)
        };
        (0..self.stacks.len()).map(of).fold((0, 0), |(a, b), (c, d)| (a + c, b.wrapping_add(d)))
    }
}
