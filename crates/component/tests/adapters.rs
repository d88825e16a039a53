//! Modules of adapters: which calls they serve, and that they are valid.

use belljar_component::adapters::{AdapterOptions, Adapters, MemoryShape};
use belljar_component::{BuiltinKind, Component, FuncOrigin};
use wasmparser::{Validator, WasmFeatures};

/// Makes the adapters of a component, whose memories have 64-bit addresses if their names say so.
fn adapters(text: &str, limit: usize) -> (Component, Adapters) {
    let binary = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut plan = Component::new(&binary, WasmFeatures::all()).unwrap_or_else(|error| panic!("{error:?}"));
    let shape = |_, name: &str| {
        Some(MemoryShape { is_64: name.ends_with("64"), page_size_log2: 16, is_shared: name == "shared" })
    };
    let options = AdapterOptions { memory: &shape, exceptions: true, limit };
    let adapters = plan.add_adapters(&options);
    for wasm in &adapters.modules {
        let valid = Validator::new_with_features(WasmFeatures::WASM3).validate_all(wasm);
        valid.unwrap_or_else(|error| panic!("{error}"));
    }
    (plan, adapters)
}

/// Returns how many calls between components are adapted, and how many are not.
fn counts(plan: &Component) -> (usize, usize) {
    let between = plan.builtins.iter().filter(|builtin| match &builtin.kind {
        BuiltinKind::Lower { func, .. } => {
            matches!(plan.funcs[func.index()].origin, FuncOrigin::Lifted { .. })
        }
        _ => false,
    });
    let all: Vec<_> = between.collect();
    let adapted = all.iter().filter(|builtin| builtin.is_adapted).count();
    (adapted, all.len() - adapted)
}

/// Two components, of which one calls a function of the other.
fn pair(ty: &str, types: &str, [lower, lift]: [&str; 2], core: [&str; 2]) -> String {
    let libc = |is_64: bool| {
        let (memory, at) = if is_64 { ("memory64", "i64") } else { ("memory", "i32") };
        format!(
            r#"(core module $libc
                (memory (export "{memory}") {limits})
                (func (export "realloc") (param {at} {at} {at} {at}) (result {at}) unreachable))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "{memory}" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))"#,
            limits = if is_64 { "i64 1" } else { "1" },
        )
    };
    let [to, from] = [lift, lower].map(|options| libc(options.contains("64")));
    let [lower, lift] = [lower, lift].map(|encoding| {
        let encoding = encoding.trim_end_matches("-64");
        format!("(memory $memory) (realloc $realloc) string-encoding={encoding}")
    });
    format!(
        r#"(component
            (component $callee
                {types} {to}
                (core module $m (func (export "f") {core_lifted} unreachable))
                (core instance $m (instantiate $m))
                (func (export "f") {ty} (canon lift (core func $m "f") {lift})))
            (component $caller
                {types} {from}
                (import "f" (func $f {ty}))
                (core func $f (canon lower (func $f) {lower}))
                (core module $m (import "" "f" (func {core_lowered})))
                (core instance (instantiate $m (with "" (instance (export "f" (func $f)))))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "f" (func $callee "f")))))"#,
        core_lifted = core[1],
        core_lowered = core[0],
    )
}

const LARGE: usize = 1 << 20;

#[test]
fn all_types_in_all_memories_make_valid_modules() {
    let sides = ["utf8", "utf16", "latin1+utf16", "utf8-64", "utf16-64", "latin1+utf16-64"];
    for lower in sides {
        for lift in sides {
            let at = |side: &str| if side.ends_with("64") { "i64" } else { "i32" };
            let (a, b) = (at(lower), at(lift));
            for (ty, lowered, lifted) in [
                (
                    "(param \"a\" u8) (result bool)",
                    "(param i32) (result i32)".to_string(),
                    "(param i32) (result i32)".to_string(),
                ),
                (
                    "(param \"a\" string) (result string)",
                    format!("(param {a} {a} {a})"),
                    format!("(param {b} {b}) (result {b})"),
                ),
                (
                    "(param \"a\" (list (list u16))) (param \"b\" (map string (list bool)))",
                    format!("(param {a} {a} {a} {a})"),
                    format!("(param {b} {b} {b} {b})"),
                ),
                (
                    "(param \"a\" (option (result char (error f64)))) (result (tuple f32 s8))",
                    format!("(param i32 i32 i64 {a})"),
                    format!("(param i32 i32 i64) (result {b})"),
                ),
                (
                    "(param \"a\" (list (list (tuple bool u8 char) 3))) (result (list (option s16)))",
                    format!("(param {a} {a} {a})"),
                    format!("(param {b} {b}) (result {b})"),
                ),
            ] {
                let (plan, adapters) = adapters(&pair(ty, "", [lower, lift], [&lowered, &lifted]), LARGE);
                assert_eq!(counts(&plan), (1, 0), "{ty} from {lower} to {lift}");
                assert_eq!((adapters.modules.len(), adapters.instances.len()), (1, 1));
            }
        }
    }
}

