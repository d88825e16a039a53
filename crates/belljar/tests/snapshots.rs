//! Snapshots as artifacts: an instance continues where another one was, in another engine.

use belljar::{
    ArtifactOptions, Caller, Config, Engine, Error, ExternRef, Func, Instance, Linker, Memory, MemoryType,
    Module, Rooted, Sandbox, SandboxTemplate, Store, StoreLimits, StoreLimitsBuilder, Trap, Trust, UserKey,
    Val,
};

fn engine(with: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    with(&mut config);
    Engine::new(&config).unwrap()
}

/// Types have other numbers in an engine that already has other types.
fn with_other_types() -> Engine {
    let engine = engine(|_| ());
    let wat = r#"(module (type (struct (field i64))) (type (array (mut i8))) (type (func (param f32 f32 f32)))
        (func (export "f") (param i64 i64 i64)))"#;
    std::mem::forget(Module::new(&engine, wat).unwrap());
    engine
}

const WAT: &str = r#"(module
    (import "host" "ten" (func $ten (result i32)))
    (type $pair (struct (field (mut i32)) (field (mut anyref))))
    (type $bytes (array (mut i8))) (type $f (func (result i32)))
    (memory (export "memory") 1 100) (data (i32.const 50) "first") (memory $small 1 1) (memory $wide i64 1)
    (table $t (export "t") 2 50 funcref) (table $objects 1 (ref null $pair)) (table $large 100_000 funcref)
    (global $g (export "g") (mut i32) (i32.const 1)) (global $v (mut v128) (v128.const i64x2 1 2))
    (global $bytes (mut (ref null $bytes)) (ref.null $bytes)) (global $small_number (mut i31ref) (ref.null i31))
    (tag $oops (param i32)) (global $thrown (mut exnref) (ref.null exn))
    (data $passive "passive") (elem $items (ref $pair) (struct.new $pair (i32.const 5) (ref.null any)))
    (func $two (result i32) (i32.const 2)) (elem declare func $two $ten)
    (start $start)
    (func $start (global.set $g (i32.add (global.get $g) (call $ten))))
    (func (export "warm_up") (local $pair (ref $pair)) (local $n i32)
        (local.set $pair (struct.new $pair (i32.const 30) (ref.null any)))
        (struct.set $pair 1 (local.get $pair) (local.get $pair))
        (table.set $objects (i32.const 0) (local.get $pair))
        (global.set $bytes (array.new $bytes (i32.const 7) (i32.const 100_000)))
        (global.set $small_number (ref.i31 (i32.const 77)))
        (drop (table.grow $t (ref.func $two) (i32.const 3))) (table.set $t (i32.const 0) (ref.func $ten))
        (table.set $large (i32.const 99_999) (ref.func $two))
        (drop (memory.grow (i32.const 2))) (memory.init $passive (i32.const 190_000) (i32.const 0) (i32.const 7))
        (i64.store $wide (i64.const 65528) (i64.const -1))
        (data.drop $passive)
        (global.set $thrown (block $caught (result exnref)
            (try_table (catch_all_ref $caught) (throw $oops (i32.const 8))) unreachable))
        (global.set $v (i64x2.splat (i64.const 9))))
    (func (export "see") (result i32) (local $pair (ref $pair)) (local $sum i32)
        (local.set $pair (ref.as_non_null (table.get $objects (i32.const 0))))
        (local.set $sum (i32.mul (i32.const 10_000) (i32.add (memory.size) (table.size $t))))
        (local.set $sum (i32.add (local.get $sum)
            (struct.get $pair 0 (ref.cast (ref $pair) (struct.get $pair 1 (local.get $pair))))))
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.const 190_000))))
        (local.set $sum (i32.add (local.get $sum) (array.get_u $bytes (global.get $bytes) (i32.const 99_999))))
        (local.set $sum (i32.add (local.get $sum) (i31.get_u (global.get $small_number))))
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u $wide (i64.const 65535))))
        (local.set $sum (i32.add (local.get $sum) (global.get $g)))
        (local.set $sum (i32.add (local.get $sum) (i32.wrap_i64 (i64x2.extract_lane 1 (global.get $v)))))
        (local.set $sum (i32.add (local.get $sum) (call_indirect $t (type $f) (i32.const 0))))
        (local.set $sum (i32.add (local.get $sum) (call_indirect $t (type $f) (i32.const 4))))
        (local.set $sum (i32.add (local.get $sum) (call_indirect $large (type $f) (i32.const 99_999))))
        (i32.add (local.get $sum)
            (block $oops (result i32) (try_table (catch $oops $oops) (throw_ref (global.get $thrown))) unreachable)))
    (func (export "item") (result i32) (table.init $objects $items (i32.const 0) (i32.const 0) (i32.const 1))
        (struct.get $pair 0 (table.get $objects (i32.const 0))))
    (func (export "make") (param $n i32) (result i32)
        (loop $again (global.set $bytes (array.new $bytes (i32.const 7) (i32.const 1000)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (array.len (global.get $bytes)))
    (func (export "passive") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))))"#;

