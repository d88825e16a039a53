//! Objects, casts and typed function references, with the collector at its worst for half of the inputs: as in Wasmtime.
#![no_main]

use belljar_fuzz::{Family, against_wasmtime};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| against_wasmtime(Family::Gc, bytes));
