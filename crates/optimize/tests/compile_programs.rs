//! Compiles real programs. They lie outside the repository; if one is absent, the test prints so.

use belljar_compile::{Budget, ModulePlan, Tunables, compile};
use belljar_module::{Module, WasmFeatures, validate};
use belljar_optimize::Optimizer;
use std::path::PathBuf;

/// Returns a program beside the repository, or prints that it is absent and returns `None`.
fn program(path: &str) -> Option<Module> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    match std::fs::read(root.join(path)) {
        Ok(bytes) => Some(validate(bytes.into(), WasmFeatures::WASM2).expect("a valid program")),
        Err(_) => {
            println!("skipped: {path} is not beside the repository");
            None
        }
    }
}

fn compiles(path: &str) {
    let Some(module) = program(path) else { return };
    let started = std::time::Instant::now();
    let plan = ModulePlan::new(&module, Tunables::default());
    let artifact = compile(&plan, &Optimizer::new().unwrap(), &(), &Budget::unlimited()).unwrap();
    println!("{path}: {} KiB of text in {:?}", artifact.text.len() / 1024, started.elapsed());
    assert_eq!(artifact.funcs.len(), module.defined_funcs());
    assert!(
        artifact.funcs.iter().all(|f| f.length == 0 || !artifact.tables().positions_at(f.start).is_empty())
    );
    assert!(artifact.traps.windows(2).all(|w| w[0].offset < w[1].offset));
}

#[test]
fn ubench() {
    compiles("bench/ubench/wasm/ubench.wasm");
    compiles("bench/ubench/wasm/ubench-O2.wasm");
    compiles("bench/ubench/wasm/ubench-simd.wasm");
}

#[test]
fn small_programs() {
    compiles("programs/rust-hello/hi-p1.wasm");
    compiles("programs/assemblyscript/a.wasm");
    compiles("programs/features/simd.wasm");
    compiles("programs/c/zbench.wasm");
}

#[test]
#[ignore = "half a minute without optimization"]
fn large_programs() {
    compiles("programs/c/sqlbench.wasm");
    compiles("programs/ripgrep/rg-p1.wasm");
    compiles("programs/gofmt/gofmt.wasm");
}

#[test]
#[ignore = "minutes without optimization"]
fn huge_functions() {
    compiles("programs/cpython312-p1/python.wasm");
    compiles("programs/compile-only/ruby.wasm");
}
