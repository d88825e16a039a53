//! Collapsed stacks: `thread;outer;…;inner COUNT`, a line for each stack, the count in samples.
//!
//! The format of Brendan Gregg's FlameGraph (<https://github.com/brendangregg/FlameGraph>, "fold stacks"), which has
//! no way to escape: a semicolon in a name becomes a colon, as its own converters have it.

use crate::Profile;
use crate::frame::{FrameKind, ProfileFrame};
use crate::stacks::FrameId;
use std::borrow::Cow;
use std::io::{self, Write};

/// Writes a profile as collapsed stacks, ordered by thread.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let labels = labels(profile);
    for ((thread, stack), tally) in profile.tallies() {
        out.write_all(plain(profile.threads[thread as usize].name()).as_bytes())?;
        let mut frames: Vec<FrameId> = profile.stacks.walk(stack).collect();
        frames.reverse();
        for FrameId(frame) in frames {
            out.write_all(b";")?;
            out.write_all(labels[frame as usize].as_bytes())?;
        }
        writeln!(out, " {}", tally.samples)?;
    }
    Ok(())
}

/// What each frame is called where there is nothing but a name: with its module, if guest functions are of several.
pub(crate) fn labels(profile: &Profile) -> Vec<String> {
    let is_guest = |frame: &&ProfileFrame| frame.kind() == FrameKind::Guest;
    let mut modules = profile.stacks.frames().filter(is_guest).map(ProfileFrame::module);
    let first = modules.next();
    let several = modules.any(|module| Some(module) != first);
    let label = |frame: &ProfileFrame| match frame.module().filter(|_| several) {
        Some(module) => plain(&format!("{module}!{}", frame.function())).into_owned(),
        None => plain(frame.function()).into_owned(),
    };
    profile.stacks.frames().map(label).collect()
}

/// A name without what ends names. Names hold no control characters any more, but there are other line breaks; and an
/// empty name would be taken for none.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
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
    use crate::{ProfileBuilder, ProfileFormat};
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
    fn nothing_is_no_line() {
        assert!(lines(ProfileBuilder::new("t", Duration::ZERO).finish()).is_empty());
    }
}
