//! Waits for other threads without a lock.

use rustix::thread::futex;
use rustix::time::Timespec;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Yields to other threads. Async-signal-safe.
pub(crate) fn yield_now() {
    rustix::thread::sched_yield();
}

/// Sleeps for at most this time, or until [`futex_wake`] is called for the word. Returns at once if the word is not
/// `expected`, and may return early.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, time: Duration) {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    let _ = futex::wait(word, futex::Flags::PRIVATE, expected, Some(&time));
}

/// Wakes one thread that sleeps on this word. Async-signal-safe.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}
