//! Components: values through the memory of a guest, what traps, handles, links, and how instances end.

use belljar::StoreContextMut;
use belljar::component::{Component, Instance, Linker, Resource, ResourceType, Val};
use belljar::{Config, Engine, Error, Result, Store, Trap};
use std::sync::{Arc, Mutex};

/// An engine whose components may use everything.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_fixed_length_lists(true).wasm_component_model_memory64(true);
    Engine::new(&config).unwrap()
}

/// A core module with a memory and an allocator that never frees, for 32- or 64-bit addresses.
fn libc(address: &str) -> String {
    format!(
        r#"(core module $libc
            (memory (export "memory") {memory} 4)
            (global $top (mut {address}) ({address}.const 4096))
            (func (export "realloc") (param $old {address}) (param $old_size {address}) (param $align {address})
                (param $size {address}) (result {address}) (local $at {address})
                (local.set $at ({address}.and
                    ({address}.add (global.get $top) ({address}.sub (local.get $align) ({address}.const 1)))
                    ({address}.sub ({address}.const 0) (local.get $align))))
                (global.set $top ({address}.add (local.get $at) (local.get $size)))
                (memory.copy (local.get $at) (local.get $old) (local.get $old_size))
                (local.get $at)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))"#,
        memory = if address == "i64" { "i64" } else { "" }
    )
}

/// Sends a value to a guest and back. The guest gets it in memory, behind so many numbers that it is never passed in
/// registers, and passes the same memory on.
fn through_a_guest(engine: &Engine, ty: &str, value: &Val, address: &str, encoding: &str) -> Val {
    let pads = "u32 ".repeat(17);
    let options = format!("(memory $memory) (realloc $realloc) string-encoding={encoding}");
    let component = format!(
        r#"(component
        {libc}
        (type $declared {ty})
        (import "ty" (type $ty (eq $declared)))
        (type $wide (tuple {pads} $ty))
        (import "wide" (type $named (eq $wide)))
        (import "get" (func $get (result $named)))
        (import "put" (func $put (param "x" $named)))
        (core func $get (canon lower (func $get) {options}))
        (core func $put (canon lower (func $put) {options}))
        (core module $m
            (import "host" "get" (func $get (param {address})))
            (import "host" "put" (func $put (param {address})))
            (func (export "run") (call $get ({address}.const 16)) (call $put ({address}.const 16))))
        (core instance $m (instantiate $m (with "host" (instance (export "get" (func $get)) (export "put" (func $put))))))
        (func (export "run") (canon lift (core func $m "run"))))"#,
        libc = libc(address),
        ty = if ty.starts_with('(') { ty.into() } else { format!("(tuple {ty})") },
    );
    let is_bare = !ty.starts_with('(');
    let component = Component::new(engine, component).unwrap_or_else(|error| panic!("{ty}: {error:?}"));
    let got = Arc::new(Mutex::new(None));
    let kept = got.clone();
    let inner = if is_bare { Val::Tuple(vec![value.clone()]) } else { value.clone() };
    let wide: Vec<Val> = (0..17).map(Val::U32).chain([inner]).collect();
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func_new("get", move |_, _, _, results| {
        results[0] = Val::Tuple(wide.clone());
        Ok(())
    })
    .unwrap();
    root.func_new("put", move |_, _, params, _| {
        *kept.lock().unwrap() = Some(params[0].clone());
        Ok(())
    })
    .unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_func(&store, "run").unwrap();
    run.call(&mut store, &[], &mut []).unwrap_or_else(|error| panic!("{ty}: {error:?}"));
    let Some(Val::Tuple(mut wide)) = got.lock().unwrap().take() else { panic!("{ty}: nothing came back") };
    assert!(wide[..17].iter().enumerate().all(|(i, pad)| *pad == Val::U32(i as u32)), "{ty}");
    match (wide.pop(), is_bare) {
        (Some(Val::Tuple(mut one)), true) => one.pop().unwrap(),
        (Some(value), _) => value,
        (None, _) => panic!("{ty}: nothing came back"),
    }
}

fn some(value: Val) -> Option<Box<Val>> {
    Some(Box::new(value))
}