/// 3 pages and 5 elements, then the other parts of the state.
const SEEN: i32 = 80_000 + 30 + b'p' as i32 + 7 + 77 + 255 + 11 + 9 + 10 + 2 + 2 + 8;

fn linker<T: 'static>(engine: &Engine) -> Linker<T> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "ten", || 10).unwrap();
    linker
}

fn warmed_up(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = linker(engine).instantiate(&mut store, &Module::new(engine, WAT).unwrap()).unwrap();
    instance.get_typed_func::<(), ()>(&mut store, "warm_up").unwrap().call(&mut store, ()).unwrap();
    (store, instance)
}

fn see<T: 'static>(store: &mut Store<T>, instance: Instance) -> i32 {
    instance.get_typed_func::<(), i32>(&mut *store, "see").unwrap().call(store, ()).unwrap()
}

fn snapshot() -> Vec<u8> {
    warmed_up(&engine(|_| ())).0.snapshot(b"a note", ArtifactOptions::new()).unwrap()
}

#[test]
fn an_instance_goes_on_where_another_was() {
    goes_on([engine(|_| ()), with_other_types()]);
}

#[test]
fn also_where_memories_move_and_accesses_are_checked() {
    let checked = || engine(|config| _ = config.memory_reservation(0));
    goes_on([checked(), checked()]);
}

/// From the first engine to both.
fn goes_on(engines: [Engine; 2]) {
    let (mut store, instance) = warmed_up(&engines[0]);
    let snapshot = store.snapshot(b"a note", ArtifactOptions::new()).unwrap();
    // The store itself continues, too.
    assert_eq!(see(&mut store, instance), SEEN);
    for engine in engines {
        let module = Module::deserialize(&engine, &snapshot).unwrap();
        assert!(module.has_snapshot());
        assert_eq!(module.snapshot_note().unwrap().unwrap(), b"a note");
        for _ in 0..2 {
            let mut store = Store::new(&engine, ());
            let instance = linker(&engine).instantiate(&mut store, &module).unwrap();
            assert_eq!(see(&mut store, instance), SEEN);
            store.gc(None).unwrap();
            assert_eq!(see(&mut store, instance), SEEN);
            let error =
                instance.get_typed_func::<(), ()>(&mut store, "passive").unwrap().call(&mut store, ());
            assert_eq!(error.unwrap_err().downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
            let item = instance.get_typed_func::<(), i32>(&mut store, "item").unwrap();
            assert_eq!(item.call(&mut store, ()).unwrap(), 5);
            let make = instance.get_typed_func::<i32, i32>(&mut store, "make").unwrap();
            assert_eq!(make.call(&mut store, 20_000).unwrap(), 1000);
            store.gc(None).unwrap();
            assert_eq!(item.call(&mut store, ()).unwrap(), 5);
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            assert_eq!((&memory.data(&store)[50..55], memory.size(&store)), (&b"first"[..], 3));
            assert_eq!(memory.grow(&mut store, 1).unwrap(), 3);
        }
    }
}

#[test]
fn the_store_that_it_was_taken_of_goes_on() {
    let (mut store, instance) = warmed_up(&engine(|_| ()));
    let first = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    assert_eq!(see(&mut store, instance), SEEN);
    let second = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_file_of_it_is_loaded_block_by_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("warm.elf");
    // Large enough to be loaded on demand.
    let wat = r#"(module (memory (export "memory") 100) (func (export "fill") (local $i i32)
        (loop $again (i32.store (local.get $i) (i32.mul (local.get $i) (i32.const 2654435761)))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 5000000))))))"#;
    let engine = engine(|_| ());
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, wat).unwrap(), &[]).unwrap();
    instance.get_typed_func::<(), ()>(&mut store, "fill").unwrap().call(&mut store, ()).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let was = memory.data(&store).to_vec();
    let snapshot = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    std::fs::write(&path, &snapshot).unwrap();
    let load = || {
        let module = Module::deserialize_file(&engine, &path)?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        Ok::<_, Error>(memory.data(&store).to_vec())
    };
    assert!(load().unwrap() == was);
    // A byte of the memory's contents is changed.
    let mut changed = snapshot.clone();
    let at = snapshot.len() - 2_000_000;
    changed[at] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let told = format!("{:#}", load().unwrap_err());
    assert!(told.contains("damaged"), "{told}");
}

