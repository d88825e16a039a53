//! Compiled modules as bytes: who is believed, what is refused, and that nothing a file does later matters.

use belljar::{
    ArtifactError, ArtifactOptions, Cache, CacheConfig, Config, Engine, Error, Instance, Module, Origin,
    SealError, SigningKey, Store, Trap, Trust, TrustedBy, UserKey, WasmBacktrace,
};
use std::fs;
use std::path::Path;

/// Uses a memory, a table, a data segment, a trap and names.
const WAT: &str = r#"(module $mod
    (memory 1) (data (i32.const 8) "\2a\00\00\00")
    (table 2 funcref) (elem (i32.const 0) $answer $trap)
    (type $t (func (result i32)))
    (func $answer (type $t) (i32.load (i32.const 8)))
    (func $trap (type $t) (i32.div_u (i32.const 1) (i32.const 0)))
    (func (export "call") (param i32) (result i32) (call_indirect (type $t) (local.get 0))))"#;

fn trust(user: u8) -> Trust {
    Trust { user: Some(UserKey::from_bytes([user; 32])), ..Trust::default() }
}

fn config(trust: Trust) -> Config {
    let mut config = Config::new();
    config.trust(trust);
    config
}

fn engine(user: u8) -> Engine {
    Engine::new(&config(trust(user))).unwrap()
}

fn call(module: &Module, function: i32) -> Result<i32, Error> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<i32, i32>(&mut store, "call")?.call(&mut store, function)
}

fn works(module: &Module) {
    assert_eq!(call(module, 0).unwrap(), 42);
    let error = call(module, 1).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero));
    let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
    assert_eq!(backtrace.frames()[0].func_name(), Some("trap"));
}

fn refusal(engine: &Engine, artifact: &[u8]) -> ArtifactError {
    Module::deserialize(engine, artifact).unwrap_err().downcast::<ArtifactError>().unwrap()
}

#[test]
fn a_module_is_itself_again() {
    let first = Module::new(&engine(1), WAT).unwrap();
    works(&first);
    let artifact = first.serialize().unwrap();
    let again = Module::deserialize(&engine(1), &artifact).unwrap();
    works(&again);
    assert_eq!(again.origin(), &Origin::Artifact(TrustedBy::User));
    assert_eq!(again.name(), Some("mod"));
    assert_eq!(again.exports().map(|e| e.name().to_string()).collect::<Vec<_>>(), ["call"]);
    // Once more from what was loaded, which no longer has its wasm.
    assert_eq!(again.serialize().unwrap(), artifact);
    let error = again.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap_err();
    assert!(error.to_string().contains("without its wasm"), "{error}");
}

#[test]
fn the_same_module_gives_the_same_artifact() {
    let artifact = || Module::new(&engine(1), WAT).unwrap().serialize().unwrap();
    assert!(artifact() == artifact());
}

#[test]
fn another_user_is_not_believed() {
    let artifact = Module::new(&engine(1), WAT).unwrap().serialize().unwrap();
    assert!(matches!(refusal(&engine(2), &artifact), ArtifactError::Seal(SealError::Untrusted { .. })));
    let nobody = Engine::new(&config(Trust::default())).unwrap();
    assert!(matches!(refusal(&nobody, &artifact), ArtifactError::Seal(SealError::Untrusted { .. })));
}

#[test]
fn a_trusted_key_is_believed_everywhere() {
    let key = SigningKey::from_seed([9; 32]);
    let module = Module::new(&engine(1), WAT).unwrap();
    let artifact = module.serialize_with(ArtifactOptions::new().sign(&key)).unwrap();
    assert!(matches!(refusal(&engine(2), &artifact), ArtifactError::Seal(SealError::Untrusted { .. })));
    let mut trust = trust(2);
    trust.keys = [key.public().named("ada").unwrap()].into_iter().collect();
    let module = Module::deserialize(&Engine::new(&config(trust)).unwrap(), &artifact).unwrap();
    works(&module);
    assert_eq!(module.origin(), &Origin::Artifact(TrustedBy::Key(key.public())));
}

#[test]
fn an_artifact_that_holds_its_wasm_is_compiled_again() {
    let module = Module::new(&engine(1), WAT).unwrap();
    let artifact = module.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap();
    let here = Module::deserialize(&engine(1), &artifact).unwrap();
    assert_eq!(here.origin(), &Origin::Artifact(TrustedBy::User));
    let elsewhere = Module::deserialize(&engine(2), &artifact).unwrap();
    works(&elsewhere);
    assert!(matches!(elsewhere.origin(), Origin::CompiledAgain(ArtifactError::Seal(_))));
    let mut other = config(trust(1));
    other.consume_fuel(true);
    let other = Module::deserialize(&Engine::new(&other).unwrap(), &artifact).unwrap();
    let Origin::CompiledAgain(why) = other.origin() else { panic!("{:?}", other.origin()) };
    assert!(why.to_string().contains("`fuel = no`"), "{why}");
    // Changed bytes are nobody's wasm.
    let at = artifact.windows(4).rposition(|w| w == b"\0asm").unwrap();
    let mut changed = artifact;
    changed[at + 20] ^= 1;
    assert!(matches!(refusal(&engine(2), &changed), ArtifactError::Seal(_)));
}

