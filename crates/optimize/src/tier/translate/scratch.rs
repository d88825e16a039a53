//! The translator's reusable memory.

use super::state::{Clause, Frame, Handler, LocalPool, RefInfo};
use crate::tier::generation_map::GenerationMap;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, FuncRef, SigRef, Value};
use cranelift_frontend::Variable;
use wasmparser::OperatorsReaderAllocations;

/// Vectors and maps that keep their memory between functions.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The wasm value stack, of all activations together.
    pub(super) stack: Vec<Value>,
    /// The control stack, of all activations together.
    pub(super) control: Vec<Frame>,
    /// The locals of all activations, outermost first.
    pub(super) locals: Vec<Variable>,
    /// Facts about the locals, as far as they hold references.
    pub(super) local_infos: Vec<RefInfo>,
    /// Handlers of the function.
    pub(super) handlers: Vec<Handler>,
    /// Clauses of all `try_table`s of the function.
    pub(super) clauses: Vec<Clause>,
    /// Parameters of enclosing `if`s, kept for their `else`.
    pub(super) saved: Vec<Value>,
    /// Variables that inlined callees no longer use.
    pub(super) pool: LocalPool,
    /// Arguments of the branch under construction.
    pub(super) block_args: Vec<BlockArg>,
    /// Arguments of the call under construction.
    pub(super) call_args: Vec<Value>,
    /// Entries of the jump table under construction.
    pub(super) jump_table: Vec<BlockCall>,
    /// Runs of equal targets of the jump table under construction: relative depth, and the index after the run.
    pub(super) runs: Vec<(u32, u32)>,
    /// Distinct targets of the jump table under construction: relative depth and block on the edge.
    pub(super) edges: Vec<(u32, Block)>,
    /// The edge of each relative depth.
    pub(super) edge_of_depth: GenerationMap<PackedOption<Block>>,
    /// Signatures imported so far, by type index.
    pub(super) signatures: GenerationMap<PackedOption<SigRef>>,
    /// Functions imported so far, by defined function index.
    pub(super) funcs: GenerationMap<PackedOption<FuncRef>>,
    /// Values read from constant globals that refer to objects: the global, and the number of safepoints before the
    /// read.
    pub(super) constants: GenerationMap<(u32, u32)>,
    /// Allocations of the parser.
    pub(super) parsers: Vec<OperatorsReaderAllocations>,
}

impl Scratch {
    /// Clears the data of the last function.
    pub(crate) fn clear(&mut self) {
        self.stack.clear();
        self.control.clear();
        self.locals.clear();
        self.local_infos.clear();
        self.saved.clear();
        self.handlers.clear();
        self.clauses.clear();
        self.pool.clear();
        self.signatures.clear();
        self.funcs.clear();
        self.constants.clear();
    }
}
