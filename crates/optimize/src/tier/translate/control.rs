//! Blocks, loops and conditionals: the control stack.
//!
//! A frame's exit block is created when the first branch to it is translated. A block without branches to it, and the
//! body of an inlined callee without an early return, create no CLIF block at all.

use super::state::{CallPosition, ElseTarget, Frame, FrameKind, FrameType};
use super::translator::Translator;
use crate::tier::signature::{parsed_type, value_type};
use belljar_core::{TypeIndex, ValType};
use cranelift_codegen::ir::{Block, InstBuilder};
use wasmparser::{BlockType, Operator};

impl<'a> Translator<'a> {
    pub(super) fn control(&mut self, op: &Operator<'_>) -> bool {
        match *op {
            Operator::Block { blockty } => self.open(FrameKind::Block, self.frame_type(blockty)),
            Operator::Loop { blockty } => self.open_loop(self.frame_type(blockty)),
            Operator::If { blockty } => self.open_if(self.frame_type(blockty)),
            Operator::Else => self.start_else(),
            Operator::End => self.end(),
            _ => return false,
        }
        true
    }

    fn params(&self, ty: FrameType) -> &'a [ValType] {
        match ty {
            FrameType::Func(index) => self.module.func_type_at(index).params(),
            _ => &[],
        }
    }

    fn result_count(&self, ty: FrameType) -> usize {
        match ty {
            FrameType::Empty => 0,
            FrameType::One(..) => 1,
            FrameType::Func(index) | FrameType::Results(index) => {
                self.module.func_type_at(index).results().len()
            }
        }
    }

    pub(super) fn open(&mut self, kind: FrameKind, ty: FrameType) {
        let height = self.s.stack.len() - self.params(ty).len();
        let handler = self.handler();
        self.s.control.push(Frame { kind, ty, height, handler, exit: None, warm: false });
    }

    fn open_loop(&mut self, ty: FrameType) {
        self.flush_fuel();
        let header = self.b.create_block();
        let params = self.params(ty);
        for param in params {
            self.append_param(header, *param);
        }
        self.jump(header, params.len());
        self.open(FrameKind::Loop { header }, ty);
        self.loops += 1;
        self.start_block(header, self.s.stack.len() - params.len());
        self.check_limits();
    }

    fn open_if(&mut self, ty: FrameType) {
        self.flush_fuel();
        let likely = self.likely();
        let condition = self.pop_condition();
        let then = self.b.create_block();
        if likely == Some(false) {
            self.b.set_cold_block(then);
        }
        let params = self.params(ty).len();
        if params == 0 && self.result_count(ty) == 0 {
            let exit = self.b.create_block();
            let branch = self.b.ins().brif(condition, then, &[], exit, &[]);
            self.open(FrameKind::If(ElseTarget::Exit(branch)), ty);
            self.frame(0).exit = Some(exit);
            self.frame(0).warm = true;
        } else {
            let other = self.b.create_block();
            if likely == Some(true) {
                self.b.set_cold_block(other);
            }
            self.b.ins().brif(condition, then, &[], other, &[]);
            self.b.seal_block(other);
            self.open(FrameKind::If(ElseTarget::Block(other)), ty);
            let from = self.s.stack.len() - params;
            self.s.saved.extend_from_slice(&self.s.stack[from..]);
        }
        self.b.seal_block(then);
        self.b.switch_to_block(then);
    }

    /// Translates `else`, whether or not it is reachable.
    pub(super) fn start_else(&mut self) {
        if self.reachable {
            self.leave_frame();
        }
        let frame = *self.frame(0);
        let FrameKind::If(target) = frame.kind else { return };
        self.frame(0).kind = FrameKind::Block;
        self.s.stack.truncate(frame.height);
        let start = match target {
            ElseTarget::Exit(branch) => {
                let start = self.b.create_block();
                if let Some(exit) = frame.exit {
                    self.b.change_jump_destination(branch, exit, start);
                }
                self.b.seal_block(start);
                start
            }
            ElseTarget::Block(start) => {
                self.restore_params(frame.ty);
                start
            }
        };
        self.b.switch_to_block(start);
        self.reachable = true;
    }

    fn restore_params(&mut self, ty: FrameType) {
        let from = self.s.saved.len() - self.params(ty).len();
        self.s.stack.extend(self.s.saved.drain(from..));
    }

    /// Translates `end`, whether or not it is reachable.
    pub(super) fn end(&mut self) {
        if let FrameKind::If(ElseTarget::Block(_)) = self.frame(0).kind {
            // Without an `else`, the results are the parameters.
            self.start_else();
        }
        self.end_handlers();
        let frame = *self.frame(0);
        match frame.kind {
            FrameKind::Loop { header } => {
                self.b.seal_block(header);
                self.loops -= 1;
            }
            FrameKind::Body if !self.is_inlined() => return self.end_function(frame),
            _ if frame.exit.is_some() && self.reachable => self.leave_frame(),
            _ => {}
        }
        let warm = self.frame(0).warm;
        self.s.control.pop();
        if let Some(exit) = frame.exit {
            self.b.seal_block(exit);
            if !warm {
                self.b.set_cold_block(exit);
            }
            self.start_block(exit, frame.height);
            self.reachable = true;
        } else if !self.reachable {
            self.s.stack.truncate(frame.height);
        }
        if let FrameKind::Body = frame.kind {
            let call_position = self.leave();
            if self.reachable && call_position != CallPosition::NonTail {
                self.return_();
            }
        }
    }

    fn end_function(&mut self, frame: Frame) {
        if let Some(exit) = frame.exit {
            if self.reachable {
                self.leave_frame();
            }
            self.b.seal_block(exit);
            self.start_block(exit, frame.height);
            self.reachable = true;
        }
        if self.reachable {
            self.return_from_function();
        }
        self.s.control.pop();
        self.leave();
    }

    /// Jumps from the end of the innermost frame to its exit.
    pub(super) fn leave_frame(&mut self) {
        self.flush_fuel();
        let (exit, count) = self.exit(0);
        self.jump(exit, count);
        self.reachable = false;
    }

    /// Continues in `block`, whose parameters become the stack above `height`.
    pub(super) fn start_block(&mut self, block: Block, height: usize) {
        self.b.switch_to_block(block);
        self.s.stack.truncate(height);
        self.s.stack.extend_from_slice(self.b.func.dfg.block_params(block));
    }

    /// Returns the frame around `depth` others.
    pub(super) fn frame(&mut self, depth: usize) -> &mut Frame {
        let last = self.s.control.len() - 1;
        &mut self.s.control[last - depth]
    }

    /// Returns how many frames are nested in that of the innermost body.
    pub(super) fn body_depth(&self) -> usize {
        let body = self.activations.last().map_or(0, |activation| activation.frame);
        self.s.control.len() - 1 - body
    }

    /// Returns the exit of a frame and how many values it takes.
    fn exit(&mut self, depth: usize) -> (Block, usize) {
        self.frame(depth).warm = true;
        let frame = *self.frame(depth);
        let count = self.result_count(frame.ty);
        let exit = frame.exit.unwrap_or_else(|| {
            let exit = self.b.create_block();
            self.append_results(exit, frame.ty);
            self.frame(depth).exit = Some(exit);
            exit
        });
        (exit, count)
    }

    fn append_results(&mut self, block: Block, ty: FrameType) {
        match ty {
            FrameType::Empty => {}
            FrameType::One(ty, traced) => {
                let param = self.b.append_block_param(block, ty);
                self.track_if(traced, param);
            }
            FrameType::Func(index) | FrameType::Results(index) => {
                for result in self.module.func_type_at(index).results() {
                    self.append_param(block, *result);
                }
            }
        }
    }

    /// Appends a block parameter for a value of a type.
    pub(super) fn append_param(&mut self, block: Block, ty: ValType) {
        let param = self.b.append_block_param(block, value_type(ty));
        self.track_if(self.is_traced(ty), param);
    }

    pub(super) fn frame_type(&self, ty: BlockType) -> FrameType {
        match ty {
            BlockType::Empty => FrameType::Empty,
            BlockType::Type(ty) => FrameType::One(parsed_type(ty), self.is_parsed_traced(ty)),
            BlockType::FuncType(index) => FrameType::Func(TypeIndex(index)),
        }
    }

    /// Returns the target of a branch to a frame and how many values it takes.
    pub(super) fn target(&mut self, depth: usize) -> (Block, usize) {
        let frame = *self.frame(depth);
        match frame.kind {
            FrameKind::Loop { header } => (header, self.params(frame.ty).len()),
            _ => self.exit(depth),
        }
    }
}

/// Branch hints.
impl Translator<'_> {
    /// Returns whether a hint says that the current branch is likely to be taken.
    pub(super) fn likely(&self) -> Option<bool> {
        if self.plan.branch_hints.is_empty() {
            return None;
        }
        let func = self.activations[self.activations.len() - 1].func;
        let offset = self.pc.0 - self.module.body(func).start as u32;
        self.plan.branch_hints.likely(self.module.func_index(func), offset)
    }

    /// Returns the same as [`Translator::target`], for a branch that is rarely taken.
    pub(super) fn unlikely_target(&mut self, depth: usize) -> (Block, usize) {
        let warm = self.frame(depth).warm;
        let target = self.target(depth);
        self.frame(depth).warm = warm;
        target
    }

    pub(super) fn is_loop(&mut self, depth: usize) -> bool {
        matches!(self.frame(depth).kind, FrameKind::Loop { .. })
    }
}
