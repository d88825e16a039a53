//! Measures an item: every contender once in each round.

use super::binary::Binaries;
use super::contender::Contender;
use super::item::Item;
use super::process::{self, Sample};
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// After so long an item's rounds end early, but not before the second.
const LONG_ENOUGH: Duration = Duration::from_secs(120);

/// What each contender's runs gave, one of each round.
pub(crate) type Samples = Vec<(Contender, Vec<Sample>)>;

/// How an item's rounds are run.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) count: usize,
    pub(crate) quick: bool,
}

/// Runs the contenders in turn, A B A B ….
pub(crate) fn measure(
    item: &Item,
    rounds: Rounds,
    binaries: &Binaries<'_>,
    progress: &ProgressBar,
) -> Result<Samples> {
    let programs: Vec<_> = item.attempts.iter().map(|a| binaries.path(a.binary)).collect::<Result<_>>()?;
    let mut samples: Samples = item.attempts.iter().map(|a| (a.contender, Vec::new())).collect();
    progress.set_message(item.name.clone());
    for (attempt, program) in item.attempts.iter().zip(&programs) {
        process::prepare(attempt, program).with_context(|| attempt.contender.name())?;
    }
    let start = Instant::now();
    for round in 0..rounds.count {
        progress.set_message(format!("{} {}/{}", item.name, round + 1, rounds.count));
        for (i, attempt) in item.attempts.iter().enumerate() {
            let sample = process::run(item, attempt, &programs[i], rounds.quick)
                .with_context(|| attempt.contender.name())?;
            samples[i].1.push(sample);
            progress.tick();
        }
        if round > 0 && start.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    progress.inc(1);
    Ok(samples)
}
