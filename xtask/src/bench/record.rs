//! Results, and the file that they are kept in.

use super::contender::Contender;
use super::group::Group;
use super::place::Place;
use super::rounds::Samples;
use super::statistics::{geometric_mean, median, ratio};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is known of a group after its items were measured. Times are nanoseconds, ratios belljar's time over
/// the rival's.
#[derive(Serialize)]
pub(crate) struct GroupRecord {
    group: &'static str,
    quick: bool,
    processors: usize,
    contenders: Vec<Contender>,
    pub(crate) targets: BTreeMap<Contender, f64>,
    pub(crate) items: Vec<ItemRecord>,
    pub(crate) skipped: BTreeMap<String, String>,
    pub(crate) failed: BTreeMap<String, String>,
}

/// What is known of an item.
#[derive(Serialize)]
pub(crate) struct ItemRecord {
    pub(crate) name: String,
    /// Median times.
    pub(crate) times: BTreeMap<Contender, f64>,
    pub(crate) ratios: BTreeMap<Contender, f64>,
    samples: BTreeMap<Contender, Vec<f64>>,
}

impl ItemRecord {
    pub(crate) fn new(name: &str, samples: Samples) -> Self {
        let samples: BTreeMap<_, _> = samples.into_iter().collect();
        let ours = samples.get(&Contender::Belljar).cloned().unwrap_or_default();
        let rivals = samples.iter().filter(|(c, _)| **c != Contender::Belljar);
        Self {
            name: name.into(),
            times: samples.iter().filter_map(|(c, s)| Some((*c, median(s)?))).collect(),
            ratios: rivals.filter_map(|(c, s)| Some((*c, ratio(&ours, s)?))).collect(),
            samples,
        }
    }
}

impl GroupRecord {
    pub(crate) fn new(group: &Group, contenders: &[Contender], quick: bool) -> Self {
        Self {
            group: group.name,
            quick,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
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

    /// The geometric mean of the items' ratios to this rival.
    pub(crate) fn mean(&self, rival: Contender) -> Option<f64> {
        let ratios: Vec<f64> = self.items.iter().filter_map(|i| i.ratios.get(&rival).copied()).collect();
        geometric_mean(&ratios)
    }

    /// Writes the group's file.
    pub(crate) fn write(&self, place: &Place) -> Result<()> {
        let mut json = serde_json::to_value(self)?;
        let means = self.contenders.iter().filter_map(|&c| Some((c.name(), self.mean(c)?)));
        json["means"] = serde_json::to_value(means.collect::<BTreeMap<_, _>>())?;
        let path = place.out.join(format!("{}.json", self.group));
        let text = serde_json::to_string_pretty(&json)? + "\n";
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}
