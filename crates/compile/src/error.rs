//! Why a valid module could not be compiled.

use crate::CompileLimitExceeded;
use belljar_core::OutsideText;
use std::fmt;

/// Why a valid module could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// One function could not be compiled.
    Function {
        /// Its index in the module.
        index: u32,
        /// What the tier says.
        message: String,
    },
    /// A trampoline for this signature could not be compiled.
    Trampoline {
        /// The signature.
        signature: String,
        /// What the tier says.
        message: String,
    },
    /// All the code and its read-only tables together exceed the reach of a 32-bit distance.
    TextTooLarge {
        /// Bytes of both.
        bytes: u64,
    },
    /// It would take more than it may.
    Limit(Box<CompileLimitExceeded>),
    /// Somebody wanted it no more.
    Cancelled,
    /// There is no room for a function beside those that are being compiled: it is to be compiled again when they are done.
    Crowded,
    /// The machine lacks something the tier needs.
    Unsupported(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The tier's words may be those of a panic, which may quote anything.
            Self::Function { index, message } => {
                write!(f, "could not compile function {index}: {}", OutsideText::new(message))
            }
            Self::Trampoline { signature, message } => {
                write!(f, "could not compile a trampoline for {signature}: {}", OutsideText::new(message))
            }
            Self::TextTooLarge { bytes } => {
                write!(
                    f,
                    "the compiled code and its tables are {bytes} bytes, more than the 2 GiB that one module may have"
                )
            }
            Self::Limit(exceeded) => exceeded.fmt(f),
            Self::Cancelled => f.write_str("the compilation was cancelled"),
            Self::Crowded => {
                f.write_str("a function found no room beside others; this is a bug, please report it")
            }
            Self::Unsupported(what) => OutsideText::new(what).fmt(f),
        }
    }
}

impl std::error::Error for CompileError {}

impl From<CompileLimitExceeded> for CompileError {
    fn from(exceeded: CompileLimitExceeded) -> Self {
        Self::Limit(Box::new(exceeded))
    }
}
