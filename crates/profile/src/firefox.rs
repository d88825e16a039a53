//! The Firefox Profiler's "processed profile format", for <https://profiler.firefox.com>.
//!
//! Source: <https://github.com/firefox-devtools/profiler/tree/main/docs-developer> and its `src/types/profile.js`, in
//! version 55; the profiler converts older versions. Tables are columns of equal length that refer to each
//! other by row; each thread has its own. Times are milliseconds unless stated otherwise.

use crate::frame::{FrameKind, ProfileFrame};
use crate::sample_log::{Entry, nanoseconds};
use crate::stacks::{FrameId, StackId};
use crate::{Profile, ProfileThread};
use indexmap::{IndexMap, IndexSet};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

const VERSION: u32 = 55;

/// Names and colours of categories. The profiler requires a grey one.
const CATEGORIES: [(&str, &str); 4] =
    [("Other", "grey"), ("Guest", "orange"), ("Host", "blue"), ("Runtime", "green")];

/// The second subcategory of guest functions.
const INLINED: u32 = 1;

/// The type of rows of the resource table: library.
const LIBRARY: u32 = 1;

/// Writes a profile for the Firefox Profiler.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut modules = IndexSet::new();
    let mut entries: Vec<Vec<Entry>> = profile.threads.iter().map(|_| Vec::new()).collect();
    profile.samples.iter().for_each(|entry| entries[entry.thread as usize].push(entry));
    let threads: Vec<Thread<'_>> = entries
        .into_iter()
        .enumerate()
        .map(|(i, entries)| Thread::new(profile, i, entries, &mut modules))
        .collect();
    let libs = modules.iter().map(|name| library(name)).collect();
    let meta = meta(profile);
    let file = File { meta, libs, threads, pages: [], profiler_overhead: [], counters: [] };
    serde_json::to_writer(out, &file).map_err(io::Error::from)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    meta: Value,
    libs: Vec<Value>,
    threads: Vec<Thread<'a>>,
    pages: [(); 0],
    profiler_overhead: [(); 0],
    counters: [(); 0],
}

fn meta(profile: &Profile) -> Value {
    let since_epoch = profile.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let category =
        |(name, color)| json!({ "name": name, "color": color, "subcategories": ["Other", "Inlined"] });
    json!({
        "categories": CATEGORIES.map(category),
        "debug": false,
        "extensions": { "length": 0, "baseURL": [], "id": [], "name": [] },
        // Zero would cause a division by zero.
        "interval": ms(nanoseconds(profile.interval).max(1000)),
        "markerSchema": [],
        "pausedRanges": [],
        "preprocessedProfileVersion": VERSION,
        "processType": 0,
        "product": profile.title,
        "sampleUnits": { "time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs" },
        "startTime": ms(nanoseconds(since_epoch)),
        "symbolicated": true,
        "sourceCodeIsNotOnSearchfox": true,
        "usesOnlyOneStackType": true,
        "version": 24,
    })
}

fn library(name: &str) -> Value {
    json!({
        "arch": "wasm32", "name": name, "path": name, "debugName": name, "debugPath": name,
        "breakpadId": "", "codeId": null,
    })
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thread<'a> {
    name: &'a str,
    is_main_thread: bool,
    process_type: &'a str,
    process_name: &'a str,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: [(); 0],
    pid: &'a str,
    tid: String,
    show_markers_in_timeline: bool,
    frame_table: Frames,
    func_table: Functions,
    markers: Value,
    native_symbols: Value,
    resource_table: Resources,
    samples: Samples,
    stack_table: StackTable,
    string_array: Vec<&'a str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    weight_type: &'static str,
    stack: Vec<Option<u32>>,
    time_deltas: Vec<f64>,
    weight: Vec<f64>,
    /// Microseconds.
    #[serde(rename = "threadCPUDelta")]
    thread_cpu_delta: Vec<u64>,
}

