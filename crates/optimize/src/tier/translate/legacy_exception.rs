//! The legacy exception instructions: `try`, `catch`, `catch_all`, `delegate` and `rethrow`.
//!
//! Each `catch` continues where the one before it did not match; the first starts in the handler's block.

use super::state::{Caught, FrameKind, FrameType, HandlerId};
use super::translator::Translator;
use belljar_core::TagIndex;
use wasmparser::BlockType;

impl Translator<'_> {
    pub(super) fn open_try(&mut self, ty: BlockType) {
        let handler = self.new_handler(None);
        let ty = self.frame_type(ty);
        self.open_with(handler, ty);
    }

    /// Opens the frame of a handler.
    pub(super) fn open_with(&mut self, handler: HandlerId, ty: FrameType) {
        let kind = match self.handler_at(handler).clauses {
            Some(_) => FrameKind::TryTable(handler),
            None => FrameKind::Try(handler),
        };
        self.open(kind, ty);
        self.frame(0).handler = Some(handler);
    }

    /// Translates `catch` or `catch_all`, whether or not it is reachable.
    pub(super) fn catch(&mut self, tag: Option<TagIndex>) {
        if self.reachable {
            self.leave_frame();
        }
        let frame = *self.frame(0);
        self.s.stack.truncate(frame.height);
        let exception = match frame.kind {
            FrameKind::Try(handler) => {
                self.frame(0).handler = self.handler_at(handler).outer;
                self.start_handler(handler)
            }
            FrameKind::Catch(Caught { exception, next: Some(next) }) => {
                self.b.switch_to_block(next);
                exception
            }
            _ => None,
        };
        let next = exception.zip(tag).map(|(exception, tag)| {
            let next = self.match_exception(exception, tag);
            self.push_payload(exception, tag);
            next
        });
        self.reachable = exception.is_some();
        self.frame(0).kind = FrameKind::Catch(Caught { exception, next });
    }

    /// Rethrows uncaught exceptions at the end of a frame, whether or not it is reachable.
    pub(super) fn end_handlers(&mut self) {
        let frame = *self.frame(0);
        let exception = match frame.kind {
            FrameKind::TryTable(handler) => return self.end_try_table(handler),
            FrameKind::Try(handler) => return self.end_try(handler, self.handler_at(handler).outer),
            FrameKind::Catch(Caught { exception, next: Some(next) }) => {
                if self.reachable {
                    self.leave_frame();
                }
                self.b.switch_to_block(next);
                exception
            }
            _ => None,
        };
        if let Some(exception) = exception {
            self.throw_to(exception, frame.handler);
        }
    }

    /// Ends a `try` without a `catch`.
    fn end_try(&mut self, handler: HandlerId, to: Option<HandlerId>) {
        if self.handler_at(handler).used && self.reachable {
            self.leave_frame();
        }
        let reachable = self.reachable;
        if let Some(exception) = self.start_handler(handler) {
            self.throw_to(exception, to);
        }
        self.reachable = reachable;
        // It is an ordinary block from here on.
        self.frame(0).kind = FrameKind::Block;
    }

    /// Ends a `try` whose exceptions go to the handler of an enclosing frame, whether or not the end is reachable.
    pub(super) fn delegate(&mut self, depth: usize) {
        let to = self.frame(depth + 1).handler;
        if let FrameKind::Try(handler) = self.frame(0).kind {
            self.end_try(handler, to);
        }
        self.end();
    }

    pub(super) fn rethrow(&mut self, depth: usize) {
        if let FrameKind::Catch(Caught { exception: Some(exception), .. }) = self.frame(depth).kind {
            self.throw_to(exception, self.handler());
        }
    }
}
