//! Several memories, 64-bit addresses, pages of one byte, wide arithmetic: as in Wasmtime.
#![no_main]

use belljar_fuzz::{Family, against_wasmtime};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| against_wasmtime(Family::Memories, bytes));
