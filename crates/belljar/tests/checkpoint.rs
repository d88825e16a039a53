//! Stores that are reset to a checkpoint: nothing of what happened since is left.

use belljar::{Caller, Engine, Error, Func, Instance, Killed, Linker, Module, Store, Val};

const WAT: &str = r#"(module
    (import "host" "call" (func $call (param i32)))
    (memory (export "memory") 2 100) (data (i32.const 100) "initial") (data $passive "passive")
    (memory $other (export "other") 1 10 (pagesize 1))
    (table $t (export "table") 3 20 funcref) (elem (table $t) (i32.const 0) func $zero $one)
    (table $objects (export "objects") 1 100 anyref)
    (global $g (export "g") (mut i64) (i64.const 7))
    (global $o (export "o") (mut anyref) (ref.null any))
    (type $box (struct (field (mut i32)) (field (ref null $box))))
    (type $f (func (result i32)))
    (tag $oops (param i32))
    (func $zero (type $f) (i32.const 0))
    (func $one (type $f) (i32.const 1))
    (elem declare func $one)
    (start $init)
    (func $init (global.set $o (struct.new $box (i32.const 42) (ref.null $box))))
    (func (export "mess") (param $n i32)
        (global.set $g (i64.const 99))
        (i32.store (i32.const 100) (i32.const -1))
        (i32.store (i32.const 70000) (local.get $n))
        (drop (memory.grow (i32.const 3)))
        (memory.fill (i32.const 200000) (i32.const 171) (i32.const 50000))
        (drop (memory.grow $other (i32.const 1)))
        (memory.init $passive (i32.const 5) (i32.const 0) (i32.const 7))
        (data.drop $passive)
        (drop (table.grow $t (ref.func $one) (i32.const 5)))
        (table.set $t (i32.const 0) (ref.func $one))
        (drop (table.grow $objects (global.get $o) (i32.const 50)))
        (struct.set $box 0 (ref.cast (ref $box) (global.get $o)) (i32.const 1000))
        (loop $again
            (global.set $o (struct.new $box (local.get $n) (ref.cast (ref null $box) (global.get $o))))
            (table.set $objects (i32.const 0) (global.get $o))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "more") (param $n i32)
        (global.set $g (i64.const 1))
        (memory.fill (i32.const 0) (i32.const 5) (i32.const 300000))
        (drop (memory.grow (i32.const 10)))
        (drop (table.grow $objects (global.get $o) (i32.const 9)))
        (loop $again
            (global.set $o (struct.new $box (local.get $n) (ref.cast (ref null $box) (global.get $o))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "call") (param i32) (call $call (local.get 0)))
    (func (export "trap") unreachable)
    (func (export "spin") (loop (br 0)))
    (func (export "throw") (throw $oops (i32.const 3)))
    (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
    (func (export "boxes") (result i32) (local $b (ref null $box)) (local $n i32)
        (local.set $b (ref.cast (ref null $box) (global.get $o)))
        (block $end (loop $next (br_if $end (ref.is_null (local.get $b)))
            (local.set $n (i32.add (local.get $n) (struct.get $box 0 (local.get $b))))
            (local.set $b (struct.get $box 1 (local.get $b))) (br $next)))
        (local.get $n))
    (func (export "passive") (memory.init $passive (i32.const 500) (i32.const 0) (i32.const 7)))
    (func (export "indirect") (param i32) (result i32) (call_indirect $t (type $f) (local.get 0))))"#;

fn store(engine: &Engine) -> (Store<u32>, Instance) {
    let module = Module::new(engine, WAT).unwrap();
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "call", |mut caller: Caller<'_, u32>, what: i32| -> Result<(), Error> {
            *caller.data_mut() += 1;
            match what {
                0 => Ok(()),
                1 => Err(Error::msg("a host error")),
                2 => panic!("a panic, expected here"),
                // Adds more entities to the store.
                _ => {
                    let module = Module::new(&Engine::default(), "(module)");
                    drop(module);
                    for _ in 0..100 {
                        Func::wrap(&mut caller, || 5);
                    }
                    Ok(())
                }
            }
        })
        .unwrap();
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// Everything that can be observed of a store.
fn seen(store: &mut Store<u32>, instance: Instance) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for name in ["memory", "other"] {
        let memory = instance.get_memory(&mut *store, name).unwrap();
        let data = memory.data(&*store);
        let used: Vec<(usize, u8)> =
            data.iter().copied().enumerate().filter(|(_, byte)| *byte != 0).collect();
        writeln!(text, "{name}: {} bytes, {used:?}", data.len()).unwrap();
    }
    for name in ["table", "objects"] {
        let table = instance.get_table(&mut *store, name).unwrap();
        let size = table.size(&*store);
        write!(text, "{name}: {size}").unwrap();
        for i in 0..size {
            let is_null = table.get(&mut *store, i).unwrap().is_null();
            write!(text, "{}", u8::from(is_null)).unwrap();
        }
        writeln!(text).unwrap();
    }
    let global = instance.get_global(&mut *store, "g").unwrap();
    writeln!(text, "g: {:?}", global.get(&mut *store)).unwrap();
    let boxes = instance.get_typed_func::<(), i32>(&mut *store, "boxes").unwrap();
    writeln!(text, "boxes: {}", boxes.call(&mut *store, ()).unwrap()).unwrap();
    let indirect = instance.get_typed_func::<i32, i32>(&mut *store, "indirect").unwrap();
    writeln!(
        text,
        "0: {:?}, 2: {}",
        indirect.call(&mut *store, 0).unwrap(),
        indirect.call(&mut *store, 2).is_err()
    )
    .unwrap();
    text
}

