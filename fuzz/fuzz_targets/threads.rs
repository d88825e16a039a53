//! Shared memories and atomic instructions, on one thread, compared with Wasmtime.
#![no_main]

use belljar_fuzz::{Family, against_wasmtime};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| against_wasmtime(Family::Threads, bytes));