#[test]
fn every_type_survives_a_guests_memory() {
    let engine = engine();
    let text = |text: &str| Val::String(text.into());
    let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
    let quoted = |count: usize| names(count).iter().map(|name| format!("{name:?} ")).collect::<String>();
    let cases: Vec<(String, Val)> = vec![
        ("bool".into(), Val::Bool(true)),
        ("s8".into(), Val::S8(-5)),
        ("u8".into(), Val::U8(250)),
        ("s16".into(), Val::S16(i16::MIN)),
        ("u16".into(), Val::U16(u16::MAX)),
        ("s32".into(), Val::S32(i32::MIN)),
        ("u32".into(), Val::U32(u32::MAX)),
        ("s64".into(), Val::S64(i64::MIN)),
        ("u64".into(), Val::U64(u64::MAX)),
        ("f32".into(), Val::Float32(-0.5)),
        ("f64".into(), Val::Float64(1e300)),
        ("char".into(), Val::Char('\u{10ffff}')),
        ("string".into(), text("")),
        ("string".into(), text("plain")),
        ("string".into(), text("Grüße, ¥, ÿ")),
        ("string".into(), text("Grüße aus 東京 😀 und zurück")),
        ("string".into(), text(&"ü東".repeat(5000))),
        ("(list u8)".into(), Val::List((0..=255).map(Val::U8).collect())),
        ("(list string)".into(), Val::List(vec![text("a"), text("東"), text("")])),
        ("(list (tuple u8 u64))".into(), Val::List(vec![Val::Tuple(vec![Val::U8(1), Val::U64(2)]); 3])),
        ("(list f64 3)".into(), Val::FixedLengthList([1.0, 2.0, 3.0].map(Val::Float64).into())),
        (
            "(map u16 string)".into(),
            Val::Map(vec![(Val::U16(7), text("sieben")), (Val::U16(8), text("acht"))]),
        ),
        (
            r#"(record (field "a" u8) (field "b" string) (field "c" u64))"#.into(),
            Val::Record(vec![
                ("a".into(), Val::U8(1)),
                ("b".into(), text("zwei")),
                ("c".into(), Val::U64(3)),
            ]),
        ),
        (r#"(variant (case "a") (case "b" u64))"#.into(), Val::Variant("a".into(), None)),
        (r#"(variant (case "a") (case "b" u64))"#.into(), Val::Variant("b".into(), some(Val::U64(1 << 40)))),
        (format!("(enum {})", quoted(300)), Val::Enum("n299".into())),
        ("(option u8)".into(), Val::Option(None)),
        ("(option string)".into(), Val::Option(some(text("some")))),
        ("(result)".into(), Val::Result(Err(None))),
        ("(result u8 (error string))".into(), Val::Result(Ok(some(Val::U8(9))))),
        ("(result u8 (error string))".into(), Val::Result(Err(some(text("no"))))),
        (format!("(flags {})", quoted(3)), Val::Flags(vec!["n0".into(), "n2".into()])),
        (format!("(flags {})", quoted(12)), Val::Flags(vec!["n11".into()])),
        (format!("(flags {})", quoted(32)), Val::Flags(names(32))),
    ];
    for (ty, value) in &cases {
        for address in ["i32", "i64"] {
            for encoding in ["utf8", "utf16", "latin1+utf16"] {
                let back = through_a_guest(&engine, ty, value, address, encoding);
                assert_eq!(back, *value, "{ty}, {address}, {encoding}");
            }
        }
    }
}

/// Instantiates a component that needs no imports.
fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let component = Component::new(engine, text).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// Calls a function whose core function returns these core values.
fn lifted(ty: &str, core: &str, memory: &str) -> Result<Val> {
    let engine = engine();
    let text = format!(
        r#"(component
            (type $declared {declared})
            (export $ty "ty" (type $declared))
            (core module $m (memory (export "memory") 1) {memory} (func (export "f") {core}))
            (core instance $m (instantiate $m))
            (alias core export $m "memory" (core memory $memory))
            (func (export "f") (result $ty) (canon lift (core func $m "f") (memory $memory))))"#,
        declared = ty
    );
    let (mut store, instance) = instance(&engine, &text);
    let func = instance.get_func(&store, "f").unwrap();
    let mut results = [Val::Bool(false)];
    let called = func.call(&mut store, &[], &mut results);
    if let Err(error) = &called {
        let again = func.call(&mut store, &[], &mut results).unwrap_err();
        assert_eq!(
            again.to_string(),
            format!("cannot enter component instance: an earlier call ended with: {error}")
        );
    }
    called.map(|()| results[0].clone())
}

#[test]
fn what_is_invalid_traps_and_closes_the_instance() {
    let i32 = |value: i64| format!("(result i32) (i32.const {value})");
    let at_16 = "(result i32) (i32.const 16)";
    let list = |at: u32, length: u32| {
        let bytes: String =
            at.to_le_bytes().iter().chain(&length.to_le_bytes()).map(|b| format!("\\{b:02x}")).collect();
        format!(r#"(data (i32.const 16) "{bytes}")"#)
    };
    let fails: Vec<(&str, String, String, &str)> = vec![
        ("char", i32(0xd800), String::new(), "invalid `char` bit pattern: 0xd800 is no Unicode scalar value"),
        (
            "char",
            i32(0x110000),
            String::new(),
            "invalid `char` bit pattern: 0x110000 is no Unicode scalar value",
        ),
        (
            r#"(enum "a" "b")"#,
            i32(2),
            String::new(),
            "invalid variant discriminant: 2 in a value of type enum { a, b }",
        ),
        (
            "(option u8)",
            at_16.into(),
            r#"(data (i32.const 16) "\02")"#.into(),
            "invalid variant discriminant: 2 in a value of type option<u8>",
        ),
        (
            "string",
            "(result i32) (i32.const 65533)".into(),
            String::new(),
            "pointer out of bounds: 8 bytes at 0xfffd do not lie in the memory, which has 65536",
        ),
        (
            "string",
            "(result i32) (i32.const 2)".into(),
            String::new(),
            "pointer not aligned: 0x2 is not a multiple of 4",
        ),
        (
            "string",
            at_16.into(),
            list(65530, 7),
            "pointer out of bounds: 7 bytes at 0xfffa do not lie in the memory, which has 65536",
        ),
        (
            "string",
            at_16.into(),
            list(u32::MAX, 0),
            "pointer out of bounds: 0 bytes at 0xffffffff do not lie in the memory, which has 65536",
        ),
        (
            "string",
            at_16.into(),
            list(24, 1) + r#"(data (i32.const 24) "\ff")"#,
            "invalid utf-8: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (
            "string",
            at_16.into(),
            list(0, 1 << 28),
            "string too long: 268435456 elements of 1 bytes, and the limit is 268435455 bytes",
        ),
        ("(list u32)", at_16.into(), list(2, 0), "pointer not aligned: 0x2 is not a multiple of 4"),
        (
            "(list u32)",
            at_16.into(),
            list(65532, 2),
            "pointer out of bounds: 8 bytes at 0xfffc do not lie in the memory, which has 65536",
        ),
        (
            "(list u64)",
            at_16.into(),
            list(0, 1 << 25),
            "list too long: 33554432 elements of 8 bytes, and the limit is 268435455 bytes",
        ),
    ];
    for (ty, core, memory, expected) in fails {
        let error = lifted(ty, &core, &memory).unwrap_err();
        assert_eq!(error.to_string(), expected, "{ty}, {core}");
    }
    // What is merely too wide is cut off, and more than false is true.
    assert_eq!(lifted("u8", &i32(0x1ff), "").unwrap(), Val::U8(255));
    assert_eq!(lifted("s8", &i32(0x80), "").unwrap(), Val::S8(-128));
    assert_eq!(lifted("bool", &i32(2), "").unwrap(), Val::Bool(true));
    let flags = lifted(r#"(flags "a" "b")"#, &i32(-1), "").unwrap();
    assert_eq!(flags, Val::Flags(vec!["a".into(), "b".into()]));
    // A trap of core code stays one.
    let error = lifted("u8", "(result i32) (unreachable)", "").unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
}

#[test]
fn wrong_parameters_are_refused_and_the_instance_stays_open() {
    let engine = engine();
    let text = r#"(component
        (core module $m (func (export "f") (param i32 i64) (result i32) (local.get 0)))
        (core instance $m (instantiate $m))
        (func (export "f") (param "small" u8) (param "pair" u64) (result u8) (canon lift (core func $m "f"))))"#;
    let (mut store, instance) = instance(&engine, text);
    let func = instance.get_func(&store, "f").unwrap();
    assert_eq!(func.ty(&store).to_string(), "func(small: u8, pair: u64) -> u8");
    let mut results = [Val::Bool(false)];
    let mut fails = |params: &[Val], results: &mut [Val], expected: &str| {
        let error = func.call(&mut store, params, results).unwrap_err();
        assert_eq!(format!("{error:#}"), expected);
    };
    fails(
        &[Val::U8(1)],
        &mut results,
        "the function has 2 parameters, and 1 was given: its type is func(small: u8, pair: u64) -> u8",
    );
    fails(
        &[Val::U8(1), Val::U8(2)],
        &mut results,
        "parameter pair: a value of type u64 was expected, and a u8 was given",
    );
    fails(&[Val::U8(1), Val::U64(2)], &mut [], "the function has 1 result, but `results` has 0 elements");
    func.call(&mut store, &[Val::U8(7), Val::U64(2)], &mut results).unwrap();
    assert_eq!(results[0], Val::U8(7));
    assert!(instance.get_func(&store, "g").is_none());
}

/// A guest that implements a resource, keeps what stands for the one that was dropped last, and lends itself.
const RESOURCE: &str = r#"(component
    (core module $dropped
        (global $last (export "last") (mut i32) (i32.const 0))
        (func (export "dtor") (param i32) (global.set $last (local.get 0)))
        (func (export "last-dropped") (result i32) (global.get $last)))
    (core instance $dropped (instantiate $dropped))
    (type $r' (resource (rep i32) (dtor (core func $dropped "dtor"))))
    (core func $new (canon resource.new $r'))
    (core func $rep (canon resource.rep $r'))
    (core func $drop (canon resource.drop $r'))
    (core module $m
        (import "r" "new" (func $new (param i32) (result i32)))
        (import "r" "rep" (func $rep (param i32) (result i32)))
        (import "r" "drop" (func $drop (param i32)))
        (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
        ;; A borrow is what stands for the resource.
        (func (export "see") (param i32) (result i32) (local.get 0))
        (func (export "take") (param i32) (result i32)
            (call $rep (local.get 0)) (call $drop (local.get 0)))
        (func (export "both") (param i32 i32))
        (func (export "forge") (result i32) (i32.const 77)))
    (core instance $m (instantiate $m (with "r" (instance
        (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
    (export $r "r" (type $r'))
    (func (export "make") (param "rep" u32) (result (own $r)) (canon lift (core func $m "make")))
    (func (export "see") (param "r" (borrow $r)) (result u32) (canon lift (core func $m "see")))
    (func (export "take") (param "r" (own $r)) (result u32) (canon lift (core func $m "take")))
    (func (export "both") (param "a" (borrow $r)) (param "b" (own $r)) (canon lift (core func $m "both")))
    (func (export "forge") (result (own $r)) (canon lift (core func $m "forge")))
    (func (export "last-dropped") (result u32) (canon lift (core func $dropped "last-dropped"))))"#;

#[test]
fn resources_of_guests_are_owned_lent_and_dropped_once() {
    let engine = engine();
    let (mut store, instance) = instance(&engine, RESOURCE);
    let call = |store: &mut Store<()>, name: &str, params: &[Val]| -> Result<Val> {
        let func = instance.get_func(&*store, name).unwrap();
        let mut results = vec![Val::Bool(false); usize::from(func.ty(&*store).result().is_some())];
        func.call(store, params, &mut results)?;
        Ok(results.pop().unwrap_or(Val::Bool(false)))
    };
    let made = call(&mut store, "make", &[Val::U32(5)]).unwrap();
    let Val::Resource(resource) = made else { panic!("{made:?}") };
    assert!(resource.owned());
    assert_eq!(Some(resource.ty()), instance.get_resource(&store, "r"));
    assert_ne!(resource.ty(), ResourceType::host::<u8>());
    assert_eq!(call(&mut store, "see", std::slice::from_ref(&made)).unwrap(), Val::U32(5));
    assert_eq!(call(&mut store, "see", std::slice::from_ref(&made)).unwrap(), Val::U32(5));
    // Lent and given away in one call.
    let error = call(&mut store, "both", &[made.clone(), made.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "cannot remove owned resource while borrowed");
}

#[test]
fn resources_that_were_passed_on_are_gone() {
    let engine = engine();
    let (mut store, instance) = instance(&engine, RESOURCE);
    let call = |store: &mut Store<()>, name: &str, params: &[Val]| -> Result<Val> {
        let mut results = [Val::Bool(false)];
        instance.get_func(&*store, name).unwrap().call(store, params, &mut results)?;
        let [result] = results;
        Ok(result)
    };
    let first = call(&mut store, "make", &[Val::U32(5)]).unwrap();
    let second = call(&mut store, "make", &[Val::U32(6)]).unwrap();
    assert_eq!(call(&mut store, "take", std::slice::from_ref(&first)).unwrap(), Val::U32(5));
    assert_eq!(call(&mut store, "last-dropped", &[]).unwrap(), Val::U32(5));
    let Val::Resource(second) = second else { panic!("{second:?}") };
    second.resource_drop(&mut store).unwrap();
    assert_eq!(call(&mut store, "last-dropped", &[]).unwrap(), Val::U32(6));
    let gone = "the resource was passed on or dropped before, or its call has ended";
    assert_eq!(second.resource_drop(&mut store).unwrap_err().to_string(), gone);
    // A third one gets the number of the first, which is not taken for it.
    let third = call(&mut store, "make", &[Val::U32(7)]).unwrap();
    let error = call(&mut store, "see", std::slice::from_ref(&first)).unwrap_err();
    assert_eq!(error.to_string(), gone);
    assert_eq!(
        call(&mut store, "see", std::slice::from_ref(&third)).unwrap_err().to_string().lines().count(),
        1
    );
}

#[test]
fn handles_that_a_guest_invents_trap() {
    let engine = engine();
    let (mut store, instance) = instance(&engine, RESOURCE);
    let forge = instance.get_func(&store, "forge").unwrap();
    let error = forge.call(&mut store, &[], &mut [Val::Bool(false)]).unwrap_err();
    assert_eq!(error.to_string(), "unknown handle index 77");
}

/// The host's resource type of the tests below.
struct Number;

#[test]
fn borrowed_handles_end_with_their_call() {
    let engine = engine();
    let text = r#"(component
        (import "number" (type $number (sub resource)))
        (core func $drop (canon resource.drop $number))
        (core module $m
            (import "" "drop" (func $drop (param i32)))
            (func (export "keeps") (param i32))
            (func (export "drops") (param i32) (call $drop (local.get 0)))
            (func (export "drops-twice") (param i32) (call $drop (local.get 0)) (call $drop (local.get 0))))
        (core instance $m (instantiate $m (with "" (instance (export "drop" (func $drop))))))
        (func (export "keeps") (param "n" (borrow $number)) (canon lift (core func $m "keeps")))
        (func (export "drops") (param "n" (borrow $number)) (canon lift (core func $m "drops")))
        (func (export "drops-twice") (param "n" (borrow $number)) (canon lift (core func $m "drops-twice"))))"#;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    let drops = Arc::new(Mutex::new(Vec::new()));
    let noted = drops.clone();
    let destructor = move |_: belljar::StoreContextMut<'_, ()>, rep| {
        noted.lock().unwrap().push(rep);
        Ok(())
    };
    linker.root().resource("number", ResourceType::host::<Number>(), destructor).unwrap();
    for (name, expected) in [
        ("drops", None),
        ("keeps", Some("borrow handles still remain at the end of the call: 1 handle")),
        ("drops-twice", Some("unknown handle index 1")),
    ] {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let number = Resource::<Number>::new_own(3).try_into_resource_any(&mut store).unwrap();
        let func = instance.get_func(&store, name).unwrap();
        let called = func.call(&mut store, &[Val::Resource(number)], &mut []);
        assert_eq!(
            called.map_err(|error| error.to_string()),
            expected.map_or(Ok(()), |text| Err(text.into()))
        );
        // It was only lent.
        assert_eq!(number.try_into_resource::<Number>(&mut store).unwrap().rep(), 3);
    }
    assert_eq!(*drops.lock().unwrap(), [0_u32; 0]);
}

#[test]
fn handles_that_were_lent_end_with_a_panic() {
    let engine = engine();
    let text = r#"(component
        (import "number" (type $number (sub resource)))
        (import "peek" (func $peek (param "n" (borrow $number))))
        (core func $peek (canon lower (func $peek)))
        (core module $m
            (import "" "peek" (func $peek (param i32)))
            (func (export "pass") (param i32) (call $peek (local.get 0))))
        (core instance $m (instantiate $m (with "" (instance (export "peek" (func $peek))))))
        (func (export "pass") (param "n" (borrow $number)) (canon lift (core func $m "pass"))))"#;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::<Option<Val>>::new(&engine);
    linker.root().resource("number", ResourceType::host::<Number>(), |_, _| Ok(())).unwrap();
    let peek = |mut store: StoreContextMut<'_, Option<Val>>, _: _, params: &[Val], _: &mut [Val]| {
        *store.data_mut() = Some(params[0].clone());
        panic!("the host panics")
    };
    linker.root().func_new("peek", peek).unwrap();
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let number = Resource::<Number>::new_own(3).try_into_resource_any(&mut store).unwrap();
    let pass = instance.get_func(&store, "pass").unwrap();
    let call = std::panic::AssertUnwindSafe(|| pass.call(&mut store, &[Val::Resource(number)], &mut []));
    assert!(std::panic::catch_unwind(call).is_err());
    let Some(Val::Resource(borrowed)) = store.data().clone() else { panic!("the function was not called") };
    assert!(!borrowed.owned());
    assert!(borrowed.try_into_resource::<Number>(&mut store).is_err());
    // The host's own handle was only lent.
    assert_eq!(number.try_into_resource::<Number>(&mut store).unwrap().rep(), 3);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let engine = engine();
    let text = r#"(component
        (import "wasi:io/poll@0.2.3" (instance $poll
            (export "pollable" (type (sub resource)))
            (export "poll" (func (result u32)))))
        (import "clock" (func (result u64)))
        (import "simple" (func (param "x" string)))
        (import "module" (core module (export "f" (func)))))"#;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.instance("wasi:io/poll@0.3.0").unwrap();
    linker.root().func_new("clocks", |_, _, _, _| Ok(())).unwrap();
    let module = belljar::Module::new(&engine, r#"(module (func (export "f") (param i32)))"#).unwrap();
    linker.root().module("module", &module).unwrap();
    linker.root().module("simple", &module).unwrap();
    let error = linker.instantiate(Store::new(&engine, ()), &component).unwrap_err();
    let mut lines: Vec<String> = error.to_string().lines().map(String::from).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "the component imports an instance (1 function, 1 resource type) as wasi:io/poll@0.2.3, which is not defined: \
             wasi:io/poll@0.3.0 is, but versions that differ like this are not compatible",
            "the component imports the function func() -> u64 as clock, which is not defined: is it clocks?",
            "the component imports the function func(x: string) as simple, which is defined as a core module",
            "the core module module is of another type than the import: module export f has the wrong type: \
             expected func, found func",
        ]
    );
    // With compatible versions, and traps for the rest.
    let mut linker = Linker::<()>::new(&engine);
    let mut poll = linker.instance("wasi:io/poll@0.2.0").unwrap();
    poll.func_new("poll", |_, _, _, _| Ok(())).unwrap();
    let module = belljar::Module::new(&engine, r#"(module (func (export "f")))"#).unwrap();
    linker.root().module("module", &module).unwrap();
    linker.define_unknown_imports_as_traps(&component).unwrap();
    linker.instantiate(Store::new(&engine, ()), &component).unwrap();
}

/// Two components: the second one calls the first one, which calls the host.
#[test]
fn components_call_each_other() {
    let engine = engine();
    let text = format!(
        r#"(component
        (import "ask" (func $ask (param "q" string) (result string)))
        (component $inner
            (import "ask" (func $ask (param "q" string) (result string)))
            {libc}
            (core func $ask (canon lower (func $ask) (memory $memory) (realloc $realloc)))
            (core module $m
                (import "" "ask" (func $ask (param i32 i32 i32)))
                (func (export "twice") (param i32 i32) (result i32)
                    (call $ask (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
            (core instance $m (instantiate $m (with "" (instance (export "ask" (func $ask))))))
            (func (export "twice") (param "q" string) (result string)
                (canon lift (core func $m "twice") (memory $memory) (realloc $realloc))))
        (instance $inner (instantiate $inner (with "ask" (func $ask))))
        ;; The outer one has another encoding and 64-bit addresses.
        {libc64}
        (alias export $inner "twice" (func $twice))
        (core func $twice (canon lower (func $twice) (memory $memory) (realloc $realloc) string-encoding=utf16))
        (core module $m
            (import "" "twice" (func $twice (param i64 i64 i64)))
            (func (export "run") (param i64 i64) (result i64)
                (call $twice (local.get 0) (local.get 1) (i64.const 32)) (i64.const 32)))
        (core instance $m (instantiate $m (with "" (instance (export "twice" (func $twice))))))
        (func (export "run") (param "q" string) (result string)
            (canon lift (core func $m "run") (memory $memory) (realloc $realloc) string-encoding=utf16)))"#,
        libc = libc("i32"),
        libc64 = libc("i64"),
    );
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func_new("ask", |_, _, params, results| match &params[0] {
            Val::String(question) if question == "panic" => panic!("the host panics"),
            Val::String(question) if question == "fail" => Err(Error::msg("the host has no answer")),
            Val::String(question) => {
                results[0] = Val::String(format!("{question}{question}"));
                Ok(())
            }
            other => Err(Error::msg(format!("{other:?}"))),
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_func(&store, "run").unwrap();
    let mut results = [Val::Bool(false)];
    for question in ["", "ask", "Grüße 😀 "] {
        run.call(&mut store, &[Val::String(question.into())], &mut results).unwrap();
        assert_eq!(results[0], Val::String(question.repeat(2)));
    }
    let error = run.call(&mut store, &[Val::String("fail".into())], &mut results).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "the host has no answer");
    let error = run.call(&mut store, &[Val::String("ask".into())], &mut results).unwrap_err();
    assert!(error.to_string().starts_with("cannot enter component instance"), "{error}");
    // Another instance of the same component is not closed.
    let other = linker.instantiate(&mut store, &component).unwrap();
    let run = other.get_func(&store, "run").unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.call(&mut store, &[Val::String("panic".into())], &mut results)
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"the host panics"));
    let error = run.call(&mut store, &[Val::String("ask".into())], &mut results).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot enter component instance: an earlier call ended with: a function of the host panicked"
    );
    let typed = run.typed::<(String,), (String,)>(&store).unwrap();
    assert!(typed.call(&mut store, ("ask".into(),)).is_err());
    let third = linker.instantiate(&mut store, &component).unwrap();
    let run = third.get_func(&store, "run").unwrap().typed::<(String,), (String,)>(&store).unwrap();
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, ("panic".into(),))));
    assert!(panicked.is_err());
    let error = run.call(&mut store, ("ask".into(),)).unwrap_err();
    assert!(error.to_string().ends_with("a function of the host panicked"), "{error}");
}

#[test]
fn nesting_is_limited() {
    let engine = engine();
    // Each component contains two instances of the one before.
    let mut text = String::from("(component $c0)");
    for i in 1..20 {
        text = format!(
            "(component $c{i} {text} (instance (instantiate $c{j})) (instance (instantiate $c{j})))",
            j = i - 1
        );
    }
    let error = Component::new(&engine, text).unwrap_err();
    assert_eq!(error.to_string(), "the component is too large: it describes more than 10000 instances");
    let error = Component::new(&engine, "(module)").unwrap_err();
    assert_eq!(error.to_string(), "this is a core module, and not a component");
}

#[test]
fn what_instances_contain_is_limited() {
    let engine = engine();
    let too_large = "the component is too large: it has more than 200000 definitions, imports and exports";
    // Each instance contains the one before twice: few bytes for many exports, or imports.
    let doubled = |times: u32| {
        let instances = (1..=times).map(|i| {
            let j = i - 1;
            format!(r#"(instance $i{i} (export "a" (instance $i{j})) (export "b" (instance $i{j})))"#)
        });
        format!(
            r#"(component (core module $m (func (export "f"))) (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m "f"))) (instance $i0 (export "f" (func $f)))
            {} (export "x" (instance $i{times})))"#,
            instances.collect::<String>()
        )
    };
    assert_eq!(Component::new(&engine, doubled(10)).unwrap().exported_funcs().count(), 1 << 10);
    assert_eq!(Component::new(&engine, doubled(18)).unwrap_err().to_string(), too_large);
    let imported = |times: u32, types: usize| {
        let doubled = (1..=times).map(|i| {
            format!(
                r#"(type $t{i} (instance (alias outer 1 $t{} (type $t))
                (export "a" (instance (type $t))) (export "b" (instance (type $t)))))"#,
                i - 1
            )
        });
        format!(
            r#"(component (type $t0 (instance {} (export "f" (func)))) {} (import "x" (instance (type $t{times}))))"#,
            "(type (list u8))".repeat(types),
            doubled.collect::<String>()
        )
    };
    assert!(Component::new(&engine, imported(10, 0)).is_ok());
    assert_eq!(Component::new(&engine, imported(18, 0)).unwrap_err().to_string(), too_large);
    // Types that are not exported take time, too.
    assert_eq!(Component::new(&engine, imported(10, 500)).unwrap_err().to_string(), too_large);
}

/// Functions with Rust types, both ways: all values go through a guest's memory or registers.
#[test]
fn rust_types_are_passed_both_ways() {
    type Many = (u8, i16, u32, i64, f32, f64, bool, char, String);
    type Deep = (Vec<String>, Option<u64>, std::result::Result<u8, String>, std::result::Result<(), ()>);
    let engine = engine();
    let options = "(memory $memory) (realloc $realloc)";
    let many = "(tuple u8 s16 u32 s64 f32 f64 bool char string)";
    let deep = "(tuple (list string) (option u64) (result u8 (error string)) (result))";
    let text = format!(
        r#"(component
        {libc}
        (import "many" (func $many (param "x" {many}) (result {many})))
        (import "deep" (func $deep (param "x" {deep}) (result {deep})))
        (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
        (core func $many (canon lower (func $many) {options}))
        (core func $deep (canon lower (func $deep) {options}))
        (core func $add (canon lower (func $add)))
        (core module $m
            (import "" "many" (func $many (param i32 i32 i32 i64 f32 f64 i32 i32 i32 i32 i32)))
            (import "" "deep" (func $deep (param i32 i32 i32 i64 i32 i32 i32 i32 i32)))
            (import "" "add" (func $add (param i32 i32) (result i32)))
            (func (export "many") (param i32 i32 i32 i64 f32 f64 i32 i32 i32 i32) (result i32)
                (call $many (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
                    (local.get 6) (local.get 7) (local.get 8) (local.get 9) (i32.const 64))
                (i32.const 64))
            (func (export "deep") (param i32 i32 i32 i64 i32 i32 i32 i32) (result i32)
                (call $deep (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
                    (local.get 6) (local.get 7) (i32.const 64))
                (i32.const 64))
            (func (export "add") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1))))
        (core instance $m (instantiate $m (with "" (instance
            (export "many" (func $many)) (export "deep" (func $deep)) (export "add" (func $add))))))
        (func (export "many") (param "x" {many}) (result {many}) (canon lift (core func $m "many") {options}))
        (func (export "deep") (param "x" {deep}) (result {deep}) (canon lift (core func $m "deep") {options}))
        (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $m "add")))
        )"#,
        libc = libc("i32"),
    );
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    let mut root = linker.root();
    root.func_wrap("many", |_: StoreContextMut<'_, u32>, (mut x,): (Many,)| {
        x.0 += 1;
        x.8.push('!');
        Ok((x,))
    })
    .unwrap();
    root.func_wrap("deep", |_: StoreContextMut<'_, u32>, (mut x,): (Deep,)| {
        x.0.reverse();
        Ok((x,))
    })
    .unwrap();
    root.func_wrap("add", |mut store: StoreContextMut<'_, u32>, (a, b): (u32, u32)| {
        *store.data_mut() += 1;
        Ok((a + b,))
    })
    .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let add = instance.get_func(&store, "add").unwrap().typed::<(u32, u32), (u32,)>(&store).unwrap();
    assert_eq!(add.call(&mut store, (40, 2)).unwrap(), (42,));
    assert_eq!(*store.data(), 1);
    let many = instance.get_func(&store, "many").unwrap().typed::<(Many,), (Many,)>(&store).unwrap();
    let x: Many = (7, -3, 5, i64::MIN, 0.5, -1e300, true, '東', "Grüße".into());
    let (back,) = many.call(&mut store, (x.clone(),)).unwrap();
    assert_eq!(back, (8, -3, 5, i64::MIN, 0.5, -1e300, true, '東', "Grüße!".into()));
    let deep = instance.get_func(&store, "deep").unwrap().typed::<(Deep,), (Deep,)>(&store).unwrap();
    for x in [
        (vec!["a".to_string(), String::new(), "c".into()], Some(u64::MAX), Ok(3), Err(())),
        (vec![], None, Err("no".to_string()), Ok(())),
    ] {
        let mut expected: Deep = x.clone();
        expected.0.reverse();
        assert_eq!(deep.call(&mut store, (x,)).unwrap().0, expected);
    }
    // With values, to a function with Rust types.
    let mut results = [Val::Bool(false)];
    add.func().call(&mut store, &[Val::U32(1), Val::U32(2)], &mut results).unwrap();
    assert_eq!(results[0], Val::U32(3));

    let func = instance.get_func(&store, "add").unwrap();
    let fails = |error: Error, text: &str| assert_eq!(format!("{error:#}"), text);
    fails(
        func.typed::<(u32, u64), (u32,)>(&store).unwrap_err(),
        "type mismatch: the function has type func(a: u32, b: u32) -> u32: parameter b: expected `u64`, found u32",
    );
    fails(
        func.typed::<(u32,), (u32,)>(&store).unwrap_err(),
        "type mismatch: the function has type func(a: u32, b: u32) -> u32: expected 1 parameter, found 2 parameters",
    );
    fails(
        func.typed::<(u32, u32), ()>(&store).unwrap_err(),
        "type mismatch: the function has type func(a: u32, b: u32) -> u32: expected no result, found u32",
    );
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    linker.root().func_wrap("add", |_: StoreContextMut<'_, u32>, (): ()| Ok(())).unwrap();
    fails(
        linker.instantiate(&mut store, &component).unwrap_err(),
        "the host's function add does not fit its import: expected 0 parameters, found 2 parameters",
    );
}

/// The host's resources as Rust types: made by the host, kept by the guest, lent to the host, and dropped.
#[test]
fn the_hosts_resources_have_rust_types() {
    let engine = engine();
    let text = r#"(component
        (import "number" (type $number (sub resource)))
        (import "make" (func $make (param "n" u32) (result (own $number))))
        (import "see" (func $see (param "n" (borrow $number)) (result u32)))
        (core func $make (canon lower (func $make)))
        (core func $see (canon lower (func $see)))
        (core func $drop (canon resource.drop $number))
        (core module $m
            (import "" "make" (func $make (param i32) (result i32)))
            (import "" "see" (func $see (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "run") (param i32) (result i32) (local $handle i32) (local $seen i32)
                (local.set $handle (call $make (local.get 0)))
                (local.set $seen (call $see (local.get $handle)))
                (call $drop (local.get $handle))
                (local.get $seen))
            (func (export "pass") (param i32) (result i32) (local.get 0)))
        (core instance $m (instantiate $m (with "" (instance
            (export "make" (func $make)) (export "see" (func $see)) (export "drop" (func $drop))))))
        (func (export "run") (param "n" u32) (result u32) (canon lift (core func $m "run")))
        (func (export "pass") (param "n" (own $number)) (result (own $number)) (canon lift (core func $m "pass"))))"#;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    let mut root = linker.root();
    root.resource(
        "number",
        ResourceType::host::<Number>(),
        |mut store: StoreContextMut<'_, Vec<u32>>, rep| {
            store.data_mut().push(rep);
            Ok(())
        },
    )
    .unwrap();
    root.func_wrap("make", |_, (n,): (u32,)| Ok((Resource::<Number>::new_own(n + 100),))).unwrap();
    root.func_wrap("see", |_, (n,): (Resource<Number>,)| {
        assert!(!n.owned());
        Ok((n.rep() * 2,))
    })
    .unwrap();
    let mut store = Store::new(&engine, Vec::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_func(&store, "run").unwrap().typed::<(u32,), (u32,)>(&store).unwrap();
    assert_eq!(run.call(&mut store, (5,)).unwrap(), (210,));
    assert_eq!(*store.data(), [105]);
    let pass = instance.get_func(&store, "pass").unwrap();
    let error = pass.typed::<(Resource<String>,), (Resource<Number>,)>(&store).unwrap_err();
    assert!(format!("{error:#}").contains("expected a resource of the host's type"), "{error:#}");
    let pass = pass.typed::<(&Resource<Number>,), (Resource<Number>,)>(&store).unwrap();
    let number = Resource::<Number>::new_own(9);
    let (back,) = pass.call(&mut store, (&number,)).unwrap();
    assert_eq!((back.rep(), back.owned()), (9, true));
    let error = pass.call(&mut store, (&number,)).unwrap_err();
    assert_eq!(error.to_string(), "the resource was passed on before");
}

use belljar::component::{ComponentType, Lift, Lower};

#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Debug)]
#[component(record)]
struct Entry {
    file_name: String,
    #[component(name = "bytes")]
    size: u64,
    kind: Kind,
    access: Access,
    state: State,
    nested: Pair<u8, Vec<i16>>,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Debug)]
#[component(enum)]
enum Kind {
    File,
    #[component(name = "dir")]
    Directory,
    SymLink,
}

#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Debug)]
#[component(variant)]
enum State {
    Unknown,
    OpenSince(u64),
    Failed(String),
    Other(Pair<f32, char>),
}

#[derive(ComponentType, Lift, Lower, Clone, PartialEq, Debug)]
#[component(record)]
struct Pair<A, B> {
    first: A,
    second: B,
}

belljar::component::flags! {
    Access {
        const READ;
        const WRITE;
        #[component(name = "execute")]
        const RUN;
    }
}

#[test]
fn derived_types_are_passed_both_ways() {
    // More core values than are passed by themselves, so that everything goes through the memory.
    type Numbers = (u64, u64, u64, u64, u64, u64, u64, u64);
    type Wide = (Numbers, Numbers, Entry);
    let engine = engine();
    let options = "(memory $memory) (realloc $realloc)";
    let types = r#"
        (type $kind' (enum "file" "dir" "sym-link"))
        (import "kind" (type $kind (eq $kind')))
        (type $access' (flags "read" "write" "execute"))
        (import "access" (type $access (eq $access')))
        (type $float-pair' (record (field "first" f32) (field "second" char)))
        (import "float-pair" (type $float-pair (eq $float-pair')))
        (type $pair' (record (field "first" u8) (field "second" (list s16))))
        (import "pair" (type $pair (eq $pair')))
        (type $state' (variant (case "unknown") (case "open-since" u64) (case "failed" string) (case "other" $float-pair)))
        (import "state" (type $state (eq $state')))
        (type $entry' (record (field "file-name" string) (field "bytes" u64) (field "kind" $kind)
            (field "access" $access) (field "state" $state) (field "nested" $pair)))
        (import "entry" (type $entry (eq $entry')))"#;
    let numbers = format!("(tuple {})", "u64 ".repeat(8));
    let wide = format!("(tuple {numbers} {numbers} $entry)");
    let text = format!(
        r#"(component
        {libc}
        {types}
        (import "get" (func $get (result {wide})))
        (import "put" (func $put (param "x" {wide})))
        (import "put-flat" (func $put-flat (param "x" $entry)))
        (core func $get (canon lower (func $get) {options}))
        (core func $put (canon lower (func $put) {options}))
        (core func $put-flat (canon lower (func $put-flat) {options}))
        (core module $m
            (type $flat (func (param i32 i32 i64 i32 i32 i32 i64 i32 i32 i32 i32)))
            (import "" "put-flat" (func $put-flat (type $flat)))
            (import "" "get" (func $get (param i32)))
            (import "" "put" (func $put (param i32)))
            (func (export "run") (call $get (i32.const 16)) (call $put (i32.const 16)))
            (func (export "give") (param i32) (result i32) (local.get 0))
            (func (export "pass") (type $flat)
                (call $put-flat (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
                    (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10))))
        (core instance $m (instantiate $m (with "" (instance (export "get" (func $get)) (export "put" (func $put))
            (export "put-flat" (func $put-flat))))))
        (func (export "run") (canon lift (core func $m "run")))
        (func (export "give") (param "x" {wide}) (result {wide})
            (canon lift (core func $m "give") {options}))
        (func (export "pass") (param "x" $entry) (canon lift (core func $m "pass") {options})))"#,
        libc = libc("i32"),
    );
    let component = Component::new(&engine, text).unwrap();
    let entry = |kind, access, state| Entry {
        file_name: "Grüße.txt".into(),
        size: 1 << 40,
        kind,
        access,
        state,
        nested: Pair { first: 7, second: vec![-1, 2] },
    };
    let wide = |entry: Entry| ((0, 1, 2, 3, 4, 5, 6, 7), (8, 9, 10, 11, 12, 13, 14, u64::MAX), entry);
    for entry in [
        entry(Kind::File, Access::empty(), State::Unknown),
        entry(Kind::Directory, Access::READ | Access::RUN, State::OpenSince(u64::MAX)),
        entry(Kind::SymLink, Access::all(), State::Failed("no".into())),
        entry(Kind::File, Access::WRITE, State::Other(Pair { first: 0.5, second: '東' })),
    ] {
        let mut linker = Linker::new(&engine);
        let given = entry.clone();
        let give = move |_: StoreContextMut<'_, Option<Wide>>, (): ()| Ok((wide(given.clone()),));
        linker.root().func_wrap("get", give).unwrap();
        let put = |mut store: StoreContextMut<'_, Option<Wide>>, (x,): (Wide,)| {
            *store.data_mut() = Some(x);
            Ok(())
        };
        linker.root().func_wrap("put", put).unwrap();
        let put_flat = |mut store: StoreContextMut<'_, Option<Wide>>, (x,): (Entry,)| {
            store.data_mut().as_mut().unwrap().2 = x;
            Ok(())
        };
        linker.root().func_wrap("put-flat", put_flat).unwrap();
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_func(&store, "run").unwrap().typed::<(), ()>(&store).unwrap();
        run.call(&mut store, ()).unwrap();
        assert_eq!(store.data().as_ref(), Some(&wide(entry.clone())));
        let give = instance.get_func(&store, "give").unwrap().typed::<(Wide,), (Wide,)>(&store).unwrap();
        assert_eq!(give.call(&mut store, (wide(entry.clone()),)).unwrap().0, wide(entry.clone()));
        store.data_mut().as_mut().unwrap().2.size = 0;
        let pass = instance.get_func(&store, "pass").unwrap().typed::<(Entry,), ()>(&store).unwrap();
        pass.call(&mut store, (entry.clone(),)).unwrap();
        assert_eq!(store.data().as_ref(), Some(&wide(entry)));
    }

    #[derive(ComponentType, Lift, Clone, Debug)]
    #[component(enum)]
    enum Wrong {
        File,
        Folder,
        SymLink,
    }
    let mut store = Store::new(&engine, ());
    let component = Component::new(
        &engine,
        r#"(component
        (type $kind' (enum "file" "dir" "sym-link"))
        (export $kind "kind" (type $kind'))
        (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $m (instantiate $m))
        (func (export "f") (result $kind) (canon lift (core func $m "f"))))"#,
    );
    let instance = Linker::new(&engine).instantiate(&mut store, &component.unwrap()).unwrap();
    let func = instance.get_func(&store, "f").unwrap();
    let error = func.typed::<(), (Wrong,)>(&store).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "type mismatch: the function has type func() -> enum { file, dir, sym-link }: the result: expected the case folder, found dir"
    );
    let kind = func.typed::<(), (Kind,)>(&store).unwrap().call(&mut store, ()).unwrap().0;
    assert_eq!(kind, Kind::Directory);
}

#[test]
fn flags_are_sets() {
    let (read, write, all) = (Access::READ, Access::WRITE, Access::all());
    assert_eq!((read | write) & write, write);
    assert_eq!(all ^ read, write | Access::RUN);
    assert_eq!(!read, write | Access::RUN);
    assert_eq!(!all, Access::default());
    assert!(all.intersects(write) && !read.intersects(write) && !all.intersects(Access::empty()));
    assert_eq!((all.as_array(), Access::RUN.as_array()), ([7], [4]));
    let mut some = all;
    some &= read | write;
    some ^= read;
    some |= Access::RUN;
    assert_eq!(some, write | Access::RUN);
}

#[test]
fn rust_types_for_maps_and_fixed_lists_have_to_fit() {
    let engine = engine();
    let text = r#"(component
        (core module $m (func (export "f") (param i32 i32 i32 i32)) (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
        (core instance $m (instantiate $m))
        (func (export "f") (param "map" (map string u8)) (param "list" (list u16 2))
            (canon lift (core func $m "f") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#;
    let (mut store, instance) = instance(&engine, text);
    type Map = std::collections::HashMap<String, u8>;
    let map = Map::from([("a".into(), 1)]);
    let f = instance.get_typed_func::<(&Map, [u16; 2]), ()>(&store, "f").unwrap();
    f.call(&mut store, (&map, [1, 2])).unwrap();
    let error = instance.get_typed_func::<(Map, [u16; 3]), ()>(&store, "f").unwrap_err();
    assert!(format!("{error:#}").ends_with("expected a list of 3, found list<u16, 2>"), "{error:#}");
    let error = instance.get_typed_func::<(Map, [u8; 2]), ()>(&store, "f").unwrap_err();
    assert!(format!("{error:#}").ends_with("the element of a list: expected `u8`, found u16"), "{error:#}");
    type Other = std::collections::HashMap<String, u16>;
    let error = instance.get_typed_func::<(Other, [u16; 2]), ()>(&store, "f").unwrap_err();
    assert!(format!("{error:#}").ends_with("the value of a map: expected `u16`, found u8"), "{error:#}");
    let error = instance.get_typed_func::<(Vec<String>, [u16; 2]), ()>(&store, "f").unwrap_err();
    assert!(format!("{error:#}").ends_with("expected a list, found map<string, u8>"), "{error:#}");
    let error = instance.get_typed_func::<(), ()>(&store, "g").unwrap_err();
    assert_eq!(error.to_string(), "the instance does not export the function g");
}

#[test]
fn resources_of_any_type_are_parameters_and_results() {
    use belljar::component::ResourceAny;
    let engine = engine();
    let text = r#"(component
        (import "number" (type $number (sub resource)))
        (import "see" (func $see (param "n" (borrow $number)) (result u32)))
        (import "swap" (func $swap (param "n" (own $number)) (result (own $number))))
        (core func $see' (canon lower (func $see)))
        (core func $swap' (canon lower (func $swap)))
        (core func $drop (canon resource.drop $number))
        (core module $m
            (import "" "see" (func $see (param i32) (result i32)))
            (import "" "swap" (func $swap (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "run") (param i32) (result i32) (local $seen i32)
                (local.set $seen (call $see (local.get 0)))
                (local.set 0 (call $swap (local.get 0)))
                (local.set $seen (i32.add (local.get $seen) (call $see (local.get 0))))
                (call $drop (local.get 0))
                (local.get $seen)))
        (core instance $m (instantiate $m (with "" (instance
            (export "see" (func $see')) (export "swap" (func $swap')) (export "drop" (func $drop))))))
        (func (export "run") (param "n" (own $number)) (result u32) (canon lift (core func $m "run")))
        ;; The host's own functions.
        (export "also-see" (func $see))
        (export "also-swap" (func $swap)))"#;
    type Kept = Vec<ResourceAny>;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::<Kept>::new(&engine);
    let mut root = linker.root();
    root.resource("number", ResourceType::host::<Number>(), |_, _| Ok(())).unwrap();
    root.func_wrap("see", |mut store: StoreContextMut<'_, Kept>, (n,): (ResourceAny,)| {
        assert!(!n.owned());
        store.data_mut().push(n);
        Ok((n.try_into_resource::<Number>(store)?.rep(),))
    })
    .unwrap();
    root.func_wrap("swap", |mut store: StoreContextMut<'_, Kept>, (n,): (ResourceAny,)| {
        assert!(n.owned());
        let old = n.try_into_resource::<Number>(&mut store)?;
        Ok((Resource::<Number>::new_own(old.rep() + 1).try_into_resource_any(store)?,))
    })
    .unwrap();
    let mut store = Store::new(&engine, Kept::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(ResourceAny,), (u32,)>(&store, "run").unwrap();
    let number =
        |store: &mut Store<Kept>, rep| Resource::<Number>::new_own(rep).try_into_resource_any(store).unwrap();
    let first = number(&mut store, 10);
    assert_eq!(run.call(&mut store, (first,)).unwrap(), (21,));
    // What was borrowed is gone with its call.
    for borrowed in std::mem::take(store.data_mut()) {
        let error = borrowed.try_into_resource::<Number>(&mut store).unwrap_err();
        assert!(error.to_string().contains("its call has ended"), "{error}");
    }

    let see = instance.get_typed_func::<(ResourceAny,), (u32,)>(&store, "also-see").unwrap();
    let swap = instance.get_typed_func::<(ResourceAny,), (ResourceAny,)>(&store, "also-swap").unwrap();
    let second = number(&mut store, 30);
    for _ in 0..3 {
        assert_eq!(see.call(&mut store, (second,)).unwrap(), (30,));
    }
    let (third,) = swap.call(&mut store, (second,)).unwrap();
    assert_eq!(see.call(&mut store, (third,)).unwrap(), (31,));
    third.resource_drop(&mut store).unwrap();
    // The places of handles that were borrowed are used again.
    let last = format!("{:?}", number(&mut store, 1));
    assert!(last.contains("number: 1,"), "{last}");
    let error = see.call(&mut store, (second,)).unwrap_err();
    assert!(error.to_string().contains("passed on or dropped before"), "{error}");
}
