//! The reasons why a valid module could not be compiled.

use crate::CompileLimitExceeded;
use belljar_core::OutsideText;
use std::fmt;

/// The reason why a valid module could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// One function could not be compiled.
    Function {
        /// Its index in the module.
        index: u32,
        /// The tier's message.
        message: String,
    },
    /// A trampoline for this signature could not be compiled.
    Trampoline {
        /// The signature.
        signature: String,
        /// The tier's message.
        message: String,
    },
    /// The code and its read-only tables together exceed the range of a 32-bit distance.
    TextTooLarge {
        /// Bytes of both.
        bytes: u64,
    },
    /// The compilation exceeded a limit.
    Limit(Box<CompileLimitExceeded>),
    /// The compilation was cancelled.
    Cancelled,
    /// There is not enough memory for a function beside those being compiled. It must be compiled again when they are
    /// finished.
    Crowded,
    /// The machine lacks a feature that the tier needs.
    Unsupported(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The tier's message may come from a panic, which may quote untrusted text.
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
                f.write_str("not enough memory for a function beside others; this is a bug, please report it")
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
