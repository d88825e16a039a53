//! Checks at the start and end of each run: deadlines, fuel, the engine's count of calls.
//!
//! In: a store's quota. Out: runs that end in time, killed at any instruction. Never: code in the guest, any cost for
//! stores without such limits, or a kill that hits another run than the one whose time is over.
//!
//! One thread of the process, the timer, sleeps until the first deadline. It starts with the first run that has a
//! deadline. A store has one entry in the timer's queue, which is only moved forward. So a run that ends in time costs
//! two operations on the store's own lock and one read of the clock, and the timer checks a store once per time limit,
//! regardless of the number of runs.
//!
//! **Invariant:** a deadline kills under the lock that its run ends under. So a run that has ended is never killed.

use crate::kill_reason::KillReason;
use crate::runtime::Runtime;
use crate::store_monitor::StoreMonitor;
use crate::sys::{generation, thread_cpu_time};
use crate::thread_registration::this_thread;
use belljar_core::Context;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The checks at the start and end of each run of a store.
pub(crate) struct RunLimits {
    pub(crate) fuel: Option<u64>,
    pub(crate) counts_calls: bool,
    pub(crate) deadline: Option<Arc<Deadline>>,
    pub(crate) in_session: bool,
}

/// Permission to run a guest, until the run ends.
#[derive(Default)]
pub(crate) struct RunGuard {
    pub(crate) deadline: Option<Arc<Deadline>>,
    pub(crate) engine: Option<Arc<Runtime>>,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        if let Some(deadline) = &self.deadline {
            deadline.end_run();
        }
        if let Some(engine) = &self.engine {
            engine.end_call();
        }
    }
}

/// The deadline of a store's runs.
pub(crate) struct Deadline {
    /// Distinguishes entries of the queue with the same time.
    id: u64,
    monitor: Arc<StoreMonitor>,
    wall: Option<Duration>,
    cpu: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_session: bool,
    /// When the time of the run or session is over.
    end: Option<Instant>,
    /// CPU time used by the session's completed runs.
    cpu_used: Duration,
    /// The thread that runs the guest, and its CPU time when the run began.
    runs: Option<(i32, Duration)>,
    /// When the timer checks next, and the process in which it does.
    queued: Option<(Instant, u32)>,
}

/// The state of a deadline, as the timer finds it.
enum DeadlineStatus {
    Expired(KillReason),
    /// It is to check again then.
    CheckAt(Instant),
    /// Nothing runs.
    Idle,
}

/// The minimum time between two checks of CPU time: otherwise a thread that waits with little of it left would be
/// checked all the time.
const CPU_STEP: Duration = Duration::from_millis(1);

/// When the timer checks again if a run's time is over before it has entered the guest.
const RETRY_DELAY: Duration = Duration::from_micros(100);

/// How long the timer waits for a thread to leave the guest, since other deadlines wait meanwhile. After that the
/// reaper takes over.
const PATIENCE: Duration = Duration::from_millis(5);

