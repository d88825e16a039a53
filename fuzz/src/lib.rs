//! The common part of the fuzz targets: generated modules, and engines that run them side by side.
//!
//! `generate` creates a module of a `Family` from an input; `compare` makes the same calls in two engines, each behind
//! the trait `Runner`, and panics if they differ. `engines` has one file for each engine; belljar and Wasmtime have
//! the same interface, so one source file, `engines/embedding.rs`, is compiled against both. `components` does the same
//! with components.
//!
//! ```sh
//! cargo fuzz run gc --sanitizer none --no-trace-compares -- -entropic=0 -use_counters=0
//! ```
//!
//! The last three options make it more than ten times as fast: two compilers have hundreds of thousands of branches, and
//! libFuzzer's bookkeeping for them (what they compare, how often each was taken, which are rare) takes longer than the run.
//!
//! If the environment variable `FUZZ_MODULE` is set, the generated module is written to that file before it runs; a
//! component as text, and why its calls failed is printed.

mod compare;
pub mod components;
mod engines;
mod generate;
mod generated;
mod prepare;

pub use compare::{Ended, Plain, Runner, compare};
pub use engines::{Belljar, Wasmi, Wasmtime, engine, store};
pub use generate::{Family, Mode, generate, lengthened};
pub use generated::Generated;

/// Fuel for each call: enough for interesting runs, too little for long ones.
pub const FUEL: u64 = 100_000;

/// The most bytes of each memory, and of the heap of objects.
const MEMORY_LIMIT: usize = 16 << 20;

/// The most elements of each table.
const TABLE_LIMIT: usize = 100_000;

/// Bytes of native stack for guest code: less than a thread has, so that deep recursion ends soon.
const STACK: usize = 256 << 10;

/// Compares a family's modules with Wasmtime.
pub fn against_wasmtime(family: Family, bytes: &[u8]) {
    compare::<Belljar, Wasmtime>(family, bytes);
}
