//! The same calls here and in wasmi: the same results, the same traps, the same state after.
#![no_main]

use belljar_fuzz::{Belljar, Family, Wasmi, compare};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| compare::<Belljar, Wasmi>(Family::Release2, bytes));
