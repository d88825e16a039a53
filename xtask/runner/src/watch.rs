//! Measures what inspection costs a guest, in the same way for all engines.
//!
//! In: some work that is done without and with inspection. Out: lines of [`Figure`]s, CPU time of the thread that does the
//! work. Never: wall time, which on a busy machine reflects other load.

use crate::{Effort, Figure};
use anyhow::Result;
use rustix::time::{ClockId, clock_getres, clock_gettime};
use std::time::{Duration, Instant};

/// Does some work alternately without and with inspection.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    /// No more pairs are started after this time.
    enough: Duration,
    least: usize,
}

/// The result of doing the work once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// CPU time of the thread that did it, in nanoseconds; if the work is a number of calls, for one call.
    pub ns: f64,
    /// How often it was inspected.
    pub looks: usize,
    /// CPU time that other threads used meanwhile.
    pub beside: Duration,
}

impl Pairs {
    /// Creates pairs that take some seconds, or a few that only check that it works.
    pub fn new(effort: Effort) -> Self {
        match effort {
            Effort::Quick => Self { enough: Duration::ZERO, least: 2 },
            Effort::Full => Self { enough: Duration::from_secs(6), least: 4 },
        }
    }

    /// Does the work repeatedly, and prints its times. `turn` gets whether to inspect the work.
    ///
    /// # Errors
    ///
    /// Returns the errors of `turn`.
    pub fn print(&self, mut turn: impl FnMut(bool) -> Result<Turn>) -> Result<()> {
        // The first, slow run is not part of a pair.
        turn(false)?;
        turn(true)?;
        let start = Instant::now();
        let mut done = 0;
        while done < self.least || start.elapsed() < self.enough {
            // The order alternates, because a turn may leave something behind that affects the next.
            let first = done % 2 == 1;
            let mut turns = [Turn::default(); 2];
            for with in [first, !first] {
                turns[usize::from(with)] = turn(with)?;
            }
            let [without, with] = turns;
            println!("{}", Figure::Without.line(without.ns));
            println!("{}", Figure::With.line(with.ns));
            println!("{}", Figure::Looks.line(with.looks as f64));
            println!("{}", Figure::Beside.line(with.beside.as_nanos() as f64));
            done += 1;
        }
        Ok(())
    }
}

/// The CPU time of this thread, and of the others of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    own: Duration,
    all: Duration,
}

impl Clocks {
    /// Reads the clocks.
    pub fn now() -> Self {
        let read = |clock| {
            let now = clock_gettime(clock);
            Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
        };
        Self { own: read(ClockId::ThreadCPUTime), all: read(ClockId::ProcessCPUTime) }
    }

    /// Returns what this thread has used since then.
    pub fn own(&self) -> Duration {
        Self::now().own - self.own
    }

    /// Returns what the others have used since then.
    pub fn beside(&self) -> Duration {
        let now = Self::now();
        (now.all - self.all).saturating_sub(now.own - self.own)
    }
}

/// Returns the time between two ticks of the kernel's clock, at which it checks timers of CPU time.
pub fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::new(tick.tv_sec as u64, tick.tv_nsec as u32)
}

/// Returns the text of a WASI command that hashes for some ten milliseconds at the bottom of a stack of the given
/// number of frames (at least two).
///
/// Calls go through a table that other code can write, so that no compiler merges frames.
pub fn watched_text(frames: u32) -> String {
    let down = frames.saturating_sub(2).max(1);
    format!(
        r#"(module
        (type $step (func (param i32) (result i32)))
        (table (export "steps") 2 funcref)
        (elem (i32.const 0) $work $down)
        (memory (export "memory") 1)
        (func $down (type $step) (param $left i32) (result i32)
            (i32.add (i32.const 1) (call_indirect (type $step)
                (i32.sub (local.get $left) (i32.const 1))
                (i32.gt_u (local.get $left) (i32.const 1)))))
        (func $work (type $step) (local $hash i32) (local $rounds i32) (local $at i32)
            (local.set $rounds (i32.const 300))
            (loop $round
                (local.set $at (i32.const 0))
                (loop $byte
                    (local.set $hash (i32.mul (i32.const 16777619)
                        (i32.xor (local.get $hash) (i32.load8_u (local.get $at)))))
                    (i32.store8 (local.get $at) (local.get $hash))
                    (br_if $byte (i32.lt_u
                        (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536))))
                (br_if $round (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
            (local.get $hash))
        (func (export "_start") (drop (call_indirect (type $step) (i32.const {down}) (i32.const 1)))))"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_a_module() {
        assert!(wat::parse_str(watched_text(30)).is_ok());
    }

    #[test]
    fn clocks_know_whose_time_it_is() {
        let clocks = Clocks::now();
        std::thread::spawn(|| {
            let other = Clocks::now();
            while other.own() < Duration::from_millis(20) {}
        })
        .join()
        .unwrap();
        assert!(clocks.beside() >= Duration::from_millis(20));
        assert!(clocks.own() < Duration::from_millis(20));
    }
}
