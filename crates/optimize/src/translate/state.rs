//! The data of a translation: the bodies being read, the frames of the control stack, exception handlers, locals, and constants
//! of the instance. The other files of this folder hold the operations on them.

use belljar_abi::SourcePos;
use belljar_core::{DefinedFuncIndex, FuncIndex, HeapType, RefType, TagIndex, TypeIndex, TypeRef};
use cranelift_codegen::ir::{Block, FuncRef, Inst, SigRef, StackSlot, Type, Value};
use cranelift_frontend::Variable;
use std::ops::Range;
use wasmparser::OperatorsReader;

/// A body that is being read.
pub(super) struct Activation<'a> {
    pub(super) reader: OperatorsReader<'a>,
    pub(super) func: DefinedFuncIndex,
    /// Position of the call that it returns to: the one that it replaces, or, if that is a last one, the one that the body with
    /// it replaces. None: the function's caller's.
    pub(super) call: SourcePos,
    /// Where its locals begin.
    pub(super) first_local: usize,
    /// Its body's place in the control stack.
    pub(super) frame: usize,
    /// Where the body begins anew when it calls itself where it would return otherwise.
    pub(super) header: Option<Block>,
    /// What it replaces, as seen from the function that is compiled.
    pub(super) call_position: CallPosition,
}

/// Where a body that is being read stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallPosition {
    /// It is the function's own, or replaces a call that the function ends with: what it returns, the function
    /// returns.
    Tail,
    /// It replaces a call.
    NonTail,
    /// It replaces a call that another inlined body ends with.
    TailOfInlined,
}

/// Variables for the locals of inlined callees, by type. A callee's variables are all defined where it
/// begins and mean nothing where it has ended, so that the next one may have them: the builder keeps a map of
/// all blocks for each variable.
#[derive(Default)]
pub(super) struct LocalPool {
    pub(super) free: [Vec<Variable>; 6],
    /// Types of the variables in use, beside the locals.
    pub(super) types: Vec<u8>,
}

impl LocalPool {
    pub(super) fn clear(&mut self) {
        self.free.iter_mut().for_each(Vec::clear);
        self.types.clear();
    }
}

/// What a frame is, with what only this kind needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameKind {
    /// `block`, or an `if` past its `else`.
    Block,
    /// `loop`: branches go to its start.
    Loop {
        /// Where branches go.
        header: Block,
    },
    /// `if` before its `else`.
    If(ElseTarget),
    /// `try_table`.
    TryTable(HandlerId),
    /// `try` before its first `catch`.
    Try(HandlerId),
    /// `try` from its first `catch` on.
    Catch(Caught),
    /// A whole body: branches to it return.
    Body,
}

/// Where an `if` goes when its condition is false.
#[derive(Clone, Copy, Debug)]
pub(super) enum ElseTarget {
    /// To the exit, unless an `else` turns up: then this branch is redirected.
    Exit(Inst),
    /// To this block, which starts with the saved parameters of the `if`.
    Block(Block),
}

/// An open block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) ty: FrameType,
    /// Values on the stack below its parameters.
    pub(super) height: usize,
    /// Where exceptions go that are thrown inside; `None`: out of the function.
    pub(super) handler: Option<HandlerId>,
    /// Where execution goes on behind it, if something branches there.
    pub(super) exit: Option<Block>,
    /// Whether something does that is not said to be unlikely.
    pub(super) warm: bool,
}

/// Parameters and results of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameType {
    Empty,
    /// One result, and whether the collector must know of it.
    One(Type, bool),
    Func(TypeIndex),
    /// The results of this type; the parameters have become locals.
    Results(TypeIndex),
}

impl Frame {
    pub(super) fn body(results: TypeIndex, height: usize, handler: Option<HandlerId>) -> Self {
        let ty = FrameType::Results(results);
        Self { kind: FrameKind::Body, ty, height, handler, exit: None, warm: false }
    }
}

/// One of [`super::scratch::Scratch::handlers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HandlerId(pub(super) u32);

/// What a `try` does with what is thrown inside it.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    /// Where it looks at the exception, its only parameter.
    pub(super) block: Block,
    /// Whether anything goes there.
    pub(super) used: bool,
    /// The handler around it.
    pub(super) outer: Option<HandlerId>,
    /// Its frame's place in the control stack.
    pub(super) frame: usize,
    /// Its clauses, where it is that of a `try_table`.
    pub(super) clauses: Option<Range<usize>>,
}

/// A clause of a `try_table`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause {
    /// What it catches; `None`: all.
    pub(super) tag: Option<TagIndex>,
    /// Whether the exception itself goes along.
    pub(super) with_ref: bool,
    /// Where to, as seen from outside of the `try_table`.
    pub(super) label: u32,
}

/// A `try` from its first `catch` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caught {
    /// What was thrown; `None` if nothing can be.
    pub(super) exception: Option<Value>,
    /// Where an exception goes on that none has caught so far.
    pub(super) next: Option<Block>,
}

/// What a call leads to, its checks made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callee {
    /// A function of the module.
    Known(FuncIndex),
    /// Code of a type, and the context that it takes.
    Code { ty: TypeIndex, code: Value, context: Value },
}

/// What a call instruction names.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallTarget {
    Func(FuncRef),
    Code(SigRef, Value),
}

/// Where the locals of the function that is compiled lie.
pub(super) struct FrameLocals {
    pub(super) slot: StackSlot,
    /// Of each local that is used.
    pub(super) offsets: Vec<Option<FrameOffset>>,
    /// References at the slot's beginning.
    pub(super) references: u32,
}

#[derive(Clone, Copy)]
pub(super) struct FrameOffset {
    pub(super) offset: i32,
    pub(super) ty: Type,
    pub(super) traced: bool,
}

/// What a reference may be besides an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RefInfo {
    pub(super) may_be_null: bool,
    pub(super) may_be_i31: bool,
}

impl RefInfo {
    /// What is known where nothing is.
    pub(super) const UNKNOWN: Self = Self { may_be_null: true, may_be_i31: true };
    /// What was just made.
    pub(super) const OBJECT: Self = Self { may_be_null: false, may_be_i31: false };

    /// What a type says. (Of a function reference it says too much, which nobody asks for.)
    pub(super) fn of(ty: RefType) -> Self {
        let may_be_i31 = !matches!(
            ty.heap_type(),
            HeapType::Struct | HeapType::Array | HeapType::None | HeapType::Defined(TypeRef::Index(_))
        );
        Self { may_be_null: ty.is_nullable(), may_be_i31 }
    }

    /// What both say.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            may_be_null: self.may_be_null && other.may_be_null,
            may_be_i31: self.may_be_i31 && other.may_be_i31,
        }
    }
}

/// The constants that one function has loaded so far.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) store_context: Option<Value>,
    pub(super) const_base: Option<Value>,
    pub(super) text_base: Option<Value>,
    pub(super) builtins: Option<Value>,
    pub(super) gc_base: Option<Value>,
    pub(super) type_lines: Option<Value>,
    /// Base and definition of memory 0; others are loaded at each use.
    pub(super) memory_base: Option<Value>,
    pub(super) memory_def: Option<Value>,
}
