//! Looking at a running guest from another thread.

use crate::{Result, WasmBacktrace};
use anyhow::Context;
use belljar_core::WasmPc;
use belljar_vm::{Doing, Sighting, Watched};
use belljar_watch::{FrameInfo, PrintedName};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A handle to look at a store's guest while it runs. Cheap to clone; it does not keep the store.
///
/// Made by [`crate::Store::inspector`]. The guest's code has nothing to do with it and is the same with and without: the thread
/// that runs the guest is asked by a signal, wherever it is, walks its own stack, and goes on.
#[derive(Clone)]
pub struct Inspector {
    watched: Arc<Watched>,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}

/// What a guest was about when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GuestState {
    /// No guest code of the store was running, or waiting for the host.
    Idle,
    /// It executed guest code: the innermost frame.
    InGuest,
    /// It was in the host, on behalf of the innermost frame: in a function of the embedder's, or in the runtime, to grow a
    /// memory for instance.
    InHost,
}

/// The stack of a guest at one moment.
#[derive(Clone, Debug)]
pub struct Stack {
    state: GuestState,
    host_function: Option<(String, String)>,
    backtrace: WasmBacktrace,
}

impl Stack {
    /// What the guest was about.
    pub fn state(&self) -> GuestState {
        self.state
    }

    /// Module and name that the guest imports the function of the embedder's by which it was in. `None` where it was in the
    /// runtime, where it called through a table or a reference, and where the module came from an artifact without its code:
    /// then nothing tells.
    pub fn host_function(&self) -> Option<(&str, &str)> {
        self.host_function.as_ref().map(|(module, name)| (module.as_str(), name.as_str()))
    }

    /// Its frames; none if it was idle.
    pub fn backtrace(&self) -> &WasmBacktrace {
        &self.backtrace
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            GuestState::Idle => f.write_str("idle"),
            GuestState::InGuest => write!(f, "in guest code\n{}", self.backtrace),
            GuestState::InHost => match self.host_function() {
                Some((module, name)) => {
                    let (module, name) = (PrintedName(module), PrintedName(name));
                    write!(f, "in the host function {module}::{name}, called by\n{}", self.backtrace)
                }
                None => write!(f, "in the host, called by\n{}", self.backtrace),
            },
        }
    }
}

impl Inspector {
    pub(crate) fn of(watched: Arc<Watched>) -> Self {
        Self { watched }
    }

    #[doc(hidden)]
    pub fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// Takes the guest's stack as it is now. The guest loses some microseconds.
    ///
    /// # Errors
    ///
    /// Where the store is gone, or its thread did not answer within `timeout`: it blocks signals, or has not got to run.
    pub fn capture(&self, timeout: Duration) -> Result<Stack> {
        let read = |sighting: Sighting| {
            let backtrace = WasmBacktrace::new(&sighting.stack);
            let state = match sighting.doing {
                Doing::Idle => GuestState::Idle,
                Doing::Guest => GuestState::InGuest,
                Doing::Host => GuestState::InHost,
            };
            let innermost = backtrace.frames().first().filter(|_| state == GuestState::InHost);
            Stack { state, host_function: innermost.and_then(host_function), backtrace }
        };
        self.watched.look(timeout, read).context("could not look at the guest")
    }
}

/// The import that a frame calls.
fn host_function(frame: &FrameInfo) -> Option<(String, String)> {
    let pc = WasmPc(u32::try_from(frame.module_offset()?).ok()?);
    let import = frame.wasm_module().import_called_at(pc)?;
    Some((import.module.to_string(), import.name.to_string()))
}
