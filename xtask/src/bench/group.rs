//! The groups, one row each: what is measured, how often, and the target ratio.

use super::contender::Contender::{self, Native, Wasmi, Wasmtime};
use super::directories::Directories;
use super::groups::{
    calls, compile, components, deadline, exec, gc, giants, instantiate, native, restart, sandbox, start,
};
use super::item::Entry;
use super::statistics::Estimate::{self, Best, Median};
use anyhow::Result;

/// A group of items whose ratios have one geometric mean.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Rivals by default, with the ratio that belljar should not exceed.
    pub(crate) targets: &'static [Target],
    pub(crate) estimate: Estimate,
    /// How often an item is measured: at least, and at most, if the rounds do not agree.
    pub(crate) rounds: [usize; 2],
    pub(crate) quick_rounds: [usize; 2],
    pub(crate) items: fn(&Directories, &[Contender]) -> Result<Vec<Entry>>,
}

/// belljar's time should be at most `ratio` of the rival's.
pub(crate) struct Target {
    pub(crate) rival: Contender,
    pub(crate) ratio: f64,
}

/// All groups.
pub(crate) static GROUPS: [Group; 14] = [
    Group {
        name: "exec",
        about: "code that runs, compiling excluded",
        targets: &[Target { rival: Wasmtime, ratio: 0.95 }],
        estimate: Median,
        rounds: [9, 9],
        quick_rounds: [2, 2],
        items: exec::items,
    },
    Group {
        name: "native",
        about: "the same kernels compiled natively with -O3",
        // Wasmtime 48 has 1 / 0.73.
        targets: &[Target { rival: Native, ratio: 1.37 }],
        estimate: Median,
        rounds: [9, 9],
        quick_rounds: [2, 2],
        items: native::items,
    },
    Group {
        name: "gc",
        about: "programs that make objects, compiling excluded",
        targets: &[Target { rival: Wasmtime, ratio: 0.7 }],
        estimate: Median,
        rounds: [9, 9],
        quick_rounds: [2, 2],
        items: gc::items,
    },
    Group {
        name: "exceptions",
        about: "a program that throws 220,000 times, compiling excluded",
        targets: &[Target { rival: Wasmtime, ratio: 0.25 }],
        estimate: Median,
        rounds: [9, 9],
        quick_rounds: [2, 2],
        items: gc::exceptions,
    },
    Group {
        name: "tail-calls",
        about: "a program of tail calls, compiling excluded",
        targets: &[Target { rival: Wasmtime, ratio: 0.8 }],
        estimate: Median,
        rounds: [9, 9],
        quick_rounds: [2, 2],
        items: gc::tail_calls,
    },
    Group {
        name: "compile",
        about: "from bytes to a module, on all cores",
        targets: &[Target { rival: Wasmtime, ratio: 1.0 }],
        estimate: Median,
        rounds: [7, 7],
        quick_rounds: [2, 2],
        items: compile::items,
    },
    Group {
        name: "giants",
        about: "from bytes to a module of one giant function; ^ is the growth since the size before",
        targets: &[Target { rival: Wasmtime, ratio: 1.0 }],
        estimate: Median,
        rounds: [3, 3],
        quick_rounds: [1, 1],
        items: giants::items,
    },
    Group {
        name: "start",
        about: "process start to exit of small programs, nothing cached",
        targets: &[Target { rival: Wasmtime, ratio: 0.5 }, Target { rival: Wasmi, ratio: 1.0 }],
        estimate: Best,
        rounds: [61, 181],
        quick_rounds: [41, 121],
        items: start::items,
    },
    Group {
        name: "restart",
        about: "second start: found in the cache, or compiled ahead of time (Wasmtime: unsafe, mapped)",
        targets: &[Target { rival: Wasmtime, ratio: 0.5 }],
        estimate: Median,
        rounds: [21, 41],
        quick_rounds: [5, 5],
        items: restart::items,
    },
    Group {
        name: "instantiate",
        about: "store, instance with a 1 MiB image, a call, drop; rivals with their best pool settings",
        targets: &[Target { rival: Wasmtime, ratio: 1.0 }, Target { rival: Wasmi, ratio: 1.0 }],
        estimate: Best,
        rounds: [7, 21],
        quick_rounds: [5, 15],
        items: instantiate::items,
    },
    Group {
        name: sandbox::NAME,
        about: "a call in a clean world, and what makes the next one clean; Wasmtime's best pool: instantiate, call, drop",
        targets: &[Target { rival: Wasmtime, ratio: 0.25 }],
        estimate: Best,
        rounds: [7, 21],
        quick_rounds: [5, 15],
        items: sandbox::items,
    },
    Group {
        name: "deadline",
        about: "a function without a time limit, and with one that is far off; Wasmtime's is its epochs",
        targets: &[Target { rival: Wasmtime, ratio: 1.0 }],
        estimate: Best,
        rounds: [7, 21],
        quick_rounds: [5, 15],
        items: deadline::items,
    },
    Group {
        name: "calls",
        about: "calls between host and guest: two i32 in, one out",
        targets: &[Target { rival: Wasmtime, ratio: 0.5 }, Target { rival: Wasmi, ratio: 0.5 }],
        estimate: Best,
        rounds: [7, 21],
        quick_rounds: [5, 15],
        items: calls::items,
    },
    Group {
        name: components::NAME,
        about: "calls with the values of the component model: host and guest, and between components",
        targets: &[Target { rival: Wasmtime, ratio: 0.5 }],
        estimate: Best,
        rounds: [7, 21],
        quick_rounds: [5, 15],
        items: components::items,
    },
];

impl Group {
    /// Returns the target ratio against this rival, if one is set.
    pub(crate) fn target(&self, rival: Contender) -> Option<f64> {
        self.targets.iter().find(|t| t.rival == rival).map(|t| t.ratio)
    }
}
