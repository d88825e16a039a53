//! Clean worlds, for whoever needs one: a stack for each of a few groups of threads, so that threads seldom meet.
//!
//! ```text
//! take: own stack ─▶ other stacks ─▶ a new one, if there may be more ─▶ wait
//! give: clean ─▶ own stack ─▶ wake one who waits;  not clean, or too many ─▶ dropped
//! ```
//!
//! Nobody waits while a world is idle: who waits has announced it before looking once more, and who gives looks for those
//! who wait after it has given.

use super::recipe::Recipe;
use super::world::{SandboxDiscarded, World};
use crate::{PoolStatistics, Result};
use smallvec::SmallVec;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many worlds there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) most: usize,
    /// Idle ones that a stack keeps.
    pub(super) kept: usize,
}

/// Worlds of a template.
pub(super) struct Worlds<T: 'static> {
    recipe: Arc<Recipe<T>>,
    room: Room,
    stacks: Box<[Stack<T>]>,
    /// Worlds that there are.
    made: AtomicUsize,
    /// Threads that wait for one.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
    created: AtomicU64,
    discarded: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
    most: AtomicUsize,
}

/// On lines of its own, so that threads do not slow each other down.
#[repr(align(128))]
struct Stack<T: 'static>(Mutex<Idle<T>>);

struct Idle<T: 'static> {
    /// The first few beside the lock: a line fewer to fetch, and none that another stack has a part of.
    worlds: SmallVec<[Box<World<T>>; 4]>,
    sessions: u64,
    /// The fewest since the stack was last looked at: so many were not needed.
    fewest: usize,
    given: u32,
    looked: Instant,
}

/// Returns between looks at the clock.
const GIVEN: u32 = 256;
/// Groups of threads at most.
const MOST_STACKS: usize = 64;

thread_local! {
    static GROUP: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The current thread's number, in the order in which threads came.
fn group() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    GROUP.with(|group| match group.get() {
        Some(number) => number,
        None => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            group.set(Some(number));
            number
        }
    })
}

