//! What every engine under measurement does in the same way.
//!
//! In: an [`Engine`], and a command line. Out: the guest's exit code, and figures as lines `name-ns: value`
//! ([`Figure`]). Each engine is a program of a few lines that calls [`main`]; so all of them read the same
//! options, measure the same modules and mean the same by a figure.
//!
//! ```text
//! ENGINE run [--dir HOST::GUEST] [--env K=V] [--argv0 NAME] FILE ARGS…
//! ENGINE compile FILE [ROUNDS]     a module in this process, ns each, and the memory at its peak
//! ENGINE calls [FIGURE]            host to guest and guest to host, ns a call
//! ENGINE instantiate [FIGURE]      instantiate, call an export, drop; ns
//! ENGINE sandbox [FIGURE | facts]  a call in a clean world, and what makes the next one clean; ns
//! ENGINE deadline [FIGURE]         a call of a function, and the same with a time limit that is far off; ns
//! ENGINE watch WHAT …              without and with somebody looking, in turn; CPU time
//! ```
//!
//! `run` prints its figures, to standard error, only with `BENCH_TIMES=1` in the environment. With `BENCH_CACHE=DIR` the
//! engine uses its cache, there; with `BENCH_AHEAD=DIR` it loads what it compiled ahead of time to that directory, and does so
//! if it has not.

mod command;
mod engine;
mod figure;
mod kills;
mod meter;
mod probe;
mod program;
mod watch;

pub use command::main;
pub use engine::{Ended, Engine};
pub use figure::Figure;
pub use kills::Kills;
pub use meter::{Effort, Meter};
pub use probe::{
    CALL_HOST, CONSTANT, DIRTY, GUEST_ADD, Guest, calls as calls_module, sandbox as sandbox_module,
};
pub use program::Program;
pub use watch::{Clocks, Pairs, Turn, tick, watched_text};
