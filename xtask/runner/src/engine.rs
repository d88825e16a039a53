//! An engine under measurement.

use crate::{Guest, Meter, Pairs, Program};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a program ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its exit code.
    pub exit: i32,
    /// From the call of `_start` until it ended.
    pub took: Duration,
}

/// What an engine must be able to do. Each method takes bytes or modules as the engine's users would make
/// them, with the settings that it would be used with.
pub trait Engine: Sized {
    /// A compiled module.
    type Module;

    /// The engine with its default settings, and perhaps with its cache in a directory.
    ///
    /// # Errors
    ///
    /// Where it cannot be had here, or has no cache.
    fn new(cache: Option<PathBuf>) -> Result<Self>;

    /// Loads what was compiled ahead of time: `compiled`, which is made of the file `wasm` if it is missing.
    ///
    /// # Errors
    ///
    /// Where the engine has nothing of the kind, or a step fails.
    fn load(&self, compiled: &Path, wasm: &Path) -> Result<Self::Module> {
        let _ = (compiled, wasm);
        anyhow::bail!("this engine compiles nothing ahead of time")
    }

    /// Compiles a module.
    ///
    /// # Errors
    ///
    /// Where the engine refuses it.
    fn compile(&self, wasm: &[u8]) -> Result<Self::Module>;

    /// Runs a WASI command to its end.
    ///
    /// # Errors
    ///
    /// Where it ends otherwise than by an exit.
    fn run(&self, module: &Self::Module, program: &Program) -> Result<Ended>;

    /// Nanoseconds of a call of the module's export [`crate::GUEST_ADD`].
    ///
    /// # Errors
    ///
    /// Where a call fails.
    fn host_to_guest(&self, module: &Self::Module, meter: &Meter) -> Result<f64>;

    /// Nanoseconds of a call that the module's export [`crate::CALL_HOST`] makes of `host.add`.
    ///
    /// # Errors
    ///
    /// Where a call fails.
    fn guest_to_host(&self, module: &Self::Module, meter: &Meter) -> Result<f64>;

    /// Nanoseconds of: make a store, instantiate, call the guest's export, drop. With the engine's best settings for this.
    ///
    /// # Errors
    ///
    /// Where a step fails.
    fn instantiate(guest: &Guest, meter: &Meter) -> Result<f64>;

    /// Nanoseconds of a call of the guest's export that begins in a clean world, with all that makes the world of the next call
    /// clean; on so many threads at once. With the engine's best settings for this.
    ///
    /// # Errors
    ///
    /// Where the engine has nothing of the kind, or a step fails.
    fn sandbox(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
        let _ = (guest, threads, meter);
        anyhow::bail!("this engine has no sandboxes")
    }

    /// Nanoseconds of the first so many such calls of an engine that was just made, all together.
    ///
    /// # Errors
    ///
    /// As there.
    fn first_sessions(guest: &Guest, calls: u32, meter: &Meter) -> Result<f64> {
        let _ = (guest, calls, meter);
        anyhow::bail!("this engine has no sandboxes")
    }

    /// Nanoseconds of a call of an export without parameters that returns an `i32`, by an engine and in a store that are made for
    /// ending such a call when its time is up, or not. The time is far off.
    ///
    /// # Errors
    ///
    /// As there.
    fn stoppable(wasm: &[u8], export: &str, can_stop: bool, meter: &Meter) -> Result<f64> {
        let _ = (wasm, export, can_stop, meter);
        anyhow::bail!("this engine was not asked for deadlines")
    }

    /// Prints what there is to know of its sandboxes beside that.
    ///
    /// # Errors
    ///
    /// As there.
    fn sandbox_facts() -> Result<()> {
        anyhow::bail!("this engine tells nothing of its sandboxes")
    }

    /// Measures what it costs a guest to be looked at, and prints it. `what` is one of the words of the group `watch`;
    /// `words` are a program's, where it needs one.
    ///
    /// # Errors
    ///
    /// Where the engine has nothing of the kind, or a step fails.
    fn watch(what: &str, words: impl Iterator<Item = String>, pairs: &Pairs) -> Result<()> {
        let _ = (words, pairs);
        anyhow::bail!("this engine does not know {what}")
    }
}