#[derive(Default, Serialize)]
struct StackTable {
    length: usize,
    prefix: Vec<Option<u32>>,
    frame: Vec<u32>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Frames {
    length: usize,
    address: Vec<i32>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    func: Vec<u32>,
    native_symbol: Vec<()>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<u32>,
    line: Vec<Option<u32>>,
    column: Vec<()>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Functions {
    length: usize,
    name: Vec<u32>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    /// -1 means none.
    resource: Vec<i64>,
    file_name: Vec<Option<u32>>,
    line_number: Vec<()>,
    column_number: Vec<()>,
}

#[derive(Serialize)]
struct Resources {
    length: usize,
    lib: Vec<u32>,
    name: Vec<u32>,
    host: Vec<()>,
    r#type: Vec<u32>,
}

impl<'a> Thread<'a> {
    fn new(
        profile: &'a Profile,
        index: usize,
        mut entries: Vec<Entry>,
        modules: &mut IndexSet<&'a str>,
    ) -> Self {
        let thread: &ProfileThread = &profile.threads[index];
        entries.sort_by_key(|entry| entry.time);
        let mut tables = Tables { strings: IndexSet::new(), modules, resources: IndexMap::new() };
        let (stack_table, rows, frames) = StackTable::new(profile, &entries);
        let (frame_table, func_table) = tables.frames(profile, &frames);
        Self {
            name: &thread.name,
            is_main_thread: index == 0,
            process_type: "default",
            process_name: &profile.title,
            process_startup_time: 0.0,
            process_shutdown_time: None,
            register_time: 0.0,
            unregister_time: None,
            paused_ranges: [],
            pid: "1",
            tid: thread.id.to_string(),
            show_markers_in_timeline: false,
            frame_table,
            func_table,
            markers: json!({
                "length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [], "startTime": [],
            }),
            native_symbols: json!({
                "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [],
            }),
            resource_table: Resources::new(&tables.resources),
            samples: Samples::new(&entries, &rows),
            stack_table,
            string_array: tables.strings.into_iter().collect(),
        }
    }
}

impl Samples {
    /// `rows` maps stacks to rows of the stack table.
    fn new(entries: &[Entry], rows: &BTreeMap<usize, u32>) -> Self {
        let mut last = 0;
        Self {
            length: entries.len(),
            weight_type: "tracing-ms",
            stack: entries.iter().map(|entry| rows.get(&entry.stack.index()?).copied()).collect(),
            time_deltas: entries.iter().map(|e| ms(e.time - std::mem::replace(&mut last, e.time))).collect(),
            weight: entries.iter().map(|entry| ms(entry.weight)).collect(),
            thread_cpu_delta: entries.iter().map(|entry| entry.weight / 1000).collect(),
        }
    }
}

impl StackTable {
    /// Builds the stack table of a thread. Also returns the row of each of its nodes, and the frames that the rows refer to.
    fn new(profile: &Profile, entries: &[Entry]) -> (Self, BTreeMap<usize, u32>, IndexSet<FrameId>) {
        let stacks = &profile.stacks;
        // Not an array of all nodes, because there may be many threads.
        let mut rows = BTreeMap::new();
        for entry in entries {
            let mut next: StackId = entry.stack;
            while let Some(index) = next.index()
                && rows.insert(index, 0).is_none()
            {
                next = stacks.node(index).caller;
            }
        }
        let mut table = Self::default();
        let mut frames = IndexSet::new();
        // ORDER: callers come before their callees.
        for (row, number) in rows.values_mut().enumerate() {
            *number = row as u32;
        }
        for &index in rows.keys() {
            let node = stacks.node(index);
            table.prefix.push(node.caller.index().map(|caller| rows[&caller]));
            table.frame.push(frames.insert_full(node.frame).0 as u32);
            table.length += 1;
        }
        (table, rows, frames)
    }
}

impl Resources {
    fn new(libraries: &IndexMap<u32, u32>) -> Self {
        let length = libraries.len();
        Self {
            length,
            lib: libraries.values().copied().collect(),
            name: libraries.keys().copied().collect(),
            host: vec![(); length],
            r#type: vec![LIBRARY; length],
        }
    }
}

/// The tables that a thread's frames refer to.
struct Tables<'a, 'm> {
    strings: IndexSet<&'a str>,
    modules: &'m mut IndexSet<&'a str>,
    /// Names and libraries.
    resources: IndexMap<u32, u32>,
}

impl<'a> Tables<'a, '_> {
    fn string(&mut self, s: &'a str) -> u32 {
        self.strings.insert_full(s).0 as u32
    }

    fn resource(&mut self, module: &'a str) -> i64 {
        let name = self.string(module);
        let library = self.modules.insert_full(module).0 as u32;
        let entry = self.resources.entry(name);
        let index = entry.index() as i64;
        entry.or_insert(library);
        index
    }

    fn frames(&mut self, profile: &'a Profile, ids: &IndexSet<FrameId>) -> (Frames, Functions) {
        let mut functions = IndexSet::new();
        let mut frames = Frames::default();
        for &id in ids {
            let frame: &'a ProfileFrame = profile.stacks.frame_at(id);
            let resource = frame.module().map_or(-1, |module| self.resource(module));
            let file = frame.file().map(|file| self.string(file));
            let function = (frame.kind(), self.string(frame.function()), resource, file);
            frames.length += 1;
            frames.address.push(-1);
            frames.inline_depth.push(0);
            frames.category.push(category(frame.kind()));
            frames.subcategory.push(if frame.is_inlined() { INLINED } else { 0 });
            frames.func.push(functions.insert_full(function).0 as u32);
            frames.native_symbol.push(());
            frames.inner_window_id.push(0);
            frames.line.push(frame.line());
            frames.column.push(());
        }
        let length = functions.len();
        let functions = Functions {
            length,
            name: functions.iter().map(|f| f.1).collect(),
            is_js: vec![false; length],
            relevant_for_js: vec![false; length],
            resource: functions.iter().map(|f| f.2).collect(),
            file_name: functions.iter().map(|f| f.3).collect(),
            line_number: vec![(); length],
            column_number: vec![(); length],
        };
        (frames, functions)
    }
}

/// Returns the row of [`CATEGORIES`].
fn category(kind: FrameKind) -> u32 {
    match kind {
        FrameKind::Guest => 1,
        FrameKind::Host => 2,
        FrameKind::Runtime => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_profiles::{hostile, ms as millis, tool, written};
    use crate::{ProfileBuilder, ProfileFormat};
    use std::time::Duration;

    fn parsed(profile: &Profile) -> Value {
        let file: Value = serde_json::from_slice(&written(profile, ProfileFormat::Firefox)).unwrap();
        file["threads"].as_array().unwrap().iter().for_each(|thread| check(&file, thread));
        file
    }

    /// Checks that all columns of a table have the length that the table states, and that all references are valid.
    fn check(file: &Value, thread: &Value) {
        let length = |table: &Value| table["length"].as_u64().unwrap();
        for table in ["frameTable", "funcTable", "resourceTable", "samples", "stackTable", "markers"] {
            for (name, column) in thread[table].as_object().unwrap() {
                let rows = column.as_array().map(|rows| rows.len() as u64);
                assert!(rows.is_none_or(|n| n == length(&thread[table])), "{table}.{name}");
            }
        }
        let strings = thread["stringArray"].as_array().unwrap().len() as u64;
        let references = [
            ("samples", "stack", length(&thread["stackTable"])),
            ("stackTable", "prefix", length(&thread["stackTable"])),
            ("stackTable", "frame", length(&thread["frameTable"])),
            ("frameTable", "func", length(&thread["funcTable"])),
            ("frameTable", "category", file["meta"]["categories"].as_array().unwrap().len() as u64),
            ("funcTable", "name", strings),
            ("funcTable", "fileName", strings),
            ("funcTable", "resource", length(&thread["resourceTable"])),
            ("resourceTable", "name", strings),
            ("resourceTable", "lib", file["libs"].as_array().unwrap().len() as u64),
        ];
        for (table, column, below) in references {
            let rows = thread[table][column].as_array().unwrap();
            assert!(rows.iter().filter_map(Value::as_u64).all(|row| row < below), "{table}.{column}");
        }
    }

    /// Returns `category function file:line` of a sample's frames, innermost first.
    fn stack(file: &Value, thread: usize, sample: usize) -> Vec<String> {
        let thread = &file["threads"][thread];
        let cell = |table: &str, column: &str, row: &Value| {
            thread[table][column][row.as_u64().unwrap() as usize].clone()
        };
        let text =
            |row: &Value| row.as_u64().map_or("-".into(), |i| thread["stringArray"][i as usize].clone());
        let mut out = Vec::new();
        let mut at = thread["samples"]["stack"][sample].clone();
        while !at.is_null() {
            let frame = cell("stackTable", "frame", &at);
            let func = cell("frameTable", "func", &frame);
            let category = cell("frameTable", "category", &frame).as_u64().unwrap() as usize;
            let name = text(&cell("funcTable", "name", &func));
            let (source, line) =
                (text(&cell("funcTable", "fileName", &func)), cell("frameTable", "line", &frame));
            let category = file["meta"]["categories"][category]["name"].as_str().unwrap();
            out.push(format!("{category} {} {}:{line}", name.as_str().unwrap(), source.as_str().unwrap()));
            at = cell("stackTable", "prefix", &at);
        }
        out
    }

    #[test]
    fn tables_lead_to_names_files_and_lines() {
        let file = parsed(&tool());
        assert_eq!(
            stack(&file, 0, 3),
            [
                "Runtime garbage collection -:null",
                "Guest sort src/sort.rs:25",
                "Guest sort src/sort.rs:20",
                "Guest _start -:null"
            ]
        );
        assert_eq!(stack(&file, 1, 0), ["Host fd_write -:null", "Guest _start -:null"]);
        assert!(stack(&file, 1, 1).is_empty());
        let thread = &file["threads"][0];
        assert_eq!((&thread["name"], &thread["tid"]), (&json!("main"), &json!("41")));
        assert_eq!(thread["samples"]["timeDeltas"], json!([1.0, 1.0, 1.0, 1.0]));
        assert_eq!(thread["samples"]["threadCPUDelta"], json!([1000, 1000, 1000, 1000]));
        let names = thread["funcTable"]["name"].as_array().unwrap();
        assert_eq!(names.len(), 4, "lines of one function are one function");
        assert_eq!(file["libs"][0]["name"], "tool.wasm");
        assert_eq!(file["meta"]["startTime"], 1500.0);
    }

    #[test]
    fn samples_are_written_in_the_order_of_their_times() {
        let mut builder = ProfileBuilder::new("t", Duration::ZERO);
        let [a, b] = ["a", "b"].map(|name| builder.frame(ProfileFrame::guest(name)));
        builder.sample(millis(5), 1, millis(1), &[a]);
        builder.sample(millis(2), 1, millis(1), &[b]);
        let file = parsed(&builder.finish());
        assert_eq!(file["threads"][0]["samples"]["timeDeltas"], json!([2.0, 3.0]));
        assert_eq!(stack(&file, 0, 0), ["Guest b -:null"]);
        assert!(file["meta"]["interval"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn hostile_names_and_nothing_are_json() {
        let file = parsed(&hostile());
        assert_eq!(stack(&file, 0, 0).len(), hostile().samples().next().unwrap().stack().count());
        assert_eq!(parsed(&ProfileBuilder::new("", Duration::ZERO).finish())["threads"], json!([]));
    }
}
