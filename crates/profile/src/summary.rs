//! A table of the time of each function.

use crate::Profile;
use crate::frame::{FrameKind, ProfileFrame};
use crate::stacks::FrameId;
use indexmap::IndexMap;
use std::fmt;
use std::time::Duration;

/// The time that one function took, for all its callers together.
#[derive(Clone, Debug)]
pub struct FunctionTime {
    frame: ProfileFrame,
    self_time: u64,
    total_time: u64,
    self_samples: u64,
    total_samples: u64,
}

impl FunctionTime {
    /// Returns the kind of code.
    pub fn kind(&self) -> FrameKind {
        self.frame.kind()
    }

    /// Returns the function's printed name.
    pub fn function(&self) -> &str {
        self.frame.function()
    }

    /// Returns the name of its module.
    pub fn module(&self) -> Option<&str> {
        self.frame.module()
    }

    /// Returns the CPU time in the function itself.
    pub fn self_time(&self) -> Duration {
        Duration::from_nanos(self.self_time)
    }

    /// Returns the CPU time in the function and its callees. A recursive function is counted once.
    pub fn total_time(&self) -> Duration {
        Duration::from_nanos(self.total_time)
    }

    /// Returns the number of samples in which the function was innermost.
    pub fn self_samples(&self) -> u64 {
        self.self_samples
    }

    /// Returns the number of samples in which the function was on the stack.
    pub fn total_samples(&self) -> u64 {
        self.total_samples
    }
}

/// The time of each function, sorted by time in the function itself.
///
/// An inlined function counts as a function of its own. It prints as follows, and `{:.10}` prints ten functions:
///
/// ```text
///     self              total             function
///    812.00 ms  81.2%    990.00 ms  99.0%  sort::quick (tool.wasm)
///    188.00 ms  18.8%    188.00 ms  18.8%  fd_write (host)
/// ```
///
/// If samples were lost, a last line says how many.
#[derive(Clone, Debug)]
pub struct ProfileSummary {
    functions: Vec<FunctionTime>,
    total: u64,
    lost: u64,
}

impl Profile {
    /// Returns the time of each function.
    pub fn summary(&self) -> ProfileSummary {
        ProfileSummary::new(self)
    }
}

impl ProfileSummary {
    fn new(profile: &Profile) -> Self {
        // Frames that differ only in their line are one function.
        let mut functions: IndexMap<_, FunctionTime> = IndexMap::new();
        let of_frame: Vec<usize> = profile
            .stacks
            .frames()
            .map(|frame| {
                let entry = functions.entry((frame.kind(), frame.module(), frame.function()));
                let index = entry.index();
                entry.or_insert_with(|| FunctionTime::new(frame));
                index
            })
            .collect();
        let mut functions: Vec<FunctionTime> = functions.into_values().collect();
        let mut last_seen = vec![0; functions.len()];
        for (i, ((_, stack), tally)) in profile.tallies().into_iter().enumerate() {
            for (depth, FrameId(frame)) in profile.stacks.walk(stack).enumerate() {
                let index = of_frame[frame as usize];
                let function = &mut functions[index];
                if depth == 0 {
                    function.self_time += tally.weight;
                    function.self_samples += tally.samples;
                }
                if std::mem::replace(&mut last_seen[index], i + 1) != i + 1 {
                    function.total_time += tally.weight;
                    function.total_samples += tally.samples;
                }
            }
        }
        functions.retain(|f| f.total_samples > 0);
        functions.sort_by(|a, b| b.rank().cmp(&a.rank()).then_with(|| a.function().cmp(b.function())));
        Self { functions, total: profile.weight, lost: profile.lost }
    }

    /// Returns the functions, sorted by time in the function itself.
    pub fn functions(&self) -> &[FunctionTime] {
        &self.functions
    }

    /// Returns the first function of this printed name.
    pub fn function(&self, name: &str) -> Option<&FunctionTime> {
        self.functions.iter().find(|f| f.function() == name)
    }
}

impl FunctionTime {
    fn new(frame: &ProfileFrame) -> Self {
        let frame = frame.clone();
        Self { frame, self_time: 0, total_time: 0, self_samples: 0, total_samples: 0 }
    }

    fn rank(&self) -> [u64; 4] {
        [self.self_time, self.self_samples, self.total_time, self.total_samples]
    }
}

impl fmt::Display for ProfileSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {:<17} {:<17} function", "self", "total")?;
        let share = |time: u64| 100.0 * time as f64 / (self.total as f64).max(1.0);
        let ms = |time: u64| time as f64 / 1e6;
        for function in self.functions.iter().take(f.precision().unwrap_or(usize::MAX)) {
            let (own, total) = (function.self_time, function.total_time);
            write!(f, "\n{:9.2} ms {:5.1}% ", ms(own), share(own))?;
            write!(f, "{:9.2} ms {:5.1}%  {}", ms(total), share(total), function.function())?;
            match (function.kind(), function.module()) {
                (FrameKind::Guest, Some(module)) => write!(f, " ({module})")?,
                (FrameKind::Guest, None) => {}
                (kind, _) => write!(f, " ({})", kind.name())?,
            }
        }
        match self.lost {
            0 => Ok(()),
            1 => f.write_str("\n1 sample was lost"),
            lost => write!(f, "\n{lost} samples were lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ProfileBuilder;
    use crate::test_profiles::{hostile, ms, tool};

    #[test]
    fn recursion_counts_once_and_inlined_functions_are_functions() {
        let summary = tool().summary();
        let times = |name: &str| {
            let f = summary.function(name).unwrap();
            (f.self_time(), f.total_time(), f.self_samples(), f.total_samples())
        };
        assert_eq!(times("_start"), (ms(1), ms(5), 1, 5));
        assert_eq!(times("sort"), (ms(0), ms(3), 0, 3));
        assert_eq!(times("swap"), (ms(2), ms(2), 2, 2));
        assert_eq!(times("fd_write"), (ms(1), ms(1), 1, 1));
        assert_eq!(summary.functions().len(), 5);
    }

    #[test]
    fn the_table_begins_with_what_took_most() {
        assert_eq!(
            format!("{:.3}", tool().summary()),
            "    self              total             function
     2.00 ms  33.3%      2.00 ms  33.3%  swap (tool.wasm)
     1.00 ms  16.7%      5.00 ms  83.3%  _start (tool.wasm)
     1.00 ms  16.7%      1.00 ms  16.7%  fd_write (host)"
        );
        assert_eq!(
            hostile().summary().to_string().lines().count(),
            1 + hostile().summary().functions().len()
        );
    }

    #[test]
    fn lost_samples_are_told() {
        let table = |lost| {
            let mut builder = ProfileBuilder::new("", ms(1));
            builder.lost(lost);
            builder.finish().summary().to_string()
        };
        assert_eq!(table(0).lines().count(), 1);
        assert!(table(1).ends_with("\n1 sample was lost"));
        assert!(table(12).ends_with("\n12 samples were lost"));
    }
}