#[test]
fn other_settings_are_refused_with_what_differs() {
    let artifact = Module::new(&engine(1), WAT).unwrap().serialize().unwrap();
    let mut other = config(trust(1));
    other.epoch_interruption(true);
    let why = refusal(&Engine::new(&other).unwrap(), &artifact).to_string();
    assert!(why.contains("`epochs = no`") && why.contains("`epochs = yes`"), "{why}");
}

/// Every byte of a small artifact counts, padding and tables of names included.
#[test]
fn every_change_of_a_byte_is_refused() {
    let engine = engine(1);
    let artifact = Module::new(&engine, "(module (func $f (export \"f\")))").unwrap().serialize().unwrap();
    let mut changed = artifact.clone();
    for (i, byte) in artifact.iter().enumerate() {
        changed[i] = byte ^ (1 << (i % 8));
        assert!(Module::deserialize(&engine, &changed).is_err(), "byte {i} of {}", artifact.len());
        changed[i] = *byte;
    }
    assert!(Module::deserialize(&engine, &changed).is_ok());
    for length in (0..artifact.len()).step_by(7) {
        assert!(Module::deserialize(&engine, &artifact[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn what_happens_to_the_file_later_makes_no_difference() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("m.elf");
    let engine = engine(1);
    let artifact = Module::new(&engine, WAT).unwrap().serialize().unwrap();
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |file| fs::write(file, vec![0xcc; 100_000]).unwrap(),
        |file| fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap(),
        |file| fs::remove_file(file).unwrap(),
        |file| {
            fs::write(file.with_extension("new"), "else").unwrap();
            fs::rename(file.with_extension("new"), file).unwrap();
        },
    ];
    for change in changes {
        fs::write(&file, &artifact).unwrap();
        let module = Module::from_file(&engine, &file).unwrap();
        change(&file);
        works(&module);
    }
}

fn cached(directory: &Path, user: u8) -> Engine {
    let mut config = config(trust(user));
    config.cache(Some(Cache::open(CacheConfig::at(directory)).unwrap()));
    Engine::new(&config).unwrap()
}

/// The files of entries.
fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(entries(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_second_engine_finds_what_the_first_compiled() {
    let scratch = tempfile::tempdir().unwrap();
    let first = Module::new(&cached(scratch.path(), 1), WAT).unwrap();
    assert_eq!(first.origin(), &Origin::Compiled);
    let second = Module::new(&cached(scratch.path(), 1), WAT).unwrap();
    assert_eq!(second.origin(), &Origin::Cache);
    works(&second);
    // It has its wasm, so that it can be made an artifact of any kind.
    let artifact = second.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap();
    assert!(artifact == first.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap());
    // Other settings are other code.
    let mut other = config(trust(1));
    other.cache(Some(Cache::open(CacheConfig::at(scratch.path())).unwrap())).consume_fuel(true);
    assert_eq!(Module::new(&Engine::new(&other).unwrap(), WAT).unwrap().origin(), &Origin::Compiled);
}

#[test]
fn a_bad_entry_is_a_miss_and_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let module = || {
        let engine = cached(scratch.path(), 1);
        let module = Module::new(&engine, WAT).unwrap();
        works(&module);
        (module.origin().clone(), engine.problems())
    };
    assert_eq!(module(), (Origin::Compiled, vec![]));
    let entry = entries(scratch.path()).remove(0);
    let good = fs::read(&entry).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let bad = [
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        flipped(5000),
        flipped(70),
        vec![0; 5000],
        b"text".to_vec(),
    ];
    for bad in bad {
        fs::write(&entry, bad).unwrap();
        let (origin, problems) = module();
        assert_eq!(origin, Origin::Compiled);
        assert!(problems.len() == 1 && problems[0].contains("replaced"), "{problems:?}");
        assert_eq!(module(), (Origin::Cache, vec![]));
    }
    // An entry that somebody else made.
    Module::new(&cached(scratch.path(), 2), WAT).unwrap();
    assert!(entries(scratch.path()).len() == 1);
    assert_eq!(module().0, Origin::Compiled);
}

/// Somebody who can write to the directory, but has no key, can move right entries about.
#[test]
fn an_entry_under_another_name_is_not_used() {
    let scratch = tempfile::tempdir().unwrap();
    let other = WAT.replace("\\2a", "\\2b");
    let engine = || cached(scratch.path(), 1);
    Module::new(&engine(), WAT).unwrap();
    let first = entries(scratch.path());
    Module::new(&engine(), &other).unwrap();
    let second = entries(scratch.path()).into_iter().find(|path| !first.contains(path)).unwrap();
    fs::copy(&second, &first[0]).unwrap();
    let module = Module::new(&engine(), WAT).unwrap();
    assert_eq!(module.origin(), &Origin::Compiled);
    works(&module);
}
