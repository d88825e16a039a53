//! Objects, casts and typed function references, with a collection at each allocation for half of the inputs, compared
//! with Wasmtime.
#![no_main]

use belljar_fuzz::{Family, against_wasmtime};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| against_wasmtime(Family::Gc, bytes));
