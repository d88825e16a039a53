//! A thread that kills one guest after another, each at some moment after the guest has announced that it runs.
//! belljar-wasi's tests use it as well.

use belljar::{Error, KillHandle, Killed, Trap};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Long enough for any machine under load.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Which guest to kill, and how long after it has announced that it runs.
struct KillRequest {
    handle: KillHandle,
    spins: u32,
}

pub(crate) struct Killer {
    requests: Sender<KillRequest>,
    begins: Receiver<Instant>,
    thread: JoinHandle<()>,
    /// The guest sets this when it runs.
    pub(crate) runs: &'static AtomicBool,
    seed: u32,
    /// The longest time from a kill to the end of the run.
    pub(crate) longest: Duration,
}

impl Killer {
    pub(crate) fn new(seed: u32) -> Self {
        let runs: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let (requests, taken) = channel();
        let (began, begins) = channel();
        let thread = std::thread::spawn(move || kill_all(taken, runs, began));
        Self { requests, begins, thread, runs, seed, longest: Duration::ZERO }
    }

    /// Kills the guest that `run` runs; the run must end because of that.
    pub(crate) fn kill(&mut self, name: &str, handle: KillHandle, run: impl FnOnce() -> Result<(), Error>) {
        self.seed = self.seed.wrapping_mul(1664525).wrapping_add(1013904223);
        self.requests.send(KillRequest { handle, spins: self.seed >> 17 }).unwrap();
        let error = run().unwrap_err();
        let ended = Instant::now();
        assert!(error.is::<Killed>(), "{name}: {error:?}");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt), "{name}");
        self.longest = self.longest.max(ended - self.begins.recv_timeout(TIMEOUT).unwrap());
    }

    pub(crate) fn end(self) -> Duration {
        drop(self.requests);
        self.thread.join().unwrap();
        self.longest
    }
}

fn kill_all(requests: Receiver<KillRequest>, runs: &AtomicBool, began: Sender<Instant>) {
    for KillRequest { handle, spins } in requests {
        let end = Instant::now() + TIMEOUT;
        while !runs.swap(false, SeqCst) {
            assert!(Instant::now() < end, "the guest does not begin");
            std::thread::yield_now();
        }
        (0..spins).for_each(|_| std::hint::spin_loop());
        let start = Instant::now();
        while !handle.kill("enough").unwrap() {
            assert!(start.elapsed() < TIMEOUT, "the guest cannot be killed");
        }
        began.send(start).unwrap();
    }
}
