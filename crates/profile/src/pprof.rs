//! pprof's format: messages of `profile.proto`, compressed.
//!
//! Source: <https://github.com/google/pprof/blob/main/proto/profile.proto>, which also requires that a profile in a file
//! is compressed with gzip. Samples with the same stack are merged; a location is a function with everything inlined into it; a
//! mapping is a module. Host and runtime have mappings of their own, named in brackets as the kernel names its own.

use crate::Profile;
use crate::frame::{FrameKind, ProfileFrame};
use crate::profile::Tally;
use crate::proto::Message;
use crate::sample_log::nanoseconds;
use crate::stacks::FrameId;
use flate2::Compression;
use flate2::write::GzEncoder;
use indexmap::{IndexMap, IndexSet};
use std::hash::Hash;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// Writes a profile for pprof.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(encode(profile).bytes())?;
    gzip.finish()?;
    Ok(())
}

fn encode(profile: &Profile) -> Message {
    let mut tables = Tables::new(profile);
    let count = tables.value_type("samples", "count");
    let cpu_name = tables.string("cpu");
    let cpu = tables.value_type("cpu", "nanoseconds");
    let sample = profile.tallies().into_iter().map(|((thread, stack), tally)| {
        let frames: Vec<FrameId> = profile.stacks.walk(stack).collect();
        tables.sample(thread as usize, &frames, tally)
    });
    let samples: Vec<Message> = sample.collect();
    let end = profile.samples.iter().map(|entry| entry.time).max().unwrap_or_default();
    let since_epoch = profile.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let comment = tables.string(&profile.title);
    let mut encoded = Message::default();
    // sample_type, sample, mapping, location, function, string_table
    [&count, &cpu].into_iter().for_each(|ty| encoded.message(1, ty));
    samples.iter().for_each(|sample| encoded.message(2, sample));
    tables.mappings.values().for_each(|mapping| encoded.message(3, mapping));
    tables.locations.values().for_each(|location| encoded.message(4, location));
    tables.functions.values().for_each(|function| encoded.message(5, function));
    tables.strings.iter().for_each(|string| encoded.string(6, string));
    // time_nanos, duration_nanos, period_type, period, comment, default_sample_type
    encoded.number(9, signed(nanoseconds(since_epoch)));
    encoded.number(10, signed(end));
    encoded.message(11, &cpu);
    encoded.number(12, signed(nanoseconds(profile.interval)));
    encoded.numbers(13, [comment]);
    encoded.number(14, cpu_name);
    encoded
}

/// The tables that messages refer to by number. Ids count from 1, strings from 0, which is the empty one.
struct Tables<'a> {
    profile: &'a Profile,
    strings: IndexSet<String>,
    functions: IndexMap<(FrameKind, u64, u64, u64), Message>,
    locations: IndexMap<Vec<FrameId>, Message>,
    mappings: IndexMap<u64, Message>,
}

/// Returns the number of an entry of a table, which is added if it is new: `new` makes it from its number.
fn id_of<K: Hash + Eq>(table: &mut IndexMap<K, Message>, key: K, new: impl FnOnce(u64) -> Message) -> u64 {
    let next = table.len() as u64 + 1;
    let entry = table.entry(key);
    let id = entry.index() as u64 + 1;
    entry.or_insert_with(|| new(next));
    id
}

impl<'a> Tables<'a> {
    fn new(profile: &'a Profile) -> Self {
        let strings = IndexSet::from([String::new()]);
        let (functions, locations, mappings) = Default::default();
        Self { profile, strings, functions, locations, mappings }
    }

    fn string(&mut self, s: &str) -> u64 {
        let known = self.strings.get_index_of(s);
        known.unwrap_or_else(|| self.strings.insert_full(s.into()).0) as u64
    }

