//! Watchdogs: somebody is told where a guest is when it has run for long.
//!
//! One thread of the process waits for all of them. It begins with the first watchdog and ends with the last.

use crate::{Inspector, Result, Stack};
use anyhow::Context;
use belljar_vm::{hold_while_forking, process_generation, this_thread_id, thread_cpu_time};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Calls back with a guest's stack when time is over, and lets the guest go on. Until it is dropped.
///
/// It watches what its [`Inspector`] is for. Where that is over, as the store is gone or the session of a sandbox has ended, it calls
/// back with an error that says so, once.
///
/// It belongs to the process that made it: in a forked child it does nothing, and new ones can be made.
///
/// ```
/// use belljar::{Engine, Instance, Module, Store, Watchdog, WatchdogAction};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func $spin (export "run") (loop (br 0))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
///
/// let (send, receive) = mpsc::channel();
/// let _watchdog = Watchdog::wall(store.inspector(), Duration::from_millis(20), move |stack| {
///     let _ = send.send(stack);
///     WatchdogAction::Stop
/// })?;
/// std::thread::spawn(move || run.call(&mut store, ()));
/// let stack = receive.recv()??;
/// println!("{stack}");
/// # Ok::<(), belljar::Error>(())
/// ```
#[must_use = "dropping a watchdog ends it"]
pub struct Watchdog {
    id: u64,
    job: Arc<Job>,
}

/// What a watchdog does after it has called back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchdogAction {
    /// It waits as long again.
    Again,
    /// It has done what it was for.
    Stop,
}

type Callback = Box<dyn FnMut(Result<Stack>) -> WatchdogAction + Send>;

struct Job {
    inspector: Inspector,
    after: Duration,
    is_cpu: bool,
    is_dropped: AtomicBool,
    /// `None` when the watchdog has ended. Held while it is called.
    state: Mutex<Option<State>>,
    /// The process that it was made in.
    process: u32,
}

struct State {
    callback: Callback,
    /// The thread whose CPU time counts, and that time when the watchdog began to count it.
    cpu: Option<(i32, Duration)>,
    /// CPU time that was used on other threads before.
    used_before: Duration,
}

#[derive(Default)]
struct WatchdogThread {
    jobs: BTreeMap<(Instant, u64), Arc<Job>>,
    last_id: u64,
    /// The thread that waits, if there is one.
    waits: Option<ThreadId>,
    /// The process whose it is: a forked child begins with none.
    process: u32,
}

static KENNEL: Mutex<Option<WatchdogThread>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

/// How long a watchdog waits for the guest's thread to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// CPU time is compared at least this often, and at most that.
const CPU_STEPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

fn watchdog_thread() -> MutexGuard<'static, Option<WatchdogThread>> {
    let mut watchdog_thread = KENNEL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = process_generation();
    if let Some(inherited) = watchdog_thread.take_if(|watchdog_thread| watchdog_thread.process != process) {
        // What its callbacks hold is the parent's.
        std::mem::forget(inherited);
    }
    watchdog_thread.get_or_insert_with(|| WatchdogThread { process, ..WatchdogThread::default() });
    watchdog_thread
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("after", &self.job.after).finish_non_exhaustive()
    }
}

impl Watchdog {
    /// Calls back when `after` is over, counted from now.
    ///
    /// The callback runs on a thread that all watchdogs have in common: what takes long there delays others. A panic in it ends
    /// the watchdog.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn wall(
        inspector: Inspector,
        after: Duration,
        callback: impl FnMut(Result<Stack>) -> WatchdogAction + Send + 'static,
    ) -> Result<Self> {
        Self::start(inspector, after, false, Box::new(callback))
    }

    /// Calls back when the thread that runs the guest has used `after` of CPU time, counted from now. While the store is idle
    /// the current thread is taken for the one that will run it. A guest that waits uses none.
    ///
    /// # Errors
    ///
    /// As [`Watchdog::wall`].
    pub fn cpu(
        inspector: Inspector,
        after: Duration,
        callback: impl FnMut(Result<Stack>) -> WatchdogAction + Send + 'static,
    ) -> Result<Self> {
        Self::start(inspector, after, true, Box::new(callback))
    }

    fn start(inspector: Inspector, after: Duration, is_cpu: bool, callback: Callback) -> Result<Self> {
        let thread = inspector.thread().unwrap_or_else(this_thread_id);
        let cpu = is_cpu.then(|| Some((thread, thread_cpu_time(thread)?))).flatten();
        let state = State { callback, cpu, used_before: Duration::ZERO };
        let job = Arc::new(Job {
            inspector,
            after,
            is_cpu,
            is_dropped: AtomicBool::new(false),
            state: Mutex::new(Some(state)),
            process: process_generation(),
        });
        static HELD: Once = Once::new();
        HELD.call_once(|| hold_while_forking(|| Box::new(watchdog_thread())));
        let mut watchdog_thread = watchdog_thread();
        let all = watchdog_thread.get_or_insert_default();
        all.last_id += 1;
        let id = all.last_id;
        if all.waits.is_none() {
            let thread = std::thread::Builder::new().name("belljar-watchdog".into()).spawn(wait);
            let thread = thread.context("could not start the thread that watchdogs wait on")?;
            all.waits = Some(thread.thread().id());
        }
        all.jobs.insert((due(after), id), job.clone());
        CHANGED.notify_all();
        Ok(Self { id, job })
    }
}

