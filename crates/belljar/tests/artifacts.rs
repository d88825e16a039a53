//! Compiled modules as bytes: which keys are trusted, what is refused, and that later changes of a file have no effect.

use belljar::{
    ArtifactError, ArtifactInfo, ArtifactKind, ArtifactOptions, Cache, CacheConfig, Config, Engine, Error,
    Identity, Instance, Key, Module, Origin, SealError, SigningKey, Store, Trap, Trust, TrustedBy, UserKey,
    WasmBacktrace,
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
    // Once more from the loaded module, which no longer has its wasm.
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
    // Changed bytes are not compiled again.
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

/// A file is used only as what a trusted key sealed it as, whatever its contents are.
#[test]
fn what_was_sealed_as_something_else_is_refused() {
    let user = UserKey::from_bytes([1; 32]);
    let engine = engine(1);
    let module = Module::new(&engine, WAT).unwrap();
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &module, &[]).unwrap();
    let snapshot = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    for (artifact, kind) in
        [(module.serialize().unwrap(), ArtifactKind::Module), (snapshot, ArtifactKind::Snapshot)]
    {
        let contents = Identity { kind, ..belljar_cache::seal_of(&artifact).unwrap().identity };
        assert_eq!(belljar_cache::seal_of(&artifact).unwrap().identity, contents);
        let other_key = Identity { key: Key([7; 32]), ..contents };
        let others = ArtifactKind::ALL.map(|kind| Identity { kind, ..contents });
        for identity in others.into_iter().chain([other_key]) {
            let mut again = artifact.clone();
            belljar_cache::seal_native_code(&mut again, identity, Some(&user), None).unwrap();
            if identity == contents {
                assert!(again == artifact);
                continue;
            }
            let expected = SealError::OtherIdentity { expected: contents, found: identity };
            assert_eq!(refusal(&engine, &again), ArtifactError::Seal(expected));
        }
    }
}

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

/// Returns the files of cache entries.
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
    // It has its wasm, so all kinds of artifacts can be made of it.
    let artifact = second.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap();
    assert!(artifact == first.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap());
    // Other settings produce other code.
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
    // An entry that another user made.
    Module::new(&cached(scratch.path(), 2), WAT).unwrap();
    assert!(entries(scratch.path()).len() == 1);
    assert_eq!(module().0, Origin::Compiled);
}

/// An attacker who can write to the directory but has no key can still rename valid entries.
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

/// Creates an engine with all features of memories, and with a cache if there is a directory for one.
fn engine_of_memories(cache: Option<&Path>) -> Engine {
    let mut config = config(trust(1));
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_custom_page_sizes(true).wasm_threads(true);
    config.cache(cache.map(|directory| Cache::open(CacheConfig::at(directory)).unwrap()));
    Engine::new(&config).unwrap()
}

/// Returns what `observe` reports of two instances of a module. It must be the same whether the module was just
/// compiled, found in a cache, or loaded from an artifact with or without its wasm, including an artifact of an
/// artifact.
fn seen_everywhere(wat: &str, observe: impl Fn(&Module) -> Vec<String>) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let plain = engine_of_memories(None);
    let cached = || engine_of_memories(Some(scratch.path()));
    let first = Module::new(&plain, wat).unwrap();
    let put = Module::new(&cached(), wat).unwrap();
    let found = Module::new(&cached(), wat).unwrap();
    assert_eq!((put.origin(), found.origin()), (&Origin::Compiled, &Origin::Cache));
    let whole = first.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap();
    let lean = first.serialize().unwrap();
    let of_lean = Module::deserialize(&plain, &lean).unwrap();
    let of_whole = Module::deserialize(&plain, &whole).unwrap();
    // The artifacts are the same, wherever the module came from.
    for module in [&put, &found, &of_whole, &of_lean] {
        assert!(module.serialize().unwrap() == lean);
    }
    for module in [&put, &found, &of_whole] {
        assert!(module.serialize_with(ArtifactOptions::new().embed_source(true)).unwrap() == whole);
    }
    let expected = observe(&first);
    for module in [first, put, found, of_lean, of_whole] {
        for instance in ["first", "second", "third"] {
            assert_eq!(observe(&module), expected, "{:?}, {instance} instance", module.origin());
        }
    }
    expected
}

/// Returns contents of `length` bytes.
fn large(length: usize) -> String {
    "0123456789abcdef".chars().cycle().take(length).collect()
}

