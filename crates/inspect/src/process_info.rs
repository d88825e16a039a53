//! Facts that a process reports about itself.

use crate::report::{ProcessReport, StoreReport};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// Creates the report of this process with these stores.
pub(crate) fn report(stores: Vec<StoreReport>) -> ProcessReport {
    ProcessReport {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime: uptime().unwrap_or_default(),
        cpu: time(ClockId::ProcessCPUTime),
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        stores,
    }
}

fn time(clock: ClockId) -> Duration {
    // These clocks are never negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Returns the time since the process started; `None` without `/proc`.
fn uptime() -> Option<Duration> {
    let started = start_in_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_secs_f64(started as f64 / ticks as f64);
    Some(time(ClockId::Boottime).saturating_sub(started))
}

/// Returns field 22 of `/proc/PID/stat` (proc(5)): when the process started, in ticks since boot. Field 2 is the
/// program's name in parentheses and may contain any character, so counting starts at the last parenthesis.
fn start_in_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 7 8 0 0 20 0 1 0 123456 9 9";
        assert_eq!(start_in_ticks(stat), Some(123_456));
        assert_eq!(start_in_ticks("42 (x) S 1"), None);
        assert_eq!(start_in_ticks(""), None);
    }

    #[test]
    fn times_are_this_processs() {
        let report = report(Vec::new());
        assert_eq!(report.pid, std::process::id());
        assert!(report.uptime < Duration::from_secs(24 * 3600), "{:?}", report.uptime);
        assert!(report.cpu > Duration::ZERO);
        assert!(!report.command.is_empty());
    }
}
