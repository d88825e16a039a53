//! The sums that turn figures into a ratio, and tell how far it is to be trusted.

/// The middle of some figures; of an even number, the mean of the two in the middle.
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

/// The ratios of figures that were measured next to each other.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// How sure the range of [`spread`] is, at least, where there are enough figures for that: five.
const SURE: f64 = 0.9;

/// How far the median of some figures may be from that of very many, as a share of it: half of the narrowest range between two of
/// the figures, as far from the lowest as from the highest, that holds that one with a probability of nine in ten. That supposes nothing of how
/// the figures are distributed but that each is as likely below their true median as above.
pub(crate) fn spread(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
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
    (count > 1 && spread.is_finite()).then_some(spread)
}

/// The geometric mean of ratios.
pub(crate) fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|r| r.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_pairs() {
        // The machine was ten times slower in the second round: for both.
        assert_eq!(median(&ratios(&[1.0, 10.0, 1.2], &[2.0, 20.0, 2.0])), Some(0.5));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert!((geometric_mean(&[0.5, 2.0]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_spread_leaves_out_as_much_as_it_may() {
        // Of seven the outermost hold the median with 98 %, the next with 87 %; of nine the next with 96 %.
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