/// Functions that read memory 0 and use the data segment `$d`.
const LOOK: &str = r#"
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "init") (param i32 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
    (func (export "drop") (data.drop $d))"#;

/// Returns what `load` reads at some addresses, and the results of `init` before and after `drop`.
fn look(module: &Module, places: &[i32]) -> Vec<String> {
    let mut store = Store::new(module.engine(), ());
    let instance = match Instance::new(&mut store, module, &[]) {
        Ok(instance) => instance,
        Err(error) => return vec![format!("{error}"), format!("{:?}", error.downcast_ref::<Trap>())],
    };
    look_at(&mut store, &instance, places)
}

fn look_at(store: &mut Store<()>, instance: &Instance, places: &[i32]) -> Vec<String> {
    let load = instance.get_typed_func::<i32, i32>(&mut *store, "load").unwrap();
    let init = instance.get_typed_func::<(i32, i32, i32), ()>(&mut *store, "init").unwrap();
    let drop = instance.get_typed_func::<(), ()>(&mut *store, "drop").unwrap();
    let mut seen = Vec::new();
    for round in 0..2 {
        for (place, start, length) in [(3, 0, 0), (3, 1, 0), (3, 1, 2), (3, 0, 1), (3, 100_000, 1)] {
            let done = init.call(&mut *store, (place, start, length));
            seen.push(
                done.map_or_else(|error| format!("{:?}", error.downcast_ref::<Trap>()), |()| "done".into()),
            );
        }
        for &place in places {
            seen.push(load.call(&mut *store, place).unwrap().to_string());
        }
        if round == 0 {
            drop.call(&mut *store, ()).unwrap();
        }
    }
    seen
}

#[test]
fn memories_start_with_what_images_hold() {
    let wat = format!(
        r#"(module (memory 9) (data $d (i32.const 5000) "{}") (data (i32.const 5001) "\ff\fe") (data (i32.const 400000) "z")
            (data (i32.const 589824) "") {LOOK})"#,
        large(20_000)
    );
    let seen = seen_everywhere(&wat, |module| {
        look(module, &[4999, 5000, 5001, 5002, 5003, 24_999, 25_000, 400_000])
    });
    let bytes = ["0", "48", "255", "254", "51", "102", "0", "122"];
    assert_eq!(seen[5..13], bytes);
    // The segment was dropped: none of it is left, not even at its end.
    let trap = "Some(MemoryOutOfBounds)";
    assert_eq!(seen[..5], ["done", trap, trap, trap, trap]);
    assert_eq!(seen[13..18], seen[..5]);
}

#[test]
fn thousands_of_segments_are_one_image() {
    let segments: String =
        (0..5000).map(|i| format!("(data (i32.const {}) \"{}\")", i * 9, i % 10)).collect();
    let wat = format!("(module (memory 1) (data $d (i32.const 65535) \"x\") {segments} {LOOK})");
    let seen = seen_everywhere(&wat, |module| look(module, &[0, 9, 10, 9 * 4999, 65_535]));
    assert_eq!(seen[5..10], ["48", "49", "0", "57", "120"]);
    // Its artifact contains them once.
    let artifact = Module::new(&engine_of_memories(None), &wat).unwrap().serialize().unwrap();
    assert!(artifact.len() < 90_000, "{}", artifact.len());
}

#[test]
fn passive_segments_are_there_beside_images() {
    let wat = format!(
        r#"(module (memory 1) (data (i32.const 100) "{}") (data $empty "") (data $d "\07\08\09") (data $other "{}")
            (func (export "other") (memory.init $other (i32.const 50) (i32.const 4999) (i32.const 1))) {LOOK})"#,
        large(20_000),
        large(5000)
    );
    let seen = seen_everywhere(&wat, |module| {
        let mut seen = look(module, &[2, 3, 4, 5, 100]);
        let mut store = Store::new(module.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "other").unwrap().call(&mut store, ()).unwrap();
        seen.extend(look_at(&mut store, &instance, &[50]));
        seen
    });
    let trap = "Some(MemoryOutOfBounds)";
    assert_eq!(seen[..10], ["done", "done", "done", "done", trap, "0", "7", "9", "0", "48"]);
    assert_eq!(seen[10..15], ["done", trap, trap, trap, trap]);
    assert_eq!(seen[25], "55");
}

