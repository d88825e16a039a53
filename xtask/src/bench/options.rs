//! Command-line options.

use super::contender::Contender;
use super::group::{GROUPS, Group};
use clap::Args;
use clap::builder::PossibleValuesParser;
use regex::Regex;
use std::path::{Path, PathBuf};

/// The group implemented by `watch`, whose items are not ratios.
pub(crate) const WATCH: &str = "watch";

/// The options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Groups to measure [default: all]
    #[arg(value_name = "GROUP", value_parser = PossibleValuesParser::new(names()))]
    groups: Vec<String>,
    /// Fewer rounds and shorter measurements: the table says how rough the figures are
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure nothing: show how far apart two earlier runs are, result files or directories of them
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "groups")]
    compare: Vec<PathBuf>,
    /// Directory for result files [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Only items whose name matches
    #[arg(long, value_name = "REGEX")]
    filter: Option<Regex>,
    /// Rounds in which an item is measured, whether they agree or not
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Rivals to measure, instead of those of each group
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    rivals: Vec<Contender>,
    /// Directory with the programs and kernels that are not in the repository [default: ../shared]
    #[arg(long, value_name = "DIR")]
    pub(crate) shared: Option<PathBuf>,
}

/// Returns the names of the groups of ratios, and of `watch`.
fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|group| group.name).chain([WATCH])
}

impl Options {
    /// Returns two runs to compare, if that was requested.
    pub(crate) fn compared(&self) -> Option<(&Path, &Path)> {
        let [first, second] = self.compare.as_slice() else { return None };
        Some((first, second))
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &'static Group> {
        GROUPS.iter().filter(|group| self.has(group.name))
    }

    /// Returns whether a group is to be measured.
    pub(crate) fn has(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|name| name == group)
    }

    /// Returns whether a rival is to be measured in the group `watch`.
    pub(crate) fn has_rival(&self, rival: Contender) -> bool {
        self.rivals.is_empty() || self.rivals.contains(&rival)
    }

    pub(crate) fn wants(&self, item: &str) -> bool {
        self.filter.as_ref().is_none_or(|f| f.is_match(item))
    }

    /// Returns how many rounds a group's items need at least, and how many they get at most.
    pub(crate) fn rounds(&self, group: &Group) -> [usize; 2] {
        [0, 1].map(|i| self.rounds_or(group.rounds[i], group.quick_rounds[i]))
    }

    /// Returns the requested number of rounds, or else the default.
    pub(crate) fn rounds_or(&self, full: usize, quick: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { quick } else { full }).max(1)
    }

    /// Returns belljar, then its rivals. Native code has no rival but belljar.
    pub(crate) fn contenders(&self, group: &Group) -> Vec<Contender> {
        let own: Vec<_> = group.targets.iter().map(|t| t.rival).collect();
        let chosen =
            if self.rivals.is_empty() || own == [Contender::Native] { own } else { self.rivals.clone() };
        [Contender::Belljar].into_iter().chain(chosen).collect()
    }
}
