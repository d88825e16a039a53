//! The models of the pool.

#[path = "../../src/sandbox/stacks.rs"]
mod stacks;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use stacks::{Available, Capacity, Stacks};

/// A sandbox. The checker fails if two threads use it at once.
struct SandboxInstance {
    uses: UnsafeCell<()>,
    alive: Arc<AtomicUsize>,
}

impl Drop for SandboxInstance {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Relaxed);
    }
}

struct Pool {
    stacks: Stacks<SandboxInstance>,
    most: usize,
    alive: Arc<AtomicUsize>,
}

impl Pool {
    fn new(most: usize, kept: usize) -> Arc<Self> {
        let alive = Arc::new(AtomicUsize::new(0));
        Arc::new(Self { stacks: Stacks::new(Capacity { most, kept }, 2), most, alive })
    }

    fn take(&self, group: usize) -> SandboxInstance {
        let found = self.stacks.find(group).or_else(|| self.stacks.wait(group, || None));
        match found.expect("nobody waits in vain") {
            Available::Idle(instance) => instance,
            Available::Capacity(room) => {
                assert!(self.alive.fetch_add(1, Relaxed) < self.most, "more than there may be");
                room.keep();
                SandboxInstance { uses: UnsafeCell::new(()), alive: self.alive.clone() }
            }
        }
    }

    fn give(&self, group: usize, instance: SandboxInstance) {
        if let Some(instance) = self.stacks.put(group, instance) {
            self.stacks.discard(instance);
        }
        self.stacks.wake();
    }

    fn session(&self, group: usize, is_lost: bool) {
        let instance = self.take(group);
        instance.uses.with_mut(|_| ());
        match is_lost {
            true => self.stacks.discard(instance),
            false => self.give(group, instance),
        }
    }
}

/// Runs sessions, each on its own thread with its group, on a pool of fewer sandboxes. `bool`: whether the sandbox is
/// lost.
fn sessions(pool: &Arc<Pool>, sessions: &[(usize, bool)]) {
    let (first, others) = sessions.split_first().expect("some sessions");
    let spawn = |&(group, is_lost): &(usize, bool)| {
        let pool = pool.clone();
        thread::spawn(move || pool.session(group, is_lost))
    };
    let others: Vec<_> = others.iter().map(spawn).collect();
    pool.session(first.0, first.1);
    others.into_iter().for_each(|session| session.join().unwrap());
    assert_eq!(pool.stacks.made(), pool.alive.load(Relaxed));
    let idle = pool.stacks.count().0;
    assert_eq!(idle, pool.stacks.made());
}

fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn who_waits_gets_what_another_group_gives() {
    model(|| sessions(&Pool::new(1, 4), &[(0, false), (1, false)]));
}

#[test]
fn who_waits_gets_the_room_of_one_that_was_lost() {
    model(|| sessions(&Pool::new(1, 4), &[(0, true), (1, true)]));
    model(|| sessions(&Pool::new(1, 4), &[(0, true), (1, false)]));
}

#[test]
fn a_stack_that_is_full_leaves_room() {
    model(|| sessions(&Pool::new(1, 0), &[(0, false), (1, false)]));
}

#[test]
fn three_threads_share_one_sandbox() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(1);
    builder.check(|| sessions(&Pool::new(1, 1), &[(0, false), (1, false), (0, true)]));
}

#[test]
fn shrinking_takes_nothing_that_is_in_use() {
    model(|| {
        let pool = Pool::new(2, 4);
        pool.session(0, false);
        let shrinking = {
            let pool = pool.clone();
            thread::spawn(move || pool.stacks.shrink(0))
        };
        pool.session(0, false);
        shrinking.join().unwrap();
        assert_eq!(pool.stacks.made(), pool.alive.load(Relaxed));
    });
}
