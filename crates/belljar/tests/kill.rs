//! Guests that are killed, whatever they are doing: the run ends, and the store runs no more code.

use belljar::{
    Caller, Engine, Error, GuestState, Instance, KillHandle, KillReason, Killed, Linker, MemoryType, Module,
    SharedMemory, Store, Trap, TypedFunc, WasmBacktrace,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);

fn instance(engine: &Engine, wat: &str, linker: &Linker<()>) -> (Store<()>, Instance) {
    let module = Module::new(engine, wat).unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// Kills the guest once it runs.
fn kill_soon(handle: KillHandle, reason: &'static str) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let end = Instant::now() + TIMEOUT;
        while !handle.kill(reason).unwrap() {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
    })
}

fn assert_killed(error: &Error, reason: &str) {
    let killed = error.downcast_ref::<Killed>().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(killed.reason(), &KillReason::Host(reason.into()));
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
}

/// The store runs no more code, but can still be read.
fn assert_dead(mut store: Store<()>, instance: Instance, run: &TypedFunc<(), ()>) {
    assert!(store.killed().is_some());
    assert!(run.call(&mut store, ()).unwrap_err().is::<Killed>());
    let module = Module::new(store.engine(), "(module)").unwrap();
    assert!(Instance::new(&mut store, &module, &[]).unwrap_err().is::<Killed>());
    if let Some(memory) = instance.get_memory(&mut store, "memory") {
        assert_eq!(memory.data(&store)[0], 0);
    }
}

#[test]
fn in_a_loop() {
    let engine = Engine::default();
    let wat = r#"(module (memory (export "memory") 1) (func $spin (loop (br 0)))
        (func $f (param i32) (call $spin)) (func (export "run") (call $f (i32.const 1))))"#;
    let (mut store, instance) = instance(&engine, wat, &Linker::new(&engine));
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    assert!(!store.kill_handle().kill("too early").unwrap());
    let killer = kill_soon(store.kill_handle(), "enough");
    let error = run.call(&mut store, ()).unwrap_err();
    assert_killed(&error, "enough");
    let names: Vec<_> = error.downcast_ref::<WasmBacktrace>().unwrap().frames().to_vec();
    assert_eq!(names.iter().filter_map(|f| f.func_name()).collect::<Vec<_>>(), ["spin", "f", "run"]);
    killer.join().unwrap();
    assert!(!store.kill_handle().kill("too late").unwrap());
    assert_dead(store, instance, &run);
}

/// Many more guests than processors, in code and in a slow host function, beside idle ones.
#[test]
fn all_of_an_engine_at_once() {
    const GUESTS: usize = 40;
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "nap", || std::thread::sleep(Duration::from_millis(20))).unwrap();
    let wat = r#"(module (import "" "nap" (func $nap)) (func (export "run") (param i32)
        (loop (if (local.get 0) (then (call $nap))) (br 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let idle = Store::new(&engine, ());
    let guest = |naps: i32| {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap().call(&mut store, naps).unwrap_err()
    };
    std::thread::scope(|scope| {
        let guests: Vec<_> = (0..GUESTS).map(|i| scope.spawn(move || guest(i as i32 % 2))).collect();
        let end = Instant::now() + TIMEOUT;
        while engine.stacks(TIMEOUT).len() < GUESTS {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        assert_eq!(engine.kill_all("all"), GUESTS);
        guests.into_iter().for_each(|guest| assert_killed(&guest.join().unwrap(), "all"));
    });
    assert!(idle.killed().is_none());
    assert_eq!(engine.kill_all("again"), 0);
}

#[test]
fn at_any_instruction_of_everything() {
    let engine = Engine::default();
    let module = Module::new(&engine, include_str!("calls.wat")).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("", "host", |mut caller: Caller<'_, ()>, x: i32| -> Result<i32, Error> {
            let again = caller.get_export("again").and_then(|again| again.into_func()).unwrap();
            match again.typed::<i32, i32>(&caller)?.call(&mut caller, x) {
                Ok(result) => Ok(result),
                // It ignores the error and continues, which does not help.
                Err(_) => Ok(-1),
            }
        })
        .unwrap();
    let end = Instant::now()
        + Duration::from_secs(if std::env::var_os("BELLJAR_LONG_TESTS").is_some() { 60 } else { 3 });
    let (mut rounds, mut seed) = (0_u32, 1_u32);
    while Instant::now() < end {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let handle = store.kill_handle();
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        let pause = seed >> 17;
        let killer = std::thread::spawn(move || {
            for _ in 0..pause {
                std::hint::spin_loop();
            }
            while !handle.kill("now").unwrap() {}
        });
        let error = run.call(&mut store, i32::MAX).unwrap_err();
        assert_killed(&error, "now");
        let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], |backtrace| backtrace.frames());
        assert!(frames.last().is_none_or(|frame| frame.func_name() == Some("run")), "{error:?}");
        killer.join().unwrap();
        assert!(run.call(&mut store, 1).unwrap_err().is::<Killed>());
        rounds += 1;
    }
    println!("{rounds} killed");
    assert!(rounds > 10);
}

