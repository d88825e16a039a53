//! Killing a guest: its thread leaves it, at whatever instruction it is.
//!
//! In: a store's [`StoreMonitor`], and a reason. Out: the run ends with [`crate::Exit::Killed`]. Never: touches the host in the
//! middle of something, or needs anything of the guest's code.
//!
//! The thread is asked by the signal that looks. In guest code the handler has it go on in the `fault` stub. In the host the
//! thread goes on to where it would return to the guest, and leaves there; host functions that wait are interrupted. Whoever
//! cannot be reached at once, as it is in the host or in between, is seen to by a thread, the reaper, until it has left.
//!
//! A guest that was killed was in the middle of something, and its store with it: nothing runs in it any more.

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

/// Tries at once, while the thread is between guest and host.
const TRIES: usize = 100;

/// How long the reaper waits after the first try, and at most.
const STEPS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(20));

/// How long the reaper waits for one thread's answer while others are due. One that does not answer in time is asked again.
const REAPER_PATIENCE: Duration = Duration::from_millis(5);

/// The reaper's longest wait before it asks a thread again that did not answer.
const LONGEST_STEP: Duration = Duration::from_millis(500);

impl StoreMonitor {
    /// Has the store's guest killed, if it runs. `false` if it does not, or the store has gone back to a checkpoint and is not this one
    /// any more. The thread has left the guest when this returns, or
    /// will as soon as it returns to it from the host.
    ///
    /// # Errors
    ///
    /// Where the store is gone; where the guest stays in the host for long, and no thread can be had to see to it.
    pub fn kill(self: &Arc<Self>, reason: KillReason, store: Option<StoreId>) -> io::Result<bool> {
        if !self.want_killed(reason, store) {
            return Ok(false);
        }
        self.interrupt_until_exit(PATIENCE)
    }

    /// Has a guest leave that is to end. A thread that does not answer within `patience` is left to the reaper.
    pub(crate) fn interrupt_until_exit(self: &Arc<Self>, patience: Duration) -> io::Result<bool> {
        for _ in 0..TRIES {
            match self.interrupt_once(patience) {
                Ok(Reached::Leaves) => return Ok(true),
                // Its run has ended, of this or by itself, or has just begun.
                Ok(Reached::Idle) if self.thread_id().is_none() || !self.is_killed() => {
                    return Ok(self.is_dead());
                }
                Ok(Reached::InHost) => break,
                Ok(Reached::Idle | Reached::Between) => std::thread::yield_now(),
                // It blocks signals, or has not got to run: it is asked again.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
        if reap(Arc::downgrade(self)).is_err() {
            // No thread can be had: the caller waits, as the reaper would.
            return self.wait_for_end();
        }
        Ok(true)
    }

    /// Asks again and again until the guest has been left, for as long as a thread may take to answer.
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
        let why = "the guest is in a host function, and there is no thread to see to it that it does not go on after that";
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

/// Guests of [`kill_all`] that are asked at the same time. Less than there can be questions, so that others can ask, too.
const AT_ONCE: usize = 8;

/// Has the guests of several stores killed, as [`StoreMonitor::kill`] does. How many were running.
///
/// All are to end before any is waited for: those that look for themselves leave at once, and where many threads wait for a
/// processor, one that does not answer yet does not keep the others running.
pub fn kill_all(stores: &[Arc<StoreMonitor>], reason: &KillReason) -> usize {
    let all: Vec<_> = stores.iter().filter(|store| store.want_killed(reason.clone(), None)).collect();
    let next = AtomicUsize::new(0);
    let interrupt_until_exit = || {
        while let Some(store) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            // What has gone meanwhile need not be killed.
            let _ = store.interrupt_until_exit(PATIENCE);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..all.len().min(AT_ONCE) {
            // Where no thread can be had, this one does it all.
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
    /// In a forked child, which has no thread that would do any of it.
    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }
}

static REAPER: Mutex<Reaper> = Mutex::new(Reaper { jobs: Vec::new(), is_running: false });

static MORE: Condvar = Condvar::new();

pub(crate) type ReaperGuard = MutexGuard<'static, Reaper>;

pub(crate) fn reaper() -> ReaperGuard {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the reaper see to it that a guest ends.
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

/// Until there is nobody left.
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
