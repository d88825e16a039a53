//! Waiting for other threads without a lock.

use rustix::thread::futex;
use rustix::time::Timespec;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Lets other threads go on. Async-signal-safe.
pub(crate) fn yield_now() {
    rustix::thread::sched_yield();
}

/// Sleeps for so long, unless the word is not what is expected, or until [`futex_wake`] of it. It may end earlier.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, time: Duration) {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    let _ = futex::wait(word, futex::Flags::PRIVATE, expected, Some(&time));
}

/// Wakes a thread that sleeps at this word. Async-signal-safe.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}
