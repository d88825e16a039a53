//! The reasons why bytes are not a module.

use belljar_core::OutsideText;
use std::fmt;

/// The reason why bytes are not a module that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// The input is empty.
    Empty,
    /// The input does not start like a wasm binary.
    NotWasm {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The input is a component, not a core module.
    Component,
    /// The binary is malformed or invalid.
    Invalid {
        /// What is wrong.
        message: String,
        /// Byte position in the binary.
        offset: u64,
        /// If the binary was made from text: a line end, and the lines that show the position there.
        place: Option<Box<str>>,
    },
    /// The binary is valid but exceeds what this implementation holds.
    TooLarge {
        /// The quantity that exceeds a limit, and the limit.
        what: String,
    },
    /// The [`crate::StopCheck`] stopped validation.
    Stopped,
    /// The metadata from an earlier validation does not fit the binary.
    WrongMetadata,
}

impl From<wasmparser::BinaryReaderError> for ModuleError {
    fn from(e: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid { message: e.message().to_string(), offset: e.offset(), place: None }
    }
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the input is empty: expected a wasm binary or its text format"),
            Self::NotWasm { found } => write!(
                f,
                "not a wasm binary: expected it to start with the bytes 00 61 73 6d (\"\\0asm\"), found {}{}",
                found.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
                match &**found {
                    [0x7f, b'E', b'L', b'F'] =>
                        ": if this is a compiled module, Module::deserialize loads it",
                    text if is_start_of_text(text) => {
                        ": if this is the text format, Module::new and Module::from_file take it as well"
                    }
                    _ => "",
                }
            ),
            Self::Component => f.write_str(
                "this is a component, but a core module is expected: build for wasm32-wasip1, or extract the \
                 module with `wasm-tools component unbundle`",
            ),
            Self::Invalid { message, offset, place } => {
                write!(f, "invalid wasm module: {}", OutsideText::new(message))?;
                match place {
                    Some(place) => f.write_str(place),
                    None => write!(f, " (at byte {offset:#x})"),
                }
            }
            Self::Stopped => f.write_str("validation was stopped"),
            Self::WrongMetadata => {
                f.write_str("the metadata of the compiled module does not match its binary")
            }
            Self::TooLarge { what } => write!(f, "the module is too large: {what}"),
        }
    }
}

/// Returns whether the text format can start with these bytes.
fn is_start_of_text(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start(), [] | [b'(' | b';', ..])
}

impl std::error::Error for ModuleError {}
