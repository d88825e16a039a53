//! The common part of all measured engines.
//!
//! In: an [`Engine`], and a command line. Out: the guest's exit code, and figures as lines `name-ns: value`
//! ([`Figure`]). Each engine is a program of a few lines that calls [`main`], so all of them read the same
//! options, measure the same modules and mean the same by a figure.
//!
//! ```text
//! ENGINE run [--dir HOST::GUEST] [--env K=V] [--argv0 NAME] FILE ARGS…
//! ENGINE compile FILE [ROUNDS]     a module in this process, ns each, and the memory at its peak
//! ENGINE calls [FIGURE]            host to guest and guest to host, ns a call
//! ENGINE instantiate [FIGURE]      instantiate, call an export, drop; ns
//! ENGINE sandbox [FIGURE | facts]  a call in a clean instance, including the reset for the next one; ns
//! ENGINE deadline [FIGURE]         a call of a function, and the same with a time limit that is far off; ns
//! ENGINE components [FIGURE]       calls with the values of the component model, and copies of as many bytes; ns
//! ENGINE watch WHAT …              without and with inspection, in turn; CPU time
//! ```
//!
//! `run` prints its figures, to standard error, only with `BENCH_TIMES=1` in the environment. With `BENCH_CACHE=DIR` the
//! engine uses its cache in that directory; with `BENCH_AHEAD=DIR` it loads ahead-of-time artifacts from that directory, and
//! creates missing ones.

mod command;
mod components;
mod engine;
mod figure;
mod kills;
mod meter;
mod probe;
mod program;
mod watch;

pub use command::main;
pub use components::{
    BYTES, COMMAND, COMMAND_ARGS, COMMAND_RUN, ComponentCall, HOST_ADD, HOST_TEXT, PAIRS, TEXT, component,
};
pub use engine::{Ended, Engine};
pub use figure::Figure;
pub use kills::Kills;
pub use meter::{Effort, Meter};
pub use probe::{
    CALL_HOST, CONSTANT, DIRTY, GUEST_ADD, Guest, calls as calls_module, sandbox as sandbox_module,
};
pub use program::Program;
pub use watch::{Clocks, Pairs, Turn, tick, watched_text};
