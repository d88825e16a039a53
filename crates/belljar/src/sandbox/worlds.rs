//! Clean worlds, for whoever needs one: a stack for each of a few groups of threads, so that threads seldom meet.
//!
//! ```text
//! take: own stack ─▶ other stacks ─▶ a new one, if there may be more ─▶ wait
//! give: clean ─▶ own stack ─▶ wake one who waits;  not clean, or too many ─▶ dropped
//! ```
//!
//! What is idle, taken or still to be made is known to [`Stacks`].

use super::recipe::Recipe;
use super::stacks::{Found, Reservation, Stacks};
use super::world::{SandboxDiscarded, World};
use crate::{PoolStatistics, Result};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) use super::stacks::Room;

/// Worlds of a template.
pub(super) struct Worlds<T: 'static> {
    recipe: Arc<Recipe<T>>,
    stacks: Stacks<Box<World<T>>>,
    created: AtomicU64,
    discarded: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
}

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
        Self {
            recipe,
            stacks: Stacks::new(room, count),
            created: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Makes a world where there is room for one.
    fn make(&self, room: Reservation<'_, Box<World<T>>>) -> Result<Box<World<T>>> {
        let world = self.recipe.world()?;
        room.keep();
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(world)
    }

    /// As [`Stacks::wait`], but no later than this.
    fn wait(&self, patience: Duration) -> Option<Found<'_, Box<World<T>>>> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        // A time that the clock cannot hold is for ever.
        let until = Instant::now().checked_add(patience);
        self.stacks.wait(group(), || until.map(|until| until.saturating_duration_since(Instant::now())))
    }

    /// A world for a session. If all are taken and there may be no more, it waits so long for one; then there is `None`.
    pub(super) fn take(&self, patience: Duration) -> Option<Result<Box<World<T>>>> {
        let found = match self.stacks.find(group()) {
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
                self.stacks.stack(group()).sessions += u64::from(world.is_ok());
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
                self.stacks.discard(world);
            }
        }
        self.stacks.wake();
        match panic {
            Some(panic) if !std::thread::panicking() => resume_unwind(panic),
            _ => problem,
        }
    }

    fn keep(&self, world: Box<World<T>>) {
        if let Some(world) = self.stacks.put(group(), world) {
            self.stacks.discard(world);
        }
    }

    /// Sees to it that so many worlds are there.
    pub(super) fn warm(&self, count: usize) -> Result<()> {
        while self.stacks.made() < count {
            match self.stacks.reserve() {
                Some(room) => self.keep(self.make(room)?),
                None => break,
            }
        }
        Ok(())
    }

    /// Lets worlds go that nobody has needed for some time, if it is time to look.
    pub(super) fn shrink_after(&self, time: Duration, least: usize) {
        self.stacks.shrink_after(group(), time, least);
    }

    /// Lets all idle worlds go but so many.
    pub(super) fn shrink(&self, least: usize) {
        self.stacks.shrink(least);
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (idle, sessions) = self.stacks.count();
        let made = self.stacks.made();
        PoolStatistics {
            sandboxes: made,
            idle: idle.min(made),
            most_sandboxes: self.stacks.most(),
            sessions,
            created: get(&self.created),
            discarded: get(&self.discarded),
            waited: get(&self.waited),
            refused: get(&self.refused),
        }
    }
}
