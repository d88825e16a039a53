//! Samples of threads that run guests: a timer of each thread's CPU time makes it record its own stack.
//!
//! In: an interval. Out: [`Samples`], on request. Never: stops a guest for longer than a walk, or requires anything of
//! its code.
//!
//! ```text
//! timer ─ signal ─▶ handler: walk ─▶ Ring of the thread ─ drain ─▶ Sample (frames of code that still exists)
//! ```
//!
//! A ring holds addresses, which are meaningful only while the code stays mapped. So all rings are drained before a
//! store is dropped or rewound: the code in a sample was kept alive by a store that was running.

use crate::guest_thread::{self, GuestThread};
use crate::machine::{ProgramState, ThreadState, walk};
use crate::published::Published;
use crate::recorded_stack::{LiveStack, RawFrame};
use crate::sample_ring::Ring;
use crate::store_monitor::StoreMonitor;
use crate::sys::{CpuTimer, monotonic_time, thread_cpu_time, thread_id};
use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a thread was doing at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The time of the sample, since the sampler was started.
    pub time: Duration,
    /// The CPU time that the sample stands for.
    pub weight: Duration,
    /// The thread, by its number in the kernel.
    pub thread: i32,
    /// The store whose guest the thread ran ([`StoreMonitor::id`]); if several are on its stack, the innermost.
    pub store: u64,
    /// The engine of that store ([`StoreMonitor::engine`]).
    pub engine: usize,
    /// What the thread was doing with that guest.
    pub doing: ThreadState,
    /// The stack, including the frames of the other stores.
    pub stack: LiveStack,
}

/// The samples taken since the last time.
#[derive(Default)]
pub struct Samples {
    /// By thread, in the order in which they were taken.
    pub samples: Vec<Sample>,
    /// The modules of the frames, which might otherwise be gone.
    modules: HashMap<usize, Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Samples {
    /// Returns the sample's frame, whose module is kept as long as this value.
    fn frame(&mut self, address: usize) -> Option<RawFrame> {
        let frame = RawFrame::at(address)?;
        let code = Arc::as_ptr(frame.code()).addr();
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.modules.entry(code) {
            vacant.insert(frame.module()?);
        }
        Some(frame)
    }
}

/// Samples all threads of the process that run guests, until it is dropped. There is at most one at a time.
#[derive(Debug)]
pub struct Sampler {
    session: Arc<Session>,
}

#[derive(Debug)]
pub(crate) struct Session {
    interval: Duration,
    began: u64,
    lost: AtomicU64,
    collected: Mutex<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    threads: Vec<Sampled>,
    samples: Samples,
    problem: Option<io::Error>,
}

/// A thread that is or was sampled.
#[derive(Debug)]
struct Sampled {
    thread: &'static GuestThread,
    id: i32,
    ring: Arc<Ring>,
    /// `None` once the thread has ended.
    timer: Option<Arc<CpuTimer>>,
}

impl Sampled {
    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.stop();
        }
    }
}

/// The current session. It changes only while all [`guest_thread`]s are locked.
static SESSION: Mutex<Option<Arc<Session>>> = Mutex::new(None);
/// Whether there is a session.
static IS_GOING_ON: AtomicBool = AtomicBool::new(false);

/// The data for the signal handler, by ascending thread number.
static ROWS: Published<Row> = Published::new();

#[derive(Clone)]
struct Row {
    id: i32,
    thread: &'static GuestThread,
    ring: Arc<Ring>,
    timer: Arc<CpuTimer>,
    began: u64,
}

pub(crate) type SessionGuard = MutexGuard<'static, Option<Arc<Session>>>;

pub(crate) fn current() -> SessionGuard {
    SESSION.lock().unwrap_or_else(|e| e.into_inner())
}

/// Ends the session in a forked child, which inherits no timers. The profile is recorded in the parent only.
pub(crate) fn forget_session(current: &mut SessionGuard) {
    if let Some(session) = current.take() {
        // Its threads and timers belong to the parent and must not be stopped here.
        std::mem::forget(session);
        ROWS.change(|rows| rows.clear());
        IS_GOING_ON.store(false, SeqCst);
    }
}

fn session() -> Option<Arc<Session>> {
    current().clone()
}

