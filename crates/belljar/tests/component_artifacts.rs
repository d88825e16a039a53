//! Components whose code was compiled earlier: they are what they were, or are refused.

use belljar::component::{Component, Linker};
use belljar::{
    ArtifactError, ArtifactOptions, Config, Engine, Module, Origin, Precompiled, Result, SigningKey, Store,
    Trust, UserKey,
};

fn config() -> Config {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    config
}

fn engine() -> Engine {
    Engine::new(&config()).unwrap()
}

/// Two components, one of which calls the other through an adapter.
fn wat(constant: u32) -> String {
    format!(
        r#"(component
        (component $adder
            (core module $m (func (export "add") (param i32 i32) (result i32)
                (i32.add (local.get 0) (i32.add (local.get 1) (i32.const {constant})))))
            (core instance $m (instantiate $m))
            (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $m "add"))))
        (component $user
            (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
            (core func $lowered (canon lower (func $add)))
            (core module $m (import "" "add" (func $add (param i32 i32) (result i32)))
                (func (export "run") (result i32) (call $add (i32.const 20) (i32.const 1))))
            (core instance $m (instantiate $m (with "" (instance (export "add" (func $lowered))))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $adder (instantiate $adder))
        (instance $user (instantiate $user (with "add" (func $adder "add"))))
        (export "run" (func $user "run")))"#
    )
}

fn run(engine: &Engine, component: &Component) -> Result<u32> {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, component)?;
    let run = instance.get_func(&store, "run").unwrap().typed::<(), (u32,)>(&store)?;
    Ok(run.call(&mut store, ())?.0)
}

fn artifact(engine: &Engine, constant: u32, options: ArtifactOptions<'_>) -> Vec<u8> {
    Component::new(engine, wat(constant)).unwrap().serialize_with(options).unwrap()
}

#[test]
fn a_loaded_component_is_what_it_was() {
    let engine = engine();
    let bytes = artifact(&engine, 21, ArtifactOptions::new());
    assert_eq!(Engine::detect_precompiled(&bytes), Some(Precompiled::Component));
    let loaded = Component::deserialize(&engine, &bytes).unwrap();
    assert_eq!(run(&engine, &loaded).unwrap(), 42);
    // What was loaded can be stored again, and is the same.
    let again = loaded.serialize().unwrap();
    assert_eq!(run(&engine, &Component::deserialize(&engine, &again).unwrap()).unwrap(), 42);
    assert_eq!(engine.precompile_component(wat(21).as_bytes()).unwrap().len(), bytes.len());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.elf");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Engine::detect_precompiled_file(&path).unwrap(), Some(Precompiled::Component));
    let loaded = Component::deserialize_file(&engine, &path).unwrap();
    assert_eq!(run(&engine, &loaded).unwrap(), 42);
    let error = Component::deserialize_file(&engine, folder.path().join("none")).unwrap_err();
    assert!(format!("{error:#}").contains("could not read"), "{error:#}");
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let engine = engine();
    let bytes = artifact(&engine, 0, ArtifactOptions::new());
    let head = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
    // All of the head, and samples of the rest. Between two artifacts are bytes that nothing reads.
    let mut changed = bytes.clone();
    let mut used = 0;
    for at in (0..head).chain((head..bytes.len()).step_by(97)) {
        changed[at] ^= 0x10;
        match Component::deserialize(&engine, &changed) {
            Ok(loaded) => {
                assert!(at >= head, "{at}");
                assert_eq!(run(&engine, &loaded).unwrap(), 21);
                used += 1;
            }
            Err(error) => drop(error),
        }
        changed[at] ^= 0x10;
    }
    assert!(used < (bytes.len() - head) / 97 / 2, "{used} changes had no effect");
    for end in (0..bytes.len()).step_by(211) {
        assert!(Component::deserialize(&engine, &bytes[..end]).is_err(), "{end}");
    }
}

/// Both files are sealed by the same user: their parts must not be mixed.
#[test]
fn modules_of_another_component_are_refused() {
    let engine = engine();
    let [one, other] = [1, 2].map(|constant| artifact(&engine, constant, ArtifactOptions::new()));
    assert_eq!(one.len(), other.len());
    let head = u64::from_le_bytes(one[8..16].try_into().unwrap()) as usize;
    let mixed = [&one[..head], &other[head..]].concat();
    let error = Component::deserialize(&engine, mixed).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ArtifactError::Seal(_))), "{error:?}");
}

#[test]
fn only_trusted_artifacts_of_components_are_loaded() {
    let engine = engine();
    let bytes = artifact(&engine, 0, ArtifactOptions::new());
    let other = |trust: Trust| Engine::new(Config::new().trust(trust)).unwrap();
    let stranger = other(Trust { user: Some(UserKey::from_bytes([8; 32])), ..Trust::default() });
    let error = Component::deserialize(&stranger, &bytes).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ArtifactError::Seal(_))), "{error:?}");

    let signer = SigningKey::generate().unwrap();
    let signed = artifact(&engine, 0, ArtifactOptions::new().sign(&signer));
    assert!(Component::deserialize(&stranger, &signed).is_err());
    let keys = [signer.public().named("signer").unwrap()].into_iter().collect();
    let friend = other(Trust { user: None, keys });
    assert_eq!(run(&friend, &Component::deserialize(&friend, &signed).unwrap()).unwrap(), 21);

    // An artifact of one kind is none of another.
    let module = Module::new(&engine, "(module)").unwrap().serialize().unwrap();
    let error = Component::deserialize(&engine, &module).unwrap_err().to_string();
    assert!(error.starts_with("this is not a compiled component"), "{error}");
    assert!(Module::deserialize(&engine, &bytes).is_err());
    let error = Component::deserialize(&engine, wat(0)).unwrap_err().to_string();
    assert!(error.contains("Component::new and Component::from_file load components"), "{error}");
}

#[test]
fn components_are_compiled_again_where_their_code_does_not_fit() {
    let plain = artifact(&engine(), 0, ArtifactOptions::new());
    let with_source = artifact(&engine(), 0, ArtifactOptions::new().embed_source(true));
    let fuel = Engine::new(config().consume_fuel(true)).unwrap();
    let error = Component::deserialize(&fuel, &plain).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ArtifactError::Settings(_))), "{error:?}");
    let loaded = Component::deserialize(&fuel, &with_source).unwrap();
    let mut store = Store::new(&fuel, ());
    store.set_fuel(1000).unwrap();
    let instance = Linker::new(&fuel).instantiate(&mut store, &loaded).unwrap();
    let run = instance.get_func(&store, "run").unwrap().typed::<(), (u32,)>(&store).unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), (21,));
    assert!(store.get_fuel().unwrap() < 1000);
}

/// With a cache, a component's modules come from there.
#[test]
fn modules_of_components_are_cached() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    let mut cache = belljar::CacheConfig::new();
    cache.with_directory(folder.path());
    config.cache(Some(belljar::Cache::new(cache).unwrap()));
    let engine = Engine::new(&config).unwrap();
    for expected in [Origin::Compiled, Origin::Cache] {
        let wat = format!(
            "(component (core module {}) (core module $m) (export \"m\" (core module $m)))",
            "(func)"
        );
        let component = Component::new(&engine, wat).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        assert_eq!(*instance.get_module(&store, "m").unwrap().origin(), expected);
    }
}
