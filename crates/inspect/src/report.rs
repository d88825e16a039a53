//! What is told of a process, its stores and their stacks: the JSON of the protocol, and of `belljar ps --json`.
//!
//! Times are whole nanoseconds there, in fields that end in `_ns`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A process that runs guests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessReport {
    /// Its process id.
    pub pid: u32,
    /// The version of belljar in it.
    pub version: String,
    /// Since it was started.
    #[serde(rename = "uptime_ns", with = "nanoseconds")]
    pub uptime: Duration,
    /// Processor time of all its threads so far.
    #[serde(rename = "cpu_ns", with = "nanoseconds")]
    pub cpu: Duration,
    /// Its command line.
    pub command: Vec<String>,
    /// Its stores, by their numbers.
    pub stores: Vec<StoreReport>,
}

/// A store of a process, and what its guest is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreReport {
    /// Its number in its process.
    pub id: u64,
    /// What the embedder calls it, or the name of its first module.
    pub label: Option<String>,
    /// What its guest is about.
    #[serde(flatten)]
    pub state: StoreState,
    /// The thread that runs its guest; `None` if it is idle.
    pub thread: Option<ThreadReport>,
    /// Since it was made.
    #[serde(rename = "age_ns", with = "nanoseconds")]
    pub age: Duration,
    /// Of all its linear memories and its garbage-collected heap.
    pub memory_bytes: u64,
    /// Its stack, innermost frame first.
    pub frames: Vec<FrameReport>,
    /// How many outer frames there are that are not in `frames`.
    pub omitted: usize,
}

impl StoreReport {
    /// A store in this state, of which nothing else is known yet.
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

/// What a store's guest is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// No guest code runs, or waits for the host.
    Idle,
    /// It executes guest code.
    Guest,
    /// It is in the host.
    Host {
        /// The import that it called, as `module::name`; `None` in the runtime, or where nothing tells.
        function: Option<String>,
        /// What the runtime does for it, if it called no function of the embedder's: mostly an instruction's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runtime: Option<String>,
        /// For how long, where that is known.
        #[serde(rename = "for_ns", with = "nanoseconds::optional", default)]
        since: Option<Duration>,
    },
    /// It could not be looked at.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// A thread that runs a guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreadReport {
    /// Its thread id, as the kernel counts.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its processor time so far, the guest's and everything else's.
    #[serde(rename = "cpu_ns", with = "nanoseconds")]
    pub cpu: Duration,
}

impl ThreadReport {
    /// A thread and its processor time.
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
    /// The function's index in its module, imports counted.
    pub func_index: u32,
    /// The function's name, demangled.
    pub func_name: Option<String>,
    /// Byte offset of the instruction in the module's binary.
    pub module_offset: Option<u64>,
    /// What debugging information says of the position: the innermost function that the guest's compiler inlined there first,
    /// the function itself last.
    pub symbols: Vec<SymbolReport>,
    /// The lines that a backtrace of belljar has for it, without its number.
    pub text: String,
    /// Calls of the host that it waits for and in which the frame before this one was entered, as sentences have them: `the host
    /// function a::b`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_calls: Vec<String>,
}

impl FrameReport {
    /// A frame of this function, and its lines of a backtrace.
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

/// What debugging information says of a position.
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

/// Lengths of time as whole nanoseconds; 584 years stand for all that are longer.
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

    /// The same where a time may be unknown.
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