impl Sampler {
    /// Starts sampling: each thread that runs guests, now or later, is sampled whenever it has used `interval` more CPU
    /// time.
    ///
    /// # Errors
    ///
    /// Returns `ResourceBusy` if there is a sampler already, or an error if the process may have no more timers.
    pub fn start(interval: Duration) -> io::Result<Self> {
        let session = Arc::new(Session {
            interval: interval.max(Duration::from_micros(1)),
            began: monotonic_time(),
            lost: AtomicU64::new(0),
            collected: Mutex::default(),
        });
        let all = guest_thread::all();
        {
            let mut current = current();
            if current.is_some() {
                let why = "another profile of this process is being recorded";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            *current = Some(session.clone());
        }
        IS_GOING_ON.store(true, SeqCst);
        let sampler = Self { session };
        all.running.iter().for_each(|thread| sampler.session.begin(thread));
        let problem = sampler.session.collected().problem.take();
        // Dropping the sampler takes the lock.
        drop(all);
        problem.map_or(Ok(sampler), Err)
    }

    /// Returns the samples taken since the last time.
    pub fn take(&self) -> Samples {
        let mut collected = self.session.collected();
        self.session.drain(&mut collected);
        collected.threads.retain(|sampled| sampled.timer.is_some());
        std::mem::take(&mut collected.samples)
    }

    /// Returns how many samples were lost because the rings were full.
    pub fn lost(&self) -> u64 {
        self.session.lost.load(Relaxed)
    }

    /// Returns why a thread that started later is not sampled, if there is one.
    pub fn problem(&self) -> Option<io::Error> {
        self.session.collected().problem.take()
    }

    /// Stops sampling. Samples taken so far can still be read.
    pub fn stop(&self) {
        let _all = guest_thread::all();
        let current = current().take_if(|s| Arc::ptr_eq(s, &self.session));
        if current.is_none() {
            return;
        }
        let mut collected = self.session.collected();
        collected.threads.iter_mut().for_each(Sampled::stop);
        ROWS.change(|rows| rows.clear());
        self.session.drain(&mut collected);
        IS_GOING_ON.store(false, SeqCst);
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Called when a thread begins to run guests. As for the other functions about threads here, the caller has all of them
/// locked.
pub(crate) fn thread_begins(thread: &'static GuestThread) {
    if let Some(session) = session() {
        session.begin(thread);
    }
}

/// Called when a thread will run no more guests.
pub(crate) fn thread_ends(thread: &'static GuestThread) {
    if let Some(session) = session() {
        let mut collected = session.collected();
        collected.threads.iter_mut().filter(|s| std::ptr::eq(s.thread, thread)).for_each(Sampled::stop);
        ROWS.change(|rows| rows.retain(|row| !std::ptr::eq(row.thread, thread)));
    }
}

/// Resolves the contents of the rings, before a store or a part of one that keeps their code alive goes away.
pub(crate) fn drain() {
    if IS_GOING_ON.load(SeqCst)
        && let Some(session) = session()
    {
        session.drain(&mut session.collected());
    }
}

impl Session {
    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn begin(&self, thread: &'static GuestThread) {
        let (id, ring) = (thread.id(), Arc::new(Ring::new()));
        let mut collected = self.collected();
        let timer = match CpuTimer::new(id, self.interval) {
            Ok(timer) => Arc::new(timer),
            // The thread has ended: it ran its first guest while it was already ending. This is not a problem.
            Err(_) if thread_cpu_time(id).is_none() => return,
            Err(error) => {
                collected.problem = Some(error);
                return;
            }
        };
        let row = Row { id, thread, ring: ring.clone(), timer: timer.clone(), began: self.began };
        ROWS.change(|rows| rows.insert(rows.partition_point(|row| row.id < id), row));
        collected.threads.push(Sampled { thread, id, ring, timer: Some(timer.clone()) });
        // A signal may have come before the row existed.
        timer.rearm();
    }

    /// Turns the contents of the rings into samples.
    fn drain(&self, collected: &mut Collected) {
        let Collected { threads, samples, .. } = collected;
        for sampled in threads {
            let end = sampled.ring.written();
            while let Some(noted) = sampled.ring.pop(end) {
                // SAFETY: no store ends before the contents of the rings are drained.
                let stack = unsafe {
                    LiveStack::of(noted.found.iter().copied(), noted.omitted, |address| {
                        samples.frame(address)
                    })
                };
                // The thread was between the host and the guest: no function of either was on the guest's stack.
                if stack.frames().is_empty() && stack.host_calls().is_empty() {
                    continue;
                }
                samples.samples.push(Sample {
                    time: Duration::from_nanos(noted.time),
                    weight: Duration::from_nanos(noted.weight),
                    thread: sampled.id,
                    store: noted.store,
                    engine: noted.engine,
                    doing: if noted.in_guest { ThreadState::Guest } else { ThreadState::Host },
                    stack,
                });
            }
            self.lost.fetch_add(sampled.ring.lost.swap(0, Relaxed), Relaxed);
        }
    }
}

/// Takes a sample of the current thread, if it is sampled, in the handler of its timer's signal. `missed` is the number
/// of timer expirations that were dropped. Async-signal-safe.
pub(crate) fn sample(state: ProgramState, missed: u64) {
    let id = thread_id();
    ROWS.read(|rows| {
        if let Ok(i) = rows.binary_search_by_key(&id, |row| row.id) {
            rows[i].sample(state, missed);
            rows[i].timer.rearm();
        }
    });
}

impl Row {
    fn sample(&self, state: ProgramState, missed: u64) {
        let used = self.timer.used(missed);
        let mut note = self.ring.begin();
        let mut innermost = None;
        let mut at = self.thread.current();
        while at != 0 {
            // SAFETY: the thread runs this store, or is just entering or leaving it, under a borrow of it; the same
            // holds for the stores in whose host functions it does so.
            let monitor = unsafe { StoreMonitor::of_subject(at) };
            // SAFETY: as above.
            let found = unsafe { walk(monitor.context(), state, |found| note.push(found)) };
            if innermost.is_none() && found.doing != ThreadState::Idle {
                innermost = Some((monitor, found.doing));
            }
            at = monitor.outer();
        }
        // A thread that runs no guest does not appear in the profile.
        let Some((monitor, doing)) = innermost else { return };
        note.finish([
            monotonic_time().saturating_sub(self.began),
            used,
            monitor.id(),
            monitor.engine() as u64,
            u64::from(doing == ThreadState::Guest),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_sampler_at_a_time() {
        let first = Sampler::start(Duration::from_millis(1)).unwrap();
        assert_eq!(Sampler::start(Duration::from_millis(1)).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        first.stop();
        assert!(first.take().samples.is_empty());
        drop(Sampler::start(Duration::from_millis(1)).unwrap());
    }
}
