//! Chains of components that pass values of arbitrary types on, valid and invalid, compared with Wasmtime.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| belljar_fuzz::components::against_wasmtime(bytes));