#[test]
fn every_change_of_one_is_refused() {
    let wat = r#"(module (memory 1) (func (export "f") (i32.store (i32.const 0) (i32.const 1))))"#;
    let engine = engine(|_| ());
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, wat).unwrap(), &[]).unwrap();
    instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
    // With its wasm, from which a module could be compiled again, but not a snapshot.
    let snapshot = store.snapshot(b"", ArtifactOptions::new().embed_source(true)).unwrap();
    Module::deserialize(&engine, &snapshot).unwrap();
    let step = (snapshot.len() / 3000).max(1);
    for at in (0..snapshot.len()).step_by(step) {
        let mut changed = snapshot.clone();
        changed[at] ^= 0x10;
        assert!(Module::deserialize(&engine, &changed).is_err(), "byte {at}");
        assert!(Module::deserialize(&engine, &snapshot[..at]).is_err(), "{at} bytes");
    }
    let mut other = Config::new();
    other.trust(Trust { user: Some(UserKey::from_bytes([8; 32])), ..Trust::default() });
    assert!(Module::deserialize(&Engine::new(&other).unwrap(), &snapshot).is_err());
    other.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() }).consume_fuel(true);
    let error = Module::deserialize(&Engine::new(&other).unwrap(), &snapshot).unwrap_err();
    assert!(format!("{error:#}").contains("cannot be used here"), "{error:#}");
}

#[test]
fn sandboxes_begin_at_it() {
    let engine = with_other_types();
    let module = Module::deserialize(&engine, snapshot()).unwrap();
    let pre = linker::<()>(&engine).instantiate_pre(&module).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).verify(true);
    let mut sandboxes: Vec<Sandbox<()>> = (0..5).map(|_| template.build().unwrap()).collect();
    let mut sessions: Vec<_> = sandboxes.iter_mut().map(|sandbox| sandbox.session().unwrap()).collect();
    for session in &mut sessions {
        assert_eq!(session.call::<(), i32>("see", ()).unwrap(), SEEN);
        assert_eq!(session.call::<i32, i32>("make", 3).unwrap(), 1000);
    }
    drop(sessions);
    for sandbox in &mut sandboxes {
        assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), SEEN);
    }
    assert_eq!(engine.problems(), Vec::<String>::new());
}

#[test]
fn what_means_something_in_one_process_alone_is_refused_by_name() {
    let engine = engine(|_| ());
    let wat = r#"(module (import "" "func" (func $func (result funcref))) (import "" "value" (func $value (result externref)))
        (table $t 1 funcref) (table $v 1 externref)
        (func (export "take_func") (table.set $t (i32.const 0) (call $func)))
        (func (export "take_value") (table.set $v (i32.const 0) (call $value))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "func", |mut caller: Caller<'_, ()>| Some(Func::wrap(&mut caller, || ()))).unwrap();
    linker
        .func_wrap("", "value", |mut caller: Caller<'_, ()>| -> Result<Option<Rooted<ExternRef>>, Error> {
            Ok(Some(ExternRef::new(&mut caller, 5)?))
        })
        .unwrap();
    let refused = |export: &str| {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, export).unwrap().call(&mut store, ()).unwrap();
        format!("{:#}", store.snapshot(b"", ArtifactOptions::new()).unwrap_err())
    };
    assert!(refused("take_func").contains("host functions that it did not import"));
    assert!(refused("take_value").contains("values of the host (externref)"));
    let mut store = Store::new(&engine, ());
    let none = store.snapshot(b"", ArtifactOptions::new()).unwrap_err().to_string();
    assert_eq!(none, "a snapshot needs a store with one instance, and this one has 0");
    let shared = Module::new(&engine, "(module (memory 1 1 shared))").unwrap();
    Instance::new(&mut store, &shared, &[]).unwrap();
    assert!(
        store.snapshot(b"", ArtifactOptions::new()).unwrap_err().to_string().contains("shared with others")
    );
}

