//! Clocks. CPU time of threads: reading it, and being told by a signal when more of it was used.

use super::watching::watch_signal;
use rustix::time::ClockId;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// The kernel's number for the clock of a thread's CPU time.
fn clock_of(thread: i32) -> libc::clockid_t {
    const PER_THREAD: i32 = 4;
    const SCHEDULED: i32 = 2;
    (!thread << 3) | PER_THREAD | SCHEDULED
}

/// The CPU time that a thread of this process has used; `None` where there is none of this number.
pub fn thread_cpu_time(thread: i32) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call fills in the structure where it returns 0.
    let time = unsafe {
        match libc::clock_gettime(clock_of(thread), time.as_mut_ptr()) {
            0 => time.assume_init(),
            _ => return None,
        }
    };
    Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds since some time in the past, never 0. Costs next to nothing, and goes forward by some milliseconds at a time.
/// Async-signal-safe.
pub(crate) fn coarse_time() -> u64 {
    nanoseconds(ClockId::MonotonicCoarse).max(1)
}

/// Nanoseconds since some time in the past. Async-signal-safe.
pub(crate) fn monotonic_time() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Sends a thread the watch signal whenever it has used some more CPU time. Where the kernel looks at clocks less often, a
/// signal tells how many of its like were left out (`si_overrun`).
#[derive(Debug)]
pub(crate) struct CpuTimer(libc::timer_t);

// SAFETY: timers belong to the process; any thread may delete one.
unsafe impl Send for CpuTimer {}

impl CpuTimer {
    /// # Errors
    ///
    /// Where the thread has ended, or the process may have no more timers (`RLIMIT_SIGPENDING`).
    pub(crate) fn new(thread: i32, interval: Duration) -> io::Result<Self> {
        let every = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let setting = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: a structure of numbers, for which zero is valid; the calls read what they are given.
        unsafe {
            let mut event = std::mem::zeroed::<libc::sigevent>();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = watch_signal();
            event.sigev_notify_thread_id = thread;
            let mut timer = std::ptr::null_mut();
            if libc::timer_create(clock_of(thread), &mut event, &mut timer) != 0 {
                return Err(io::Error::last_os_error());
            }
            let timer = Self(timer);
            match libc::timer_settime(timer.0, 0, &setting, std::ptr::null_mut()) {
                0 => Ok(timer),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and is not used after this.
        unsafe { libc::timer_delete(self.0) };
    }
}
