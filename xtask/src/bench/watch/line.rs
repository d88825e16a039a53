//! The lines of the result sheet.

use crate::bench::contender::Contender;
use crate::bench::statistics::median;
use crate::bench::table::time;
use bench_runner::Figure;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The outputs of each contender's processes, one text for each round.
pub(super) type Outputs = BTreeMap<Contender, Vec<String>>;

/// The unit of a figure.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    Nanoseconds,
    /// Of CPU time of the same work without inspection.
    Percent,
    PerSecond,
    Bytes,
}

/// A figure with its target.
#[derive(Serialize)]
pub(super) struct Line {
    name: String,
    unit: Unit,
    /// The median of the rounds.
    value: f64,
    lowest: f64,
    highest: f64,
    /// The upper limit.
    wanted: Option<f64>,
    /// A remark, if the figure alone is not clear.
    remark: Option<String>,
}

impl Line {
    /// Creates a line from the rounds' figures; `None` if there are none.
    pub(super) fn new(name: impl Into<String>, unit: Unit, rounds: &[f64]) -> Option<Self> {
        Some(Self {
            name: name.into(),
            unit,
            value: median(rounds)?,
            lowest: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            highest: rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            wanted: None,
            remark: None,
        })
    }

    pub(super) fn wanted(mut self, at_most: f64) -> Self {
        self.wanted = Some(at_most);
        self
    }

    pub(super) fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    pub(super) fn heading() -> String {
        format!("{:58} {:>10}   {:25} {:>10}", "", "median", "lowest … highest round", "target")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: f64| self.unit.show(value);
        write!(f, "{:58} {:>10}", self.name, shown(self.value))?;
        match &self.remark {
            Some(remark) => write!(f, "   {remark:25}")?,
            None => write!(f, "   {:25}", format!("{} … {}", shown(self.lowest), shown(self.highest)))?,
        }
        let Some(wanted) = self.wanted else { return Ok(()) };
        let verdict = if self.value <= wanted { "pass" } else { "over" };
        write!(f, " {:>10} {verdict}", format!("≤ {}", self.unit.show_limit(wanted)))
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Nanoseconds if value < 0.0 => format!("-{}", time(-value)),
            Self::Nanoseconds => time(value),
            Self::Percent => format!("{value:+.2} %"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Bytes => format!("{value:.0} B"),
        }
    }

    fn show_limit(self, value: f64) -> String {
        match self {
            Self::Nanoseconds if value < 1e6 => format!("{} µs", value / 1e3),
            Self::Nanoseconds => format!("{} ms", value / 1e6),
            Self::Percent => format!("{value} %"),
            _ => self.show(value),
        }
    }
}

/// The pairs that a process printed.
pub(super) struct Pairs {
    without: Vec<f64>,
    with: Vec<f64>,
    looks: Vec<f64>,
    beside: Vec<f64>,
}

impl Pairs {
    fn of(text: &str) -> Self {
        let [without, with, looks, beside] =
            [Figure::Without, Figure::With, Figure::Looks, Figure::Beside].map(|f| f.read_all(text));
        Self { without, with, looks, beside }
    }

    /// Returns a figure of each round.
    pub(super) fn rounds(texts: &[String], figure: impl Fn(&Self) -> Option<f64>) -> Vec<f64> {
        texts.iter().filter_map(|text| figure(&Self::of(text))).filter(|figure| figure.is_finite()).collect()
    }

    fn middle(&self, figure: impl Fn(usize) -> f64) -> Option<f64> {
        let count = self.without.len().min(self.with.len()).min(self.looks.len());
        median(&(0..count).map(figure).collect::<Vec<_>>())
    }

    /// Returns how much longer the work takes, in percent.
    pub(super) fn slowdown(&self) -> Option<f64> {
        self.middle(|i| (self.with[i] / self.without[i] - 1.0) * 100.0)
    }

    /// Returns the nanoseconds that an inspection takes from the guest.
    pub(super) fn lost(&self) -> Option<f64> {
        self.middle(|i| (self.with[i] - self.without[i]) / self.looks[i])
    }

    pub(super) fn without(&self) -> Option<f64> {
        median(&self.without)
    }

    pub(super) fn with(&self) -> Option<f64> {
        median(&self.with)
    }

    /// Returns the inspections in a second of the guest's time.
    pub(super) fn rate(&self) -> Option<f64> {
        Some(self.looks.iter().sum::<f64>() / self.with.iter().sum::<f64>() * 1e9)
    }

    /// Returns what other threads use, in percent of the guest's time.
    pub(super) fn beside(&self) -> Option<f64> {
        Some(self.beside.iter().sum::<f64>() / self.with.iter().sum::<f64>() * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "without-ns: 100.0\nwith-ns: 120.0\nlooks: 2.0\nbeside-ns: 6.0\n\
                        without-ns: 1000.0\nwith-ns: 1200.0\nlooks: 20.0\nbeside-ns: 60.0\n";

    #[test]
    fn figures_are_of_pairs() {
        let pairs = Pairs::of(TEXT);
        assert!((pairs.slowdown().unwrap() - 20.0).abs() < 1e-9);
        assert_eq!(pairs.lost(), Some(10.0));
        assert!((pairs.rate().unwrap() - 22.0 / 1320.0 * 1e9).abs() < 1e-3);
        assert!((pairs.beside().unwrap() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_line_says_what_is_wanted() {
        let line = Line::new("a capture", Unit::Nanoseconds, &[9000.0, 12_000.0, 11_000.0]).unwrap();
        let text = line.wanted(10_000.0).to_string();
        assert!(text.ends_with("≤ 10 µs over"), "{text}");
        assert!(text.contains("11.00 µs   9.00 µs … 12.00 µs"), "{text}");
        assert!(Line::new("nothing", Unit::Bytes, &[]).is_none());
    }
}
