//! The reason why a function could not be compiled, without naming the function.

use belljar_compile::CompileError;
use belljar_core::{FuncIndex, FuncType};
use cranelift_codegen::CodegenError;
use std::any::Any;

/// The reason why a piece of code could not be compiled.
#[derive(Debug)]
pub(crate) enum Failure {
    Message(String),
    /// The compilation as a whole is over, for this reason.
    Ended(CompileError),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    pub(crate) fn from_panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self::new(format!("the compiler panicked ({text}); this is a bug, please report it"))
    }

    pub(crate) fn in_function(self, func: FuncIndex) -> CompileError {
        match self {
            Self::Message(message) => CompileError::Function { index: func.0, message },
            Self::Ended(why) => why,
        }
    }

    pub(crate) fn in_trampoline(self, ty: &FuncType) -> CompileError {
        match self {
            Self::Message(message) => CompileError::Trampoline { signature: ty.to_string(), message },
            Self::Ended(why) => why,
        }
    }
}

/// From the budget, which ends the compilation.
impl From<CompileError> for Failure {
    fn from(why: CompileError) -> Self {
        Self::Ended(why)
    }
}

impl From<wasmparser::BinaryReaderError> for Failure {
    fn from(e: wasmparser::BinaryReaderError) -> Self {
        Self::new(format!("a validated body does not parse: {} (at byte {:#x})", e.message(), e.offset()))
    }
}

impl From<CodegenError> for Failure {
    fn from(e: CodegenError) -> Self {
        match e {
            CodegenError::CodeTooLarge | CodegenError::ImplLimitExceeded => {
                Self::new("the function is too large for the compiler; split it")
            }
            other => Self::new(other.to_string()),
        }
    }
}
