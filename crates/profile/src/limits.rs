//! Limits on the size of a profile, because a guest could create names, frames and stacks without end.
//!
//! A builder leaves out what exceeds them, and a profile from another process may not exceed them either.

use belljar_core::OutsideText;

/// The most characters of a name, including its escapes: C++ and Rust create longer names that nobody would read to the end.
pub(crate) const LONGEST_NAME: usize = 1000;

/// The most frames of a stack. Each line of a collapsed profile, and the height of a flame graph, grow with it. Deeper stacks
/// are recursive, and their inner frames are the informative ones.
pub(crate) const MAX_STACK_FRAMES: usize = 1 << 12;

/// The most nodes in the tree of stacks, some 130 MB.
pub(crate) const MAX_NODES: usize = 1 << 22;

/// The most different frames, some 100 MB. A frame is a line of a program; large programs have a tenth of this.
pub(crate) const MAX_FRAMES: usize = 1 << 20;

/// The most threads. Most formats repeat some data for each.
pub(crate) const MAX_THREADS: usize = 1 << 16;

/// Returns a name as a profile keeps it. A printed name prints as itself, so profiles pass through other processes unchanged.
pub(crate) fn printed(name: &str) -> String {
    OutsideText::new(name).cut(LONGEST_NAME).to_string()
}
