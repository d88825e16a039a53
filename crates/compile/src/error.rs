//! Why a valid module could not be compiled.

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
            Self::Unsupported(what) => OutsideText::new(what).fmt(f),
        }
    }
}

impl std::error::Error for CompileError {}
