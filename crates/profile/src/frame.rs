//! A function on a sampled stack, as a profile keeps it.

use crate::limits::printed;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// The kind of code that a frame runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// A function of a wasm module.
    Guest,
    /// A function that the host gave the guest: WASI, or the embedder's own.
    Host,
    /// Work that belljar does for the guest: garbage collection, growing a memory.
    Runtime,
}

impl FrameKind {
    /// `guest`, `host` or `runtime`.
    pub fn name(self) -> &'static str {
        match self {
            FrameKind::Guest => "guest",
            FrameKind::Host => "host",
            FrameKind::Runtime => "runtime",
        }
    }
}

/// A function on a stack, and the thread's position in it.
///
/// Names are passed in readable form, demangled if needed. They may come from a hostile module: characters
/// without a glyph are escaped ([`belljar_core::OutsideText`]), and names are cut after 1000 characters. XML and JSON
/// writers must still escape them.
/// ```
/// use belljar_profile::{FrameKind, ProfileFrame};
///
/// let frame = ProfileFrame::guest("add(int, int)").in_module("calc.wasm").at("calc.cpp", Some(12)).inlined();
/// assert_eq!(frame.kind(), FrameKind::Guest);
/// assert_eq!((frame.function(), frame.file(), frame.line()), ("add(int, int)", Some("calc.cpp"), Some(12)));
/// assert_eq!(ProfileFrame::host("fd\n_write").function(), r"fd\n_write");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ProfileFrame {
    kind: FrameKind,
    function: Arc<str>,
    module: Option<Arc<str>>,
    file: Option<Arc<str>>,
    line: Option<u32>,
    inlined: bool,
}

impl ProfileFrame {
    /// Creates a frame of a wasm function, by its readable name.
    pub fn guest(function: &str) -> Self {
        Self::new(FrameKind::Guest, function)
    }

    /// Creates a frame of a host function, such as `wasi_snapshot_preview1.fd_write`.
    pub fn host(function: &str) -> Self {
        Self::new(FrameKind::Host, function)
    }

    /// Creates a frame of belljar's own work, such as `garbage collection`.
    pub fn runtime(work: &str) -> Self {
        Self::new(FrameKind::Runtime, work)
    }

    fn new(kind: FrameKind, function: &str) -> Self {
        let function = printed(function).into();
        Self { kind, function, module: None, file: None, line: None, inlined: false }
    }

    /// Sets the name of the frame's module.
    pub fn in_module(mut self, module: &str) -> Self {
        self.module = Some(printed(module).into());
        self
    }

    /// Sets the frame's source file and line (from 1).
    pub fn at(mut self, file: &str, line: Option<u32>) -> Self {
        self.file = Some(printed(file).into());
        self.line = line;
        self
    }

    /// Marks the frame as inlined into the next outer one.
    pub fn inlined(mut self) -> Self {
        self.inlined = true;
        self
    }

    /// Returns the kind of code.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Returns the function's printed name.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Returns the name of its module.
    pub fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// Returns the source file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Returns the line in the source file, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// Returns whether the function was inlined into the next outer frame, by the guest's compiler or by belljar.
    pub fn is_inlined(&self) -> bool {
        self.inlined
    }

    /// Makes equal names share one allocation.
    pub(crate) fn share_names(&mut self, names: &mut HashSet<Arc<str>>) {
        let all = [Some(&mut self.function), self.module.as_mut(), self.file.as_mut()];
        for name in all.into_iter().flatten() {
            match names.get(name) {
                Some(known) => *name = known.clone(),
                None => drop(names.insert(name.clone())),
            }
        }
    }
}
