//! The clocks that a guest can read, replaceable by the embedder.
//!
//! In: nothing, or the embedder's own clocks. Out: nanoseconds. Never: decides how long a call waits; that
//! is up to `poll_oneoff`, which reads these clocks.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// The time of day, since 1970-01-01 00:00 UTC.
pub trait HostWallClock: Send + Sync {
    /// Returns the resolution.
    fn resolution(&self) -> Duration;
    /// Returns the time since the epoch.
    fn now(&self) -> Duration;
}

/// A clock that never goes backwards, in nanoseconds since an arbitrary point.
pub trait HostMonotonicClock: Send + Sync {
    /// Returns the resolution in nanoseconds.
    fn resolution(&self) -> u64;
    /// Returns the time in nanoseconds.
    fn now(&self) -> u64;
    /// Called when the guest waits for `by` and no other event of the same wait has occurred. A virtual clock advances
    /// itself and returns true, and no real time passes; a real clock returns false.
    fn advance(&self, by: Duration) -> bool {
        let _ = by;
        false
    }
}

/// CPU time used, in nanoseconds.
pub trait HostCpuClock: Send + Sync {
    /// Returns the resolution in nanoseconds.
    fn resolution(&self) -> u64;
    /// Returns the time used by all threads of the process.
    fn process(&self) -> u64;
    /// Returns the time used by the calling thread.
    fn thread(&self) -> u64;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl WallClock {
    /// Returns the clock.
    pub fn new() -> WallClock {
        WallClock
    }
}

/// Returns the operating system's wall clock.
pub fn wall_clock() -> Box<dyn HostWallClock> {
    Box::new(WallClock)
}

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(nanoseconds(clock_getres(ClockId::Realtime)))
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// The operating system's monotonic clock, counted from the creation of the context, so that the host's uptime stays hidden.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// Returns a clock that starts at zero now.
    pub fn new() -> MonotonicClock {
        MonotonicClock { start: Instant::now() }
    }
}

impl Default for MonotonicClock {
    fn default() -> MonotonicClock {
        MonotonicClock::new()
    }
}

/// Returns the operating system's monotonic clock, which starts at zero now.
pub fn monotonic_clock() -> Box<dyn HostMonotonicClock> {
    Box::new(MonotonicClock::new())
}

impl<C: HostWallClock + ?Sized> HostWallClock for Box<C> {
    fn resolution(&self) -> Duration {
        (**self).resolution()
    }

    fn now(&self) -> Duration {
        (**self).now()
    }
}

impl<C: HostMonotonicClock + ?Sized> HostMonotonicClock for Box<C> {
    fn resolution(&self) -> u64 {
        (**self).resolution()
    }

    fn now(&self) -> u64 {
        (**self).now()
    }

    fn advance(&self, by: Duration) -> bool {
        (**self).advance(by)
    }
}

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        nanoseconds(clock_getres(ClockId::Monotonic))
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

/// The operating system's CPU-time clocks.
pub(crate) struct SystemCpuClock;

impl HostCpuClock for SystemCpuClock {
    fn resolution(&self) -> u64 {
        nanoseconds(clock_getres(ClockId::ProcessCPUTime))
    }

    fn process(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
    }

    fn thread(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns a time in nanoseconds; the largest number if it is longer.
pub(crate) fn in_nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}
