//! The table on standard output, a row as soon as its item is measured.

use super::contender::Contender;
use super::group::Group;
use super::item::Item;
use super::machine::Machine;
use super::record::{GroupRecord, ItemRecord};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The table of a group, with a progress bar below it on a terminal.
pub(crate) struct Table {
    group: &'static Group,
    contenders: Vec<Contender>,
    name_width: usize,
    progress: ProgressBar,
}

const MEAN: &str = "geometric mean";

/// A ratio with a larger uncertainty is meaningless.
const NOISE: f64 = 0.15;

impl Table {
    pub(crate) fn new(
        group: &'static Group,
        contenders: &[Contender],
        items: &[Item],
        machine: &Machine,
    ) -> Self {
        let widest = items.iter().map(|i| i.name.chars().count()).max();
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {bar:24} {elapsed_precise} {msg}");
        let progress = ProgressBar::new(items.len() as u64);
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let table = Self {
            group,
            contenders: contenders.to_vec(),
            name_width: widest.unwrap_or(0).max(MEAN.len()),
            progress,
        };
        table.print(&format!("\n{}: {}", group.name, group.about));
        table.print(&machine.to_string());
        table.print(&table.heading());
        table
    }

    pub(crate) fn progress(&self) -> &ProgressBar {
        &self.progress
    }

    fn rivals(&self) -> impl Iterator<Item = Contender> {
        self.contenders.iter().copied().filter(|&c| c != Contender::Belljar)
    }

    fn heading(&self) -> String {
        let mut line = format!("{:name$}", "", name = self.name_width);
        for contender in &self.contenders {
            write!(line, " {:>10}", contender.name()).expect("strings take everything");
        }
        for rival in self.rivals() {
            write!(line, "  {:>9} {:>5} {:6}", format!("/{}", rival.name()), "±", "target")
                .expect("strings take everything");
        }
        line
    }

    /// Prints an item's row.
    pub(crate) fn row(&self, item: &ItemRecord) {
        let mut line = format!("{:name$}", item.name, name = self.name_width);
        for contender in &self.contenders {
            let time = item.times.get(contender).map_or("–".into(), |&ns| time(ns));
            write!(line, " {time:>10}").expect("strings take everything");
        }
        self.push_ratios(&mut line, &item.ratios, &item.spreads);
        self.push_growth(&mut line, item);
        self.print(&line);
    }

    /// For an item of a series: the growth of each contender's time, its memory, and the memory's growth.
    fn push_growth(&self, line: &mut String, item: &ItemRecord) {
        let power = |power: Option<f64>| power.map_or(String::new(), |p| format!("^{p:.2}"));
        for contender in self.contenders.iter().filter(|_| !item.peaks.is_empty()) {
            let [time, memory] = item.growth.get(contender).copied().unwrap_or_default();
            let peak =
                item.peaks.get(contender).map_or("–".into(), |bytes| format!("{:.0} MB", bytes / 1e6));
            write!(line, "  {}: {:5} {peak:>7} {:5}", contender.name(), power(time), power(memory))
                .expect("strings take everything");
        }
    }

    fn push_ratios(
        &self,
        line: &mut String,
        ratios: &BTreeMap<Contender, f64>,
        spreads: &BTreeMap<Contender, f64>,
    ) {
        for rival in self.rivals() {
            let (ratio, spread) = (ratios.get(&rival).copied(), spreads.get(&rival).copied());
            let shown = ratio.map_or("–".into(), |r| format!("{r:.3}"));
            let off = spread.map_or(String::new(), |s| format!("{:.0} %", s * 100.0));
            let verdict = ratio.map_or("", |r| verdict(r, spread.unwrap_or(0.0), self.group.target(rival)));
            write!(line, "  {shown:>9} {off:>5} {verdict:6}").expect("strings take everything");
        }
    }

    /// Prints the means and what is missing.
    pub(crate) fn finish(&self, record: &GroupRecord) {
        self.progress.finish_and_clear();
        let means: BTreeMap<_, _> = self.rivals().filter_map(|c| Some((c, record.mean(c)?))).collect();
        if !means.is_empty() {
            let mut line = format!("{MEAN:name$}", name = self.name_width);
            line.extend(std::iter::repeat_n(' ', 11 * self.contenders.len()));
            self.push_ratios(&mut line, &means, &BTreeMap::new());
            println!("{}", line.trim_end());
            for (rival, target) in &record.targets {
                println!("target: at most {target:.2} of {}", rival.name());
            }
        }
        if record.items.iter().flat_map(|item| item.spreads.values()).any(|spread| *spread > NOISE) {
            println!("noise: rounds disagree so much that the figure means nothing");
        }
        for (name, reason) in &record.skipped {
            println!("skipped: {name}: {reason}");
        }
        for (name, reason) in &record.failed {
            println!("failed: {name}: {reason}");
        }
    }

    fn print(&self, line: &str) {
        self.progress.suspend(|| println!("{}", line.trim_end()));
    }
}

/// Returns the verdict on a ratio with an uncertainty.
fn verdict(ratio: f64, spread: f64, target: Option<f64>) -> &'static str {
    if spread > NOISE {
        return "noise";
    }
    let Some(target) = target else { return "" };
    let is_sure = (ratio - target).abs() >= ratio * spread;
    match (ratio <= target, is_sure) {
        (true, true) => "pass",
        (true, false) => "pass?",
        (false, true) => "over",
        (false, false) => "over?",
    }
}

/// Formats nanoseconds in a suitable unit.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        _ if ns.is_infinite() => "too long".into(),
        _ if ns < 1e3 => format!("{ns:.1} ns"),
        _ if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        _ if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_say_how_sure_they_are() {
        assert_eq!(verdict(0.40, 0.03, Some(0.5)), "pass");
        assert_eq!(verdict(0.49, 0.03, Some(0.5)), "pass?");
        assert_eq!(verdict(0.51, 0.03, Some(0.5)), "over?");
        assert_eq!(verdict(0.60, 0.03, Some(0.5)), "over");
        assert_eq!(verdict(0.10, 0.20, Some(0.5)), "noise");
        assert_eq!(verdict(0.10, 0.20, None), "noise");
        assert_eq!(verdict(0.10, 0.0, None), "");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time(14.23), "14.2 ns");
        assert_eq!(time(1696.0), "1.70 µs");
        assert_eq!(time(48_759_726.0), "48.8 ms");
        assert_eq!(time(2_800_000_000.0), "2.80 s");
    }
}
