//! The data of a translation: the bodies being translated, the frames of the control stack, exception handlers, locals,
//! and constants of the instance. The other files of this folder hold the operations on them.

use belljar_abi::SourcePos;
use belljar_core::{DefinedFuncIndex, FuncIndex, HeapType, RefType, TagIndex, TypeIndex, TypeRef};
use cranelift_codegen::ir::{Block, FuncRef, Inst, SigRef, StackSlot, Type, Value};
use cranelift_frontend::Variable;
use std::ops::Range;
use wasmparser::OperatorsReader;

/// A body that is being translated.
pub(super) struct Activation<'a> {
    pub(super) reader: OperatorsReader<'a>,
    pub(super) func: DefinedFuncIndex,
    /// Source position of the call that this body returns to. For an inlined tail call it is that of the enclosing
    /// inlined call. `NONE` stands for the function's own caller.
    pub(super) call: SourcePos,
    /// Index of its first local.
    pub(super) first_local: usize,
    /// Index of the body's frame in the control stack.
    pub(super) frame: usize,
    /// The start of the body, to which it jumps when it tail-calls itself.
    pub(super) header: Option<Block>,
    /// The position of the call that it replaces.
    pub(super) call_position: CallPosition,
}

/// The position of a body in the function that is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallPosition {
    /// It is the function's own body, or replaces a tail call of the function: the function returns its results.
    Tail,
    /// It replaces a call that is not a tail call.
    NonTail,
    /// It replaces a tail call of another inlined body.
    TailOfInlined,
}

/// Variables for the locals of inlined callees, by type. A callee's variables are all defined at its start and are dead
/// after its end, so the next callee reuses them: the builder keeps a map of all blocks for each variable.
#[derive(Default)]
pub(super) struct LocalPool {
    pub(super) free: [Vec<Variable>; 6],
    /// Types of the variables in use, parallel to the locals.
    pub(super) types: Vec<u8>,
}

impl LocalPool {
    pub(super) fn clear(&mut self) {
        self.free.iter_mut().for_each(Vec::clear);
        self.types.clear();
    }
}

/// The kind of a frame, with the data that only this kind needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameKind {
    /// `block`, or an `if` past its `else`.
    Block,
    /// `loop`: branches go to its start.
    Loop {
        /// The target of branches.
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

/// The target of an `if` whose condition is false.
#[derive(Clone, Copy, Debug)]
pub(super) enum ElseTarget {
    /// The exit. If there is an `else`, this branch is redirected to it.
    Exit(Inst),
    /// This block, which starts with the saved parameters of the `if`.
    Block(Block),
}

/// An open block of the control stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) ty: FrameType,
    /// Number of values on the stack below its parameters.
    pub(super) height: usize,
    /// The handler of exceptions thrown inside; `None` if they leave the function.
    pub(super) handler: Option<HandlerId>,
    /// The block after the end of the frame, if something branches to it.
    pub(super) exit: Option<Block>,
    /// Whether a branch to the exit exists that is not hinted as unlikely.
    pub(super) warm: bool,
}

/// Parameters and results of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameType {
    Empty,
    /// One result, and whether the collector must trace it.
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

/// An index into [`super::scratch::Scratch::handlers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HandlerId(pub(super) u32);

/// The handler of a `try`.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    /// The block that checks the exception, its only parameter.
    pub(super) block: Block,
    /// Whether anything jumps to it.
    pub(super) used: bool,
    /// The enclosing handler.
    pub(super) outer: Option<HandlerId>,
    /// Index of its frame in the control stack.
    pub(super) frame: usize,
    /// Its clauses, if it belongs to a `try_table`.
    pub(super) clauses: Option<Range<usize>>,
}

/// A clause of a `try_table`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause {
    /// The tag that it catches; `None` for all.
    pub(super) tag: Option<TagIndex>,
    /// Whether it passes on the exception itself.
    pub(super) with_ref: bool,
    /// The label that it branches to, relative to the outside of the `try_table`.
    pub(super) label: u32,
}

/// A `try` from its first `catch` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caught {
    /// The exception; `None` if none can be thrown.
    pub(super) exception: Option<Value>,
    /// The block for exceptions that no clause has caught so far.
    pub(super) next: Option<Block>,
}

/// The callee of a call, after its checks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callee {
    /// A function of the module.
    Known(FuncIndex),
    /// Code of a type, and the context that it takes.
    Code { ty: TypeIndex, code: Value, context: Value },
}

/// The target of a call instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallTarget {
    Func(FuncRef),
    Code(SigRef, Value),
}

/// The positions in the frame of the locals of the function that is compiled.
pub(super) struct FrameLocals {
    pub(super) slot: StackSlot,
    /// The offset of each local that is used.
    pub(super) offsets: Vec<Option<FrameOffset>>,
    /// The number of references at the start of the slot.
    pub(super) references: u32,
}

#[derive(Clone, Copy)]
pub(super) struct FrameOffset {
    pub(super) offset: i32,
    pub(super) ty: Type,
    pub(super) traced: bool,
}

/// Facts about a reference: what it may be besides an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RefInfo {
    pub(super) may_be_null: bool,
    pub(super) may_be_i31: bool,
}

impl RefInfo {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { may_be_null: true, may_be_i31: true };
    /// A newly allocated object.
    pub(super) const OBJECT: Self = Self { may_be_null: false, may_be_i31: false };

    /// Returns the facts that follow from a type. (For a function reference they are too strong, but nothing uses
    /// them.)
    pub(super) fn of(ty: RefType) -> Self {
        let may_be_i31 = !matches!(
            ty.heap_type(),
            HeapType::Struct | HeapType::Array | HeapType::None | HeapType::Defined(TypeRef::Index(_))
        );
        Self { may_be_null: ty.is_nullable(), may_be_i31 }
    }

    /// Combines two sets of facts about the same reference.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            may_be_null: self.may_be_null && other.may_be_null,
            may_be_i31: self.may_be_i31 && other.may_be_i31,
        }
    }
}

/// The instance constants that one function has loaded so far.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) store_context: Option<Value>,
    pub(super) const_base: Option<Value>,
    pub(super) text_base: Option<Value>,
    pub(super) builtins: Option<Value>,
    pub(super) gc_base: Option<Value>,
    pub(super) type_displays: Option<Value>,
    /// Address and definition of memory 0; others are loaded at each use.
    pub(super) memory_base: Option<Value>,
    pub(super) memory_def: Option<Value>,
}
