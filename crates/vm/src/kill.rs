//! Kills a guest: its thread leaves the guest at any instruction.
//!
//! In: a store's [`StoreMonitor`], and a reason. Out: the run ends with [`crate::Exit::Killed`]. Never: interrupts the
//! host in the middle of an operation, or requires anything of the guest's code.
//!
//! The thread is asked by a real-time signal. In guest code, the handler makes it continue in the `fault` stub. A
//! thread in the host continues until it would return to the guest, and leaves there; host functions that wait are
//! interrupted. If a thread cannot leave at once because it is in the host or between guest and host, the reaper, a
//! thread, asks again until it has left.
//!
//! The state of a killed guest, and of its store, is inconsistent: nothing runs in the store any more.

use crate::kill_reason::KillReason;
use crate::machine::Reached;
use crate::store_id::StoreId;
use crate::store_monitor::StoreMonitor;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of immediate retries while the thread is between guest and host.
const TRIES: usize = 100;

/// How long the reaper waits after the first try, and at most.
const STEPS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(20));

/// How long the reaper waits for one thread's answer while others are due. It asks a thread again that does not answer
/// in time.
const REAPER_PATIENCE: Duration = Duration::from_millis(5);

/// The longest time that the reaper waits before it asks a thread again that did not answer.
const LONGEST_STEP: Duration = Duration::from_millis(500);

impl StoreMonitor {
    /// Kills the store's guest, if it runs. Returns `false` if it does not, or if the store has been rewound and has
    /// another id now. When this returns, the thread has left the guest, or will leave it as soon as it returns to it
    /// from the host.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is gone, or if the guest stays in the host for long and no reaper thread can be
    /// started.
    pub fn kill(self: &Arc<Self>, reason: KillReason, store: Option<StoreId>) -> io::Result<bool> {
        if !self.request_kill(reason, store) {
            return Ok(false);
        }
        self.interrupt_until_exit(PATIENCE)
    }

    /// Makes a guest leave that is to end. A thread that does not answer within `patience` is left to the reaper.
    pub(crate) fn interrupt_until_exit(self: &Arc<Self>, patience: Duration) -> io::Result<bool> {
        for _ in 0..TRIES {
            match self.interrupt_once(patience) {
                Ok(Reached::Leaves) => return Ok(true),
                // Its run has ended, because of the kill or by itself, or has just begun.
                Ok(Reached::Idle) if self.thread_id().is_none() || !self.is_killed() => {
                    return Ok(self.is_dead());
                }
                Ok(Reached::InHost) => break,
                Ok(Reached::Idle | Reached::Between) => std::thread::yield_now(),
                // It blocks signals, or was not scheduled: it is asked again.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
        if reap(Arc::downgrade(self)).is_err() {
            // No thread can be started: the caller waits, as the reaper would.
            return self.wait_for_end();
        }
        Ok(true)
    }

    /// Asks repeatedly until the thread has left the guest, for as long as a thread may take to answer.
    fn wait_for_end(&self) -> io::Result<bool> {
        let (end, mut step) = (Instant::now() + PATIENCE, STEPS.0);
        while Instant::now() < end {
            std::thread::sleep(step);
            step = (step * 2).min(STEPS.1);
            match self.interrupt_once(PATIENCE) {
                Ok(Reached::Leaves) => return Ok(true),
                Ok(Reached::Idle) => return Ok(self.is_dead()),
                Ok(Reached::InHost | Reached::Between) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        }
        let why = "the guest is in a host function, and the thread that would end it after that could not be started";
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

/// The number of guests that [`kill_all`] asks at the same time: fewer than there are request slots, so that others can
/// be used meanwhile.
const AT_ONCE: usize = 8;

/// Kills the guests of several stores, as [`StoreMonitor::kill`] does. Returns how many were running.
///
/// All kills are requested before any thread is waited for. Threads that poll leave at once, and where many threads
/// wait for a processor, one that does not answer yet does not keep the others running.
pub fn kill_all(stores: &[Arc<StoreMonitor>], reason: &KillReason) -> usize {
    let all: Vec<_> = stores.iter().filter(|store| store.request_kill(reason.clone(), None)).collect();
    let next = AtomicUsize::new(0);
    let interrupt_until_exit = || {
        while let Some(store) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            // A store that has gone away meanwhile need not be killed.
            let _ = store.interrupt_until_exit(PATIENCE);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..all.len().min(AT_ONCE) {
            // If no thread can be started, this one does all the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, interrupt_until_exit);
        }
        interrupt_until_exit();
    });
    all.len()
}

/// A guest that is to end.
struct Job {
    due: Instant,
    step: Duration,
    monitor: Weak<StoreMonitor>,
}

#[derive(Default)]
pub(crate) struct Reaper {
    jobs: Vec<Job>,
    is_running: bool,
}

impl Reaper {
    /// Clears the jobs in a forked child, which has no reaper thread.
    pub(crate) fn reset_after_fork(&mut self) {
        *self = Self::default();
    }
}

static REAPER: Mutex<Reaper> = Mutex::new(Reaper { jobs: Vec::new(), is_running: false });

static MORE: Condvar = Condvar::new();

pub(crate) type ReaperGuard = MutexGuard<'static, Reaper>;

pub(crate) fn reaper() -> ReaperGuard {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a guest with the reaper, which makes it end.
fn reap(monitor: Weak<StoreMonitor>) -> io::Result<()> {
    let mut reaper = reaper();
    if !reaper.is_running {
        std::thread::Builder::new().name("belljar-reaper".into()).spawn(run)?;
        reaper.is_running = true;
    }
    reaper.jobs.push(Job { due: Instant::now() + STEPS.0, step: STEPS.0, monitor });
    MORE.notify_one();
    Ok(())
}

/// The reaper's loop, which ends when no job is left.
fn run() {
    let mut all = reaper();
    loop {
        let Some(first) = (0..all.jobs.len()).min_by_key(|i| all.jobs[*i].due) else {
            all.is_running = false;
            return;
        };
        let left = all.jobs[first].due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            all = MORE.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let mut job = all.jobs.swap_remove(first);
        drop(all);
        let guest = job.monitor.upgrade().filter(|guest| guest.is_killed());
        let reached = guest.map(|guest| guest.interrupt_once(REAPER_PATIENCE));
        all = reaper();
        let longest = match reached {
            None | Some(Ok(Reached::Leaves | Reached::Idle)) => continue,
            Some(Ok(Reached::InHost | Reached::Between)) => STEPS.1,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Some(Err(_)) => LONGEST_STEP,
        };
        job.step = (job.step * 2).min(longest);
        job.due = Instant::now() + job.step;
        all.jobs.push(job);
    }
}
