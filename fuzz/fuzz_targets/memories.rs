//! Several memories, 64-bit addresses, pages of one byte, and wide arithmetic, compared with Wasmtime.
#![no_main]

use belljar_fuzz::{Family, against_wasmtime};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| against_wasmtime(Family::Memories, bytes));
