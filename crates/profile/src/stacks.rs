//! Frames and stacks, each stored once.
//!
//! Stacks form a tree: a node is a frame and the node of its caller, so that stacks with the same outer frames share
//! them, and a stack is one number. A node is inserted after its caller, so callers have the lower numbers.

use crate::frame::ProfileFrame;
use crate::limits::{MAX_FRAMES, MAX_NODES};
use indexmap::IndexSet;
use std::collections::HashSet;
use std::sync::Arc;

/// A frame that was added to a [`crate::ProfileBuilder`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameId(pub(crate) u32);

/// A stack: its innermost node. `EMPTY` is the stack without frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct StackId(pub(crate) u32);

impl StackId {
    pub(crate) const EMPTY: Self = Self(u32::MAX);

    pub(crate) fn index(self) -> Option<usize> {
        (self != Self::EMPTY).then_some(self.0 as usize)
    }

    /// Returns the number in serialized form: from 1, and 0 for the empty stack.
    pub(crate) fn number(self) -> u32 {
        self.0.wrapping_add(1)
    }

    pub(crate) fn of_number(number: u32) -> Self {
        Self(number.wrapping_sub(1))
    }
}

/// A frame of a stack, and the stack of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Node {
    pub(crate) caller: StackId,
    pub(crate) frame: FrameId,
}

/// Placeholder for new stacks beyond the limit.
const OMITTED_STACKS: &str = "stacks that were not kept";

/// Placeholder for new frames beyond the limit.
const OMITTED_FRAMES: &str = "functions that were not kept";

/// Room for placeholder frames beyond the limit.
pub(crate) const PLACEHOLDER_FRAMES: usize = 3;

/// Room for placeholder nodes beyond the limit: the stack for omitted stacks.
pub(crate) const PLACEHOLDER_NODES: usize = 1;

/// All frames and stacks of a profile.
#[derive(Clone, Debug)]
pub(crate) struct Stacks {
    frames: IndexSet<ProfileFrame>,
    nodes: IndexSet<Node>,
    names: HashSet<Arc<str>>,
    nodes_kept: usize,
    frames_kept: usize,
}

impl Default for Stacks {
    fn default() -> Self {
        Self {
            frames: IndexSet::new(),
            nodes: IndexSet::new(),
            names: HashSet::new(),
            nodes_kept: MAX_NODES,
            frames_kept: MAX_FRAMES,
        }
    }
}

impl Stacks {
    /// Adds a frame, or returns the placeholder if there is no room.
    pub(crate) fn frame(&mut self, frame: ProfileFrame) -> FrameId {
        match self.frames.get_index_of(&frame) {
            Some(known) => FrameId(known as u32),
            None if self.frames.len() < self.frames_kept => self.insert_frame(frame),
            None => self.placeholder_frame(OMITTED_FRAMES),
        }
    }

    /// Adds a placeholder frame, for which there is room beyond the limit.
    pub(crate) fn placeholder_frame(&mut self, what: &str) -> FrameId {
        self.insert_frame(ProfileFrame::runtime(what))
    }

    /// Adds a frame regardless of the limit.
    pub(crate) fn insert_frame(&mut self, mut frame: ProfileFrame) -> FrameId {
        frame.share_names(&mut self.names);
        FrameId(self.frames.insert_full(frame).0 as u32)
    }

    /// Adds a stack, given innermost frame first.
    pub(crate) fn stack(&mut self, frames: &[FrameId]) -> StackId {
        let mut stack = StackId::EMPTY;
        for &frame in frames.iter().rev() {
            let node = Node { caller: stack, frame };
            stack = match self.nodes.get_index_of(&node) {
                Some(known) => StackId(known as u32),
                None if self.nodes.len() < self.nodes_kept => self.insert(node),
                None => {
                    let frame = self.placeholder_frame(OMITTED_STACKS);
                    return self.insert(Node { caller: StackId::EMPTY, frame });
                }
            };
        }
        stack
    }

    /// Adds a node regardless of the limit.
    pub(crate) fn insert(&mut self, node: Node) -> StackId {
        StackId(self.nodes.insert_full(node).0 as u32)
    }

    /// Returns all frames, by id.
    pub(crate) fn frames(&self) -> impl ExactSizeIterator<Item = &ProfileFrame> {
        self.frames.iter()
    }

    pub(crate) fn frame_at(&self, id: FrameId) -> &ProfileFrame {
        &self.frames[id.0 as usize]
    }

    /// Returns the number of nodes; every [`StackId`] but the empty one is below it.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, index: usize) -> Node {
        self.nodes[index]
    }

    /// Returns the frames of a stack, innermost first.
    pub(crate) fn walk(&self, stack: StackId) -> impl Iterator<Item = FrameId> {
        let first = stack.index().map(|i| self.nodes[i]);
        std::iter::successors(first, |node| node.caller.index().map(|i| self.nodes[i])).map(|node| node.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_and_outer_frames_are_kept_once() {
        let mut stacks = Stacks::default();
        let main = stacks.frame(ProfileFrame::guest("main").in_module("m"));
        let work = stacks.frame(ProfileFrame::guest("work").in_module("m").at("main", Some(3)));
        assert_eq!(main, stacks.frame(ProfileFrame::guest("main").in_module("m")));
        assert_ne!(main, stacks.frame(ProfileFrame::guest("main").in_module("n")));
        assert_eq!(stacks.names.len(), 4);

        let inner = stacks.stack(&[work, main]);
        let deeper = stacks.stack(&[work, work, main]);
        assert_eq!(stacks.stack(&[work, main]), inner);
        assert_eq!(stacks.node_count(), 3);
        assert_eq!(stacks.walk(deeper).collect::<Vec<_>>(), [work, work, main]);
        assert_eq!(stacks.walk(stacks.node(deeper.0 as usize).caller).collect::<Vec<_>>(), [work, main]);
        assert_eq!(stacks.stack(&[]), StackId::EMPTY);
        assert_eq!(stacks.walk(StackId::EMPTY).count(), 0);
    }

    #[test]
    fn there_is_an_end_to_new_stacks() {
        let mut stacks = Stacks { nodes_kept: 3, ..Stacks::default() };
        let [a, b] = ["a", "b"].map(|name| stacks.frame(ProfileFrame::guest(name)));
        let known = stacks.stack(&[a, b, a]);
        let first = stacks.stack(&[b, b, a]);
        assert_eq!(first, stacks.stack(&[a, a, a, a]));
        assert_eq!(stacks.stack(&[a, b, a]), known);
        assert_eq!(stacks.node_count(), 4);
        let names: Vec<_> = stacks.walk(first).map(|id| stacks.frame_at(id).function()).collect();
        assert_eq!(names, [OMITTED_STACKS]);
    }

    #[test]
    fn there_is_an_end_to_new_frames() {
        let mut stacks = Stacks { frames_kept: 2, ..Stacks::default() };
        let [a, _, c, d] = ["a", "b", "c", "d"].map(|name| stacks.frame(ProfileFrame::guest(name)));
        assert_eq!((c, stacks.frame_at(c).function()), (d, OMITTED_FRAMES));
        assert_eq!(stacks.frame(ProfileFrame::guest("a")), a);
        assert_eq!(stacks.frames().len(), 3);
    }
}
