//! The reset instances of a template, shared by all threads.
//!
//! ```text
//! take: own stack ─▶ other stacks ─▶ a new instance, if the capacity allows ─▶ wait;  then begin the session
//! give: reset ─▶ own stack ─▶ wake a waiting thread;  drop it if the reset failed or the stack is full
//! ```
//!
//! Each of a few groups of threads has a stack of its own, so that threads rarely contend. [`Stacks`] counts what is idle, taken
//! and not created yet.

use super::guest::Guest;
use super::instance_factory::InstanceFactory;
use super::sandbox_instance::{SandboxDiscarded, SandboxInstance};
use super::stacks::{Available, Reservation, Stacks};
use crate::{PoolStatistics, Result};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) use super::stacks::Capacity;

/// The reset instances of a template.
pub(crate) struct InstancePool<T: 'static, G: Guest<T>> {
    factory: Arc<InstanceFactory<T, G>>,
    stacks: Stacks<Box<SandboxInstance<T, G>>>,
    /// Which idle instances are dropped as time passes. `None`: none.
    expiry: Option<Expiry>,
    created: AtomicU64,
    discarded: AtomicU64,
    waited: AtomicU64,
    refused: AtomicU64,
}

/// When idle instances are dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    /// How long an instance stays idle.
    pub(super) idle_timeout: Duration,
    /// Instances that stay however long they are idle.
    pub(super) least: usize,
}

/// The most groups of threads.
const MOST_STACKS: usize = 64;

thread_local! {
    static GROUP: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The current thread's number, in the order in which threads first asked.
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

impl<T: 'static, G: Guest<T>> InstancePool<T, G> {
    pub(super) fn new(
        factory: Arc<InstanceFactory<T, G>>,
        capacity: Capacity,
        expiry: Option<Expiry>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // With two stacks per processor, two threads that share a stack rarely run at the same time.
        let count = (2 * processors).next_power_of_two().min(MOST_STACKS);
        Self {
            factory,
            stacks: Stacks::new(capacity, count),
            expiry,
            created: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Creates an instance for a reservation.
    fn create(
        &self,
        reservation: Reservation<'_, Box<SandboxInstance<T, G>>>,
    ) -> Result<Box<SandboxInstance<T, G>>> {
        let instance = self.factory.instance()?;
        reservation.keep();
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(instance)
    }

    /// [`Stacks::wait`] with a timeout.
    fn wait(&self, patience: Duration) -> Option<Available<'_, Box<SandboxInstance<T, G>>>> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        // A time that the clock cannot represent is no limit.
        let until = Instant::now().checked_add(patience);
        self.stacks.wait(group(), || until.map(|until| until.saturating_duration_since(Instant::now())))
    }

    /// Takes an instance and begins a session in it. If all instances are taken and the capacity is used up, it waits for
    /// `patience`; the result is `None` if none was returned by then.
    pub(super) fn take(&self, patience: Duration) -> Option<Result<Box<SandboxInstance<T, G>>>> {
        let found = match self.stacks.find(group()) {
            None if !patience.is_zero() => self.wait(patience),
            found => found,
        };
        // No lock is held here: the embedder's closures may take long, and may use the pool.
        match found {
            Some(Available::Idle(instance)) => {
                let begun = self.begin(instance);
                if begun.is_err() {
                    self.stacks.uncount_session(group());
                }
                Some(begun)
            }
            Some(Available::Capacity(reservation)) => {
                let begun = self.create(reservation).and_then(|instance| self.begin(instance));
                if begun.is_ok() {
                    self.stacks.count_session(group());
                }
                Some(begun)
            }
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Begins a session in a reset instance. If the session's data cannot be created, the instance is returned to
    /// its stack.
    fn begin(&self, mut instance: Box<SandboxInstance<T, G>>) -> Result<Box<SandboxInstance<T, G>>> {
        match self.factory.data() {
            Ok(data) => {
                instance.begin(data);
                Ok(instance)
            }
            Err(error) => {
                self.keep(instance);
                self.stacks.wake();
                Err(error)
            }
        }
    }

    /// Ends the session in an instance, resets the instance and keeps it for other sessions. An instance that cannot be reset is
    /// dropped; the result and a warning of the engine tell why.
    pub(super) fn give(&self, mut instance: Box<SandboxInstance<T, G>>) -> Option<SandboxDiscarded> {
        let reset = catch_unwind(AssertUnwindSafe(|| instance.reset(self.factory.verify)));
        // A destructor's panic goes on, unless the thread panics already.
        let (reset, panic) = match reset {
            Ok(reset) => (reset, None),
            Err(panic) => (Err(belljar_core::format_err!("a destructor of the host panicked")), Some(panic)),
        };
        let problem = reset.err().map(|why| SandboxDiscarded::new(&why));
        match &problem {
            None => self.keep(instance),
            Some(discarded) => {
                self.discarded.fetch_add(1, Ordering::Relaxed);
                self.factory.engine().warn(discarded.to_string());
                self.stacks.discard(instance);
            }
        }
        self.stacks.wake();
        if let Some(Expiry { idle_timeout, least }) = self.expiry {
            self.stacks.shrink_after(group(), idle_timeout, least);
        }
        match panic {
            Some(panic) if !std::thread::panicking() => resume_unwind(panic),
            _ => problem,
        }
    }

    fn keep(&self, instance: Box<SandboxInstance<T, G>>) {
        if let Some(instance) = self.stacks.put(group(), instance) {
            self.stacks.discard(instance);
        }
    }

    /// Creates instances until there are `count`, or the capacity is used up.
    pub(super) fn warm(&self, count: usize) -> Result<()> {
        while self.stacks.made() < count {
            match self.stacks.reserve() {
                Some(reservation) => self.keep(self.create(reservation)?),
                None => break,
            }
        }
        Ok(())
    }

    /// Drops idle instances until `least` are left in all.
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