impl Deadline {
    pub(crate) fn new(
        monitor: Arc<StoreMonitor>,
        wall: Option<Duration>,
        cpu: Option<Duration>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, monitor, wall, cpu, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a run. Returns the reason to refuse it if the session's time is over.
    ///
    /// # Errors
    ///
    /// Returns an error if the timer cannot be started.
    pub(crate) fn begin_run(self: &Arc<Self>) -> belljar_core::Result<Result<(), KillReason>> {
        let thread = this_thread().id();
        let used = self.cpu.and_then(|_| thread_cpu_time(thread)).unwrap_or_default();
        let mut state = self.state();
        let now = Instant::now();
        if !state.in_session {
            self.start(&mut state, now);
        }
        state.runs = Some((thread, used));
        let next = match self.status(&state, now, used) {
            DeadlineStatus::Expired(reason) if state.in_session => {
                state.runs = None;
                return Ok(Err(reason));
            }
            // A run whose limit is zero begins nevertheless.
            DeadlineStatus::Expired(_) => now,
            DeadlineStatus::CheckAt(next) => next,
            DeadlineStatus::Idle => return Ok(Ok(())),
        };
        let queued = self.queue(&mut state, next);
        if queued.is_err() {
            state.runs = None;
        }
        queued.map(Ok)
    }

    fn end_run(&self) {
        let mut state = self.state();
        let runs = state.runs.take();
        if !state.in_session {
            state.end = None;
        } else if self.cpu.is_some()
            && let Some((thread, before)) = runs
        {
            let now = thread_cpu_time(thread).unwrap_or(before);
            state.cpu_used += now.saturating_sub(before);
        }
    }

    pub(crate) fn begin_session(&self) {
        let mut state = self.state();
        state.in_session = true;
        self.start(&mut state, Instant::now());
    }

    pub(crate) fn end_session(&self) {
        let mut state = self.state();
        state.in_session = false;
        state.end = None;
    }

    fn start(&self, state: &mut State, now: Instant) {
        // An end beyond the range of the clock never comes.
        state.end = self.wall.and_then(|wall| now.checked_add(wall));
        state.cpu_used = Duration::ZERO;
    }

    /// Determines the state of the deadline. `used` is the thread's CPU time now.
    fn status(&self, state: &State, now: Instant, used: Duration) -> DeadlineStatus {
        let Some((_, before)) = state.runs else { return DeadlineStatus::Idle };
        if let (Some(end), Some(wall)) = (state.end, self.wall)
            && end <= now
        {
            return DeadlineStatus::Expired(KillReason::WallTime(wall));
        }
        let Some(cpu) = self.cpu else {
            return state.end.map_or(DeadlineStatus::Idle, DeadlineStatus::CheckAt);
        };
        let left = cpu.saturating_sub(state.cpu_used).saturating_sub(used.saturating_sub(before));
        if left.is_zero() {
            return DeadlineStatus::Expired(KillReason::CpuTime(cpu));
        }
        // It cannot be used up sooner.
        let used_up = now.checked_add(left.max(CPU_STEP));
        state.end.into_iter().chain(used_up).min().map_or(DeadlineStatus::Idle, DeadlineStatus::CheckAt)
    }

    /// Makes the timer check at `at` or earlier.
    fn queue(self: &Arc<Self>, state: &mut State, at: Instant) -> belljar_core::Result<()> {
        let process = generation();
        // An entry that was queued in the parent process of a fork does not exist in this one.
        state.queued.take_if(|(_, queued_in)| *queued_in != process);
        if state.queued.is_some_and(|(queued, _)| queued <= at) {
            return Ok(());
        }
        let mut timer = timer();
        timer.start()?;
        if let Some((before, _)) = state.queued.replace((at, process)) {
            timer.queue.remove(&(before, self.id));
        }
        timer.queue.insert((at, self.id), Arc::downgrade(self));
        if timer.queue.first_key_value().is_some_and(|(first, _)| *first == (at, self.id)) {
            EARLIER.notify_one();
        }
        Ok(())
    }

    /// Checks the deadline at a time that it was queued for. The timer calls this.
    fn check(self: &Arc<Self>, at: Instant) {
        let mut state = self.state();
        if state.queued.is_none_or(|(queued, _)| queued != at) {
            return;
        }
        state.queued = None;
        let thread = state.runs.map(|(thread, _)| thread).filter(|_| self.cpu.is_some());
        let used = thread.and_then(thread_cpu_time).unwrap_or_default();
        let reason = match self.status(&state, Instant::now(), used) {
            DeadlineStatus::Expired(reason) => reason,
            DeadlineStatus::CheckAt(next) => {
                // This cannot fail: the timer is running, since it calls this function.
                let _ = self.queue(&mut state, next);
                return;
            }
            DeadlineStatus::Idle => return,
        };
        // Under the lock, so the run that this is for has not ended.
        let is_wanted = self.monitor.request_kill(reason, None);
        if !is_wanted {
            let _ = self.queue(&mut state, Instant::now() + RETRY_DELAY);
        }
        drop(state);
        if is_wanted {
            // If there is no reaper thread for a guest in the host, the timer cannot do anything about it.
            let _ = self.monitor.interrupt_until_exit(PATIENCE);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some((queued, _)) = self.state().queued {
            timer().queue.remove(&(queued, self.id));
        }
    }
}

/// Deadlines by the time at which the timer checks them.
pub(crate) struct Timer {
    queue: BTreeMap<(Instant, u64), Weak<Deadline>>,
    is_running: bool,
}

static TIMER: Mutex<Timer> = Mutex::new(Timer { queue: BTreeMap::new(), is_running: false });

/// Notified when there is an earlier first deadline.
static EARLIER: Condvar = Condvar::new();

pub(crate) type TimerGuard = MutexGuard<'static, Timer>;

// ORDER: a deadline's state is locked before the timer.
pub(crate) fn timer() -> TimerGuard {
    TIMER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Timer {
    /// Clears the queue in a forked child, which has no timer thread.
    pub(crate) fn reset_after_fork(&mut self) {
        self.queue.clear();
        self.is_running = false;
    }

    fn start(&mut self) -> belljar_core::Result<()> {
        if !self.is_running {
            let thread = std::thread::Builder::new().name("belljar-timer".into());
            thread.spawn(run).context("could not start the thread that deadlines need")?;
            self.is_running = true;
        }
        Ok(())
    }
}

/// The timer's loop, which never ends.
fn run() {
    let mut timer = timer();
    loop {
        let Some((&(at, _), _)) = timer.queue.first_key_value() else {
            timer = EARLIER.wait(timer).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            timer = EARLIER.wait_timeout(timer, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let first = timer.queue.pop_first();
        drop(timer);
        if let Some(deadline) = first.and_then(|(_, deadline)| deadline.upgrade()) {
            deadline.check(at);
        }
        timer = self::timer();
    }
}
