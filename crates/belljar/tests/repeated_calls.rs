//! Repeated calls: what an earlier call looked up is reused (belljar-vm's `call_direct`), but only while it is valid.

use belljar::{
    Caller, Engine, ExternRef, Instance, Limits, Linker, Module, PoolConfig, Result, RootScope, Rooted,
    SandboxTemplate, Store, Trap, TypedFunc,
};
use std::sync::mpsc;

/// `depth` counts how deep the last recursion went.
const GUEST: &str = r#"(module
    (import "host" "back" (func $back (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $depth (export "depth") (mut i32) (i32.const 0))
    (func $down (global.set $depth (i32.add (global.get $depth) (i32.const 1))) (call $down))
    (func (export "exhaust") (global.set $depth (i32.const 0)) (call $down))
    (func (export "depth_reached") (result i32) (global.get $depth))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "mix") (param f64 i32 f32 i64) (result f64)
        (f64.add (f64.add (local.get 0) (f64.convert_i32_s (local.get 1)))
            (f64.add (f64.promote_f32 (local.get 2)) (f64.convert_i64_s (local.get 3)))))
    (func (export "half") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
    (func (export "out") (param i32) (result i32) (call $back (local.get 0)))
    (func (export "write") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
    (func (export "fail") unreachable))"#;

fn guest<T: 'static>(
    store: &mut Store<T>,
    back: impl Fn(Caller<'_, T>, i32) -> Result<i32> + Send + Sync + 'static,
) -> Instance {
    let module = Module::new(store.engine(), GUEST).unwrap();
    let mut linker = Linker::new(store.engine());
    linker.func_wrap("host", "back", back).unwrap();
    linker.instantiate(store, &module).unwrap()
}

/// Returns how deep a guest can recurse from here.
fn exhaust<T: 'static>(store: &mut Store<T>, instance: &Instance) -> i32 {
    let exhaust: TypedFunc<(), ()> = instance.get_typed_func(&mut *store, "exhaust").unwrap();
    let reached: TypedFunc<(), i32> = instance.get_typed_func(&mut *store, "depth_reached").unwrap();
    for _ in 0..3 {
        let error = exhaust.call(&mut *store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{error:?}");
    }
    reached.call(store, ()).unwrap()
}

/// Calls a function with a certain amount of the native stack in use.
#[inline(never)]
fn deeper<R>(bytes: usize, work: &mut dyn FnMut() -> R) -> R {
    let frame = std::hint::black_box([0_u8; 4096]);
    let result = if bytes == 0 { work() } else { deeper(bytes.saturating_sub(4096), work) };
    std::hint::black_box(frame);
    result
}

#[test]
fn values_of_all_kinds_travel_each_time() {
    let mut store = Store::new(&Engine::default(), ());
    let instance = guest(&mut store, |_, n| Ok(n + 1));
    let add: TypedFunc<(i32, i32), i32> = instance.get_typed_func(&mut store, "add").unwrap();
    let mix: TypedFunc<(f64, i32, f32, i64), f64> = instance.get_typed_func(&mut store, "mix").unwrap();
    let half: TypedFunc<f32, f32> = instance.get_typed_func(&mut store, "half").unwrap();
    let out: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "out").unwrap();
    for i in -3..1000 {
        assert_eq!(add.call(&mut store, (i, i32::MAX)).unwrap(), i.wrapping_add(i32::MAX));
        let mixed = mix.call(&mut store, (0.25, i, 0.5, -1)).unwrap();
        assert_eq!(mixed, 0.25 + f64::from(i) + 0.5 - 1.0);
        assert_eq!(half.call(&mut store, i as f32).unwrap(), i as f32 * 0.5);
        assert_eq!(out.call(&mut store, i).unwrap(), i + 1);
    }
}

#[test]
fn the_stack_that_a_guest_may_use_is_the_same_wherever_it_is_called() {
    let work = || {
        let mut store = Store::new(&Engine::default(), ());
        let instance = guest(&mut store, |_, n| Ok(n));
        let shallow = exhaust(&mut store, &instance);
        for bytes in [64, 256, 16, 0].map(|kib| kib << 10) {
            let there = deeper(bytes, &mut || exhaust(&mut store, &instance));
            assert!(there.abs_diff(shallow) <= 1, "{there} and {shallow}");
        }
    };
    std::thread::Builder::new().stack_size(16 << 20).spawn(work).unwrap().join().unwrap();
}

/// When a thread ends, its record is given to another thread, which may have another stack at the same addresses.
#[test]
fn what_was_found_out_on_a_thread_is_not_believed_on_the_next() {
    let mut store = Store::new(&Engine::default(), ());
    let instance = guest(&mut store, |_, n| Ok(n));
    let mut reached = vec![];
    for kib in [8192, 256, 2048, 300, 256, 8192] {
        let work = move || {
            let depth = exhaust(&mut store, &instance);
            (store, depth)
        };
        let thread = std::thread::Builder::new().stack_size(kib << 10).spawn(work).unwrap();
        let depth;
        (store, depth) = thread.join().unwrap();
        reached.push((kib, depth));
    }
    // A small thread limits the guest; a large one has more than the guest may use.
    assert_eq!(reached[0].1, reached[2].1);
    assert_eq!(reached[0].1, reached[5].1);
    assert!(reached[1].1 < reached[0].1 && reached[3].1 < reached[0].1, "{reached:?}");
}

