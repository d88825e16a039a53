//! The interface of a compiler tier.

use crate::{CompileError, FunctionBudget, ModulePlan, Target, TierOrigin};
use belljar_abi::{CompiledFunction, TrampolineKind};
use belljar_core::{DefinedFuncIndex, FuncIndex, FuncType};

/// A compiler. It keeps no state between functions, so any number of them can be compiled at the same time.
///
/// Guest calling convention: the context of the callee (for a host function: its object) is the first
/// argument, the wasm parameters follow. Integer and reference arguments take the native argument registers
/// in order, floats and vectors the vector registers; a single result returns in the first register of its
/// class. Every frame keeps the frame pointer.
pub trait Tier: Send + Sync {
    /// Returns which build of which tier it is, which is part of the identity of its code.
    fn origin(&self) -> TierOrigin;

    /// Returns the machine that its code is for.
    fn target(&self) -> Target;

    /// Returns the features of the host's processor that code may need.
    fn host_features(&self) -> Vec<&'static str>;

    /// Compiles one defined function. Reports the work to `budget` on the way, which can end it.
    ///
    /// # Errors
    ///
    /// Returns an error if the function exceeds what the compiler supports, and the errors of [`FunctionBudget`].
    fn function(
        &self,
        plan: &ModulePlan<'_>,
        func: DefinedFuncIndex,
        budget: &mut FunctionBudget<'_>,
    ) -> Result<CompiledFunction, CompileError>;

    /// Compiles a function with the type of an import that takes the importing instance's context and calls the import.
    /// It stands for the import in read-only tables.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tier::function`].
    fn thunk(&self, plan: &ModulePlan<'_>, import: FuncIndex) -> Result<CompiledFunction, CompileError>;

    /// Compiles a trampoline for a signature.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tier::function`].
    fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction, CompileError>;
}