/// A time that never comes is one in some decades.
fn due(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

impl Drop for Watchdog {
    /// Waits for a callback that is running, unless it is the one that drops.
    fn drop(&mut self) {
        self.job.is_dropped.store(true, Relaxed);
        if self.job.process != process_generation() {
            // In a forked child there is no thread that would call back, or be waited for.
            return;
        }
        let mut all = watchdog_thread();
        let waits = all.as_mut().and_then(|watchdog_thread| {
            watchdog_thread.jobs.retain(|(_, id), _| *id != self.id);
            watchdog_thread.waits
        });
        CHANGED.notify_all();
        drop(all);
        let is_callback = waits == Some(std::thread::current().id());
        let state = if is_callback { self.job.state.try_lock().ok() } else { Some(self.job.state()) };
        if let Some(mut state) = state {
            *state = None;
        }
    }
}

/// Waits for the next watchdog, until there are none.
fn wait() {
    let mut all = watchdog_thread();
    loop {
        let Some(watchdog_thread) = all.as_mut() else { return };
        let Some((&(due, id), job)) = watchdog_thread.jobs.first_key_value() else {
            watchdog_thread.waits = None;
            return;
        };
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            all = CHANGED.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let job = job.clone();
        watchdog_thread.jobs.remove(&(due, id));
        drop(all);
        let next = job.run();
        all = self::watchdog_thread();
        if let (Some(next), Some(watchdog_thread)) = (next, all.as_mut())
            && !job.is_dropped.load(Relaxed)
        {
            watchdog_thread.jobs.insert((next, id), job);
        }
    }
}

impl Job {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        // After a panic of the callback.
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            *state = None;
            state
        })
    }

    /// Calls back if time is over. When to look again, if at all.
    fn run(&self) -> Option<Instant> {
        let mut guard = self.state();
        let state = guard.as_mut()?;
        let is_over = self.inspector.is_over();
        // Whoever runs there now is another's: its time does not count.
        if self.is_cpu && !is_over {
            let left = self.after.saturating_sub(self.cpu_used(state));
            if !left.is_zero() {
                return Some(due(left.clamp(CPU_STEPS.0, CPU_STEPS.1)));
            }
        }
        let stack = self.inspector.capture(PATIENCE);
        let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (state.callback)(stack)));
        match called {
            Ok(WatchdogAction::Again) if !is_over => {
                state.used_before = Duration::ZERO;
                state.cpu = state.cpu.and_then(|(thread, _)| Some((thread, thread_cpu_time(thread)?)));
                Some(due(self.after))
            }
            Ok(WatchdogAction::Again | WatchdogAction::Stop) | Err(_) => {
                *guard = None;
                None
            }
        }
    }

    /// CPU time that the guest's threads have used since the watchdog began to count.
    fn cpu_used(&self, state: &mut State) -> Duration {
        let runs_on = self.inspector.thread();
        let of_known =
            state.cpu.and_then(|(thread, base)| Some(thread_cpu_time(thread)?.saturating_sub(base)));
        let used = state.used_before + of_known.unwrap_or_default();
        if let Some(thread) = runs_on.filter(|thread| state.cpu.is_none_or(|(known, _)| known != *thread)) {
            state.used_before = used;
            state.cpu = thread_cpu_time(thread).map(|base| (thread, base));
        }
        used
    }
}