fn call(store: &mut Store<u32>, instance: Instance, name: &str, args: &[Val]) -> Result<(), Error> {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    func.call(store, args, &mut results)
}

#[test]
fn whatever_happened_is_undone() {
    for engine in [Engine::default(), {
        let mut config = belljar::Config::new();
        config.gc_stress(true);
        Engine::new(&config).unwrap()
    }] {
        let (mut fresh, instance) = store(&engine);
        let expected = seen(&mut fresh, instance);
        let (mut store, instance) = store(&engine);
        let checkpoint = store.checkpoint().unwrap();
        assert_eq!(seen(&mut store, instance), expected, "a checkpoint changes nothing");
        for round in 0..20 {
            let instance = store.instance(0);
            if round % 3 != 2 {
                call(&mut store, instance, "mess", &[Val::I32(round * 40 + 1)]).unwrap();
                assert_ne!(seen(&mut store, instance), expected);
            }
            let ends: [(&str, &[Val]); 6] = [
                ("trap", &[]),
                ("throw", &[]),
                ("deep", &[Val::I32(1)]),
                ("call", &[Val::I32(1)]),
                ("call", &[Val::I32(3)]),
                ("spin", &[]),
            ];
            let (name, args) = ends[round as usize % ends.len()];
            if name == "spin" {
                let handle = store.kill_handle();
                let killer = std::thread::spawn(move || while !handle.kill("enough").unwrap() {});
                let error = call(&mut store, instance, name, args).unwrap_err();
                assert!(error.is::<Killed>());
                killer.join().unwrap();
            } else {
                let ended = call(&mut store, instance, name, args);
                assert_eq!(ended.is_ok(), round % 6 == 4, "{ended:?}");
            }
            let before = store.instance(0);
            store.rewind(&checkpoint).unwrap();
            assert!(store.killed().is_none());
            assert_eq!(store.gc_stats().old_bytes, fresh_objects(&checkpoint, &mut store));
            let instance = store.instance(0);
            assert_eq!(seen(&mut store, instance), expected, "round {round}");
            call(&mut store, instance, "passive", &[]).unwrap();
            store.rewind(&checkpoint).unwrap();
            assert_ne!(before, instance, "handles of before are others");
        }
    }
}

/// Returns the bytes of objects in a store that was reset.
fn fresh_objects(checkpoint: &belljar_vm::Checkpoint, store: &mut Store<u32>) -> u64 {
    store.rewind(checkpoint).unwrap();
    store.gc_stats().old_bytes
}

#[test]
fn a_later_moment_is_gone_back_to_as_well() {
    let engine = Engine::default();
    let (mut store, instance) = store(&engine);
    call(&mut store, instance, "mess", &[Val::I32(500)]).unwrap();
    let checkpoint = store.checkpoint().unwrap();
    let expected = seen(&mut store, instance);
    for _ in 0..5 {
        let instance = store.instance(0);
        call(&mut store, instance, "more", &[Val::I32(20_000)]).unwrap();
        assert_ne!(seen(&mut store, instance), expected);
        store.rewind(&checkpoint).unwrap();
        let instance = store.instance(0);
        assert_eq!(seen(&mut store, instance), expected);
    }
}

#[test]
#[should_panic(expected = "does not belong to")]
fn handles_of_before_are_refused() {
    let engine = Engine::default();
    let (mut store, instance) = store(&engine);
    let checkpoint = store.checkpoint().unwrap();
    let late = Func::wrap(&mut store, || 5);
    store.rewind(&checkpoint).unwrap();
    let _ = instance;
    let _ = late.call(&mut store, &[], &mut [Val::I32(0)]);
}

#[test]
fn what_cannot_be_noted_is_refused() {
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (memory 1 1 shared))"#).unwrap();
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &module, &[]).unwrap();
    assert!(store.checkpoint().unwrap_err().to_string().contains("shared with others"));
    let mut other = Store::new(&engine, ());
    let checkpoint = other.checkpoint().unwrap();
    assert!(store.rewind(&checkpoint).unwrap_err().to_string().contains("it is another store's"));
}

/// Each checkpoint has its own label.
#[test]
fn a_store_is_called_again_what_it_was_called() {
    let mut store = Store::new(&Engine::default(), ());
    let label = |store: &Store<()>| store.inspector().label().map(|label| label.to_string());
    let unnamed = store.checkpoint().unwrap();
    store.set_label("first");
    let first = store.checkpoint().unwrap();
    store.set_label("second");
    let second = store.checkpoint().unwrap();
    store.set_label("third");
    for (to, called) in
        [(&second, Some("second")), (&first, Some("first")), (&first, Some("first")), (&unnamed, None)]
    {
        store.rewind(to).unwrap();
        assert_eq!(label(&store).as_deref(), called);
        if called.is_some() {
            store.rewind(to).unwrap();
            assert_eq!(label(&store).as_deref(), called);
        }
    }
    store.set_label("fourth");
    store.rewind(&unnamed).unwrap();
    assert_eq!(label(&store), None);
}
