//! The serialized form of a profile: names once for each frame, and numbers.
//!
//! Times are nanoseconds: the start counts from the Unix epoch, samples from the start. Rows refer to each other by number:
//!
//! ```text
//! threads  { id, name }
//! frames   { kind, function, module?, file?, line?, inlined? }
//! stacks   [caller, frame]                caller: a row before this one, counted from 1; 0 is none
//! samples  [time, weight, thread, stack]  stack: a row of `stacks`, counted from 1; 0 is none
//! ```
//!
//! In: untrusted data from a peer. Out: a [`Profile`] that fulfils the same invariants as one that was built here, or
//! an error message. Never: a panic, or more memory than the text's length and `limits` account for.

use crate::frame::{FrameKind, ProfileFrame};
use crate::limits::{MAX_FRAMES, MAX_NODES, MAX_STACK_FRAMES, MAX_THREADS, printed};
use crate::sample_log::{SampleLog, nanoseconds};
use crate::stacks::{FrameId, Node, PLACEHOLDER_FRAMES, PLACEHOLDER_NODES, StackId, Stacks};
use crate::{Profile, ProfileThread};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

/// Incremented when the serialized form changes.
const VERSION: u32 = 1;

/// The serialized form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileData<'a> {
    version: u32,
    title: Cow<'a, str>,
    started_at: u64,
    interval: u64,
    lost: u64,
    threads: Vec<ThreadData<'a>>,
    frames: Vec<FrameData<'a>>,
    stacks: Vec<(u32, u32)>,
    samples: Cow<'a, SampleLog>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThreadData<'a> {
    id: u64,
    name: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameData<'a> {
    kind: FrameKind,
    function: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    inlined: bool,
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ProfileData::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ProfileData::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl<'a> From<&'a Profile> for ProfileData<'a> {
    fn from(profile: &'a Profile) -> Self {
        let stacks = &profile.stacks;
        let row = |node: Node| (node.caller.number(), node.frame.0);
        Self {
            version: VERSION,
            title: Cow::from(&profile.title),
            started_at: nanoseconds(profile.started_at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            interval: nanoseconds(profile.interval),
            lost: profile.lost,
            threads: profile.threads.iter().map(ThreadData::from).collect(),
            frames: stacks.frames().map(FrameData::from).collect(),
            stacks: (0..stacks.node_count()).map(|index| row(stacks.node(index))).collect(),
            samples: Cow::Borrowed(&profile.samples),
        }
    }
}

impl<'a> From<&'a ProfileThread> for ThreadData<'a> {
    fn from(thread: &'a ProfileThread) -> Self {
        Self { id: thread.id, name: Cow::from(&thread.name) }
    }
}

impl<'a> From<&'a ProfileFrame> for FrameData<'a> {
    fn from(frame: &'a ProfileFrame) -> Self {
        Self {
            kind: frame.kind(),
            function: frame.function().into(),
            module: frame.module().map(Cow::from),
            file: frame.file().map(Cow::from),
            line: frame.line(),
            inlined: frame.is_inlined(),
        }
    }
}

/// The error is a message for people.
impl TryFrom<ProfileData<'_>> for Profile {
    type Error = String;

    fn try_from(data: ProfileData<'_>) -> Result<Self, String> {
        if data.version != VERSION {
            return Err(format!(
                "a profile of version {VERSION} was expected, this one has version {}",
                data.version
            ));
        }
        let started_at = UNIX_EPOCH.checked_add(Duration::from_nanos(data.started_at));
        let threads = threads(&data.threads)?;
        let mut stacks = Stacks::default();
        insert_frames(&mut stacks, &data.frames)?;
        insert_nodes(&mut stacks, &data.stacks)?;
        Ok(Self {
            title: printed(&data.title),
            started_at: started_at
                .ok_or("the profile's start is outside the range of this machine's clock")?,
            interval: Duration::from_nanos(data.interval),
            weight: weight(&data.samples, threads.len(), stacks.node_count())?,
            threads,
            stacks,
            samples: data.samples.into_owned(),
            lost: data.lost,
        })
    }
}

