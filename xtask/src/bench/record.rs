//! Results and their file.

use super::contender::Contender;
use super::directories::Directories;
use super::group::Group;
use super::item::Item;
use super::machine::Machine;
use super::process::Sample;
use super::rounds::Samples;
use super::statistics::{Estimate, geometric_mean, median};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// The results of a group. Times are nanoseconds, ratios belljar's time over
/// the rival's.
#[derive(Serialize)]
pub(crate) struct GroupRecord {
    group: &'static str,
    quick: bool,
    pub(crate) machine: Machine,
    contenders: Vec<Contender>,
    pub(crate) targets: BTreeMap<Contender, f64>,
    pub(crate) items: Vec<ItemRecord>,
    pub(crate) skipped: BTreeMap<String, String>,
    pub(crate) failed: BTreeMap<String, String>,
}

/// The results of an item.
#[derive(Serialize)]
pub(crate) struct ItemRecord {
    pub(crate) name: String,
    /// Times, as the group estimates them.
    pub(crate) times: BTreeMap<Contender, f64>,
    pub(crate) ratios: BTreeMap<Contender, f64>,
    /// How far each ratio may be off, as a share of it.
    pub(crate) spreads: BTreeMap<Contender, f64>,
    /// Median peak memory in bytes, if it is measured.
    pub(crate) peaks: BTreeMap<Contender, f64>,
    /// For an item of a series, the exponents with which time and memory have grown since the previous item.
    pub(crate) growth: BTreeMap<Contender, [Option<f64>; 2]>,
    size: Option<usize>,
    samples: BTreeMap<Contender, Vec<f64>>,
}

impl ItemRecord {
    /// `before` are the items of the group so far.
    pub(crate) fn new(item: &Item, samples: Samples, estimate: Estimate, before: &[Self]) -> Self {
        let peaks = |samples: &[Sample]| median(&samples.iter().filter_map(|s| s.peak).collect::<Vec<_>>());
        let peaks: BTreeMap<_, _> = samples.iter().filter_map(|(c, s)| Some((*c, peaks(s)?))).collect();
        let times = |samples: Vec<Sample>| samples.iter().map(|s| s.time).collect();
        let samples: BTreeMap<_, Vec<f64>> = samples.into_iter().map(|(c, s)| (c, times(s))).collect();
        let ours = samples.get(&Contender::Belljar).cloned().unwrap_or_default();
        let rivals = || samples.iter().filter(|(c, _)| **c != Contender::Belljar);
        let times = samples.iter().filter_map(|(c, s)| Some((*c, estimate.of(s)?))).collect();
        let ratio = |theirs: &[f64]| estimate.ratio(&ours, theirs).filter(|ratio| *ratio > 0.0);
        let ratios = rivals().filter_map(|(c, s)| Some((*c, ratio(s)?))).collect();
        let spreads = rivals().filter_map(|(c, s)| Some((*c, estimate.spread(&ours, s)?))).collect();
        let mut record = Self {
            name: item.name.clone(),
            times,
            ratios,
            spreads,
            peaks,
            growth: BTreeMap::new(),
            size: item.size,
            samples,
        };
        if let Some(last) = before.last().filter(|last| last.series() == record.series()) {
            record.grow(last);
        }
        record
    }

    /// The name without the size.
    fn series(&self) -> Option<&str> {
        self.size.and_then(|_| Some(self.name.rsplit_once(' ')?.0))
    }

    fn grow(&mut self, last: &Self) {
        let (Some(size), Some(before)) = (self.size, last.size) else { return };
        let sizes = (size as f64 / before as f64).ln();
        let power = |now: Option<&f64>, then: Option<&f64>| {
            let power = (now? / then?).ln() / sizes;
            power.is_finite().then_some(power)
        };
        for contender in self.times.keys() {
            let time = power(self.times.get(contender), last.times.get(contender));
            let peak = power(self.peaks.get(contender), last.peaks.get(contender));
            self.growth.insert(*contender, [time, peak]);
        }
    }
}

impl GroupRecord {
    pub(crate) fn new(group: &Group, contenders: &[Contender], machine: Machine, quick: bool) -> Self {
        Self {
            group: group.name,
            quick,
            machine,
            contenders: contenders.to_vec(),
            targets: contenders.iter().filter_map(|&c| Some((c, group.target(c)?))).collect(),
            items: Vec::new(),
            skipped: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    pub(crate) fn skip(&mut self, name: String, reason: String) {
        self.skipped.insert(name, reason);
    }

    pub(crate) fn fail(&mut self, name: &str, error: &anyhow::Error) {
        self.failed.insert(name.into(), format!("{error:#}"));
    }

    /// Returns the geometric mean of the items' ratios to this rival.
    pub(crate) fn mean(&self, rival: Contender) -> Option<f64> {
        let ratios: Vec<f64> = self.items.iter().filter_map(|i| i.ratios.get(&rival).copied()).collect();
        geometric_mean(&ratios)
    }

    /// Writes the group's file.
    pub(crate) fn write(&self, dirs: &Directories) -> Result<()> {
        let mut json = serde_json::to_value(self)?;
        let means = self.contenders.iter().filter_map(|&c| Some((c.name(), self.mean(c)?)));
        json["means"] = serde_json::to_value(means.collect::<BTreeMap<_, _>>())?;
        let path = dirs.results.join(format!("{}.json", self.group));
        let text = serde_json::to_string_pretty(&json)? + "\n";
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}
