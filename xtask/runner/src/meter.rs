//! Measures operations that are shorter than the clock's resolution.

use anyhow::Result;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// To check that it works.
    Quick,
    /// For figures that are recorded.
    Full,
}

/// Runs batches of an operation and computes the time of one operation.
///
/// Batches are short, and the lower quartile of their times counts: on a busy machine some batches run undisturbed, while
/// the mean, and even the median, reflects other load.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Operations before the first batch: more than engines need to learn a guest's behaviour.
    warm_up: u32,
    batches: usize,
    batch: Duration,
    /// Batches end after this time, but there are at least three; this matters for operations that take longer than a batch.
    limit: Duration,
}

impl Meter {
    /// Creates a meter that takes about 30 ms, or half a second.
    pub fn new(effort: Effort) -> Self {
        let (batches, batch, limit) = match effort {
            Effort::Quick => (25, Duration::from_millis(1), Duration::from_millis(300)),
            Effort::Full => (200, Duration::from_millis(2), Duration::from_secs(2)),
        };
        Self { warm_up: 24, batches, batch, limit }
    }

    /// Creates a meter for rough figures, which decide what is worth measuring.
    #[must_use]
    pub fn rough(self) -> Self {
        Self { warm_up: 2, batches: 5, limit: Duration::ZERO, ..self }
    }

    /// Returns the nanoseconds of one operation. `run` performs the given number of operations.
    ///
    /// # Errors
    ///
    /// Returns the errors of `run`.
    pub fn measure(&self, mut run: impl FnMut(u32) -> Result<()>) -> Result<f64> {
        self.measure_timed(self.batch, |count| {
            let start = Instant::now();
            run(count)?;
            Ok(start.elapsed())
        })
    }

    /// Returns the nanoseconds of one operation on a number of threads at once: elapsed time for each of all
    /// operations. `run` performs the given number of operations.
    ///
    /// # Errors
    ///
    /// Returns the errors of `run`.
    pub fn measure_on(&self, threads: usize, run: impl Fn(u32) -> Result<()> + Sync) -> Result<f64> {
        match threads {
            1 => self.measure(run),
            // Threads do not start at the same moment, but batches are long compared with that.
            _ => self.measure_timed(self.batch * 5, |count| on_threads(threads, count, &run)),
        }
    }

    fn measure_timed(&self, batch: Duration, mut timed: impl FnMut(u32) -> Result<Duration>) -> Result<f64> {
        timed(self.warm_up)?;
        let mut count = 1;
        while timed(count)? < batch && count < 1 << 30 {
            count *= 2;
        }
        self.quartile(|| timed(count).map(|took| took.as_nanos() as f64 / f64::from(count)))
    }

    /// Returns the nanoseconds of an operation that can be done only once, in a state that is created for it each time;
    /// the result of `run` is dropped after the measurement.
    ///
    /// # Errors
    ///
    /// Returns the errors of `make` and `run`.
    pub fn measure_fresh<S, R>(
        &self,
        mut make: impl FnMut() -> Result<S>,
        mut run: impl FnMut(&S) -> Result<R>,
    ) -> Result<f64> {
        self.quartile(|| {
            let state = make()?;
            let start = Instant::now();
            let left = run(&state)?;
            let took = start.elapsed();
            drop(left);
            Ok(took.as_nanos() as f64)
        })
    }

    /// Returns the lower quartile of as many figures as are requested and there is time for.
    fn quartile(&self, mut figure: impl FnMut() -> Result<f64>) -> Result<f64> {
        let start = Instant::now();
        let mut figures = Vec::with_capacity(self.batches);
        while figures.len() < 3 || figures.len() < self.batches && start.elapsed() < self.limit {
            figures.push(figure()?);
        }
        figures.sort_by(f64::total_cmp);
        Ok(figures[figures.len() / 4])
    }
}

/// Distributes a number of operations over threads. Returns how long it takes from the first thread's start to the last
/// one's end.
fn on_threads(threads: usize, count: u32, run: impl Fn(u32) -> Result<()> + Sync) -> Result<Duration> {
    let each = count.div_ceil(threads as u32);
    let ready = Barrier::new(threads);
    let work = || {
        ready.wait();
        let start = Instant::now();
        run(each).map(|()| (start, Instant::now()))
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ran = all.into_iter().map(|thread| thread.join().expect("it does not panic"));
        let ran = ran.collect::<Result<Vec<_>>>()?;
        let (start, end) = (ran.iter().map(|(start, _)| *start).min(), ran.iter().map(|(_, end)| *end).max());
        Ok(start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start))
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

    #[test]
    fn what_is_fresh_is_made_each_time() {
        let mut made = 0;
        let make = || {
            made += 1;
            Ok(std::cell::Cell::new(false))
        };
        let ns = Meter::new(Effort::Quick).rough().measure_fresh(make, |used| {
            assert!(!used.replace(true));
            Ok(())
        });
        assert!(ns.unwrap() > 0.0);
        assert_eq!(made, 3);
    }
}
