//! Limits of compilation: small modules that are expensive to compile fail with an error that says why, or are
//! compiled.

use belljar::{
    Cache, CacheConfig, CodeBuilder, CompileCancel, CompileLimit, CompileLimitExceeded, CompileLimits,
    Config, Engine, Error, Module, Trust, UserKey,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn exceeded(result: belljar::Result<Module>) -> CompileLimitExceeded {
    match result {
        Ok(_) => panic!("it was compiled"),
        Err(error) => {
            error.downcast::<CompileLimitExceeded>().unwrap_or_else(|error: Error| panic!("{error:?}"))
        }
    }
}

fn engine(limits: CompileLimits) -> Engine {
    let mut config = Config::new();
    config.compile_limits(limits);
    Engine::new(&config).unwrap()
}

/// Calls of a function type with the most parameters and results: a few bytes each, but thousands of values.
fn wide_calls(count: usize) -> String {
    let values = " v128".repeat(1000);
    let arguments: String = (0..1000).map(|i| format!(" local.get {i}")).collect();
    format!(
        "(module (type $t (func (param{values}) (result{values})))
            (func $f (type $t) {arguments})
            (func (type $t) {arguments} {}))",
        " call $f".repeat(count)
    )
}

#[test]
fn sizes_are_limited_and_told() {
    let three = "(module (import \"m\" \"f\" (func)) (func) (func nop nop nop nop) (func))";
    let told = |limits| exceeded(Module::new(&engine(limits), three));
    let none = CompileLimits::unlimited;
    assert_eq!(
        told(none().functions(2)).to_string(),
        "the number of functions that the module defines is 3, and the limit is 2 (CompileLimits::functions)"
    );
    assert_eq!(
        told(none().function_size(5)).to_string(),
        "the largest body has 6 bytes, and the limit is 5 bytes; it is function 2 (6 bytes) (CompileLimits::function_size)"
    );
    assert_eq!(told(none().module_size(8)).limit(), CompileLimit::ModuleSize);
    let enough = none().functions(3).function_size(6).module_size(1000);
    assert!(Module::new(&engine(enough), three).is_ok());
    assert!(Module::new(&engine(CompileLimits::default()), three).is_ok());
}

#[test]
fn memory_is_limited_by_what_functions_are_when_written_out() {
    let binary = wat::parse_str(wide_calls(200)).unwrap();
    assert!(binary.len() < 10_000, "it is small");
    let told = exceeded(Module::new(&engine(CompileLimits::unlimited().memory(20 << 20)), &binary));
    assert_eq!((told.limit(), told.allowed()), (CompileLimit::Memory, 20 << 20));
    let function = told.function().unwrap();
    assert_eq!((function.index.0, function.bytes > 400), (1, true));
    assert!(function.written_out > 50_000 && function.written_out < 500_000, "{function}");
}

#[test]
fn functions_that_have_no_room_beside_each_other_are_compiled_one_by_one() {
    // Each takes about 9 MB by the compiler's estimate, and together they exceed the limit.
    let body = "(i32.store (local.get 0) (i32.add (local.get 0) (i32.const 7)))".repeat(5000);
    let module = format!("(module (memory 1) {})", format!("(func (param i32) {body})").repeat(12));
    assert!(Module::new(&engine(CompileLimits::unlimited().memory(14 << 20)), &module).is_ok());
    let told = exceeded(Module::new(&engine(CompileLimits::unlimited().memory(4 << 20)), &module));
    assert_eq!(told.limit(), CompileLimit::Memory);
}

#[test]
fn time_is_limited_and_what_takes_longer_than_is_left_is_not_begun() {
    let limits = CompileLimits::unlimited().cpu(Duration::from_millis(30));
    let told = exceeded(Module::new(&engine(limits), wide_calls(200)));
    assert_eq!((told.limit(), told.allowed()), (CompileLimit::Cpu, 30_000_000));
    // Which of the two took most so far depends on the machine.
    assert!(
        told.function().is_some_and(|function| function.index.0 < 2 && !function.cpu.is_zero()),
        "{told}"
    );
    // Validation is part of it: checking so many values takes longer than the limit.
    let values = "i32 ".repeat(1000);
    let targets = "0 ".repeat(60_000);
    let checked = format!(
        "(module (func (param i32) (result {values}) {} (br_table {targets} 0 (local.get 0))))",
        "(local.get 0)".repeat(1000)
    );
    let told =
        exceeded(Module::new(&engine(CompileLimits::unlimited().cpu(Duration::from_millis(2))), checked));
    assert_eq!(told.limit(), CompileLimit::Cpu);
}

