//! Builds a [`Profile`] from a sampler's samples.

use crate::frame::ProfileFrame;
use crate::limits::{MAX_STACK_FRAMES, MAX_THREADS, printed};
use crate::sample_log::{Entry, SampleLog, nanoseconds};
use crate::stacks::{FrameId, StackId, Stacks};
use crate::{Profile, ProfileThread};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// Placeholder for the outermost frames of a stack that is too deep to be kept whole.
const OMITTED_OUTER_FRAMES: &str = "outer frames that were not kept";

/// Placeholder for all threads beyond the limit.
const OMITTED_THREADS: &str = "threads that were not kept";

/// Collects samples.
///
/// A sampler registers each thread once, creates [`FrameId`]s for the frames of a stack, and passes both to
/// [`Self::sample`]. The sampler itself looks up and caches the names of frames.
///
/// A sample takes about nine bytes, that is 32 MB for an hour at 1 kHz. A stack takes some 30 bytes for each inner
/// frame in which it differs from all earlier ones; four million of those are kept, and samples of later new stacks are
/// counted together. So are samples beyond a million frames or 65536 threads. Of a stack of more than 4096 frames the
/// innermost are kept.
///
/// ```
/// use belljar_profile::{ProfileBuilder, ProfileFrame};
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut builder = ProfileBuilder::new("tool.wasm", ms(1));
/// let main = builder.frame(ProfileFrame::guest("main"));
/// let write = builder.frame(ProfileFrame::host("fd_write"));
/// builder.thread(7, "worker");
/// builder.sample(ms(1), 7, ms(1), &[main]);
/// builder.sample(ms(2), 7, ms(1), &[write, main]);
///
/// let profile = builder.finish();
/// assert_eq!(profile.total_weight(), ms(2));
/// assert_eq!(profile.summary().function("main").unwrap().total_time(), ms(2));
/// ```
#[derive(Debug)]
pub struct ProfileBuilder {
    profile: Profile,
    thread_indices: HashMap<u64, u32>,
}

impl ProfileBuilder {
    /// Creates a profile that begins now. The title names what is profiled; `interval` is the CPU time between two samples of a
    /// thread.
    pub fn new(title: &str, interval: Duration) -> Self {
        let profile = Profile {
            title: printed(title),
            started_at: SystemTime::now(),
            interval,
            threads: Vec::new(),
            stacks: Stacks::default(),
            samples: SampleLog::default(),
            weight: 0,
            lost: 0,
        };
        Self { profile, thread_indices: HashMap::new() }
    }

    /// Sets when the profile began; times of samples count from then.
    pub fn started_at(mut self, time: SystemTime) -> Self {
        self.profile.started_at = time;
        self
    }

    /// Names a thread, identified by the operating system's id or any other unique number. A later name
    /// replaces an earlier one.
    pub fn thread(&mut self, id: u64, name: &str) {
        let index = self.thread_index(id);
        if index + 1 < MAX_THREADS as u32 {
            self.profile.threads[index as usize].name = printed(name);
        }
    }

    fn thread_index(&mut self, id: u64) -> u32 {
        let threads = &mut self.profile.threads;
        if let Some(&known) = self.thread_indices.get(&id) {
            return known;
        }
        if threads.len() < MAX_THREADS {
            let last = threads.len() + 1 == MAX_THREADS;
            let name = if last { OMITTED_THREADS.into() } else { format!("thread {id}") };
            self.thread_indices.insert(id, threads.len() as u32);
            threads.push(ProfileThread { id, name });
        }
        threads.len() as u32 - 1
    }

    /// Adds a frame; equal frames get the same id.
    pub fn frame(&mut self, frame: ProfileFrame) -> FrameId {
        self.profile.stacks.frame(frame)
    }