#[test]
fn segments_that_do_not_fit_trap_as_ever() {
    let wat = |imports: &str, last: &str| {
        format!("(module {imports} (memory 1) (data $d (i32.const 0) \"{}\") {last} {LOOK})", large(20_000))
    };
    let outside = wat("", "(data (i32.const 65535) \"ab\")");
    let seen = seen_everywhere(&outside, |module| look(module, &[]));
    assert_eq!(seen[1], "Some(MemoryOutOfBounds)", "{seen:?}");
    assert!(seen[0].contains("data segment 1"), "{seen:?}");
    let empty = wat("", "(data (i32.const 65537) \"\")");
    assert_eq!(seen_everywhere(&empty, |module| look(module, &[]))[1], "Some(MemoryOutOfBounds)");
    let at_the_end = wat("", "(data (i32.const 65536) \"\") (data (i32.const 65535) \"a\")");
    assert_eq!(seen_everywhere(&at_the_end, |module| look(module, &[65_535]))[5], "97");
}

/// A function of an instance that failed to instantiate is in a table: it sees what was copied before the trap.
#[test]
fn an_instance_that_failed_is_seen_as_it_was_left() {
    let wat = format!(
        r#"(module (import "" "t" (table 1 funcref)) (memory 1) (func $load (result i32) (i32.load8_u (i32.const 1)))
            (elem (i32.const 0) $load) (data (i32.const 0) "{}") (data (i32.const 65536) "a"))"#,
        large(20_000)
    );
    let early = wat.replace("(elem", "(elem (i32.const 0) $load) (elem (i32.const 1) func $load) (elem");
    for (wat, left) in [(wat, 49), (early, 0)] {
        let seen = seen_everywhere(&wat, |module| {
            let engine = module.engine();
            let mut store = Store::new(engine, ());
            let other = r#"(module (table (export "t") 1 funcref)
                (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0))))"#;
            let other = Instance::new(&mut store, &Module::new(engine, other).unwrap(), &[]).unwrap();
            let table = other.get_table(&mut store, "t").unwrap();
            let error = Instance::new(&mut store, module, &[table.into()]).unwrap_err();
            let call = other.get_typed_func::<(), i32>(&mut store, "call").unwrap();
            vec![
                format!("{:?}", error.downcast_ref::<Trap>()),
                call.call(&mut store, ()).unwrap().to_string(),
            ]
        });
        assert_eq!(seen[1], left.to_string(), "{seen:?}");
    }
}

#[test]
fn imported_memories_are_written_at_instantiation() {
    let wat = format!(
        r#"(module (import "" "m" (memory 1)) (import "" "at" (global $at i32)) (memory $own 1)
            (data $d (i32.const 10) "{0}") (data (global.get $at) "\01") (data (memory $own) (i32.const 0) "{0}")
            (func (export "own") (result i32) (i32.load8_u $own (i32.const 19999))) {LOOK})"#,
        large(20_000)
    );
    let seen = seen_everywhere(&wat, |module| {
        let engine = module.engine();
        let mut store = Store::new(engine, ());
        let other = r#"(module (memory (export "m") 1) (global (export "at") i32 (i32.const 12)) (data (i32.const 9) "\09\09\09"))"#;
        let other = Instance::new(&mut store, &Module::new(engine, other).unwrap(), &[]).unwrap();
        let imports =
            [other.get_export(&mut store, "m").unwrap(), other.get_export(&mut store, "at").unwrap()];
        let instance = Instance::new(&mut store, module, &imports).unwrap();
        let own = instance.get_typed_func::<(), i32>(&mut store, "own").unwrap();
        let mut seen = vec![own.call(&mut store, ()).unwrap().to_string()];
        seen.extend(look_at(&mut store, &instance, &[9, 10, 11, 12, 13]));
        seen
    });
    assert_eq!((&*seen[0], &seen[6..11]), ("102", &["9", "48", "49", "1", "51"].map(String::from)[..]));
}

