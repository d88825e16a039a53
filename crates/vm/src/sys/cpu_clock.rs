//! Clocks, and timers that signal a thread when it has used a given amount of CPU time.

use super::signals::walk_signal;
use rustix::time::ClockId;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Returns the kernel's number for the clock of a thread's CPU time.
fn clock_of(thread: i32) -> libc::clockid_t {
    const PER_THREAD: i32 = 4;
    const SCHEDULED: i32 = 2;
    (!thread << 3) | PER_THREAD | SCHEDULED
}

/// Returns the CPU time that a thread of this process has used; `None` if no thread has this number.
pub fn thread_cpu_time(thread: i32) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call fills in the structure if it returns 0.
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

/// Returns nanoseconds since an unspecified time in the past, never 0. Costs next to nothing, and advances in steps of
/// a few milliseconds. Async-signal-safe.
pub(crate) fn coarse_time() -> u64 {
    nanoseconds(ClockId::MonotonicCoarse).max(1)
}

/// Returns nanoseconds since an unspecified time in the past. Async-signal-safe.
pub(crate) fn monotonic_time() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Sends a thread the walk signal each time it has used a given amount of CPU time.
#[derive(Debug)]
pub(crate) struct CpuTimer {
    thread: i32,
    interval: Duration,
    /// The thread's CPU time at the last signal.
    reported: AtomicU64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A software event of the kernel's performance counters. It is exact to microseconds, and sends one signal each
    /// time it is enabled. Unprivileged users may be denied an event that also counts in the kernel. In a virtual
    /// machine each costs an interrupt of 20 to 40 µs.
    Event(OwnedFd),
    /// A timer, which needs no privilege. The kernel checks it in its clock interrupt, so it costs nothing but the
    /// signal, and is only as exact as that interrupt: 100 to 1000 times a second.
    Timer(libc::timer_t),
}

/// For intervals of at least this, a timer is exact enough.
const COARSE: Duration = Duration::from_millis(1);

// SAFETY: timers and descriptors belong to the process; any thread may use them.
unsafe impl Send for CpuTimer {}
// SAFETY: as above.
unsafe impl Sync for CpuTimer {}

impl CpuTimer {
    /// Starts a timer for a thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread has ended, or the process may have no more timers (`RLIMIT_SIGPENDING`).
    pub(crate) fn new(thread: i32, interval: Duration) -> io::Result<Self> {
        let event = (interval < COARSE).then(|| event(thread, interval).ok()).flatten();
        let kind = match event {
            Some(event) => Kind::Event(event),
            None => Kind::Timer(timer(thread, interval)?),
        };
        let used = thread_cpu_time(thread).unwrap_or_default().as_nanos() as u64;
        Ok(Self { thread, interval, reported: AtomicU64::new(used), kind })
    }

    /// Stops the signals. One may still be on its way.
    pub(crate) fn stop(&self) {
        // SAFETY: requests whose only pointers are to values that live meanwhile.
        unsafe {
            match &self.kind {
                Kind::Event(event) => {
                    libc::ioctl(event.as_raw_fd(), EVENT_DISABLE, 0);
                }
                Kind::Timer(timer) => {
                    let never = std::mem::zeroed::<libc::itimerspec>();
                    libc::timer_settime(*timer, 0, &never, std::ptr::null_mut());
                }
            }
        }
    }

    /// Returns the CPU time that a signal stands for, in nanoseconds. `missed` is the number of signals that the kernel
    /// reports as dropped. Async-signal-safe.
    pub(crate) fn used(&self, missed: u64) -> u64 {
        match self.kind {
            Kind::Event(_) => {
                let now = thread_cpu_time(self.thread).unwrap_or_default().as_nanos() as u64;
                now.saturating_sub(self.reported.swap(now, Ordering::Relaxed))
            }
            Kind::Timer(_) => (self.interval.as_nanos() as u64).saturating_mul(missed + 1),
        }
    }

    /// Enables the next signal. Async-signal-safe.
    pub(crate) fn rearm(&self) {
        if let Kind::Event(event) = &self.kind {
            // SAFETY: a request without pointers.
            unsafe { libc::ioctl(event.as_raw_fd(), EVENT_REFRESH, 1) };
        }
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        if let Kind::Timer(timer) = self.kind {
            // SAFETY: the timer is ours, and is not used after this.
            unsafe { libc::timer_delete(timer) };
        }
    }
}

fn timer(thread: i32, interval: Duration) -> io::Result<libc::timer_t> {
    let every = libc::timespec {
        tv_sec: interval.as_secs() as libc::time_t,
        tv_nsec: interval.subsec_nanos().into(),
    };
    let setting = libc::itimerspec { it_interval: every, it_value: every };
    // SAFETY: a structure of numbers, for which zero is valid; the calls only read their arguments.
    unsafe {
        let mut event = std::mem::zeroed::<libc::sigevent>();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = walk_signal();
        event.sigev_notify_thread_id = thread;
        let mut timer = std::ptr::null_mut();
        if libc::timer_create(clock_of(thread), &mut event, &mut timer) != 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::timer_settime(timer, 0, &setting, std::ptr::null_mut()) != 0 {
            let error = io::Error::last_os_error();
            libc::timer_delete(timer);
            return Err(error);
        }
        Ok(timer)
    }
}

/// `struct perf_event_attr` up to its fourth version, from `linux/perf_event.h`.
#[derive(Default)]
#[repr(C)]
struct EventAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clockid: i32,
}

const SOFTWARE: u32 = 1;
const TASK_CLOCK: u64 = 1;
const DISABLED: u64 = 1;
const CLOSE_ON_EXEC: libc::c_ulong = 8;
const EVENT_DISABLE: libc::Ioctl = 0x2401;
const EVENT_REFRESH: libc::Ioctl = 0x2402;
const OWNER_THREAD: libc::c_int = 0;
const SET_OWNER: libc::c_int = 15;
const SET_SIGNAL: libc::c_int = 10;

#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

fn event(thread: i32, interval: Duration) -> io::Result<OwnedFd> {
    let attributes = EventAttributes {
        kind: SOFTWARE,
        size: size_of::<EventAttributes>() as u32,
        config: TASK_CLOCK,
        sample_period: interval.as_nanos() as u64,
        flags: DISABLED,
        wakeup_events: 1,
        ..EventAttributes::default()
    };
    let checked = |result: libc::c_int| match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the calls only read the structures that they are given; the descriptor is new and owned by nothing else.
    unsafe {
        let attributes = &raw const attributes;
        let event = libc::syscall(libc::SYS_perf_event_open, attributes, thread, -1, -1, CLOSE_ON_EXEC);
        checked(event as libc::c_int)?;
        let event = OwnedFd::from_raw_fd(event as RawFd);
        let fd = event.as_raw_fd();
        let owner = Owner { kind: OWNER_THREAD, id: thread };
        checked(libc::fcntl(fd, SET_OWNER, &raw const owner))?;
        checked(libc::fcntl(fd, SET_SIGNAL, walk_signal()))?;
        checked(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK))?;
        checked(libc::ioctl(fd, EVENT_REFRESH, 1))?;
        Ok(event)
    }
}