    /// Records a sample of a thread, `time` after the start. `weight` is the CPU time that the sample stands for:
    /// what the thread used since its last sample. The stack has its innermost frame first, and may be empty.
    ///
    /// # Panics
    /// Panics if a frame belongs to another builder.
    pub fn sample(&mut self, time: Duration, thread: u64, weight: Duration, stack: &[FrameId]) {
        let frames = self.profile.stacks.frames().len();
        assert!(stack.iter().all(|id| (id.0 as usize) < frames), "a frame of another profile");
        let thread = self.thread_index(thread);
        let stack = match stack.len() > MAX_STACK_FRAMES {
            true => self.cut(&stack[..MAX_STACK_FRAMES]),
            false => self.profile.stacks.stack(stack),
        };
        let profile = &mut self.profile;
        // A broken clock may return anything; the sum of all weights must fit 64 bits.
        let weight = nanoseconds(weight).min(u64::MAX - profile.weight);
        profile.samples.push(Entry { time: nanoseconds(time), weight, thread, stack });
        profile.weight += weight;
    }

    /// Returns a stack that consists of a placeholder and these innermost frames of a deeper one.
    fn cut(&mut self, inner: &[FrameId]) -> StackId {
        let mut frames = inner.to_vec();
        let stacks = &mut self.profile.stacks;
        frames[MAX_STACK_FRAMES - 1] = stacks.placeholder_frame(OMITTED_OUTER_FRAMES);
        stacks.stack(&frames)
    }

    /// Counts samples that the sampler had no room for.
    pub fn lost(&mut self, samples: u64) {
        self.profile.lost = self.profile.lost.saturating_add(samples);
    }

    /// Returns the finished profile.
    pub fn finish(self) -> Profile {
        self.profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_profiles::ms;

    #[test]
    fn of_a_deep_stack_the_inner_frames_are_kept() {
        let mut builder = ProfileBuilder::new("", ms(1));
        let [inner, recursive, outer] =
            ["inner", "recursive", "outer"].map(|name| builder.frame(ProfileFrame::guest(name)));
        let mut stack = vec![recursive; MAX_STACK_FRAMES];
        (stack[0], stack[MAX_STACK_FRAMES - 1]) = (inner, outer);
        builder.sample(ms(1), 1, ms(1), &stack);
        stack.push(outer);
        builder.sample(ms(2), 1, ms(1), &stack);
        let profile = builder.finish();
        let ends: Vec<_> = profile
            .samples()
            .map(|sample| {
                let names: Vec<&str> = sample.stack().map(ProfileFrame::function).collect();
                (names.len(), names[0], names[names.len() - 1])
            })
            .collect();
        assert_eq!(
            ends,
            [(MAX_STACK_FRAMES, "inner", "outer"), (MAX_STACK_FRAMES, "inner", OMITTED_OUTER_FRAMES)]
        );
    }

    #[test]
    fn there_is_an_end_to_new_threads() {
        let mut builder = ProfileBuilder::new("", ms(1));
        for id in 0..MAX_THREADS as u64 + 9 {
            builder.thread(id, "t");
            builder.sample(ms(1), id, ms(1), &[]);
        }
        let profile = builder.finish();
        assert_eq!(profile.threads().len(), MAX_THREADS);
        assert_eq!(profile.threads()[MAX_THREADS - 2].name(), "t");
        let others = profile.samples().filter(|sample| sample.thread().name() == OMITTED_THREADS).count();
        assert_eq!(others, 10);
    }

    #[test]
    fn weights_always_have_a_sum() {
        let mut builder = ProfileBuilder::new("", ms(1));
        builder.sample(ms(1), 1, ms(1), &[]);
        builder.sample(Duration::MAX, 1, Duration::MAX, &[]);
        builder.sample(ms(3), 1, ms(1), &[]);
        let profile = builder.finish();
        assert_eq!(profile.total_weight(), Duration::from_nanos(u64::MAX));
        assert_eq!(profile.samples().map(|sample| sample.weight()).sum::<Duration>(), profile.total_weight());
    }
}
