//! The interface of a measured engine.

use crate::{ComponentCall, Guest, Meter, Pairs, Program};
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

/// The operations of a measured engine. Each method takes bytes or modules as the engine's users would create
/// them, with the settings that they would use.
pub trait Engine: Sized {
    /// A compiled module.
    type Module;

    /// Creates the engine with its default settings, and optionally with its cache in a directory.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine is not available here, or has no cache.
    fn new(cache: Option<PathBuf>) -> Result<Self>;

    /// Loads the ahead-of-time artifact `compiled`, and compiles it from the file `wasm` if it is missing.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support this, or a step fails.
    fn load(&self, compiled: &Path, wasm: &Path) -> Result<Self::Module> {
        let _ = (compiled, wasm);
        anyhow::bail!("this engine compiles nothing ahead of time")
    }

    /// Compiles a module.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine refuses it.
    fn compile(&self, wasm: &[u8]) -> Result<Self::Module>;

    /// Compiles a component.
    ///
    /// # Errors
    ///
    /// As for [`Self::sandbox`].
    fn compile_component(&self, wasm: &[u8]) -> Result<()> {
        let _ = wasm;
        anyhow::bail!("this engine has no components")
    }

    /// Runs a WASI command to its end.
    ///
    /// # Errors
    ///
    /// Returns an error if it ends in another way than by an exit.
    fn run(&self, module: &Self::Module, program: &Program) -> Result<Ended>;

    /// Returns the nanoseconds of a call of the module's export [`crate::GUEST_ADD`].
    ///
    /// # Errors
    ///
    /// Returns an error if a call fails.
    fn host_to_guest(&self, module: &Self::Module, meter: &Meter) -> Result<f64>;

    /// Returns the nanoseconds of a call that the module's export [`crate::CALL_HOST`] makes to `host.add`.
    ///
    /// # Errors
    ///
    /// Returns an error if a call fails.
    fn guest_to_host(&self, module: &Self::Module, meter: &Meter) -> Result<f64>;

    /// Returns the nanoseconds of a call with the values of the component model. `component` is the binary of
    /// [`crate::component`].
    ///
    /// # Errors
    ///
    /// As for [`Self::sandbox`].
    fn component_call(&self, component: &[u8], call: ComponentCall, meter: &Meter) -> Result<f64> {
        let _ = (component, call, meter);
        anyhow::bail!("this engine has no components")
    }

    /// Returns the nanoseconds to create a store, instantiate, call the guest's export, and drop, with the engine's
    /// best settings for this.
    ///
    /// # Errors
    ///
    /// Returns an error if a step fails.
    fn instantiate(guest: &Guest, meter: &Meter) -> Result<f64>;

    /// Returns the nanoseconds of a call of the guest's export in a clean instance, including the reset for the next
    /// call, on a number of threads at once. Uses the engine's best settings for this.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support this, or a step fails.
    fn sandbox(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
        let _ = (guest, threads, meter);
        anyhow::bail!("this engine has no sandboxes")
    }

    /// Returns the total nanoseconds of the first such calls of a new engine.
    ///
    /// # Errors
    ///
    /// As for [`Self::sandbox`].
    fn first_sessions(guest: &Guest, calls: u32, meter: &Meter) -> Result<f64> {
        let _ = (guest, calls, meter);
        anyhow::bail!("this engine has no sandboxes")
    }

    /// Returns the nanoseconds of a call of an export without parameters that returns an `i32`, with an engine and a
    /// store that can end the call at a deadline, or without. The deadline is far off.
    ///
    /// # Errors
    ///
    /// As for [`Self::sandbox`].
    fn stoppable(wasm: &[u8], export: &str, can_stop: bool, meter: &Meter) -> Result<f64> {
        let _ = (wasm, export, can_stop, meter);
        anyhow::bail!("this engine was not asked for deadlines")
    }

    /// Prints further facts about the engine's sandboxes.
    ///
    /// # Errors
    ///
    /// As for [`Self::sandbox`].
    fn sandbox_facts() -> Result<()> {
        anyhow::bail!("this engine tells nothing of its sandboxes")
    }

    /// Measures what inspection costs a guest, and prints it. `what` is one of the words of the group `watch`;
    /// `words` are the command line of a program, if one is needed.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support this, or a step fails.
    fn watch(what: &str, words: impl Iterator<Item = String>, pairs: &Pairs) -> Result<()> {
        let _ = (words, pairs);
        anyhow::bail!("this engine does not know {what}")
    }
}
