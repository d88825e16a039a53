//! The same calls here and in wasmi must give the same results, the same traps, and the same final state.
#![no_main]

use belljar_fuzz::{Belljar, Family, Wasmi, compare};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| compare::<Belljar, Wasmi>(Family::Release2, bytes));
