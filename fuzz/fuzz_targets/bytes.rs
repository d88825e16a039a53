//! Arbitrary bytes as a module: an error or a module, never a panic.
#![no_main]

use belljar::Module;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Module::new(belljar_fuzz::engine(true), bytes);
});