#[test]
fn a_store_goes_from_thread_to_thread_and_back() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0_i64);
    let instance = guest(&mut store, |mut caller, n| {
        *caller.data_mut() += i64::from(n);
        Ok(n)
    });
    let (there, at_the_other) = mpsc::channel::<(Store<i64>, i32)>();
    let (back, here) = mpsc::channel();
    let out: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "out").unwrap();
    let other = std::thread::spawn(move || {
        for (mut store, i) in at_the_other {
            assert_eq!(out.call(&mut store, i).unwrap(), i);
            back.send(store).unwrap();
        }
    });
    for i in 0..200 {
        assert_eq!(out.call(&mut store, i).unwrap(), i);
        if i % 3 == 0 {
            there.send((store, i)).unwrap();
            store = here.recv().unwrap();
        }
    }
    drop(there);
    other.join().unwrap();
    assert_eq!(*store.data(), (0..200).map(|i| i64::from(i) * if i % 3 == 0 { 2 } else { 1 }).sum::<i64>());
}

/// Host functions of one store call another store, and their own store again.
#[test]
fn stores_call_one_another_and_themselves() {
    struct Inner(Store<()>, TypedFunc<(i32, i32), i32>);
    let engine = Engine::default();
    let mut inner = Store::new(&engine, ());
    let instance = guest(&mut inner, |_, n| Ok(n));
    let add = instance.get_typed_func(&mut inner, "add").unwrap();
    let mut store = Store::new(&engine, Inner(inner, add));
    let instance = guest(&mut store, |mut caller, n| {
        let Inner(store, add) = caller.data_mut();
        let sum = add.call(&mut *store, (n, 1))? + add.call(store, (n, 1))?;
        if n == 0 {
            return Ok(sum);
        }
        let out = caller.get_export("out").and_then(belljar::Extern::into_func).unwrap();
        Ok(sum + out.typed::<i32, i32>(&caller)?.call(&mut caller, n - 1)?)
    });
    let out: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "out").unwrap();
    for n in [0, 1, 5, 0, 20] {
        assert_eq!(out.call(&mut store, n).unwrap(), (0..=n).map(|n| 2 * (n + 1)).sum::<i32>());
    }
}

#[test]
fn after_a_trap_an_error_and_a_panic_calls_go_on() {
    let mut store = Store::new(&Engine::default(), ());
    let instance = guest(&mut store, |_, n| match n {
        1 => Err(belljar::Error::msg("no")),
        2 => panic!("what a host function may do"),
        n => Ok(n),
    });
    let out: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "out").unwrap();
    let fail: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "fail").unwrap();
    for _ in 0..3 {
        for n in [3, 4] {
            assert_eq!(out.call(&mut store, n).unwrap(), n);
        }
        let error = fail.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
        assert!(format!("{:#}", out.call(&mut store, 1).unwrap_err()).contains("no"));
        let call = std::panic::AssertUnwindSafe(|| out.call(&mut store, 2));
        assert!(std::panic::catch_unwind(call).is_err());
    }
}

#[test]
fn limits_hold_from_the_next_call_on() {
    let mut config = belljar::Config::new();
    config.consume_fuel(true);
    let mut store = Store::new(&Engine::new(&config).unwrap(), ());
    store.set_fuel(u64::MAX).unwrap();
    let instance = guest(&mut store, |_, n| Ok(n));
    let down: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "exhaust").unwrap();
    for _ in 0..2 {
        let error = down.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{error:?}");
    }
    store.set_limits(Limits::unlimited().fuel(100)).unwrap();
    let error = down.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel), "{error:?}");
    store.set_limits(Limits::unlimited().stack(64 << 10)).unwrap();
    store.set_fuel(u64::MAX).unwrap();
    let little = exhaust(&mut store, &instance);
    store.set_limits(Limits::unlimited()).unwrap();
    store.set_fuel(u64::MAX).unwrap();
    assert!(little < exhaust(&mut store, &instance) / 2);
}

/// What a session's second call writes is reset as well.
#[test]
fn a_reset_knows_of_every_call() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "back", |n: i32| n).unwrap();
    let pre = linker.instantiate_pre(&Module::new(&engine, GUEST).unwrap()).unwrap();
    let pool = SandboxTemplate::new(pre, || Ok(())).verify(true).pool(PoolConfig::new()).unwrap();
    for round in 0..40 {
        let mut session = pool.session().unwrap();
        for at in 0..round {
            session.call::<i32, ()>("write", at * 1000).unwrap();
        }
        drop(session);
        let mut session = pool.session().unwrap();
        let instance = session.instance();
        let memory = instance.get_memory(session.store(), "memory").unwrap();
        assert_eq!(memory.data(session.store()).iter().find(|byte| **byte != 0), None);
    }
}

/// References that a host function roots end with it; those of its caller stay.
#[test]
fn scopes_of_references_end_where_they_should() {
    let mut store = Store::new(&Engine::default(), None::<Rooted<ExternRef>>);
    let instance = guest(&mut store, |mut caller, n| {
        let made = ExternRef::new(&mut caller, n)?;
        if n > 0 {
            let out = caller.get_export("out").and_then(belljar::Extern::into_func).unwrap();
            out.typed::<i32, i32>(&caller)?.call(&mut caller, n - 1)?;
            // References of the inner call are gone, those of this call are not.
            let inner = *caller.data();
            assert!(inner.expect("it was noted").data(&caller).is_err());
        }
        assert!(made.data(&caller)?.is_some());
        *caller.data_mut() = Some(made);
        Ok(n)
    });
    let out: TypedFunc<i32, i32> = instance.get_typed_func(&mut store, "out").unwrap();
    for _ in 0..3 {
        out.call(&mut store, 3).unwrap();
        out.call(&mut store, 0).unwrap();
        let mut scope = RootScope::new(&mut store);
        let outer = ExternRef::new(&mut scope, 7).unwrap();
        for _ in 0..3 {
            out.call(&mut scope, 2).unwrap();
            assert!(outer.data(&scope).unwrap().is_some());
        }
        drop(scope);
        assert!(outer.data(&store).is_err());
    }
}
