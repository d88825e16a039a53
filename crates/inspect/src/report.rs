//! Reports of a process, its stores and their stacks: the JSON of the protocol, and of `belljar ps --json`.
//!
//! Times are whole nanoseconds in JSON, in fields that end in `_ns`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A process that runs guests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessReport {
    /// Its process id.
    pub pid: u32,
    /// Its version of belljar.
    pub version: String,
    /// The time since it started.
    #[serde(rename = "uptime_ns", with = "nanoseconds")]
    pub uptime: Duration,
    /// The CPU time of all its threads so far.
    #[serde(rename = "cpu_ns", with = "nanoseconds")]
    pub cpu: Duration,
    /// Its command line.
    pub command: Vec<String>,
    /// Its stores, sorted by id.
    pub stores: Vec<StoreReport>,
}

/// A store of a process, and what its guest is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreReport {
    /// Its id, unique in the process.
    pub id: u64,
    /// The label that the embedder set, or the name of the first module.
    pub label: Option<String>,
    /// What its guest is doing.
    #[serde(flatten)]
    pub state: StoreState,
    /// The thread that runs its guest; `None` if it is idle.
    pub thread: Option<ThreadReport>,
    /// The time since it was created.
    #[serde(rename = "age_ns", with = "nanoseconds")]
    pub age: Duration,
    /// The size of all its linear memories and its garbage-collected heap.
    pub memory_bytes: u64,
    /// Its stack, innermost frame first.
    pub frames: Vec<FrameReport>,
    /// The number of outer frames left out of `frames`.
    pub omitted: usize,
}

impl StoreReport {
    /// Creates the report of a store in this state, with all other fields empty.
    pub fn new(id: u64, state: StoreState) -> Self {
        Self {
            id,
            label: None,
            state,
            thread: None,
            age: Duration::ZERO,
            memory_bytes: 0,
            frames: Vec::new(),
            omitted: 0,
        }
    }
}

/// What a store's guest is doing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// No guest code is running or waiting for the host.
    Idle,
    /// It executes guest code.
    Guest,
    /// It has called the host.
    Host {
        /// The import that it called, as `module::name`; `None` in the runtime, or if unknown.
        function: Option<String>,
        /// What the runtime does for it if no host function was called: usually the name of an instruction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runtime: Option<String>,
        /// For how long, if known.
        #[serde(rename = "for_ns", with = "nanoseconds::optional", default)]
        since: Option<Duration>,
    },
    /// The state could not be determined.
    Unknown {
        /// The reason.
        reason: String,
    },
}

/// A thread that runs a guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreadReport {
    /// Its thread id, as the kernel numbers threads.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its CPU time so far, including time outside the guest.
    #[serde(rename = "cpu_ns", with = "nanoseconds")]
    pub cpu: Duration,
}

impl ThreadReport {
    /// Creates the report of a thread.
    pub fn new(id: u32, name: impl Into<String>, cpu: Duration) -> Self {
        Self { id, name: name.into(), cpu }
    }
}

/// A frame of a guest's stack: one wasm function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrameReport {
    /// The module's name.
    pub module: Option<String>,
    /// The function's index in its module, counting imports.
    pub func_index: u32,
    /// The function's name, demangled.
    pub func_name: Option<String>,
    /// Byte offset of the instruction in the module's binary.
    pub module_offset: Option<u64>,
    /// Debugging information for the position: first the innermost function that the guest's compiler inlined there,
    /// last the function itself.
    pub symbols: Vec<SymbolReport>,
    /// The frame's lines in a belljar backtrace, without the frame number.
    pub text: String,
    /// Host calls that this frame waits for, in which the previous frame was entered, phrased for use in a sentence:
    /// `the host function a::b`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_calls: Vec<String>,
}

impl FrameReport {
    /// Creates a frame of this function with its lines in a backtrace.
    pub fn new(func_index: u32, text: impl Into<String>) -> Self {
        Self {
            module: None,
            func_index,
            func_name: None,
            module_offset: None,
            symbols: Vec::new(),
            text: text.into(),
            host_calls: Vec::new(),
        }
    }
}

/// Debugging information for a position.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SymbolReport {
    /// The function's name, demangled.
    pub name: Option<String>,
    /// Its source file.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// The column, counted from 1.
    pub column: Option<u32>,
}

/// Durations as whole nanoseconds. Durations over 584 years saturate.
pub(crate) mod nanoseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    fn of(time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(of(*time))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }

    /// The same for optional durations.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Duration, Serializer, of};

        pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => to.serialize_some(&of(*time)),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_nanos))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_store_reads_as_people_expect() {
        let state = StoreState::Host {
            function: Some("wasi_snapshot_preview1::fd_read".into()),
            runtime: None,
            since: Some(Duration::from_millis(3)),
        };
        let mut store = StoreReport::new(7, state);
        store.thread = Some(ThreadReport::new(99, "main", Duration::from_secs(2)));
        store.frames = vec![FrameReport::new(3, "0x0010 - m!f")];
        let found = serde_json::to_value(&store).unwrap();
        let expected = json!({
            "id": 7, "label": null, "age_ns": 0, "memory_bytes": 0, "omitted": 0,
            "state": "host", "function": "wasi_snapshot_preview1::fd_read", "for_ns": 3_000_000,
            "thread": {"id": 99, "name": "main", "cpu_ns": 2_000_000_000_u64},
            "frames": [{"module": null, "func_index": 3, "func_name": null, "module_offset": null,
                "symbols": [], "text": "0x0010 - m!f"}],
        });
        assert_eq!(found, expected);
        assert_eq!(serde_json::from_value::<StoreReport>(found).unwrap(), store);
    }

    #[test]
    fn every_state_is_read_back() {
        let unknown = StoreState::Unknown { reason: "its thread blocks signals".into() };
        let host = StoreState::Host { function: None, runtime: Some("memory.fill".into()), since: None };
        for state in [StoreState::Idle, StoreState::Guest, host, unknown] {
            let store = StoreReport::new(1, state);
            let text = serde_json::to_string(&store).unwrap();
            assert_eq!(serde_json::from_str::<StoreReport>(&text).unwrap(), store, "{text}");
        }
    }
}