#[test]
fn each_of_two_memories_has_its_image() {
    let wat = format!(
        r#"(module (memory $a 2) (memory $b 3) (data $d (i32.const 7) "{0}") (data (memory $b) (i32.const 100001) "{0}")
            (data (memory $b) (i32.const 100002) "\05") (func (export "b") (param i32) (result i32) (i32.load8_u $b (local.get 0))) {LOOK})"#,
        large(30_000)
    );
    let seen = seen_everywhere(&wat, |module| {
        let mut store = Store::new(module.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let b = instance.get_typed_func::<i32, i32>(&mut store, "b").unwrap();
        let places = [100_000, 100_001, 100_002, 130_000, 130_001];
        let mut seen: Vec<_> = places.map(|at| b.call(&mut store, at).unwrap().to_string()).into();
        seen.extend(look_at(&mut store, &instance, &[6, 7, 30_006, 30_007]));
        seen
    });
    assert_eq!(seen[..5], ["0", "48", "5", "102", "0"]);
    assert_eq!(seen[10..14], ["0", "48", "102", "0"]);
}

/// With 64-bit addresses, shared, and with pages of one byte, of which the last host page is not full.
#[test]
fn memories_of_every_kind_have_images() {
    let data = large(20_000);
    let wide = LOOK
        .replace("(i32.load8_u (local.get 0))", "(i32.load8_u (i64.extend_i32_u (local.get 0)))")
        .replace("memory.init $d (local.get 0)", "memory.init $d (i64.extend_i32_u (local.get 0))");
    let modules = [
        format!("(module (memory i64 1) (data $d (i64.const 10) \"{data}\") {wide})"),
        format!("(module (memory 1 2 shared) (data $d (i32.const 10) \"{data}\") {LOOK})"),
        format!("(module (memory 20010 (pagesize 1)) (data $d (i32.const 10) \"{data}\") {LOOK})"),
    ];
    for wat in modules {
        let seen = seen_everywhere(&wat, |module| look(module, &[9, 10, 20_009]));
        assert_eq!(seen[5..8], ["0", "48", "102"], "{}", &wat[..40]);
    }
}

#[test]
fn code_for_another_processor_is_kept_and_never_executed() {
    let engine_on = |host: &str| {
        let mut config = Config::new();
        config.target_processor("x86-64-v3").host_processor(host).trust(trust(7));
        Engine::new(&config).unwrap()
    };
    // This machine has the features, or is one on which this cannot be tested.
    let wat = r#"(module (func (export "f") (param v128) (result v128) (i8x16.popcnt (local.get 0))))"#;
    let engine = engine_on("x86-64-v2");
    let module = Module::new(&engine, wat).unwrap();
    assert_eq!(module.exports().len(), 1);
    let mut store = Store::new(&engine, ());
    let refused = |error: belljar::Error| {
        assert!(format!("{error:#}").contains("it needs a processor with"), "{error:#}");
    };
    refused(Instance::new(&mut store, &module, &[]).unwrap_err());
    let pre = belljar::Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    refused(pre.instantiate(&mut store).unwrap_err());
    refused(belljar::SandboxTemplate::new(pre, || Ok(())).build().map(drop).unwrap_err());
    // The same holds for code from an artifact, or code that an engine for this processor set reads back.
    let artifact = module.serialize().unwrap();
    let again = Module::deserialize(&engine, &artifact).unwrap();
    refused(Instance::new(&mut store, &again, &[]).unwrap_err());
    // Trampolines are code as well.
    let ty = belljar::FuncType::new(&engine, vec![belljar::ValType::V128; 20], []);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        belljar::Func::new(&mut store, ty, |_, _, _| Ok(()));
    }));
    let panic = made.unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("it needs a processor with"));
    // A host with all features runs it, wherever it was made.
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
        let engine = engine_on("x86-64-v3");
        let module = Module::deserialize(&engine, &artifact).unwrap();
        Instance::new(&mut Store::new(&engine, ()), &module, &[]).unwrap();
    }
}

/// A file of a few bytes on the disk can claim to have terabytes. No memory is allocated for it, and it is not read.
#[test]
fn a_sparse_file_of_any_length_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::default();
    for start in [&b"\x7fELF"[..], b"\0asm\x01\0\0\0"] {
        let path = dir.path().join("sparse");
        fs::write(&path, start).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        if let Err(error) = file.set_len(1 << 42) {
            return println!("skipped: no sparse files of 4 TiB here: {error}");
        }
        for result in [Module::from_file(&engine, &path), Module::deserialize_file(&engine, &path)] {
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("seal") || error.contains("at most 1 GiB"), "{error}");
        }
        assert!(ArtifactInfo::read(&fs::File::open(&path).unwrap()).is_err());
    }
}
