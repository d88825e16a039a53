//! Runs parallel work in any process, with any number of available threads.
//!
//! In: work that uses rayon. Out: its result. Never: a wait for threads that do not exist, or a panic because none can
//! be started.
//!
//! rayon's global pool belongs to the process that first used it. Its threads do not exist in a forked child, so work
//! given to the pool there would wait forever. And if no thread can be started (`RLIMIT_NPROC`, a container's limit),
//! the first use of the pool panics.

use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The threads that do a process's work.
#[derive(Clone)]
enum Workers {
    /// rayon's global pool, which belongs to this process.
    Global,
    /// A pool of our own, because the global one belongs to the parent process.
    Own(Arc<ThreadPool>),
    /// The calling thread, because no other can be started.
    CallingThread,
}

/// The workers, and the id of the process that they belong to.
static WORKERS: Mutex<Option<(u32, Workers)>> = Mutex::new(None);

/// Runs work that uses rayon (`join`, `par_iter`, …).
///
/// ```
/// let (a, b) = belljar_parallel::run(|| rayon::join(|| 1 + 1, || 2 + 2));
/// assert_eq!((a, b), (2, 4));
/// ```
///
/// # Panics
///
/// Panics if the work panics.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if IS_ALONE.get() {
        return work();
    }
    match workers() {
        Workers::Global => work(),
        Workers::Own(pool) => pool.install(work),
        Workers::CallingThread => run_on_this_thread(work),
    }
}

thread_local! {
    /// Whether this thread is the only one of a pool that [`on_one_thread`] started.
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs work, in which [`run`] uses no further threads. Other work of the process is not affected.
///
/// ```
/// use rayon::prelude::*;
/// let threads = belljar_parallel::on_one_thread(|| {
///     belljar_parallel::run(|| (0..100).into_par_iter().map(|_| rayon::current_num_threads()).max())
/// });
/// assert_eq!(threads, Some(1));
/// ```
///
/// # Panics
///
/// Panics if the work panics.
pub fn on_one_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if IS_ALONE.get() {
        return work();
    }
    match ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(|| {
            IS_ALONE.set(true);
            work()
        }),
        // No thread can be started, so `run` does not start any either.
        Err(_) => work(),
    }
}

fn workers() -> Workers {
    let process = std::process::id();
    let mut known = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((of, workers)) if *of == process => workers.clone(),
        before => {
            let workers = if before.is_none() { first_workers() } else { workers_after_fork() };
            *known = Some((process, workers.clone()));
            workers
        }
    }
}

fn first_workers() -> Workers {
    match ThreadPoolBuilder::new().build_global() {
        Ok(()) => Workers::Global,
        // The pool was already in use by other code; a failure to start threads has a source.
        Err(error) if error.source().is_none() => Workers::Global,
        Err(_) => Workers::CallingThread,
    }
}

/// Starts a pool in a forked child.
fn workers_after_fork() -> Workers {
    ThreadPoolBuilder::new().build().map_or(Workers::CallingThread, |pool| Workers::Own(Arc::new(pool)))
}

/// Runs work on this thread, which becomes the only thread of a pool.
fn run_on_this_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // A thread that is in a pool stays in it for its lifetime.
    if rayon::current_thread_index().is_some() {
        return work();
    }
    match ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        Ok(pool) => {
            let result = pool.install(work);
            std::mem::forget(pool);
            result
        }
        Err(_) => work(),
    }
}

/// Returns the CPU time that this thread has used.
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn work_is_done_where_no_thread_can_be_had() {
        let sum = || (1..=1000_u64).into_par_iter().sum::<u64>();
        std::thread::spawn(move || {
            assert_eq!(run_on_this_thread(sum), 500_500);
            // Again on the same thread, and on others.
            assert_eq!(run_on_this_thread(sum), 500_500);
            assert_eq!(std::thread::spawn(move || run_on_this_thread(sum)).join().unwrap(), 500_500);
            assert!(std::panic::catch_unwind(|| run_on_this_thread(|| panic!("the work's own"))).is_err());
            assert_eq!(run_on_this_thread(sum), 500_500);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn another_process_gets_a_pool_of_its_own() {
        let Workers::Own(pool) = workers_after_fork() else { panic!("threads can be had here") };
        assert_eq!(pool.install(|| (1..=1000_u64).into_par_iter().sum::<u64>()), 500_500);
        assert_eq!(run(|| (1..=10).into_par_iter().sum::<i32>()), 55);
    }
}
