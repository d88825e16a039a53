//! What the fuzz targets share: generated modules, and engines that run them side by side.
//!
//! `generate` makes a module of a `Family` from an input, `compare` makes the same calls in two engines, each behind
//! the trait `Runner`, and panics where they differ. `engines` has one file for each engine; belljar and Wasmtime have
//! the same interface, so one text, `engines/embedding.rs`, is compiled against both.
//!
//! ```sh
//! cargo fuzz run gc --sanitizer none --no-trace-compares -- -entropic=0 -use_counters=0
//! ```
//!
//! The last three options make it ten times as fast and more: two compilers have hundreds of thousands of branches, and
//! libFuzzer's accounts of them (what they compare, how often each was taken, which are rare) take longer than the run.
//!
//! With `FUZZ_MODULE` in the environment, the module that an input stands for is written to that file before it runs.

mod compare;
mod engines;
mod generate;
mod generated;
mod prepare;

pub use compare::{Ended, Plain, Runner, compare};
pub use engines::{Belljar, Wasmi, Wasmtime, engine, store};
pub use generate::{Family, Mode, generate, lengthened};
pub use generated::Generated;

/// Fuel for each call: enough to get anywhere, too little to take long.
pub const FUEL: u64 = 100_000;

/// Bytes that each memory, and the heap of objects, may have.
const MEMORY_LIMIT: usize = 16 << 20;

/// Elements that each table may have.
const TABLE_LIMIT: usize = 100_000;

/// Bytes of native stack for guest code: less than a thread has, so that deep recursion ends soon.
const STACK: usize = 256 << 10;

/// A family's modules here and in Wasmtime.
pub fn against_wasmtime(family: Family, bytes: &[u8]) {
    compare::<Belljar, Wasmtime>(family, bytes);
}
