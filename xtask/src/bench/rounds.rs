//! Measures an item: every contender once in each round, until rounds agree.

use super::binary::Binaries;
use super::contender::Contender;
use super::item::Item;
use super::process::{self, Sample};
use super::statistics::Estimate;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// After this time an item's rounds end early, but not before the second.
const LONG_ENOUGH: Duration = Duration::from_secs(120);
const LONG_ENOUGH_QUICK: Duration = Duration::from_secs(30);

/// No more rounds are needed if ratios are this certain: a second run then differs by less than 15 % in nearly all cases.
const AGREED: f64 = 0.05;

/// The runs of each contender, one for each round.
pub(crate) type Samples = Vec<(Contender, Vec<Sample>)>;

/// How an item's rounds are run.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) least: usize,
    /// The number of rounds if they do not agree earlier.
    pub(crate) most: usize,
    pub(crate) estimate: Estimate,
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
    let long_enough = if rounds.quick { LONG_ENOUGH_QUICK } else { LONG_ENOUGH };
    let start = Instant::now();
    for round in 1..=rounds.most {
        progress.set_message(format!("{} {round}/{}", item.name, rounds.most));
        for (i, attempt) in item.attempts.iter().enumerate() {
            let sample = process::run(item, attempt, &programs[i], rounds.quick)
                .with_context(|| attempt.contender.name())?;
            samples[i].1.push(sample);
            progress.tick();
        }
        if round >= rounds.least && agree(rounds.estimate, &samples)
            || round > 1 && start.elapsed() > long_enough
        {
            break;
        }
    }
    progress.inc(1);
    Ok(samples)
}

/// Returns whether the first contender's ratios to all others are as certain as they need to be.
fn agree(estimate: Estimate, samples: &Samples) -> bool {
    let times = |samples: &[Sample]| samples.iter().map(|sample| sample.time).collect::<Vec<_>>();
    let Some(((_, ours), others)) = samples.split_first() else { return true };
    let ours = times(ours);
    let spread = |theirs: &[Sample]| estimate.spread(&ours, &times(theirs));
    others.iter().all(|(_, theirs)| spread(theirs).is_some_and(|spread| spread <= AGREED))
}
