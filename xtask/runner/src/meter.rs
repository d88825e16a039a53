//! Measures operations that are shorter than a clock can tell.

use anyhow::Result;
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// To see that it works.
    Quick,
    /// For figures that are kept.
    Full,
}

/// Runs batches of an operation and gives the time of one.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    samples: usize,
    batch: Duration,
}

impl Meter {
    /// A meter that takes about 20 ms, or a second.
    pub fn new(effort: Effort) -> Self {
        match effort {
            Effort::Quick => Self { samples: 3, batch: Duration::from_millis(5) },
            Effort::Full => Self { samples: 25, batch: Duration::from_millis(40) },
        }
    }

    /// Nanoseconds of one operation: the median over batches. `run` does as many as it is told.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn measure(&self, mut run: impl FnMut(u32) -> Result<()>) -> Result<f64> {
        let mut timed = |count: u32| -> Result<Duration> {
            let start = Instant::now();
            run(count)?;
            Ok(start.elapsed())
        };
        let mut count = 1;
        while timed(count)? < self.batch && count < 1 << 30 {
            count *= 2;
        }
        let mut each = Vec::with_capacity(self.samples);
        for _ in 0..self.samples {
            each.push(timed(count)?.as_nanos() as f64 / f64::from(count));
        }
        each.sort_by(f64::total_cmp);
        Ok(each[each.len() / 2])
    }
}

/// Has threads do an operation so many times between them, and waits for all.
///
/// # Errors
///
/// Those of `run`, which does as many as it is told.
pub fn on_threads(threads: usize, count: u32, run: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    if threads == 1 {
        return run(count);
    }
    let each = count.div_ceil(threads as u32);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| run(each))).collect();
        all.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_time_of_one_operation() {
        let sleep = |n| {
            std::thread::sleep(Duration::from_micros(100) * n);
            Ok(())
        };
        let ns = Meter::new(Effort::Quick).measure(sleep).unwrap();
        assert!(ns >= 100_000.0, "{ns}");
        assert!(Meter::new(Effort::Quick).measure(|_| anyhow::bail!("no")).is_err());
    }
}
