//! Measures how long a run on another thread takes to end after a kill.
//!
//! In: a function that runs, and one that ends it. Out: for each kill, the wall time and the CPU time of the thread
//! that ran it; the difference is the time it waited, for a processor or asleep. Never: a judgement. What any signal
//! costs on a machine is measured in the same way (`bare-signal`).

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// From the kill to the end.
#[derive(Clone, Copy, Debug)]
struct Kill {
    wall: Duration,
    /// CPU time that the running thread used meanwhile.
    cpu: Duration,
}

/// The results of many kills.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    all: Vec<Kill>,
    /// Kills that cannot be judged, because the killing thread was or may have been preempted between reading the
    /// clocks and the kill.
    left_out: usize,
    /// How long the killed thread has waited for a processor in total, also before kills.
    delayed: Duration,
    /// CPU time that the hypervisor took from all processors meanwhile.
    stolen: Duration,
}

impl Kills {
    /// Repeatedly runs something on this thread, and ends it from another. `killer` is called before each run, and
    /// returns a function that ends it; that function returns whether there was something to end.
    ///
    /// # Errors
    ///
    /// Returns the errors of `run`.
    pub fn measure<K: FnMut() -> bool + Send + 'static>(
        count: usize,
        mut killer: impl FnMut() -> K,
        mut run: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let clock = ThreadClock::own();
        let before = (run_delay(), stolen());
        let mut kills = Self::default();
        while kills.all.len() < count && kills.left_out < count * 4 {
            let mut kill = killer();
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(300));
                loop {
                    let before = times_preempted();
                    let told = (clock.read(), Instant::now());
                    if kill() {
                        return (told, times_preempted() == before);
                    }
                }
            });
            run()?;
            let ended = (Instant::now(), clock.read());
            let ((cpu, wall), is_sure) = killer.join().ok().context("the thread that kills has panicked")?;
            if !is_sure {
                kills.left_out += 1;
                continue;
            }
            let (wall, cpu) = (ended.0.saturating_duration_since(wall), ended.1?.saturating_sub(cpu?));
            kills.all.push(Kill { wall, cpu });
        }
        kills.delayed = run_delay().saturating_sub(before.0);
        kills.stolen = stolen().saturating_sub(before.1);
        Ok(kills)
    }

    /// Returns three lines about the results.
    pub fn tell(&self, what: &str, wanted: &str) -> String {
        let of = |figure: fn(&Kill) -> Duration| {
            let mut sorted: Vec<_> = self.all.iter().map(figure).collect();
            sorted.sort();
            let at = |share: usize| sorted.get(sorted.len() * share / 1000).or(sorted.last());
            let micros = |share| at(share).map_or(0.0, |time| time.as_nanos() as f64 / 1e3);
            format!(
                "median {:>6.1} us, of 100 the slowest {:>6.1}, the slowest {:>6.1}",
                micros(500),
                micros(990),
                micros(1000)
            )
        };
        let most_waiting =
            self.all.iter().map(|kill| kill.wall.saturating_sub(kill.cpu)).max().unwrap_or_default();
        format!(
            "{what}, of {} times ({} left out)\n  CPU time of its thread                {}{wanted}\n  wall time                             {}\n  \
             waited meanwhile at most {:.1} us; in the whole measurement {:.1} ms for a processor, {:.0} ms stolen",
            self.all.len(),
            self.left_out,
            of(|kill| kill.cpu),
            of(|kill| kill.wall),
            most_waiting.as_nanos() as f64 / 1e3,
            self.delayed.as_nanos() as f64 / 1e6,
            self.stolen.as_millis(),
        )
    }
}

/// The clock of a thread's CPU time, readable by other threads.
#[derive(Clone, Copy)]
struct ThreadClock(ClockId);

impl ThreadClock {
    /// Returns this thread's clock.
    fn own() -> Self {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        // The kernel's numbering of thread clocks (`MAKE_THREAD_CPUCLOCK` in include/linux/posix-timers_types.h): 4
        // means a thread's clock, 2 the scheduler's count.
        Self(ClockId::from_raw((!thread << 3) | 4 | 2))
    }

    fn read(self) -> Result<Duration> {
        Ok(self.0.now()?.into())
    }
}

/// Returns how often this thread has been preempted so far.
fn times_preempted() -> Option<i64> {
    getrusage(UsageWho::RUSAGE_THREAD).ok().map(|usage| usage.involuntary_context_switches())
}

/// Returns how long this thread has waited for a processor so far, if the kernel reports it.
fn run_delay() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// Returns the CPU time that the hypervisor has taken from all processors so far.
fn stolen() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    Duration::from_millis(
        stolen_ticks(&text).unwrap_or(0) * 1000 / rustix::param::clock_ticks_per_second().max(1),
    )
}

/// Returns the eighth figure of the first line (proc_stat(5)).
fn stolen_ticks(stat: &str) -> Option<u64> {
    stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn the_steal_time_is_the_eighth_figure() {
        assert_eq!(stolen_ticks("cpu  34912 0 6082 17527 296 0 39 158 0 0\ncpu0 1"), Some(158));
        assert_eq!(stolen_ticks(""), None);
    }

    #[test]
    fn the_thread_that_ran_is_looked_at() {
        let is_over = Arc::new(AtomicBool::new(false));
        let killer = || {
            is_over.store(false, Relaxed);
            let told = is_over.clone();
            move || !told.swap(true, Relaxed)
        };
        let run = || {
            while !is_over.load(Relaxed) {}
            Ok(())
        };
        let kills = Kills::measure(3, killer, run).unwrap();
        assert_eq!(kills.all.len(), 3);
        assert!(kills.all.iter().all(|kill| kill.cpu <= kill.wall + Duration::from_millis(1)), "{kills:?}");
        assert!(kills.tell("a flag", "").starts_with("a flag, of 3 times ("));
    }
}