impl<T: 'static> Worlds<T> {
    pub(super) fn new(recipe: Arc<Recipe<T>>, room: Room) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // With two for each, threads that share one are seldom at work at the same time.
        let count = (2 * processors).next_power_of_two().min(MOST_STACKS);
        let idle =
            || Idle { worlds: SmallVec::new(), sessions: 0, fewest: 0, given: 0, looked: Instant::now() };
        Self {
            recipe,
            room,
            stacks: (0..count).map(|_| Stack(Mutex::new(idle()))).collect(),
            made: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(()),
            freed: Condvar::new(),
            created: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            most: AtomicUsize::new(0),
        }
    }

    fn stack(&self, number: usize) -> MutexGuard<'_, Idle<T>> {
        let stack = &self.stacks[number & (self.stacks.len() - 1)];
        stack.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle world, of the current thread's stack if there is one.
    fn idle(&self) -> Option<Box<World<T>>> {
        let own = group();
        (own..own + self.stacks.len()).find_map(|number| {
            let mut idle = self.stack(number);
            let world = idle.worlds.pop()?;
            idle.fewest = idle.fewest.min(idle.worlds.len());
            idle.sessions += 1;
            Some(world)
        })
    }

    /// Room for one more world, if there may be one.
    fn room(&self) -> Option<Leave<'_, T>> {
        let one_more = |made: usize| (made < self.room.most).then_some(made + 1);
        let before = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        self.most.fetch_max(before + 1, Ordering::Relaxed);
        Some(Leave(self))
    }

    /// Makes a world where there is room for one.
    fn make(&self, room: Leave<'_, T>) -> Result<Box<World<T>>> {
        let world = self.recipe.world()?;
        std::mem::forget(room);
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(world)
    }

    /// An idle world, or room for another.
    fn find(&self) -> Option<Found<'_, T>> {
        self.idle().map(Found::Idle).or_else(|| self.room().map(Found::Room))
    }

    /// As [`Worlds::find`], once there is something to be found, but no later than this.
    fn wait(&self, patience: Duration) -> Option<Found<'_, T>> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        // A time that the clock cannot hold is for ever.
        let until = Instant::now().checked_add(patience);
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            // ORDER: announced first, then looked.
            fence(Ordering::SeqCst);
            if let Some(found) = self.find() {
                break Some(found);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            gate = match left {
                Some(Duration::ZERO) => break None,
                Some(left) => self.freed.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.freed.wait(gate).unwrap_or_else(PoisonError::into_inner),
            };
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        found
    }

    /// A world for a session. If all are taken and there may be no more, it waits so long for one; then there is `None`.
    pub(super) fn take(&self, patience: Duration) -> Option<Result<Box<World<T>>>> {
        let found = match self.find() {
            None if !patience.is_zero() => self.wait(patience),
            found => found,
        };
        // Nothing is locked: what the embedder does to make a world may take long, and use the pool.
        match found {
            Some(Found::Idle(mut world)) => {
                world.store.restart_epochs(&world.start);
                Some(Ok(world))
            }
            Some(Found::Room(room)) => {
                let world = self.make(room);
                self.stack(group()).sessions += u64::from(world.is_ok());
                Some(world)
            }
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Makes a world clean and keeps it for others. One that cannot be made clean is dropped: why. The engine's problems tell, too, however
    /// that goes on.
    pub(super) fn give(&self, mut world: Box<World<T>>) -> Option<SandboxDiscarded> {
        let reset = catch_unwind(AssertUnwindSafe(|| world.reset(self.recipe.data(), self.recipe.verify)));
        // A destructor's panic goes on, unless there is one already.
        let (reset, panic) = match reset {
            Ok(reset) => (reset, None),
            Err(panic) => (Err(anyhow::anyhow!("a destructor of the host panicked")), Some(panic)),
        };
        let problem = reset.err().map(|why| SandboxDiscarded::new(&why));
        match &problem {
            None => self.keep(world),
            Some(discarded) => {
                self.discarded.fetch_add(1, Ordering::Relaxed);
                self.recipe.engine().note(discarded.to_string());
                self.end(world);
            }
        }
        self.wake();
        match panic {
            Some(panic) if !std::thread::panicking() => resume_unwind(panic),
            _ => problem,
        }
    }

    fn keep(&self, world: Box<World<T>>) {
        let mut idle = self.stack(group());
        if idle.worlds.len() >= self.room.kept {
            drop(idle);
            return self.end(world);
        }
        idle.worlds.push(world);
        idle.given = idle.given.wrapping_add(1);
    }

    fn end(&self, world: Box<World<T>>) {
        let _leave = Leave(self);
        drop(world);
    }

    fn wake(&self) {
        // ORDER: given first, then looked who waits.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.freed.notify_one();
        }
    }

    /// Sees to it that so many worlds are there.
    pub(super) fn warm(&self, count: usize) -> Result<()> {
        while self.made.load(Ordering::Relaxed) < count {
            match self.room() {
                Some(room) => self.keep(self.make(room)?),
                None => break,
            }
        }
        Ok(())
    }

    /// Lets worlds go that nobody has needed for some time, if it is time to look.
    pub(super) fn shrink_after(&self, time: Duration, least: usize) {
        let mut idle = self.stack(group());
        if !idle.given.is_multiple_of(GIVEN) || idle.looked.elapsed() < time {
            return;
        }
        idle.looked = Instant::now();
        let surplus = idle.fewest;
        let spare = self.made.load(Ordering::Relaxed).saturating_sub(least);
        // Those at the bottom have waited longest.
        let gone: Vec<_> = idle.worlds.drain(..surplus.min(spare)).collect();
        idle.fewest = idle.worlds.len();
        drop(idle);
        gone.into_iter().for_each(|world| self.end(world));
    }

    /// Lets all idle worlds go but so many.
    pub(super) fn shrink(&self, least: usize) {
        for number in 0..self.stacks.len() {
            while self.made.load(Ordering::Relaxed) > least {
                let Some(world) = self.stack(number).worlds.pop() else { break };
                self.end(world);
            }
        }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (mut idle, mut sessions) = (0, 0);
        for number in 0..self.stacks.len() {
            let stack = self.stack(number);
            idle += stack.worlds.len();
            sessions += stack.sessions;
        }
        let made = self.made.load(Ordering::Relaxed);
        PoolStatistics {
            sandboxes: made,
            idle: idle.min(made),
            most_sandboxes: self.most.load(Ordering::Relaxed),
            sessions,
            created: get(&self.created),
            discarded: get(&self.discarded),
            waited: get(&self.waited),
            refused: get(&self.refused),
        }
    }
}

/// What whoever needs a world finds.
enum Found<'a, T: 'static> {
    Idle(Box<World<T>>),
    Room(Leave<'a, T>),
}

/// A world fewer, when it is dropped.
struct Leave<'a, T: 'static>(&'a Worlds<T>);

impl<T: 'static> Drop for Leave<'_, T> {
    fn drop(&mut self) {
        self.0.made.fetch_sub(1, Ordering::Relaxed);
        self.0.wake();
    }
}
