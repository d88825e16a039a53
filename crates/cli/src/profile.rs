//! `--profile`: which profiler is told the names of guest functions.

use belljar::{Config, ProfilingStrategy};
use clap::ValueEnum;

/// A way to tell a profiler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Profile {
    /// perf: the file /tmp/perf-PID.map, which `perf report` reads
    #[value(name = "perfmap")]
    PerfMap,
}

impl Profile {
    /// Asks for it.
    pub(crate) fn apply(self, config: &mut Config) {
        config.profiler(match self {
            Self::PerfMap => ProfilingStrategy::PerfMap,
        });
    }
}
