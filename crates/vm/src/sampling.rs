//! Samples of what threads do that run guests: a timer of each thread's CPU time has it note its own stack.
//!
//! In: an interval. Out: [`Samples`], whenever they are asked for. Never: stops a guest for longer than a walk, or needs
//! anything of its code.
//!
//! ```text
//! timer ─ signal ─▶ handler: walk ─▶ Ring of the thread ─ drain ─▶ Sample (frames of code that is still there)
//! ```
//!
//! A ring holds addresses, which mean something while the code lies where it lay. So whoever puts a store away, or has one go back,
//! drains all rings first: what a sample shows was kept by a store that was running.

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
    /// When, since the sampler was started.
    pub time: Duration,
    /// The CPU time that the sample stands for.
    pub weight: Duration,
    /// The thread, by its number in the kernel.
    pub thread: i32,
    /// The store whose guest it ran ([`StoreMonitor::id`]); where several are on its stack, the innermost.
    pub store: u64,
    /// That store's engine ([`StoreMonitor::engine`]).
    pub engine: usize,
    /// What it did with that guest.
    pub doing: ThreadState,
    /// The stack, with those of the other stores.
    pub stack: LiveStack,
}

/// Samples that were taken since the last time.
#[derive(Default)]
pub struct Samples {
    /// By thread, in the order in which they were taken.
    pub samples: Vec<Sample>,
    /// What the frames belong to, which may be gone otherwise.
    modules: HashMap<usize, Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Samples {
    /// The sample's frame, whose module is kept as long as this.
    fn frame(&mut self, address: usize) -> Option<RawFrame> {
        let frame = RawFrame::at(address)?;
        let code = Arc::as_ptr(frame.code()).addr();
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.modules.entry(code) {
            vacant.insert(frame.module()?);
        }
        Some(frame)
    }
}

/// Samples all threads of the process that run guests, until it is dropped. There is one at a time.
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

/// A thread that is sampled, or was.
#[derive(Debug)]
struct Sampled {
    thread: &'static GuestThread,
    id: i32,
    ring: Arc<Ring>,
    /// Until the thread ends.
    timer: Option<Arc<CpuTimer>>,
}

impl Sampled {
    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.stop();
        }
    }
}

/// The session that is going on. Changes while all [`guest_thread`]s are held.
static SESSION: Mutex<Option<Arc<Session>>> = Mutex::new(None);
/// Whether there is one.
static IS_GOING_ON: AtomicBool = AtomicBool::new(false);

/// What the handler needs, by ascending number of the thread.
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

/// In a forked child, which inherits no timers: whoever records the profile goes on in the parent alone.
pub(crate) fn forget_session(current: &mut SessionGuard) {
    if let Some(session) = current.take() {
        // Its threads and timers are not this process's to stop.
        std::mem::forget(session);
        ROWS.change(|rows| rows.clear());
        IS_GOING_ON.store(false, SeqCst);
    }
}

fn session() -> Option<Arc<Session>> {
    current().clone()
}

impl Sampler {
    /// Starts: each thread that runs guests, now or later, is sampled whenever it has used `interval` more CPU time.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` where there is a sampler already; where the process may have no more timers.
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

    /// What was sampled since the last time.
    pub fn take(&self) -> Samples {
        let mut collected = self.session.collected();
        self.session.drain(&mut collected);
        collected.threads.retain(|sampled| sampled.timer.is_some());
        std::mem::take(&mut collected.samples)
    }

    /// How many samples there was no room for, as nobody took those before them.
    pub fn lost(&self) -> u64 {
        self.session.lost.load(Relaxed)
    }

    /// Why a thread that came later is not sampled, if there is one.
    pub fn problem(&self) -> Option<io::Error> {
        self.session.collected().problem.take()
    }

    /// Stops. What was sampled can still be taken.
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

/// A thread begins to run guests. The caller holds all of them, as in the other functions about threads here.
pub(crate) fn thread_begins(thread: &'static GuestThread) {
    if let Some(session) = session() {
        session.begin(thread);
    }
}

/// A thread will run no guest any more.
pub(crate) fn thread_ends(thread: &'static GuestThread) {
    if let Some(session) = session() {
        let mut collected = session.collected();
        collected.threads.iter_mut().filter(|s| std::ptr::eq(s.thread, thread)).for_each(Sampled::stop);
        ROWS.change(|rows| rows.retain(|row| !std::ptr::eq(row.thread, thread)));
    }
}

/// Names what is in the rings: somebody is about to take away what keeps it, a store or part of one.
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
            // It ended without a word: it ran guests for the first time when it was ending already.
            Err(_) if thread_cpu_time(id).is_none() => return,
            Err(error) => {
                collected.problem = Some(error);
                return;
            }
        };
        let row = Row { id, thread, ring: ring.clone(), timer: timer.clone(), began: self.began };
        ROWS.change(|rows| rows.insert(rows.partition_point(|row| row.id < id), row));
        collected.threads.push(Sampled { thread, id, ring, timer: Some(timer.clone()) });
        // A signal may have come before the row was there.
        timer.go_on();
    }

    /// Makes samples of what is in the rings.
    fn drain(&self, collected: &mut Collected) {
        let Collected { threads, samples, .. } = collected;
        for sampled in threads {
            let end = sampled.ring.written();
            while let Some(noted) = sampled.ring.pop(end) {
                // SAFETY: no store ends before what is in the rings was drained.
                let stack = unsafe {
                    LiveStack::of(noted.found.iter().copied(), noted.omitted, |address| {
                        samples.frame(address)
                    })
                };
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

/// Takes a sample of the current thread, if it is sampled, in the handler of its timer's signal. `missed`: how often the
/// timer would have fired in the meantime. Async-signal-safe.
pub(crate) fn sample(state: ProgramState, missed: u64) {
    let id = thread_id();
    ROWS.read(|rows| {
        if let Ok(i) = rows.binary_search_by_key(&id, |row| row.id) {
            rows[i].sample(state, missed);
            rows[i].timer.go_on();
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
            // SAFETY: the thread runs this store, or is just entering or leaving it, under a borrow of it; so are those in whose
            // host functions it does so.
            let monitor = unsafe { StoreMonitor::of_subject(at) };
            // SAFETY: as above.
            let found = unsafe { walk(monitor.context(), state, |found| note.push(found)) };
            if innermost.is_none() && found.doing != ThreadState::Idle {
                innermost = Some((monitor, found.doing));
            }
            at = monitor.outer();
        }
        // A thread that runs no guest is none of a guest's profile.
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