    /// Returns a `ValueType`: type, unit.
    fn value_type(&mut self, r#type: &str, unit: &str) -> Message {
        Message::of_numbers(&[(1, self.string(r#type)), (2, self.string(unit))])
    }

    /// Returns a `Sample`: location_id, value, label.
    fn sample(&mut self, thread: usize, frames: &[FrameId], tally: Tally) -> Message {
        let profile = self.profile;
        let is_inlined = |id: FrameId| profile.stacks.frame_at(id).is_inlined();
        let locations: Vec<u64> =
            frames.split_inclusive(|&id| !is_inlined(id)).map(|group| self.location(group)).collect();
        let thread = &profile.threads[thread];
        let mut sample = Message::default();
        sample.numbers(1, locations);
        sample.numbers(2, [signed(tally.samples), signed(tally.weight)]);
        // Labels: key, and str or num.
        let name = Message::of_numbers(&[(1, self.string("thread")), (2, self.string(thread.name()))]);
        let id = Message::of_numbers(&[(1, self.string("thread_id")), (3, signed(thread.id()))]);
        sample.message(3, &name);
        sample.message(3, &id);
        sample
    }

    /// Returns the `Location` of inlined frames and the frame that contains them: id, mapping_id, line.
    fn location(&mut self, group: &[FrameId]) -> u64 {
        if let Some(known) = self.locations.get_index_of(group) {
            return known as u64 + 1;
        }
        let profile = self.profile;
        let frames: Vec<&ProfileFrame> = group.iter().map(|&id| profile.stacks.frame_at(id)).collect();
        let mapping = self.mapping(frames[frames.len() - 1]);
        let lines: Vec<Message> = frames.iter().map(|frame| self.line(frame)).collect();
        id_of(&mut self.locations, group.into(), |id| {
            let mut location = Message::of_numbers(&[(1, id), (2, mapping)]);
            lines.iter().for_each(|line| location.message(4, line));
            location
        })
    }

    /// Returns a `Line`: function_id, line. A `Function`: id, name, system_name, filename.
    fn line(&mut self, frame: &ProfileFrame) -> Message {
        let name = self.string(frame.function());
        let module = self.string(frame.module().unwrap_or_default());
        let file = self.string(frame.file().unwrap_or_default());
        let function = id_of(&mut self.functions, (frame.kind(), name, module, file), |id| {
            Message::of_numbers(&[(1, id), (2, name), (3, name), (4, file)])
        });
        Message::of_numbers(&[(1, function), (2, frame.line().unwrap_or_default().into())])
    }

    /// Returns a `Mapping`: id, filename, and that functions, files, lines and inlined functions are known, so that
    /// pprof does not look for the file.
    fn mapping(&mut self, frame: &ProfileFrame) -> u64 {
        let file = match (frame.kind(), frame.module()) {
            (FrameKind::Guest, Some(module)) => self.string(module),
            (kind, _) => self.string(&format!("[{}]", kind.name())),
        };
        id_of(&mut self.mappings, file, |id| {
            Message::of_numbers(&[(1, id), (5, file), (7, 1), (8, 1), (9, 1), (10, 1)])
        })
    }
}

/// Limits a number to those that the format's signed fields can hold.
fn signed(n: u64) -> u64 {
    n.min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_profiles::{hostile, tool, written};
    use crate::{ProfileBuilder, ProfileFormat};
    use prost::Message as _;
    use std::io::Read;
    use std::time::Duration;

    /// The messages as another implementation reads them.
    mod message {
        #[derive(Clone, PartialEq, prost::Message)]
        pub(super) struct Profile {
            #[prost(message, repeated, tag = "1")]
            pub(super) sample_type: Vec<ValueType>,
            #[prost(message, repeated, tag = "2")]
            pub(super) sample: Vec<Sample>,
            #[prost(message, repeated, tag = "3")]
            pub(super) mapping: Vec<Mapping>,
            #[prost(message, repeated, tag = "4")]
            pub(super) location: Vec<Location>,
            #[prost(message, repeated, tag = "5")]
            pub(super) function: Vec<Function>,
            #[prost(string, repeated, tag = "6")]
            pub(super) string_table: Vec<String>,
            #[prost(int64, tag = "9")]
            pub(super) time_nanos: i64,
            #[prost(int64, tag = "10")]
            pub(super) duration_nanos: i64,
            #[prost(message, optional, tag = "11")]
            pub(super) period_type: Option<ValueType>,
            #[prost(int64, tag = "12")]
            pub(super) period: i64,
            #[prost(int64, repeated, tag = "13")]
            pub(super) comment: Vec<i64>,
            #[prost(int64, tag = "14")]
            pub(super) default_sample_type: i64,
        }

        #[derive(Clone, Copy, PartialEq, prost::Message)]
        pub(super) struct ValueType {
            #[prost(int64, tag = "1")]
            pub(super) r#type: i64,
            #[prost(int64, tag = "2")]
            pub(super) unit: i64,
        }

        #[derive(Clone, PartialEq, prost::Message)]
        pub(super) struct Sample {
            #[prost(uint64, repeated, tag = "1")]
            pub(super) location_id: Vec<u64>,
            #[prost(int64, repeated, tag = "2")]
            pub(super) value: Vec<i64>,
            #[prost(message, repeated, tag = "3")]
            pub(super) label: Vec<Label>,
        }

        #[derive(Clone, Copy, PartialEq, prost::Message)]
        pub(super) struct Label {
            #[prost(int64, tag = "1")]
            pub(super) key: i64,
            #[prost(int64, tag = "2")]
            pub(super) str: i64,
            #[prost(int64, tag = "3")]
            pub(super) num: i64,
        }

        #[derive(Clone, Copy, PartialEq, prost::Message)]
        pub(super) struct Mapping {
            #[prost(uint64, tag = "1")]
            pub(super) id: u64,
            #[prost(int64, tag = "5")]
            pub(super) filename: i64,
            #[prost(bool, tag = "7")]
            pub(super) has_functions: bool,
            #[prost(bool, tag = "8")]
            pub(super) has_filenames: bool,
            #[prost(bool, tag = "9")]
            pub(super) has_line_numbers: bool,
            #[prost(bool, tag = "10")]
            pub(super) has_inline_frames: bool,
        }

        #[derive(Clone, PartialEq, prost::Message)]
        pub(super) struct Location {
            #[prost(uint64, tag = "1")]
            pub(super) id: u64,
            #[prost(uint64, tag = "2")]
            pub(super) mapping_id: u64,
            #[prost(message, repeated, tag = "4")]
            pub(super) line: Vec<Line>,
        }

        #[derive(Clone, Copy, PartialEq, prost::Message)]
        pub(super) struct Line {
            #[prost(uint64, tag = "1")]
            pub(super) function_id: u64,
            #[prost(int64, tag = "2")]
            pub(super) line: i64,
        }

        #[derive(Clone, Copy, PartialEq, prost::Message)]
        pub(super) struct Function {
            #[prost(uint64, tag = "1")]
            pub(super) id: u64,
            #[prost(int64, tag = "2")]
            pub(super) name: i64,
            #[prost(int64, tag = "3")]
            pub(super) system_name: i64,
            #[prost(int64, tag = "4")]
            pub(super) filename: i64,
        }
    }

    fn decoded(profile: &Profile) -> message::Profile {
        let file = written(profile, ProfileFormat::Pprof);
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&file[..]).read_to_end(&mut bytes).unwrap();
        let decoded = message::Profile::decode(&bytes[..]).unwrap();
        check(&decoded);
        decoded
    }

    /// Checks what pprof itself checks when it opens a profile: all references are valid.
    fn check(p: &message::Profile) {
        assert_eq!(p.string_table[0], "");
        let ids = |ids: Vec<u64>| assert!(ids.iter().enumerate().all(|(i, &id)| id == i as u64 + 1));
        ids(p.mapping.iter().map(|m| m.id).collect());
        ids(p.location.iter().map(|l| l.id).collect());
        ids(p.function.iter().map(|f| f.id).collect());
        let known = |id: u64, n: usize| assert!((1..=n as u64).contains(&id));
        for sample in &p.sample {
            assert_eq!(sample.value.len(), p.sample_type.len());
            sample.location_id.iter().for_each(|&id| known(id, p.location.len()));
        }
        for location in &p.location {
            known(location.mapping_id, p.mapping.len());
            location.line.iter().for_each(|l| known(l.function_id, p.function.len()));
        }
    }

    /// Returns functions and lines of a sample, innermost first, with a `+` after inlined ones.
    fn stack(p: &message::Profile, sample: &message::Sample) -> Vec<String> {
        let text = |i: i64| &p.string_table[i as usize];
        let mut out = Vec::new();
        for id in &sample.location_id {
            let lines = &p.location[*id as usize - 1].line;
            for (i, line) in lines.iter().enumerate() {
                let function = &p.function[line.function_id as usize - 1];
                let inlined = if i + 1 < lines.len() { "+" } else { "" };
                out.push(format!("{}:{}{inlined}", text(function.name), line.line));
            }
        }
        out
    }

    #[test]
    fn it_can_be_read_back() {
        let p = decoded(&tool());
        let text = |i: i64| &*p.string_table[i as usize];
        let types: Vec<_> = p.sample_type.iter().map(|t| (text(t.r#type), text(t.unit))).collect();
        assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
        assert_eq!((text(p.default_sample_type), p.period), ("cpu", 1_000_000));
        assert_eq!((p.time_nanos, p.duration_nanos), (1_500_000_000, 4_000_000));
        assert_eq!(p.sample.iter().map(|s| s.value[1]).sum::<i64>(), 6_000_000);
        let mappings: Vec<_> = p.mapping.iter().map(|m| text(m.filename)).collect();
        assert_eq!(mappings, ["tool.wasm", "[runtime]", "[host]"]);

        let swap = &p.sample[1];
        assert_eq!(stack(&p, swap), ["swap:3+", "sort:20", "_start:0"]);
        assert_eq!((swap.location_id.len(), &*swap.value), (2, &[2, 2_000_000][..]));
        assert_eq!(stack(&p, &p.sample[2]), ["garbage collection:0", "sort:25", "sort:20", "_start:0"]);
        let [name, id] = swap.label[..] else { panic!() };
        assert_eq!((text(name.key), text(name.str)), ("thread", "main"));
        assert_eq!((text(id.key), id.num), ("thread_id", 41));
        let sort: Vec<_> = p.function.iter().filter(|f| text(f.name) == "sort").collect();
        assert_eq!(sort.iter().map(|f| text(f.filename)).collect::<Vec<_>>(), ["src/sort.rs"]);
    }

    #[test]
    fn hostile_names_and_nothing_can_be_read_back() {
        let p = decoded(&hostile());
        assert_eq!(p.sample[0].location_id.len(), hostile().samples().next().unwrap().stack().count());
        assert!(p.sample[0].value.iter().all(|&v| v > 0));
        assert!(decoded(&ProfileBuilder::new("", Duration::ZERO).finish()).sample.is_empty());
    }
}