/// Many functions that take a few milliseconds each.
fn long() -> Vec<u8> {
    let body =
        "(i32.store (local.get 0) (i32.mul (local.get 0) (i32.load offset=8 (local.get 0))))".repeat(3000);
    wat::parse_str(format!("(module (memory 1) {})", format!("(func (param i32) {body})").repeat(200)))
        .unwrap()
}

#[test]
fn whoever_waits_is_released_when_the_time_is_over() {
    let binary = long();
    let started = Instant::now();
    let told =
        exceeded(Module::new(&engine(CompileLimits::unlimited().wall(Duration::from_millis(50))), &binary));
    assert_eq!((told.limit(), told.allowed()), (CompileLimit::Wall, 50_000_000));
    // The whole compilation takes far longer.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let quick = engine(CompileLimits::default().wall(Duration::from_secs(3600)));
    assert!(Module::new(&quick, "(module (func))").is_ok());
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    let entries: Vec<_> = entries.unwrap_or_default();
    entries.iter().map(|path| if path.is_dir() { files(path) } else { usize::from(is_entry(path)) }).sum()
}

/// Returns whether a file in the cache's directory contains code, or the beginning of some.
fn is_entry(path: &Path) -> bool {
    fs::metadata(path).unwrap().len() > 1000
}

#[test]
fn what_was_cancelled_ends_and_leaves_nothing_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let compiled = Arc::new(AtomicUsize::new(0));
    let (cancel, seen) = (CompileCancel::new(), compiled.clone());
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    config.cache(Some(Cache::open(CacheConfig::at(dir.path())).unwrap()));
    let canceller = cancel.clone();
    config.compile_progress(move |progress| {
        if progress.done > 0 {
            seen.fetch_add(1, Ordering::Relaxed);
            canceller.cancel();
        }
    });
    let engine = Engine::new(&config).unwrap();
    let binary = long();
    let mut builder = CodeBuilder::new(&engine);
    builder.wasm_binary(&binary, None).unwrap().cancel(&cancel);
    let error = builder.compile_module().unwrap_err();
    assert_eq!(error.to_string(), "the compilation was cancelled");
    // Functions that were being compiled at the same time were finished.
    assert!((1..20).contains(&compiled.load(Ordering::Relaxed)));
    assert_eq!(files(dir.path()), 0);
    // It stays cancelled, but other builders are not.
    assert!(builder.compile_module().is_err());
    CodeBuilder::new(&engine)
        .wasm_binary_or_text(b"(module (func))", None)
        .unwrap()
        .compile_module()
        .unwrap();
}

#[test]
fn a_panic_of_the_embedders_function_reaches_who_waits() {
    let mut config = Config::new();
    config.compile_limits(CompileLimits::unlimited().wall(Duration::from_secs(3600)));
    config.compile_progress(|_| panic!("the embedder's own"));
    let engine = Engine::new(&config).unwrap();
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Module::new(&engine, "(module)")));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "the embedder's own");
}

#[test]
fn a_builder_compiles_one_module() {
    let engine = Engine::default();
    let mut builder = CodeBuilder::new(&engine);
    assert!(builder.compile_module().unwrap_err().to_string().contains("no module to compile"));
    builder.wasm_binary_or_text(b"(module)", None).unwrap();
    let error = builder.wasm_binary_or_text(b"(module)", Some(Path::new("a\x1b.wasm"))).unwrap_err();
    assert_eq!(error.to_string(), "a builder compiles only one module, but got a second one a\\u{1b}.wasm");
    builder.compile_module().unwrap();
}
