//! What a compiler must offer to be a tier.

use crate::{CompileError, FunctionBudget, ModulePlan};
use belljar_abi::{CompiledFunction, TrampolineKind};
use belljar_core::{DefinedFuncIndex, FuncIndex, FuncType};

/// The machine that code is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its triple.
    pub triple: String,
    /// What the processor must have.
    pub features: Vec<&'static str>,
}

/// A compiler. It keeps no state between functions, so that any number compile at once.
///
/// Guest calling convention: the context of the callee (for a host function: its object) is the first
/// argument, the wasm parameters follow. Integer and reference arguments take the native argument registers
/// in order, floats and vectors the vector registers; a single result returns in the first register of its
/// class. Every frame keeps the frame pointer.
pub trait Tier: Send + Sync {
    /// The tier's name and version: part of what identifies its code.
    fn name(&self) -> &'static str;

    /// Tells builds of the tier apart: a digest of its sources.
    fn fingerprint(&self) -> [u8; 32];

    /// The machine that its code is for.
    fn target(&self) -> Target;

    /// What the processor has that this runs on, of the features that code may need.
    fn host_features(&self) -> Vec<&'static str>;

    /// Compiles one defined function. What it takes is told to `budget` on the way, so that it can be ended.
    ///
    /// # Errors
    ///
    /// Where the function exceeds what the compiler can hold, and those of [`FunctionBudget`].
    fn function(
        &self,
        plan: &ModulePlan<'_>,
        func: DefinedFuncIndex,
        budget: &mut FunctionBudget<'_>,
    ) -> Result<CompiledFunction, CompileError>;

    /// Compiles a function with the type of an import that takes the importing instance's context and calls
    /// the import. Read-only tables hold it where the table holds the import.
    ///
    /// # Errors
    ///
    /// As [`Tier::function`].
    fn thunk(&self, plan: &ModulePlan<'_>, import: FuncIndex) -> Result<CompiledFunction, CompileError>;

    /// Compiles a trampoline for a signature.
    ///
    /// # Errors
    ///
    /// As [`Tier::function`].
    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction, CompileError>;
}