#[test]
fn in_a_host_function_at_its_return() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    let go_on = Arc::new(AtomicBool::new(false));
    let waits = go_on.clone();
    linker
        .func_wrap("host", "wait", move || {
            while !waits.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .unwrap();
    let after = Arc::new(AtomicU32::new(0));
    let count = after.clone();
    linker
        .func_wrap("host", "after", move || {
            count.fetch_add(1, SeqCst);
        })
        .unwrap();
    let wat = r#"(module (import "host" "wait" (func $wait)) (import "host" "after" (func $after))
        (func $f (call $wait) (call $after)) (func (export "run") (call $f)))"#;
    let (mut store, instance) = instance(&engine, wat, &linker);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let (handle, inspector) = (store.kill_handle(), store.inspector());
    let again = run;
    let thread = std::thread::spawn(move || {
        let error = again.call(&mut store, ()).unwrap_err();
        (store, error)
    });
    while inspector.capture(TIMEOUT).unwrap().state() != GuestState::InHost {}
    assert!(handle.kill("in the host").unwrap());
    assert!(handle.kill("of two the first counts").unwrap());
    // The host is not interrupted.
    assert_eq!(inspector.capture(TIMEOUT).unwrap().state(), GuestState::InHost);
    go_on.store(true, SeqCst);
    let (store, error) = thread.join().unwrap();
    assert_killed(&error, "in the host");
    assert_eq!(after.load(SeqCst), 0);
    assert_dead(store, instance, &run);
}

#[test]
fn in_an_endless_wait() {
    let engine = Engine::default();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&Store::new(&engine, ()), "m", "m", memory).unwrap();
    let wat = r#"(module (import "m" "m" (memory 1 1 shared))
        (func (export "run") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    let (mut store, instance) = instance(&engine, wat, &linker);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let inspector = store.inspector();
    let handle = store.kill_handle();
    let killer = std::thread::spawn(move || {
        while inspector.capture(TIMEOUT).unwrap().state() != GuestState::InHost {}
        assert!(handle.kill("it waits for nobody").unwrap());
    });
    let error = run.call(&mut store, ()).unwrap_err();
    assert_killed(&error, "it waits for nobody");
    killer.join().unwrap();
    assert_dead(store, instance, &run);
}

#[test]
fn what_ended_by_itself_was_not_killed_nor_is_the_next_run() {
    let engine = Engine::default();
    let wat = r#"(module (func (export "run")))"#;
    let (mut store, instance) = instance(&engine, wat, &Linker::new(&engine));
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let handle = store.kill_handle();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let killer = std::thread::spawn(move || {
        while !over.load(SeqCst) {
            handle.kill("a race").unwrap();
        }
    });
    let mut killed = 0;
    for _ in 0..20_000 {
        match run.call(&mut store, ()) {
            Ok(()) => assert!(store.killed().is_none()),
            Err(error) => {
                assert_killed(&error, "a race");
                killed += 1;
                store = Store::new(&engine, ());
                let module = Module::new(&engine, wat).unwrap();
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let again = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
                again.call(&mut store, ()).unwrap();
                break;
            }
        }
    }
    is_over.store(true, SeqCst);
    killer.join().unwrap();
    println!("killed: {killed}");
}

#[test]
fn panics_of_the_host_go_on_and_stores_inside_each_other_die_alone() {
    let engine = Engine::default();
    let inner_wat = r#"(module (func (export "run") (loop (br 0))))"#;
    let mut linker = Linker::new(&engine);
    let inner_engine = engine.clone();
    linker
        .func_wrap("host", "in", move || -> i32 {
            let module = Module::new(&inner_engine, inner_wat).unwrap();
            let mut store = Store::new(&inner_engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
            let killer = kill_soon(store.kill_handle(), "the inner one");
            let error = run.call(&mut store, ()).unwrap_err();
            assert_killed(&error, "the inner one");
            killer.join().unwrap();
            42
        })
        .unwrap();
    let wat = r#"(module (import "host" "in" (func $in (result i32))) (func (export "run") (result i32) (call $in)))"#;
    let (mut store, instance) = instance(&engine, wat, &linker);
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 42);
    assert!(store.killed().is_none());
}

#[test]
fn a_guest_is_dead_that_was_killed_when_its_host_panicked() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    let panics = |caller: Caller<'_, ()>| {
        if caller.kill_handle().kill("enough").unwrap() {
            panic!("of the host");
        }
    };
    linker.func_wrap("host", "panics", panics).unwrap();
    let wat = r#"(module (import "host" "panics" (func $f)) (func (export "run") (call $f)))"#;
    let (mut store, instance) = instance(&engine, wat, &linker);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, ())));
    assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"of the host"));
    assert_eq!(store.killed(), Some(&"enough".into()));
    assert_dead(store, instance, &run);
}
