//! `--perf`: how perf is told the names of guest functions.

use belljar::{Config, ProfilingStrategy};
use clap::ValueEnum;

/// A way to tell perf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Perf {
    /// The file /tmp/perf-PID.map, which `perf report` reads
    Map,
}

impl Perf {
    /// Asks for it.
    pub(crate) fn apply(self, config: &mut Config) {
        config.profiler(match self {
            Self::Map => ProfilingStrategy::PerfMap,
        });
    }
}