#[test]
fn types_that_contain_each_other_do_not_multiply() {
    // Each type contains the one before it twice: a copy of the code for each use would be a million of them.
    let mut types = String::from(r#"(type $t0 (option string))"#);
    for i in 1..=18 {
        types += &format!("(type $t{i} (tuple $t{0} $t{0}))", i - 1);
    }
    let text = pair(r#"(param "a" $t18)"#, &types, ["utf8", "utf16"], ["(param i32)", "(param i32)"]);
    let (plan, adapters) = adapters(&text, LARGE);
    assert_eq!(counts(&plan), (1, 0));
    assert!(adapters.modules[0].len() < 8000, "{} bytes", adapters.modules[0].len());
}

#[test]
fn what_is_too_large_is_left_to_the_runtime() {
    let text = pair(r#"(param "a" string)"#, "", ["utf8", "utf8"], ["(param i32 i32)", "(param i32 i32)"]);
    for (limit, expected) in [(0, (0, 1)), (200, (0, 1)), (LARGE, (1, 0))] {
        let (plan, adapters) = adapters(&text, limit);
        assert_eq!(counts(&plan), expected);
        assert_eq!(adapters.modules.len(), expected.0);
    }
}

#[test]
fn what_cannot_be_expressed_is_left_to_the_runtime() {
    // A shared memory, and a type that adapters do not pass.
    let text = pair(r#"(param "a" string)"#, "", ["utf8", "utf8"], ["(param i32 i32)", "(param i32 i32)"]);
    let (plan, _) = adapters(&text.replace("\"memory\"", "\"shared\""), LARGE);
    assert_eq!(counts(&plan), (0, 1));
    let text = pair(
        r#"(param "a" (list (stream u8)))"#,
        "",
        ["utf8", "utf8"],
        ["(param i32 i32)", "(param i32 i32)"],
    );
    let (plan, _) = adapters(&text, LARGE);
    assert_eq!(counts(&plan), (0, 1));
    // A component that calls itself.
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (core func $f (canon lower (func $f)))
        (core module $n (import "" "f" (func)))
        (core instance (instantiate $n (with "" (instance (export "f" (func $f)))))))"#;
    let (plan, _) = adapters(text, LARGE);
    assert_eq!(counts(&plan), (0, 1));
}

#[test]
fn parts_that_are_instantiated_again_share_a_module() {
    let text = pair(r#"(param "a" string)"#, "", ["utf8", "utf8"], ["(param i32 i32)", "(param i32 i32)"]);
    let more: String = (0..5)
        .map(|i| {
            format!(
                r#"(instance $callee{i} (instantiate $callee))
                (instance (instantiate $caller (with "f" (func $callee{i} "f"))))"#
            )
        })
        .collect();
    let text = format!("{} {more})", text.strip_suffix(')').unwrap());
    let (plan, adapters) = adapters(&text, LARGE);
    assert_eq!(counts(&plan), (6, 0));
    assert_eq!((adapters.modules.len(), adapters.instances.len()), (1, 6));
}

#[test]
fn adapters_that_need_each_other_are_made_one_after_the_other() {
    // The second component lifts what it has lowered: its adapter is what the third one's calls.
    let text = r#"(component
        (component $A
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func (export "f") (canon lift (core func $m "f"))))
        (component $B
            (import "f" (func $f))
            (core func $f (canon lower (func $f)))
            (func (export "f") (canon lift (core func $f))))
        (component $C
            (import "f" (func $f))
            (core func $f (canon lower (func $f)))
            (core module $m (import "" "f" (func)))
            (core instance (instantiate $m (with "" (instance (export "f" (func $f)))))))
        (instance $a (instantiate $A))
        (instance $b (instantiate $B (with "f" (func $a "f"))))
        (instance $c (instantiate $C (with "f" (func $b "f")))))"#;
    let (plan, adapters) = adapters(text, LARGE);
    assert_eq!(counts(&plan), (2, 0));
    assert_eq!(adapters.instances.len(), 2);
    let steps: Vec<_> =
        plan.steps.iter().map(|step| matches!(step, belljar_component::Step::Adapt(_))).collect();
    assert_eq!(steps, [false, true, true, false]);
}
