//! A profile: samples of what threads were doing.

use crate::frame::ProfileFrame;
use crate::sample_log::{Entry, SampleLog};
use crate::stacks::{StackId, Stacks};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Samples of what threads were doing, created by a [`ProfileBuilder`](crate::ProfileBuilder).
///
/// A profile can be sent to another process: it serializes as numbers and names, with times in whole nanoseconds.
/// Input is checked, and refused with an error that says why. Only the version of belljar that wrote a
/// profile is guaranteed to read it.
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
// INVARIANT: all references are valid, callers come before their callees, names are printed, the sum of the samples' weights
// does not overflow, and nothing exceeds the `limits`.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) title: String,
    pub(crate) started_at: SystemTime,
    pub(crate) interval: Duration,
    pub(crate) threads: Vec<ProfileThread>,
    pub(crate) stacks: Stacks,
    pub(crate) samples: SampleLog,
    /// The sum over all samples, in nanoseconds.
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
    /// Returns the number that identifies the thread for the sampler.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns its printed name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a thread was doing at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ProfileSample<'a> {
    profile: &'a Profile,
    entry: Entry,
}

impl<'a> ProfileSample<'a> {
    /// Returns the time since the start of the profile.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.entry.time)
    }

    /// Returns the thread.
    pub fn thread(&self) -> &'a ProfileThread {
        &self.profile.threads[self.entry.thread as usize]
    }

    /// Returns the CPU time that the sample stands for.
    pub fn weight(&self) -> Duration {
        Duration::from_nanos(self.entry.weight)
    }

    /// Returns the frames of the stack, innermost first.
    pub fn stack(&self) -> impl Iterator<Item = &'a ProfileFrame> {
        let stacks = &self.profile.stacks;
        stacks.walk(self.entry.stack).map(|id| stacks.frame_at(id))
    }
}

/// The sum of a thread's samples with the same stack.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) samples: u64,
    /// Nanoseconds.
    pub(crate) weight: u64,
}

impl Profile {
    /// Returns the name of what was profiled.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns when the profile began.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Returns the requested CPU time between two samples of a thread.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the threads that were named or sampled.
    pub fn threads(&self) -> &[ProfileThread] {
        &self.threads
    }

    /// Returns how many samples there are.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// Returns the samples, in the order in which they were recorded.
    pub fn samples(&self) -> impl Iterator<Item = ProfileSample<'_>> {
        self.samples.iter().map(|entry| ProfileSample { profile: self, entry })
    }

    /// Returns the CPU time that all samples stand for.
    pub fn total_weight(&self) -> Duration {
        Duration::from_nanos(self.weight)
    }

    /// Returns how many samples the sampler had no room for. No other figure of the profile includes them.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns the samples summed by thread and stack, as most formats need them.
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
