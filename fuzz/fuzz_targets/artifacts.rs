//! Bytes as an artifact: arbitrary bytes are refused, and so is a modified artifact. Sealed contents are not fuzzed:
//! the owner of the key decides what the native code does, and need not cheat.
#![no_main]

use belljar::{Config, Engine, Module, Trust, UserKey};
use std::sync::OnceLock;

const WAT: &str = r#"(module $m
    (import "a" "b" (func $i (param i32)))
    (type $s (struct (field i32)))
    (memory (export "mem") 1) (table 3 funcref) (global (mut i32) (i32.const 7))
    (func $f (export "f") (param i32) (result i32) (call $i (local.get 0)) (i32.load (local.get 0)))
    (func (drop (struct.new $s (i32.const 1))))
    (elem (i32.const 0) $f) (data (i32.const 8) "hello"))"#;

fn user() -> UserKey {
    UserKey::from_bytes([3; 32])
}

/// An engine that trusts this user, and an artifact that it compiled.
fn made() -> &'static (Engine, Vec<u8>) {
    static MADE: OnceLock<(Engine, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut config = Config::new();
        config.trust(Trust { user: Some(user()), ..Trust::default() });
        let engine = Engine::new(&config).expect("an engine");
        let artifact = Module::new(&engine, WAT).and_then(|module| module.serialize()).expect("an artifact");
        (engine, artifact)
    })
}

libfuzzer_sys::fuzz_target!(|input: (Vec<(u16, u8)>, &[u8])| {
    let (changes, bytes) = input;
    let (engine, artifact) = made();
    assert!(Module::deserialize(engine, bytes).is_err());
    let mut changed = artifact.clone();
    for (at, value) in changes {
        let at = usize::from(at) % changed.len();
        changed[at] = value;
    }
    assert_eq!(Module::deserialize(engine, &changed).is_ok(), changed == *artifact);
});
