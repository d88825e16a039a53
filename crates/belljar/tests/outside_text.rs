//! Names from modules, callers and other processes: the library's messages about them are safe to print.

use belljar::{
    Config, Engine, Func, GuestAlloc, Instance, KillReason, Linker, Module, OutsideText, Store,
    UnknownImportError, WasmBacktrace,
};
use std::fmt::{Debug, Display};

const EVIL: &str = "\u{1b}[2J\u{9b}\r\u{7f}\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}\nFORGED";

/// Only our line breaks are there, and everything else is a visible character.
#[track_caller]
fn assert_harmless(what: &impl Display) {
    let text = what.to_string();
    let odd = text.chars().find(|c| *c != '\n' && !OutsideText::prints_as_itself(*c));
    assert_eq!(odd, None, "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{text}");
    assert!(text.contains(r"\u{1b}[2J\u{9b}\r\u{7f}\u{202e}"), "nothing of the name in {text}");
}

#[track_caller]
fn assert_error<T: Debug>(result: Result<T, belljar::Error>) -> belljar::Error {
    let error = result.expect_err("an error");
    assert_harmless(&format!("{error:#}"));
    error
}

fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\u{{{:x}}}", c as u32)).collect();
    format!("\"{escaped}\"")
}

fn module(engine: &Engine, fields: &str) -> Module {
    let evil = quoted(EVIL);
    Module::new(engine, format!("(module ${evil} {}", fields.replace("EVIL", &evil)) + ")").unwrap()
}

#[test]
fn linking() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let lacking = module(&engine, "(import EVIL EVIL (func)) (import EVIL \"b\" (memory 1))");
    let mut linker = Linker::new(&engine);
    let error = assert_error(linker.instantiate(&mut store, &lacking));
    assert_harmless(error.downcast_ref::<UnknownImportError>().unwrap());
    assert_error(linker.alias(EVIL, EVIL, "a", "b").map(drop));
    assert_error(linker.alias_module(EVIL, "a").map(drop));
    assert_error(linker.clone().define_unknown_imports_as_traps(&lacking));
    linker.func_wrap(EVIL, EVIL, |_: i32| {}).unwrap();
    assert_error(linker.func_wrap(EVIL, EVIL, || {}).map(drop));
    let one = module(&engine, "(import EVIL EVIL (func))");
    assert_error(linker.instantiate(&mut store, &one));
    let wrong = Func::wrap(&mut store, |_: i32| {});
    assert_error(Instance::new(&mut store, &one, &[wrong.into()]));
    let mut traps = Linker::new(&engine);
    let calls = module(&engine, "(import EVIL EVIL (func $f)) (func (export EVIL) (call $f))");
    traps.define_unknown_imports_as_traps(&calls).unwrap();
    let instance = traps.instantiate(&mut store, &calls).unwrap();
    let func = instance.get_typed_func::<(), ()>(&mut store, EVIL).unwrap();
    assert_error(func.call(&mut store, ()));
}

#[test]
fn exports_and_backtraces() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let fields = "(memory (export EVIL) 1) (func $EVIL (export \"trap\") unreachable) (func (export \"f\") (param i32))";
    let module = module(&engine, fields);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let missing = format!("missing{EVIL}");
    assert_error(instance.get_typed_func::<(), ()>(&mut store, &missing).map(drop));
    assert_error(instance.get_typed_func::<(), ()>(&mut store, EVIL).map(drop));
    let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
    let error = trap.call(&mut store, ()).unwrap_err();
    assert_harmless(error.downcast_ref::<WasmBacktrace>().unwrap());
    assert_harmless(&format!("{error:?}"));
    assert_error(GuestAlloc::named(&mut store, instance, EVIL, None).map(drop));
}

#[test]
fn inputs() {
    let engine = Engine::default();
    let evil = quoted(EVIL);
    let again = format!("(module (func (export {evil}) (export {evil})))");
    assert_error(Module::new(&engine, again));
    assert_error(Module::new(&engine, format!("(module (func (call ${evil})))")));
    assert_error(Module::from_file(&engine, format!("/nowhere/{EVIL}")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(EVIL);
    for contents in [format!("(module (func (call ${evil})))"), "\0asm".into(), format!("(module {EVIL})")] {
        std::fs::write(&file, contents).unwrap();
        assert_error(Module::from_file(&engine, &file));
    }
    let text = format!("(module (func (call ${evil})))");
    assert_error(belljar::to_binary(text.as_bytes(), Some(file.as_path())));
    assert_error(Engine::new(Config::new().target_processor(EVIL)));
}

#[test]
fn kills_and_stacks() {
    assert_harmless(&KillReason::from(EVIL));
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    store.set_label(EVIL);
    let mut linker = Linker::new(&engine);
    let (told, telling) = std::sync::mpsc::channel();
    let inspector = store.inspector();
    linker
        .func_wrap(EVIL, EVIL, move || {
            let inspector = inspector.clone();
            let stack = std::thread::spawn(move || inspector.capture(std::time::Duration::from_secs(60)));
            told.send(stack.join().unwrap().unwrap().to_string()).unwrap();
        })
        .unwrap();
    let calls = module(&engine, "(import EVIL EVIL (func $f)) (func $EVIL (export \"f\") (call $f))");
    let instance = linker.instantiate(&mut store, &calls).unwrap();
    instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
    let stack = telling.recv().unwrap();
    assert_harmless(&stack);
    assert!(stack.contains("the host function"), "{stack}");
}
