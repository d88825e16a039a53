//! Exceptions: `throw`, `throw_ref` and `try_table`.
//!
//! An exception is a heap object. If the function catches it itself, possibly after inlining, throwing becomes a
//! branch, and the exception is created only if the clause takes a reference to it.

use super::object::Extension;
use super::state::{Clause, FrameKind, HandlerId};
use super::translator::Translator;
use crate::tier::region::Region;
use crate::tier::tuning::CATCH_SEARCH;
use belljar_abi::gc::TAG;
use belljar_core::{StorageType, TagIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value, types};
use std::ops::Range;
use wasmparser::{BlockType, Catch, Operator};

impl Translator<'_> {
    pub(super) fn exceptions(&mut self, op: &Operator<'_>) -> bool {
        match op {
            Operator::Throw { tag_index } => self.throw(TagIndex(*tag_index)),
            Operator::ThrowRef => {
                let exception = self.pop();
                self.trap_if_null(exception);
                self.throw_to(exception, self.handler());
            }
            Operator::TryTable { try_table } => self.try_table(try_table.ty, &try_table.catches),
            Operator::Try { blockty } => self.open_try(*blockty),
            Operator::Catch { tag_index } => self.catch(Some(TagIndex(*tag_index))),
            Operator::CatchAll => self.catch(None),
            Operator::Delegate { relative_depth } => self.delegate(*relative_depth as usize),
            Operator::Rethrow { relative_depth } => self.rethrow(*relative_depth as usize),
            _ => return false,
        }
        true
    }

    fn try_table(&mut self, ty: BlockType, catches: &[Catch]) {
        let ty = self.frame_type(ty);
        if catches.is_empty() {
            return self.open(FrameKind::Block, ty);
        }
        let first = self.s.clauses.len();
        self.s.clauses.extend(catches.iter().map(|catch| {
            let (tag, with_ref, label) = match *catch {
                Catch::One { tag, label } => (Some(TagIndex(tag)), false, label),
                Catch::OneRef { tag, label } => (Some(TagIndex(tag)), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            Clause { tag, with_ref, label }
        }));
        let handler = self.new_handler(Some(first..self.s.clauses.len()));
        self.open_with(handler, ty);
    }

    /// Translates the clauses at the end of a `try_table`, whether or not it is reachable.
    pub(super) fn end_try_table(&mut self, handler: HandlerId) {
        if self.handler_at(handler).used && self.reachable {
            self.leave_frame();
        }
        let outer = self.handler_at(handler).outer;
        self.frame(0).handler = outer;
        let Some(exception) = self.start_handler(handler) else { return };
        let height = self.frame(0).height;
        self.s.stack.truncate(height);
        let clauses = self.handler_at(handler).clauses.clone().unwrap_or_default();
        let mut tag = None;
        for i in clauses {
            let Clause { tag: wanted, with_ref, label } = self.s.clauses[i];
            let next = wanted.map(|wanted| {
                let tag = *tag.get_or_insert_with(|| self.tag_of(exception));
                let next = self.start_match(tag, wanted);
                self.push_payload(exception, wanted);
                next
            });
            if with_ref {
                self.push(exception);
            }
            self.br(label as usize + 1);
            self.s.stack.truncate(height);
            // Clauses after one that catches all are unreachable.
            let Some(next) = next else { return };
            self.b.switch_to_block(next);
        }
        self.throw_to(exception, outer);
    }

    fn tag_of(&mut self, exception: Value) -> Value {
        let address = self.object_address(exception);
        let flags = self.regions.trusted(self.b.func, Region::field(TAG));
        self.b.ins().load(types::I32, flags, address, TAG as i32)
    }

    /// Continues if the tag is the wanted one. Returns the block for the other case.
    fn start_match(&mut self, tag: Value, wanted: TagIndex) -> Block {
        let wanted = self.load_constant(types::I32, self.context, self.module.layout().tag_id(wanted));
        let same = self.b.ins().icmp(IntCC::Equal, tag, wanted);
        let (found, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(next);
        self.b.ins().brif(same, found, &[], next, &[]);
        self.b.seal_block(found);
        self.b.seal_block(next);
        self.b.switch_to_block(found);
        next
    }

    /// Does the same as [`Translator::start_match`], for an exception.
    pub(super) fn match_exception(&mut self, exception: Value, wanted: TagIndex) -> Block {
        let tag = self.tag_of(exception);
        self.start_match(tag, wanted)
    }

    /// Pushes the payload of an exception with this tag.
    pub(super) fn push_payload(&mut self, exception: Value, tag: TagIndex) {
        let types = self.module.tag_type(tag).params();
        let layout = self.plan.fields(self.module.tags()[tag.index()]);
        let address = self.object_address(exception);
        for (offset, ty) in layout.offsets.iter().zip(types) {
            let flags = self.regions.trusted(self.b.func, Region::field(*offset));
            let storage = StorageType::Val(*ty);
            let value = self.load_storage(storage, Extension::None, flags, address, *offset as i32);
            self.push(value);
        }
    }

    fn throw(&mut self, tag: TagIndex) {
        let mut handler = self.handler();
        let mut searched = 0;
        // Handlers that certainly catch it, or certainly do not, are resolved at compile time.
        while let Some(id) = handler {
            searched += 1 + self.handler_at(id).clauses.as_ref().map_or(0, Range::len);
            if searched > CATCH_SEARCH {
                break;
            }
            match self.catches(id, tag) {
                Catches::No => handler = self.handler_at(id).outer,
                Catches::Perhaps => break,
                Catches::Yes(clause) => return self.throw_and_catch(id, clause, tag),
            }
        }
        let exception = self.new_exception(tag);
        self.throw_to(exception, handler);
    }

    /// Returns whether a handler catches exceptions of a tag, as far as is known at compile time.
    fn catches(&self, handler: HandlerId, tag: TagIndex) -> Catches {
        let Some(clauses) = &self.handler_at(handler).clauses else { return Catches::Perhaps };
        for clause in &self.s.clauses[clauses.clone()] {
            match clause.tag {
                Some(other) if other != tag => {
                    // Two imports may be one tag.
                    if other.index().max(tag.index()) < self.module.imported_tags() {
                        return Catches::Perhaps;
                    }
                }
                _ => return Catches::Yes(*clause),
            }
        }
        Catches::No
    }

    fn throw_and_catch(&mut self, handler: HandlerId, clause: Clause, tag: TagIndex) {
        let count = self.module.tag_type(tag).params().len();
        if clause.with_ref {
            let exception = match clause.tag {
                Some(_) => self.make_exception(tag),
                None => self.new_exception(tag),
            };
            self.push(exception);
        } else if clause.tag.is_none() {
            self.s.stack.truncate(self.s.stack.len() - count);
        }
        let target = self.handler_at(handler).frame - 1 - clause.label as usize;
        self.br(self.s.control.len() - 1 - target);
    }

    /// Creates an exception with the topmost values as payload, and pops them.
    fn new_exception(&mut self, tag: TagIndex) -> Value {
        let exception = self.make_exception(tag);
        let count = self.module.tag_type(tag).params().len();
        self.s.stack.truncate(self.s.stack.len() - count);
        exception
    }

    /// Creates an exception with the topmost values as payload.
    fn make_exception(&mut self, tag: TagIndex) -> Value {
        let ty = self.module.tags()[tag.index()];
        let types = self.module.tag_type(tag).params();
        let layout = self.plan.fields(ty);
        let exception = self.alloc(ty, layout.size);
        let address = self.object_address(exception);
        let id = self.load_constant(types::I32, self.context, self.module.layout().tag_id(tag));
        let flags = self.regions.trusted(self.b.func, Region::field(TAG));
        self.b.ins().store(flags, id, address, TAG as i32);
        let height = self.s.stack.len() - types.len();
        for (i, (offset, ty)) in layout.offsets.iter().zip(types).enumerate() {
            let flags = self.regions.trusted(self.b.func, Region::field(*offset));
            let value = self.s.stack[height + i];
            self.store_storage(StorageType::Val(*ty), flags, value, address, *offset as i32);
        }
        exception
    }
}

/// Whether a handler catches something.
enum Catches {
    Yes(Clause),
    No,
    Perhaps,
}
