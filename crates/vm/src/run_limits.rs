//! What is done at the beginning and end of each run: deadlines, fuel, the engine's count of calls.
//!
//! In: a store's quota. Out: runs that end in time, killed where they are. Never: code in the guest, anything at all for stores
//! without such limits, or a kill that hits another run than the one whose time is over.
//!
//! One thread of the process, the timer, sleeps until the first deadline. It begins when the first run with a deadline does.
//! A store has one place in its queue, and is moved there only to come earlier: a run that ends in time costs the store's own lock
//! twice and a look at the clock, and the timer looks once in the time that runs may take, whatever their number.
//!
//! **Invariant:** a deadline kills under the lock that its run ends under. So whoever has ended a run is not killed for it.

use crate::kill_reason::KillReason;
use crate::runtime::Runtime;
use crate::store_monitor::StoreMonitor;
use crate::sys::{generation, thread_cpu_time};
use crate::thread_registration::this_thread;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What a store does at the beginning and end of each run.
pub(crate) struct RunLimits {
    pub(crate) fuel: Option<u64>,
    pub(crate) counts_calls: bool,
    pub(crate) deadline: Option<Arc<Deadline>>,
    pub(crate) in_session: bool,
}

/// The right to run a guest, up to its end.
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
    /// Its place in the queue is told from others at the same time by this.
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
    /// CPU time that the session's runs have used which are over.
    cpu_used: Duration,
    /// The thread that runs the guest, and its CPU time when that began.
    runs: Option<(i32, Duration)>,
    /// When the timer looks next, and the process in which it does.
    queued: Option<(Instant, u32)>,
}

/// What the timer finds.
enum TimerFinding {
    Over(KillReason),
    /// It is to look again.
    Until(Instant),
    /// Nothing runs.
    Nothing,
}

/// CPU time is looked at again after this at least: who waits with little of it left is looked at all the time.
const CPU_STEP: Duration = Duration::from_millis(1);

/// When the timer looks again at a run whose time is over before it has entered the guest.
const AGAIN: Duration = Duration::from_micros(100);

/// How long the timer waits for a thread that is to leave, as others wait for it. After that the reaper does.
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

    /// Why it must not begin, if the session's time is over.
    ///
    /// # Errors
    ///
    /// Where there is no timer.
    pub(crate) fn begin_run(self: &Arc<Self>) -> anyhow::Result<Result<(), KillReason>> {
        let thread = this_thread().id();
        let used = self.cpu.and_then(|_| thread_cpu_time(thread)).unwrap_or_default();
        let mut state = self.state();
        let now = Instant::now();
        if !state.in_session {
            self.start(&mut state, now);
        }
        state.runs = Some((thread, used));
        let next = match self.verdict(&state, now, used) {
            TimerFinding::Over(reason) if state.in_session => {
                state.runs = None;
                return Ok(Err(reason));
            }
            // A run that has no time at all begins nevertheless.
            TimerFinding::Over(_) => now,
            TimerFinding::Until(next) => next,
            TimerFinding::Nothing => return Ok(Ok(())),
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
        // An end that no clock can show never comes.
        state.end = self.wall.and_then(|wall| now.checked_add(wall));
        state.cpu_used = Duration::ZERO;
    }

    /// `used`: the thread's CPU time now.
    fn verdict(&self, state: &State, now: Instant, used: Duration) -> TimerFinding {
        let Some((_, before)) = state.runs else { return TimerFinding::Nothing };
        if let (Some(end), Some(wall)) = (state.end, self.wall)
            && end <= now
        {
            return TimerFinding::Over(KillReason::WallTime(wall));
        }
        let Some(cpu) = self.cpu else { return state.end.map_or(TimerFinding::Nothing, TimerFinding::Until) };
        let left = cpu.saturating_sub(state.cpu_used).saturating_sub(used.saturating_sub(before));
        if left.is_zero() {
            return TimerFinding::Over(KillReason::CpuTime(cpu));
        }
        // No sooner can it be used up.
        let used_up = now.checked_add(left.max(CPU_STEP));
        state.end.into_iter().chain(used_up).min().map_or(TimerFinding::Nothing, TimerFinding::Until)
    }

    /// Has the timer look at `at`, or before.
    fn queue(self: &Arc<Self>, state: &mut State, at: Instant) -> anyhow::Result<()> {
        let process = generation();
        // A deadline of the process that this one was forked from is nobody's any more.
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

    /// What the timer does at a time that it was queued for.
    fn look(self: &Arc<Self>, at: Instant) {
        let mut state = self.state();
        if state.queued.is_none_or(|(queued, _)| queued != at) {
            return;
        }
        state.queued = None;
        let thread = state.runs.map(|(thread, _)| thread).filter(|_| self.cpu.is_some());
        let used = thread.and_then(thread_cpu_time).unwrap_or_default();
        let reason = match self.verdict(&state, Instant::now(), used) {
            TimerFinding::Over(reason) => reason,
            TimerFinding::Until(next) => {
                // The timer runs: it is the one who calls this.
                let _ = self.queue(&mut state, next);
                return;
            }
            TimerFinding::Nothing => return,
        };
        // Under the lock: the run that this is for has not ended.
        let is_wanted = self.monitor.want_killed(reason, None);
        if !is_wanted {
            let _ = self.queue(&mut state, Instant::now() + AGAIN);
        }
        drop(state);
        if is_wanted {
            // That there is no thread to see to a guest in the host is nothing that the timer could help.
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

/// Deadlines by the time at which the timer looks at them.
pub(crate) struct Timer {
    queue: BTreeMap<(Instant, u64), Weak<Deadline>>,
    is_running: bool,
}

static TIMER: Mutex<Timer> = Mutex::new(Timer { queue: BTreeMap::new(), is_running: false });

/// Notified when another deadline is the first.
static EARLIER: Condvar = Condvar::new();

pub(crate) type TimerGuard = MutexGuard<'static, Timer>;

// ORDER: a deadline's state is locked before the timer.
pub(crate) fn timer() -> TimerGuard {
    TIMER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Timer {
    /// In a forked child, which has no thread that would look at any of it.
    pub(crate) fn forget_all(&mut self) {
        self.queue.clear();
        self.is_running = false;
    }

    fn start(&mut self) -> anyhow::Result<()> {
        if !self.is_running {
            let thread = std::thread::Builder::new().name("belljar-timer".into());
            thread.spawn(run).context("could not start the thread that deadlines need")?;
            self.is_running = true;
        }
        Ok(())
    }
}

/// What the timer does, for good.
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
            deadline.look(at);
        }
        timer = self::timer();
    }
}
