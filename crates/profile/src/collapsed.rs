//! Collapsed stacks: `thread;outer;…;inner COUNT`, a line for each stack, the count in samples.
//!
//! The format of Brendan Gregg's FlameGraph (<https://github.com/brendangregg/FlameGraph>, "fold stacks"), which has
//! no escapes: a semicolon in a name becomes a colon, as in its own converters.

use crate::Profile;
use crate::frame::{FrameKind, ProfileFrame};
use crate::stacks::{FrameId, StackId};
use indexmap::IndexMap;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

/// Writes a profile as collapsed stacks, ordered by thread.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let labels = labels(profile);
    let by_name = StacksByName::new(profile, &labels);
    let mut counts: IndexMap<(u32, StackId), u64> = IndexMap::new();
    for ((thread, stack), tally) in profile.tallies() {
        *counts.entry((thread, by_name.first(stack))).or_default() += tally.samples;
    }
    for ((thread, stack), samples) in counts {
        out.write_all(sanitized(profile.threads[thread as usize].name()).as_bytes())?;
        let mut frames: Vec<FrameId> = profile.stacks.walk(stack).collect();
        frames.reverse();
        for FrameId(frame) in frames {
            out.write_all(b";")?;
            out.write_all(labels[frame as usize].as_bytes())?;
        }
        writeln!(out, " {samples}")?;
    }
    Ok(())
}

/// Maps each stack to the first stack with the same names; such stacks differ only in source lines.
struct StacksByName(Vec<StackId>);

impl StacksByName {
    fn new(profile: &Profile, labels: &[String]) -> Self {
        let stacks = &profile.stacks;
        let mut names: HashMap<&str, u32> = HashMap::new();
        let mut known: HashMap<(StackId, u32), StackId> = HashMap::new();
        let mut first: Vec<StackId> = Vec::with_capacity(stacks.node_count());
        // ORDER: callers come before their callees.
        for i in 0..stacks.node_count() {
            let node = stacks.node(i);
            let caller = node.caller.index().map_or(StackId::EMPTY, |caller| first[caller]);
            let next = names.len() as u32;
            let name = *names.entry(&labels[node.frame.0 as usize]).or_insert(next);
            first.push(*known.entry((caller, name)).or_insert(StackId(i as u32)));
        }
        Self(first)
    }

    /// Returns the first stack with the same names.
    fn first(&self, stack: StackId) -> StackId {
        stack.index().map_or(stack, |i| self.0[i])
    }
}

/// Returns a label for each frame: its name, with its module if guest functions belong to several.
pub(crate) fn labels(profile: &Profile) -> Vec<String> {
    let is_guest = |frame: &&ProfileFrame| frame.kind() == FrameKind::Guest;
    let mut modules = profile.stacks.frames().filter(is_guest).map(ProfileFrame::module);
    let first = modules.next();
    let several = modules.any(|module| Some(module) != first);
    let label = |frame: &ProfileFrame| match frame.module().filter(|_| several) {
        Some(module) => sanitized(&format!("{module}!{}", frame.function())).into_owned(),
        None => sanitized(frame.function()).into_owned(),
    };
    profile.stacks.frames().map(label).collect()
}

/// Replaces characters that end a name in this format. Names contain no control characters, but other line breaks are possible,
/// and an empty name would look like no name.
pub(crate) fn sanitized(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return "?".into();
    }
    match name.contains([';', '\u{2028}', '\u{2029}']) {
        true => name.replace(';', ":").replace(['\u{2028}', '\u{2029}'], " ").into(),
        false => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::test_profiles::{hostile, tool, written};
    use crate::{ProfileBuilder, ProfileFormat, ProfileFrame};
    use std::time::Duration;

    fn lines(profile: crate::Profile) -> Vec<String> {
        let text = String::from_utf8(written(&profile, ProfileFormat::Collapsed)).unwrap();
        text.lines().map(Into::into).collect()
    }

    #[test]
    fn a_line_for_each_stack_of_each_thread() {
        assert_eq!(
            lines(tool()),
            [
                "main;_start 1",
                "main;_start;sort;swap 2",
                "main;_start;sort;sort;garbage collection 1",
                "worker;_start;fd_write 1",
                "worker 1",
            ]
        );
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let lines = lines(hostile());
        assert_eq!(lines.len(), 1);
        let (stack, count) = lines[0].rsplit_once(' ').unwrap();
        assert_eq!(count, "1");
        assert_eq!(stack.split(';').count(), 1 + hostile().samples().next().unwrap().stack().count());
    }

    #[test]
    fn lines_of_one_function_are_one_line() {
        let ms = Duration::from_millis;
        let mut builder = ProfileBuilder::new("t", ms(1));
        builder.thread(1, "main");
        let frame = |line| ProfileFrame::guest("f").at("f.c", Some(line));
        let [a, b] = [1, 2].map(|line| builder.frame(frame(line)));
        for stack in [&[a][..], &[b], &[a, b], &[b, b], &[]] {
            builder.sample(ms(1), 1, ms(1), stack);
        }
        assert_eq!(lines(builder.finish()), ["main;f 2", "main;f;f 2", "main 1"]);
    }

    #[test]
    fn nothing_is_no_line() {
        assert!(lines(ProfileBuilder::new("t", Duration::ZERO).finish()).is_empty());
    }
}
