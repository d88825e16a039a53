//! Measures operations that are shorter than a clock can tell.

use anyhow::Result;
use std::sync::Barrier;
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
///
/// Batches are short, and of their times the lower quartile counts: on a machine that does something else meanwhile, some
/// batches run undisturbed, while the mean, and even the median, tells more of the others.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Operations before the first batch: more than engines need to have learned what a guest does.
    warm_up: u32,
    batches: usize,
    batch: Duration,
    /// Batches end after so long, but not before there are three of them: of operations that take longer than a batch.
    limit: Duration,
}

impl Meter {
    /// A meter that takes about 30 ms, or half a second.
    pub fn new(effort: Effort) -> Self {
        let (batches, batch, limit) = match effort {
            Effort::Quick => (25, Duration::from_millis(1), Duration::from_millis(300)),
            Effort::Full => (200, Duration::from_millis(2), Duration::from_secs(2)),
        };
        Self { warm_up: 24, batches, batch, limit }
    }

    /// A meter that tells roughly, to find out what deserves to be measured.
    #[must_use]
    pub fn rough(self) -> Self {
        Self { warm_up: 2, batches: 5, limit: Duration::ZERO, ..self }
    }

    /// Nanoseconds of one operation. `run` does as many as it is told.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn measure(&self, mut run: impl FnMut(u32) -> Result<()>) -> Result<f64> {
        self.measure_timed(self.batch, |count| {
            let start = Instant::now();
            run(count)?;
            Ok(start.elapsed())
        })
    }

    /// Nanoseconds of one operation where so many threads do it at once: elapsed time for each of all of them. `run` does as many as it is told.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn measure_on(&self, threads: usize, run: impl Fn(u32) -> Result<()> + Sync) -> Result<f64> {
        match threads {
            1 => self.measure(run),
            // Threads do not begin in the same moment: batches are long beside that.
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

    /// Nanoseconds of something that can be done only once, in a state that is made for it each time; what `run` leaves is
    /// dropped when its time is taken.
    ///
    /// # Errors
    ///
    /// Those of `make` and `run`.
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

    /// The lower quartile of as many figures as are wanted and there is time for.
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

/// Has threads do an operation so many times between them. How long it takes from the first one's begin to the last one's end.
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
