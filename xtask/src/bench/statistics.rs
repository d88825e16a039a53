//! Computes ratios from figures, and their uncertainty.

/// Returns the median; for an even number of figures, the mean of the two in the middle.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// How the rounds' figures are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Estimate {
    /// Medians, also of ratios: for long work, which is disturbed in every round.
    Median,
    /// The lowest figures, and their ratio: for short work, which sometimes runs undisturbed. On a busy machine only these
    /// are comparable between two runs.
    Best,
}

/// How many more figures have to agree with the best one.
const AGREE: usize = 2;

impl Estimate {
    /// Returns the figure of a contender's rounds.
    pub(crate) fn of(self, figures: &[f64]) -> Option<f64> {
        match self {
            Self::Median => median(figures),
            Self::Best => figures.iter().copied().min_by(f64::total_cmp),
        }
    }

    /// Returns the ratio of belljar's figures to the rival's, of the same rounds.
    pub(crate) fn ratio(self, ours: &[f64], theirs: &[f64]) -> Option<f64> {
        match self {
            Self::Median => median(&ratios(ours, theirs)),
            Self::Best => Some(self.of(ours)? / self.of(theirs)?),
        }
    }

    /// Returns how far that may be off, as a share of it.
    pub(crate) fn spread(self, ours: &[f64], theirs: &[f64]) -> Option<f64> {
        match self {
            Self::Median => spread(&ratios(ours, theirs)),
            Self::Best => Some(gap(ours)?.max(gap(theirs)?)),
        }
    }
}

/// Returns how much larger than the lowest figure the third lowest is, or the highest of fewer than three, as a share of it.
fn gap(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let gap = sorted.get(AGREE).or(sorted.last())? / sorted[0] - 1.0;
    (sorted.len() > 1 && gap.is_finite()).then_some(gap)
}

/// Returns the ratios of figures that were measured next to each other.
fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// The minimal probability of the range of [`spread`], if there are enough figures for it: five.
const SURE: f64 = 0.9;

/// Returns how far the median of some figures may be from that of very many, as a share of it: half of the narrowest
/// range between two of the figures, as far from the lowest as from the highest, that contains that median with a
/// probability of nine in ten. This assumes nothing about the distribution but that each figure is as likely below the
/// true median as above it.
fn spread(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    if count < 2 {
        return None;
    }
    // The true median is below the lowest figure if all fell above it, and so on: terms of the binomial distribution.
    let mut term = 0.5_f64.powi(count.try_into().ok()?);
    let (mut outside, mut cut) = (0.0, 0);
    for i in 0..count / 2 {
        outside += 2.0 * term;
        if 1.0 - outside < SURE {
            break;
        }
        cut = i;
        term *= (count - i) as f64 / (i + 1) as f64;
    }
    let range = sorted.get(count - 1 - cut)? - sorted.get(cut)?;
    let spread = range / 2.0 / median(figures)?;
    spread.is_finite().then_some(spread)
}

/// Returns the geometric mean of ratios.
pub(crate) fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|r| r.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_pairs() {
        // The machine was ten times slower in the second round, for both.
        assert_eq!(median(&ratios(&[1.0, 10.0, 1.2], &[2.0, 20.0, 2.0])), Some(0.5));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert!((geometric_mean(&[0.5, 2.0]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_best_rounds_count_if_others_agree() {
        let (ours, theirs) = ([1.0, 9.0, 1.1, 1.05], [8.0, 2.0, 2.0, 2.1]);
        assert_eq!(Estimate::Best.ratio(&ours, &theirs), Some(0.5));
        assert!((Estimate::Best.spread(&ours, &theirs).unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(Estimate::Best.spread(&[1.0, 3.0], &[1.0, 1.0]), Some(2.0));
        assert_eq!(Estimate::Best.spread(&[1.0], &[1.0]), None);
        assert_eq!(Estimate::Best.ratio(&[], &[]), None);
        assert!((Estimate::Median.of(&ours).unwrap() - 1.075).abs() < 1e-12);
    }

    #[test]
    fn the_spread_leaves_out_as_much_as_it_may() {
        // Of seven figures, the outermost contain the median with 98 %, the next with 87 %; of nine, the next with 96 %.
        let rising = |count: u32| (0..count).map(|i| 100.0 + f64::from(i)).collect::<Vec<_>>();
        assert_eq!(spread(&rising(7)), Some(3.0 / 103.0));
        assert_eq!(spread(&rising(9)), Some(3.0 / 104.0));
        // Of 61, the 24th to the 38th: 30.5 ± 6.4 (1.64 standard deviations) fall below.
        assert_eq!(spread(&rising(61)), Some(7.0 / 130.0));
        assert_eq!(spread(&[1.0, 3.0]), Some(0.5));
        assert_eq!(spread(&[1.0]), None);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::INFINITY, 1.0]), None);
        let mut one_off = vec![1.0; 8];
        one_off.push(1e9);
        assert_eq!(spread(&one_off), Some(0.0));
    }
}
