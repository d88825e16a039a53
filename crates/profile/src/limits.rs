//! How much a profile keeps. A guest could go on making names, frames and stacks for ever.
//!
//! What a builder leaves out by these, a profile from another process may not have either.

use belljar_core::OutsideText;

/// Characters of a name, its escapes included: C++ and Rust make long names, and nobody reads further.
pub(crate) const LONGEST_NAME: usize = 1000;

/// Frames of a stack. Each line of a collapsed profile, and the height of a flame graph, grow with it; what is deeper is
/// recursion, and its inner frames are the ones that tell.
pub(crate) const MAX_STACK_FRAMES: usize = 1 << 12;

/// Nodes of the tree of stacks, some 130 MB of them.
pub(crate) const MAX_NODES: usize = 1 << 22;

/// Different frames, some 100 MB of them: a frame is a line of a program, of which large ones have a tenth of this.
pub(crate) const MAX_FRAMES: usize = 1 << 20;

/// Threads. Most formats repeat something for each.
pub(crate) const MAX_THREADS: usize = 1 << 16;

/// A name as a profile keeps it. What was printed prints as itself, so profiles go through other processes unchanged.
pub(crate) fn printed(name: &str) -> String {
    OutsideText::new(name).cut(LONGEST_NAME).to_string()
}
