//! Arbitrary bytes as a module: an error or a module, never a panic.
#![no_main]

use belljar::Module;
use belljar_fuzz::Mode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Module::new(belljar_fuzz::engine(Mode::PLAIN), bytes);
});
