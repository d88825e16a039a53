//! Watchdogs: callbacks with the stack of a guest that has run for a long time.
//!
//! One thread of the process serves all watchdogs. It starts with the first watchdog and ends with the last.

use crate::{Inspector, Result, Stack};
use belljar_core::Context;
use belljar_vm::{hold_while_forking, process_generation, this_thread_id, thread_cpu_time};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Calls back with a guest's stack after some time, while the guest continues. Dropping it ends the watchdog.
///
/// It watches the store or the session of its [`Inspector`]. When that is over, it calls back once, with an error that
/// says so.
///
/// It belongs to the process that created it: in a forked child it does nothing, and the child can create new ones.
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
    watchdog: Arc<ActiveWatchdog>,
}

/// What a watchdog does after it has called back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchdogAction {
    /// It waits for the same time again.
    Again,
    /// It ends.
    Stop,
}

type Callback = Box<dyn FnMut(Result<Stack>) -> WatchdogAction + Send>;

struct ActiveWatchdog {
    inspector: Inspector,
    after: Duration,
    is_cpu: bool,
    is_dropped: AtomicBool,
    /// `None` once the watchdog has ended. The lock is held during the callback.
    state: Mutex<Option<State>>,
    /// The process in which the watchdog was created.
    process: u32,
}

struct State {
    callback: Callback,
    /// The thread whose CPU time counts, and its CPU time when the watchdog began to count.
    cpu: Option<(i32, Duration)>,
    /// CPU time that other threads used before.
    used_before: Duration,
}

#[derive(Default)]
struct WatchdogThread {
    active: BTreeMap<(Instant, u64), Arc<ActiveWatchdog>>,
    last_id: u64,
    /// The waiting thread, if there is one.
    waits: Option<ThreadId>,
    /// The process that the thread belongs to: a forked child starts without one.
    process: u32,
}

static KENNEL: Mutex<Option<WatchdogThread>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

/// How long a watchdog waits for the guest's thread to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The shortest and the longest interval between checks of CPU time.
const CPU_STEPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

fn watchdog_thread() -> MutexGuard<'static, Option<WatchdogThread>> {
    let mut watchdog_thread = KENNEL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = process_generation();
    if let Some(inherited) = watchdog_thread.take_if(|watchdog_thread| watchdog_thread.process != process) {
        // The callbacks and what they hold belong to the parent.
        std::mem::forget(inherited);
    }
    watchdog_thread.get_or_insert_with(|| WatchdogThread { process, ..WatchdogThread::default() });
    watchdog_thread
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("after", &self.watchdog.after).finish_non_exhaustive()
    }
}

impl Watchdog {
    /// Creates a watchdog that calls back when `after` has passed, counted from now.
    ///
    /// The callback runs on a thread that all watchdogs share: a slow callback delays the others. A panic in it ends
    /// the watchdog.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub fn wall(
        inspector: Inspector,
        after: Duration,
        callback: impl FnMut(Result<Stack>) -> WatchdogAction + Send + 'static,
    ) -> Result<Self> {
        Self::start(inspector, after, false, Box::new(callback))
    }

    /// Creates a watchdog that calls back when the thread that runs the guest has used `after` of CPU time, counted
    /// from now. While the store is idle, the current thread is assumed to be the one that will run it. A guest that
    /// waits uses no CPU time.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Watchdog::wall`] does.
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
        let watchdog = Arc::new(ActiveWatchdog {
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
            let thread = thread.context("could not start the thread for watchdogs")?;
            all.waits = Some(thread.thread().id());
        }
        all.active.insert((due(after), id), watchdog.clone());
        CHANGED.notify_all();
        Ok(Self { id, watchdog })
    }
}

/// Returns when a watchdog is due. A time that the clock cannot represent becomes a few decades.
fn due(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

impl Drop for Watchdog {
    /// Waits for a running callback, unless the callback itself drops the watchdog.
    fn drop(&mut self) {
        self.watchdog.is_dropped.store(true, Relaxed);
        if self.watchdog.process != process_generation() {
            // A forked child has no thread that would call back or could be waited for.
            return;
        }
        let mut all = watchdog_thread();
        let waits = all.as_mut().and_then(|watchdog_thread| {
            watchdog_thread.active.retain(|(_, id), _| *id != self.id);
            watchdog_thread.waits
        });
        CHANGED.notify_all();
        drop(all);
        let is_callback = waits == Some(std::thread::current().id());
        let state =
            if is_callback { self.watchdog.state.try_lock().ok() } else { Some(self.watchdog.state()) };
        if let Some(mut state) = state {
            *state = None;
        }
    }
}

/// Serves the watchdogs in order, until there are none.
fn wait() {
    let mut all = watchdog_thread();
    loop {
        let Some(watchdog_thread) = all.as_mut() else { return };
        let Some((&(due, id), watchdog)) = watchdog_thread.active.first_key_value() else {
            watchdog_thread.waits = None;
            return;
        };
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            all = CHANGED.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let watchdog = watchdog.clone();
        watchdog_thread.active.remove(&(due, id));
        drop(all);
        let next = watchdog.run();
        all = self::watchdog_thread();
        if let (Some(next), Some(watchdog_thread)) = (next, all.as_mut())
            && !watchdog.is_dropped.load(Relaxed)
        {
            watchdog_thread.active.insert((next, id), watchdog);
        }
    }
}

impl ActiveWatchdog {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        // A panic of the callback poisons the lock.
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            *state = None;
            state
        })
    }

    /// Calls back if the watchdog is due. Returns when to check again, if at all.
    fn run(&self) -> Option<Instant> {
        let mut guard = self.state();
        let state = guard.as_mut()?;
        let is_over = self.inspector.is_over();
        // After the session, the thread runs something else, whose time does not count.
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

    /// Returns the CPU time that the guest's threads have used since the watchdog began to count.
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
