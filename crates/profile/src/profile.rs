//! Samples of what threads were doing, and what can be asked of them.

#[cfg(feature = "flamegraph")]
use crate::flame_graph;
#[cfg(feature = "pprof")]
use crate::pprof;
use crate::profile_data::ProfileData;
use crate::sample_log::{Entry, SampleLog};
use crate::stacks::{StackId, Stacks};
use crate::{ProfileFormat, ProfileFrame, ProfileSummary, collapsed, firefox};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

/// Samples of what threads were doing, made by a [`ProfileBuilder`](crate::ProfileBuilder).
///
/// A profile can be sent to another process: it serializes as numbers and names, with times in whole nanoseconds.
/// Whatever is read is checked, and refused with a sentence that says why; only the version of belljar that wrote a
/// profile is sure to read it.
///
/// ```
/// use belljar_profile::{Profile, ProfileBuilder, ProfileFrame};
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut builder = ProfileBuilder::new("tool.wasm", ms(1));
/// let main = builder.frame(ProfileFrame::guest("main"));
/// builder.sample(ms(1), 7, ms(1), &[main]);
/// let json = serde_json::to_string(&builder.finish())?;
///
/// let profile: Profile = serde_json::from_str(&json)?;
/// assert_eq!((profile.title(), profile.sample_count()), ("tool.wasm", 1));
/// assert!(serde_json::from_str::<Profile>(&json.replace("[0,0]", "[0,5]")).is_err());
/// # Ok::<_, serde_json::Error>(())
/// ```
// INVARIANT: numbers lead somewhere, callers come before those whom they call, names are printed, the samples' weights
// have a sum, and nothing is more than `limits` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "ProfileData<'static>")]
pub struct Profile {
    pub(crate) title: String,
    pub(crate) started_at: SystemTime,
    pub(crate) interval: Duration,
    pub(crate) threads: Vec<ProfileThread>,
    pub(crate) stacks: Stacks,
    pub(crate) samples: SampleLog,
    /// Nanoseconds, of all samples.
    pub(crate) weight: u64,
    pub(crate) lost: u64,
}

/// A thread of a profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProfileThread {
    pub(crate) id: u64,
    pub(crate) name: String,
}

impl ProfileThread {
    /// The number by which the sampler knows it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its printed name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a thread was found doing at one time.
#[derive(Clone, Copy, Debug)]
pub struct ProfileSample<'a> {
    profile: &'a Profile,
    entry: Entry,
}

impl<'a> ProfileSample<'a> {
    /// When, from the start of the profile.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.entry.time)
    }

    /// Which thread.
    pub fn thread(&self) -> &'a ProfileThread {
        &self.profile.threads[self.entry.thread as usize]
    }

    /// The CPU time that the sample stands for.
    pub fn weight(&self) -> Duration {
        Duration::from_nanos(self.entry.weight)
    }

    /// The frames of the stack, innermost first.
    pub fn stack(&self) -> impl Iterator<Item = &'a ProfileFrame> {
        let stacks = &self.profile.stacks;
        stacks.walk(self.entry.stack).map(|id| stacks.frame_at(id))
    }
}

/// Samples of one thread with the same stack.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) samples: u64,
    /// Nanoseconds.
    pub(crate) weight: u64,
}

impl Profile {
    /// What was profiled.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// When the profile began.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// The CPU time between two samples of a thread that the sampler aimed at.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The threads that were named or sampled.
    pub fn threads(&self) -> &[ProfileThread] {
        &self.threads
    }

    /// How many samples there are.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// The samples, in the order in which they were recorded.
    pub fn samples(&self) -> impl Iterator<Item = ProfileSample<'_>> {
        self.samples.iter().map(|entry| ProfileSample { profile: self, entry })
    }

    /// The CPU time that all samples stand for.
    pub fn total_weight(&self) -> Duration {
        Duration::from_nanos(self.weight)
    }

    /// How many samples the sampler had no room for. They are in nothing else that a profile says.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The time of each function.
    pub fn summary(&self) -> ProfileSummary {
        ProfileSummary::new(self)
    }

    /// Writes the profile. Writes are large, a file needs no buffer.
    ///
    /// # Errors
    /// Those of `out`, and [`ProfileFormat::ensure_supported`]'s.
    ///
    /// ```
    /// use belljar_profile::{ProfileBuilder, ProfileFormat, ProfileFrame};
    /// use std::time::Duration;
    ///
    /// let ms = Duration::from_millis;
    /// let mut builder = ProfileBuilder::new("tool.wasm", ms(1));
    /// builder.thread(1, "main");
    /// let stack = ["inner", "outer"].map(|name| builder.frame(ProfileFrame::guest(name)));
    /// builder.sample(ms(1), 1, ms(1), &stack);
    ///
    /// let mut text = Vec::new();
    /// builder.finish().write_to(ProfileFormat::Collapsed, &mut text)?;
    /// assert_eq!(text, b"main;outer;inner 1\n");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn write_to(&self, format: ProfileFormat, out: &mut impl io::Write) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(1 << 16, out as &mut dyn io::Write);
        match format {
            #[cfg(feature = "flamegraph")]
            ProfileFormat::FlameGraph => flame_graph::write(self, &mut out),
            ProfileFormat::Firefox => firefox::write(self, &mut out),
            #[cfg(feature = "pprof")]
            ProfileFormat::Pprof => pprof::write(self, &mut out),
            ProfileFormat::Collapsed => collapsed::write(self, &mut out),
            #[cfg(not(all(feature = "flamegraph", feature = "pprof")))]
            missing => missing.ensure_supported(),
        }?;
        io::Write::flush(&mut out)
    }

    /// Samples by thread and stack: what most formats keep.
    pub(crate) fn tallies(&self) -> BTreeMap<(u32, StackId), Tally> {
        let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
        for entry in self.samples.iter() {
            let tally = tallies.entry((entry.thread, entry.stack)).or_default();
            tally.samples += 1;
            tally.weight += entry.weight;
        }
        tallies
    }
}