fn threads(rows: &[ThreadData<'_>]) -> Result<Vec<ProfileThread>, String> {
    check_count("threads", rows.len(), MAX_THREADS)?;
    let mut ids = HashSet::new();
    let thread = |(number, row): (usize, &ThreadData<'_>)| match ids.insert(row.id) {
        true => Ok(ProfileThread { id: row.id, name: printed(&row.name) }),
        false => Err(format!("thread {number} has the id {} of an earlier one", row.id)),
    };
    rows.iter().enumerate().map(thread).collect()
}

fn insert_frames(stacks: &mut Stacks, rows: &[FrameData<'_>]) -> Result<(), String> {
    check_count("frames", rows.len(), MAX_FRAMES + PLACEHOLDER_FRAMES)?;
    for (number, row) in rows.iter().enumerate() {
        if row.line.is_some() && row.file.is_none() {
            return Err(format!("frame {number} has a line and no file"));
        }
        let FrameId(entered) = stacks.insert_frame(row.into());
        if entered as usize != number {
            return Err(format!("frame {number} repeats frame {entered}"));
        }
    }
    Ok(())
}

fn insert_nodes(stacks: &mut Stacks, rows: &[(u32, u32)]) -> Result<(), String> {
    check_count("stacks", rows.len(), MAX_NODES + PLACEHOLDER_NODES)?;
    let frames = stacks.frames().len();
    let mut depths: Vec<u16> = Vec::with_capacity(rows.len());
    for (index, &(caller, frame)) in rows.iter().enumerate() {
        let number = index + 1;
        if frame as usize >= frames {
            return Err(format!("stack {number} refers to frame {frame}, but there are {frames}"));
        }
        let caller = StackId::of_number(caller);
        let depth = match caller.index() {
            None => 1,
            Some(before) if before < index => depths[before] + 1,
            Some(_) => {
                return Err(format!(
                    "stack {number} is called by {}, which is not before it",
                    caller.number()
                ));
            }
        };
        if usize::from(depth) > MAX_STACK_FRAMES {
            return Err(format!("stack {number} has more than {MAX_STACK_FRAMES} frames"));
        }
        depths.push(depth);
        let entered = stacks.insert(Node { caller, frame: FrameId(frame) });
        if entered.index() != Some(index) {
            return Err(format!("stack {number} repeats stack {}", entered.number()));
        }
    }
    Ok(())
}

/// Returns the sum of all weights, after checking that all samples refer to existing threads and stacks.
fn weight(samples: &SampleLog, threads: usize, stacks: usize) -> Result<u64, String> {
    let mut sum = 0_u64;
    for (number, entry) in samples.iter().enumerate() {
        if entry.thread as usize >= threads {
            return Err(format!(
                "sample {number} refers to thread {}, but there are {threads}",
                entry.thread
            ));
        }
        if entry.stack.index().is_some_and(|index| index >= stacks) {
            return Err(format!(
                "sample {number} refers to stack {}, but there are {stacks}",
                entry.stack.number()
            ));
        }
        let more = sum.checked_add(entry.weight);
        sum = more.ok_or("the samples stand for more CPU time than 64 bits of nanoseconds")?;
    }
    Ok(sum)
}

fn check_count(what: &str, found: usize, most: usize) -> Result<(), String> {
    match found <= most {
        true => Ok(()),
        false => Err(format!("a profile has at most {most} {what}, this one has {found}")),
    }
}

impl From<&FrameData<'_>> for ProfileFrame {
    fn from(row: &FrameData<'_>) -> Self {
        let mut frame = match row.kind {
            FrameKind::Guest => ProfileFrame::guest(&row.function),
            FrameKind::Host => ProfileFrame::host(&row.function),
            FrameKind::Runtime => ProfileFrame::runtime(&row.function),
        };
        if let Some(module) = &row.module {
            frame = frame.in_module(module);
        }
        if let Some(file) = &row.file {
            frame = frame.at(file, row.line);
        }
        if row.inlined { frame.inlined() } else { frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProfileBuilder;
    use crate::ProfileFormat::{Collapsed, Firefox};
    use crate::test_profiles::{hostile, ms, tool, written};
    use serde_json::{Value, json};

    fn read(json: &Value) -> Result<Profile, String> {
        Profile::deserialize(json).map_err(|e| e.to_string())
    }

    /// Returns `tool` with another value at one place.
    fn damaged(place: &str, value: Value) -> Value {
        let mut json = serde_json::to_value(tool()).unwrap();
        *json.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
        json
    }

    #[test]
    fn what_was_sent_is_written_as_what_was_built() {
        let mut lossy = ProfileBuilder::new("t", Duration::MAX).started_at(UNIX_EPOCH - ms(1));
        lossy.thread(3, "idle");
        lossy.lost(5);
        for profile in [tool(), hostile(), lossy.finish()] {
            let json = serde_json::to_string(&profile).unwrap();
            let read: Profile = serde_json::from_str(&json).unwrap();
            for format in [Collapsed, Firefox] {
                assert_eq!(written(&read, format), written(&profile, format));
            }
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            assert_eq!((read.lost(), read.total_weight()), (profile.lost(), profile.total_weight()));
        }
    }

    #[test]
    fn the_text_is_what_it_is() {
        let json = serde_json::to_value(tool()).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["frames", "interval", "lost", "samples", "stacks", "started_at", "threads", "title", "version"]
        );
        assert_eq!(json["version"], 1, "raise VERSION with every change of what this test sees");
        assert_eq!((&json["started_at"], &json["interval"]), (&json!(1_500_000_000), &json!(1_000_000)));
        assert_eq!(json["threads"], json!([{ "id": 41, "name": "main" }, { "id": 42, "name": "worker" }]));
        assert_eq!(
            json["frames"][0],
            json!({ "kind": "guest", "function": "_start", "module": "tool.wasm" })
        );
        assert_eq!(
            json["frames"][3],
            json!({
                "kind": "guest", "function": "swap", "module": "tool.wasm",
                "file": "src/swap.rs", "line": 3, "inlined": true,
            })
        );
        assert_eq!(json["stacks"], json!([[0, 0], [1, 1], [2, 3], [1, 4], [2, 2], [5, 5]]));
        assert_eq!(json["samples"][0], json!([1_000_000, 1_000_000, 0, 1]));
        assert_eq!(json["samples"][5], json!([4_000_000, 1_000_000, 1, 0]));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let frame = json!({ "kind": "guest", "function": "f", "line": 3 });
        let again = serde_json::to_value(tool()).unwrap()["frames"][0].clone();
        let deep: Vec<_> = (0..=MAX_STACK_FRAMES).map(|n| [n, 0]).collect();
        let many: Vec<_> = (0..=MAX_THREADS).map(|id| json!({ "id": id, "name": "" })).collect();
        let weights = json!([[0, u64::MAX, 0, 0], [0, 1, 0, 0]]);
        let cases = [
            ("/version", json!(2), "version 1 was expected, this one has version 2"),
            ("/title", json!(7), "expected a string"),
            ("/title", json!(null), "expected a string"),
            ("/started_at", json!(-1), "expected u64"),
            ("/started_at", json!(1.5), "expected u64"),
            ("/interval", json!(1e30), "expected u64"),
            ("/lost", json!("1"), "expected u64"),
            ("/threads", json!([]), "sample 0 refers to thread 0, but there are 0"),
            ("/threads", json!(many), "at most 65536 threads, this one has 65537"),
            ("/threads/1/id", json!(41), "thread 1 has the id 41 of an earlier one"),
            ("/threads/0", json!({ "id": 1 }), "missing field `name`"),
            ("/frames", json!([]), "stack 1 refers to frame 0, but there are 0"),
            ("/frames/0", frame, "frame 0 has a line and no file"),
            ("/frames/1", again, "frame 1 repeats frame 0"),
            ("/frames/0/kind", json!("kernel"), "unknown variant `kernel`"),
            ("/frames/1/line", json!(1_u64 << 32), "expected u32"),
            ("/frames/0", json!({ "kind": "guest", "function": "f", "what": 1 }), "unknown field `what`"),
            ("/stacks", json!([]), "sample 0 refers to stack 1, but there are 0"),
            ("/stacks", json!(deep), "stack 4097 has more than 4096 frames"),
            ("/stacks/0", json!([1, 0]), "stack 1 is called by 1, which is not before it"),
            ("/stacks/1", json!([6, 1]), "stack 2 is called by 6, which is not before it"),
            ("/stacks/1", json!([u32::MAX, 1]), "stack 2 is called by 4294967295, which is not before it"),
            ("/stacks/1", json!([1, 6]), "stack 2 refers to frame 6, but there are 6"),
            ("/stacks/3", json!([1, 1]), "stack 4 repeats stack 2"),
            ("/stacks/0", json!([0]), "invalid length 1"),
            ("/stacks/0", json!([0, 0, 0]), "expected"),
            ("/samples", json!(weights), "more CPU time than 64 bits"),
            ("/samples", json!({}), "expected samples: lists of time"),
            ("/samples/2/2", json!(2), "sample 2 refers to thread 2, but there are 2"),
            ("/samples/2/3", json!(7), "sample 2 refers to stack 7, but there are 6"),
            ("/samples/2/3", json!(u32::MAX), "sample 2 refers to stack 4294967295, but there are 6"),
            ("/samples/2/0", json!(-5), "expected u64"),
        ];
        for (place, value, sentence) in cases {
            let error = read(&damaged(place, value)).unwrap_err();
            assert!(error.contains(sentence), "{place}: {error}");
        }
        for text in ["", "null", "[]", "{}", "{\"version\":1}", "{\"version\":1,\"version\":1}"] {
            assert!(serde_json::from_str::<Profile>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_printed_whatever_they_were() {
        let profile = read(&damaged("/frames/0/function", json!("a\u{1b}[31m"))).unwrap();
        assert_eq!(profile.stacks.frame_at(FrameId(0)).function(), r"a\u{1b}[31m");
        let profile = read(&damaged("/title", json!("x".repeat(5000)))).unwrap();
        assert_eq!(profile.title(), "x".repeat(999) + "…");
        assert_eq!(read(&damaged("/threads/0/name", json!("a\nb"))).unwrap().threads()[0].name(), r"a\nb");
    }

    #[test]
    fn whatever_happens_to_the_text_nothing_panics() {
        let valid = serde_json::to_vec(&tool()).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        // Source: George Marsaglia, "Xorshift RNGs", 2003.
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..2000 {
            let mut text = valid.clone();
            for _ in 0..=random(3) {
                let at = random(text.len());
                let digits = |b: &u8| b.is_ascii_digit();
                match random(5) {
                    0 => text[at] = random(256) as u8,
                    1 => drop(text.remove(at)),
                    2 => text.insert(at, b"0123456789,[]{}\"-e\\\n"[random(20)]),
                    // Text that is still JSON gets past the parser.
                    _ => {
                        let next = text[at..].iter().position(digits).map_or(at, |n| at + n);
                        text[next] = b'0' + random(10) as u8;
                    }
                }
            }
            match serde_json::from_slice::<Profile>(&text) {
                Ok(profile) => {
                    taken += 1;
                    for format in
                        crate::ProfileFormat::ALL.into_iter().filter(|f| f.ensure_supported().is_ok())
                    {
                        written(&profile, format);
                    }
                    profile.summary().to_string();
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
        }
        assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    }
}
