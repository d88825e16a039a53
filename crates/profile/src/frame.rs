//! A function on a sampled stack, as a profile keeps it.

use crate::limits::printed;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Whose code a frame runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// A function of a wasm module.
    Guest,
    /// A function that the host gave the guest: WASI, the embedder's own.
    Host,
    /// Work that belljar does for the guest: collecting garbage, growing a memory.
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

/// A function on a stack, and where in it the thread was.
///
/// Names are given as people should read them, demangled if need be. They may come from a hostile module: characters
/// without a glyph are escaped ([`belljar_core::OutsideText`]), and names are cut at 1000 characters. An XML or JSON writer has to escape them still.
///
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
    /// A function of a wasm module, by its readable name.
    pub fn guest(function: &str) -> Self {
        Self::new(FrameKind::Guest, function)
    }

    /// A function of the host, like `wasi_snapshot_preview1.fd_write`.
    pub fn host(function: &str) -> Self {
        Self::new(FrameKind::Host, function)
    }

    /// Work of belljar's own, like `garbage collection`.
    pub fn runtime(work: &str) -> Self {
        Self::new(FrameKind::Runtime, work)
    }

    fn new(kind: FrameKind, function: &str) -> Self {
        let function = printed(function).into();
        Self { kind, function, module: None, file: None, line: None, inlined: false }
    }

    /// The frame, in a module of this name.
    pub fn in_module(mut self, module: &str) -> Self {
        self.module = Some(printed(module).into());
        self
    }

    /// The frame, at a line (from 1) of a source file.
    pub fn at(mut self, file: &str, line: Option<u32>) -> Self {
        self.file = Some(printed(file).into());
        self.line = line;
        self
    }

    /// The frame, of a function that was inlined into the next outer one.
    pub fn inlined(mut self) -> Self {
        self.inlined = true;
        self
    }

    /// Whose code it is.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The function's printed name.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// The name of its module.
    pub fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    /// The source file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line in the source file, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// Whether the function was inlined into the next outer frame: by the guest's compiler or by belljar.
    pub fn is_inlined(&self) -> bool {
        self.inlined
    }

    /// Makes equal names one allocation.
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