#[test]
fn limits_hold_for_what_it_brings() {
    let engine = engine(|_| ());
    let module = Module::deserialize(&engine, snapshot()).unwrap();
    let started = |limits: StoreLimits| {
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        linker(&engine).instantiate(&mut store, &module).map(drop).map_err(|error| format!("{error:#}"))
    };
    started(StoreLimitsBuilder::new().memory_size(3 << 16).build()).unwrap();
    let told = started(StoreLimitsBuilder::new().memory_size(2 << 16).build()).unwrap_err();
    assert!(told.contains("192 KiB in memory 0, and the limits do not allow it"), "{told}");
    let told = started(StoreLimitsBuilder::new().table_elements(99_999).build()).unwrap_err();
    assert!(told.contains("100000 elements"), "{told}");
}

#[test]
fn it_begins_as_the_first_of_its_store_with_what_was_there() {
    let engine = engine(|_| ());
    let module = Module::deserialize(&engine, snapshot()).unwrap();
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &Module::new(&engine, "(module)").unwrap(), &[]).unwrap();
    let told = linker(&engine).instantiate(&mut store, &module).unwrap_err().to_string();
    assert!(told.contains("must be the first of its store"), "{told}");
    let mut store = Store::new(&engine, ());
    Func::wrap(&mut store, || ());
    let told = linker(&engine).instantiate(&mut store, &module).unwrap_err().to_string();
    assert!(told.contains("host functions that it did not import"), "{told}");
    let told = store.gc(None).unwrap_err().to_string();
    assert!(told.contains("its snapshot could not be loaded"), "nothing of it is used: {told}");
    let mut store = Store::new(&engine, ());
    assert!(Instance::new(&mut store, &module, &[]).unwrap_err().to_string().contains("imports"));
}

#[test]
fn what_lies_elsewhere_is_not_taken_for_the_same() {
    let engine = engine(|_| ());
    let wat = r#"(module (import "host" "ten" (func $ten (result i32))) (global (export "f") (mut funcref) (ref.func $ten))
        (export "ten" (func $ten)) (func (export "call") (result i32) (call $ten)))"#;
    let module = Module::new(&engine, wat).unwrap();
    // As many entities as a linker creates, at other places: the function is created before the instance.
    let mut store = Store::new(&engine, ());
    let ten = Func::wrap(&mut store, || 10);
    Instance::new(&mut store, &module, &[ten.into()]).unwrap();
    let snapshot = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    let loaded = Module::deserialize(&engine, &snapshot).unwrap();
    let told = linker(&engine).instantiate(&mut Store::new(&engine, ()), &loaded).unwrap_err().to_string();
    assert!(told.contains("the store differs from the one"), "{told}");
    // If it is created in the same way, the snapshot is loaded.
    let mut store = Store::new(&engine, ());
    let ten = Func::wrap(&mut store, || 10);
    let instance = Instance::new(&mut store, &loaded, &[ten.into()]).unwrap();
    assert_eq!(
        instance.get_typed_func::<(), i32>(&mut store, "call").unwrap().call(&mut store, ()).unwrap(),
        10
    );
    let Some(Val::FuncRef(Some(f))) =
        instance.get_global(&mut store, "f").map(|global| global.get(&mut store))
    else {
        panic!("no function")
    };
    assert_eq!(f.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 10);

    // Imported entities other than functions could not be checked.
    let module = Module::new(&engine, r#"(module (import "host" "memory" (memory 1)))"#).unwrap();
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    Instance::new(&mut store, &module, &[memory.into()]).unwrap();
    let told = store.snapshot(b"", ArtifactOptions::new()).unwrap_err().to_string();
    assert!(told.contains("the import `host::memory` is not a function"), "{told}");
}
