//! Streams for standard input, output and error, under Wasmtime's paths.
//!
//! A stream is anything that implements [`StdinStream`] or [`StdoutStream`]; both are synchronous.

pub use crate::stdio::{InputFile, OutputFile, Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use crate::stream::{InputStream as StdinStream, OutputStream as StdoutStream};
