//! Which items of the rivals do not count: the table of the groups that belljar does not aim at.

use super::sources::{Cfg, hold};

/// Items that do not count.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    /// Features without which its items do not exist.
    features: &'static [&'static str],
    /// Paths, starting with the rival's name. `*` stands for any text. A path includes the item's members, and a
    /// module's items.
    paths: &'static [&'static str],
    /// Exceptions from `paths`.
    except: &'static [&'static str],
}

/// The groups. An item belongs to the first that claims it.
pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "components",
        why: "The interface for components, and WASI 0.2 and 0.3, are not compared name by name yet. docs/components.md describes \
              what belljar has of them.",
        features: &[
            "compile-time-builtins",
            "component-model",
            "component-model-async",
            "component-model-bytes",
            "p3",
            "wave",
            "wit-parser",
        ],
        paths: &[
            "wasmtime::*omponent*",
            "wasmtime::ToWasmtimeResult",
            "wasmtime::Trap::AsyncDeadlock",
            "wasmtime::Trap::BackpressureOverflow",
            "wasmtime::Trap::CannotBlockSyncTask",
            "wasmtime::Trap::CannotResumeThread",
            "wasmtime::Trap::ConcurrentFutureStreamOp",
            "wasmtime::Trap::DebugAssert*",
            "wasmtime::Trap::InvalidChar",
            "wasmtime::Trap::InvalidDiscriminant",
            "wasmtime::Trap::ListOutOfBounds",
            "wasmtime::Trap::NoAsyncResult",
            "wasmtime::Trap::ReferenceCountOverflow",
            "wasmtime::Trap::StreamOpTooBig",
            "wasmtime::Trap::StringOutOfBounds",
            "wasmtime::Trap::Subtask*",
            "wasmtime::Trap::Task*",
            "wasmtime::Trap::ThreadNew*",
            "wasmtime::Trap::UnalignedPointer",
            "wasmtime::Trap::UnsupportedCallbackCode",
            "wasmtime::Trap::Waitable*",
            "wasmtime::error::ToWasmtimeResult",
            "wasmtime_wasi::ResourceTable*",
            "wasmtime_wasi::TrappableError",
            "wasmtime_wasi::Wasi*View",
            "wasmtime_wasi::cli::Wasi*",
            "wasmtime_wasi::clocks::DatetimeError",
            "wasmtime_wasi::clocks::Wasi*",
            "wasmtime_wasi::filesystem",
            "wasmtime_wasi::p2",
            "wasmtime_wasi::p3",
            "wasmtime_wasi::random::Wasi*",
            "wasmtime_wasi::runtime",
            "wasmtime_wasi::sockets",
        ],
        except: &["wasmtime_wasi::p2::pipe", "wasmtime_wasi::filesystem::FsPerms"],
    },
    Group {
        name: "pools",
        why: "Wasmtime's pooling allocator. belljar has `SandboxPool`.",
        features: &["memory-protection-keys", "pooling-allocator"],
        paths: &["wasmtime::*Pooling*", "wasmtime::Enabled"],
        except: &[],
    },
    Group {
        name: "debugger",
        why: "The interface for debuggers of guests. belljar shows running guests with `Inspector`.",
        features: &["debug"],
        paths: &[
            "wasmtime::*::debug_index_in_*",
            "wasmtime::*guest_debug",
            "wasmtime::Module::debug_bytecode",
        ],
        except: &[],
    },
    Group {
        name: "async",
        why: "Guests of belljar run on the thread that calls them.",
        features: &["async"],
        paths: &[
            "wasmtime::*::*async*",
            "wasmtime::*::*concurrency_support",
            "wasmtime::*Async*",
            "wasmtime_wasi::*::*async*",
            "wasmtime_wasi::*Async*",
            "wasmtime_wasi::WasiCtxBuilder::allow_blocking_current_thread",
            "wasmtime_wasi::async_trait",
        ],
        except: &[],
    },
    Group {
        name: "internals",
        why: "Parts of the engine that are public by accident or for its own programs, recordings of runs, Valgrind's \
              protocol, and hooks of operating systems.",
        features: &["profile-pulley", "reexport-wasmparser", "rr", "trace-log", "wmemcheck"],
        paths: &[
            "wasmi_wasi::clocks",
            "wasmi_wasi::dir",
            "wasmi_wasi::file",
            "wasmi_wasi::net",
            "wasmi_wasi::sched",
            "wasmi_wasi::sched_ctx",
            "wasmi_wasi::snapshots",
            "wasmi_wasi::stdio",
            "wasmi_wasi::sync::*",
            "wasmtime::CodeMemory",
            "wasmtime::CompiledModule",
            "wasmtime::Config::rr",
            "wasmtime::Config::wmemcheck",
            "wasmtime::Engine::get_gc_zeal_alloc_counter",
            "wasmtime::Engine::is_recording",
            "wasmtime::Engine::is_replaying",
            "wasmtime::RRConfig",
            "wasmtime::unix",
        ],
        except: &[],
    },
    Group {
        name: "other crates",
        why: "Re-exports of other crates. Depend on the crate itself.",
        features: &[],
        paths: &[
            "wasmi_wasi::Dir",
            "wasmi_wasi::TcpListener",
            "wasmi_wasi::WasmiGuestMemory",
            "wasmi_wasi::ambient_authority",
            "wasmi_wasi::wasi_common",
            "wasmtime_wasi::Rng",
            "wasmtime_wasi::SystemTimeSpec",
        ],
        except: &[],
    },
    Group {
        name: "costs of single instructions",
        why: "A field for each instruction. The type counts.",
        features: &[],
        paths: &["*::OperatorCost::*"],
        except: &[],
    },
];

impl Group {
    /// Returns the group of an item of a rival.
    pub(super) fn of(path: &str, cfgs: &[Cfg]) -> Option<&'static Self> {
        GROUPS.iter().find(|group| {
            let named = |patterns: &[&str]| patterns.iter().any(|pattern| includes(pattern, path));
            !hold(cfgs, group.features) || (named(group.paths) && !named(group.except))
        })
    }
}

/// Returns whether a pattern matches a path, or the path of what it is a member of.
fn includes(pattern: &str, path: &str) -> bool {
    let parents = path.match_indices("::").map(|(at, _)| &path[..at]);
    parents.chain([path]).any(|path| matches(pattern, path))
}

/// Returns whether a pattern, in which `*` stands for any text, matches.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.into_iter().any(|at| matches(rest, &text[at..]))
        }),
    }
}
