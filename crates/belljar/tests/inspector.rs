//! Inspection of running guests from other threads: what is captured is correct, whatever the guest is doing.

use belljar::{
    Caller, Engine, Error, FrameKind, Func, GuestState, Inspector, Instance, Linker, Module, Profiler, Stack,
    Store, Trap,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(120);

fn names(stack: &Stack) -> Vec<String> {
    stack.backtrace().frames().iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

/// Captures stacks until the guest is in a state.
fn until(inspector: &Inspector, state: GuestState) -> Stack {
    loop {
        let stack = inspector.capture(TIMEOUT).unwrap();
        if stack.state() == state {
            return stack;
        }
    }
}

#[test]
fn an_endless_loop_is_seen() {
    let engine = Engine::default();
    let wat = r#"(module
        (memory (export "m") 1)
        (func $spin (loop (br_if 0 (i32.eqz (i32.load (i32.const 0))))) )
        (func $middle (param i32) (result i32) (call $spin) (local.get 0))
        (func $run (export "run") (result i32) (i32.add (call $middle (i32.const 20)) (i32.const 1))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    let inspector = store.inspector();
    assert_eq!(inspector.capture(TIMEOUT).unwrap().state(), GuestState::Idle);
    assert!(inspector.capture(TIMEOUT).unwrap().backtrace().frames().is_empty());
    // The store stays with the thread, which never ends.
    std::thread::spawn(move || run.call(&mut store, ()));
    until(&inspector, GuestState::InGuest);
    for _ in 0..1000 {
        let stack = inspector.capture(TIMEOUT).unwrap();
        // `$spin` and `$middle` are inlined, and shown nevertheless.
        assert_eq!(
            (stack.state(), names(&stack)),
            (GuestState::InGuest, ["spin", "middle", "run"].map(String::from).to_vec())
        );
    }
}

#[test]
fn a_host_function_that_waits_is_seen() {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (import "" "wait" (func $wait)) (func $f (call $wait)) (func $run (export "run") (call $f)))"#,
    )
    .unwrap();
    let go_on = Arc::new(AtomicBool::new(false));
    let mut store = Store::new(&engine, go_on.clone());
    let wait = Func::wrap(&mut store, |caller: Caller<'_, Arc<AtomicBool>>| {
        while !caller.data().load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let instance = Instance::new(&mut store, &module, &[wait.into()]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let inspector = store.inspector();
    let thread = std::thread::spawn(move || run.call(&mut store, ()).map(|()| store));
    for _ in 0..100 {
        let stack = until(&inspector, GuestState::InHost);
        if !stack.backtrace().frames().is_empty() {
            assert_eq!(names(&stack), ["f", "run"]);
            assert_eq!(stack.host_function(), Some(("", "wait")));
            let text = stack.to_string();
            assert!(
                text.contains("in the host function ::wait for ") && text.contains(" s, called by"),
                "{text}"
            );
        }
    }
    go_on.store(true, Relaxed);
    let store = thread.join().unwrap().unwrap();
    assert_eq!(inspector.capture(TIMEOUT).unwrap().state(), GuestState::Idle);
    drop(store);
    let error = inspector.capture(TIMEOUT).unwrap_err();
    assert!(format!("{error:#}").contains("the store is gone"), "{error:#}");
}

#[test]
fn a_host_function_sees_its_caller() {
    let engine = Engine::default();
    let wat = r#"(module (import "" "look" (func $look)) (func $f (call $look)) (func $run (export "run") (call $f)))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, ());
    let inspector = store.inspector();
    let look = Func::wrap(&mut store, move || {
        let stack = inspector.capture(TIMEOUT).unwrap();
        assert_eq!(
            (stack.state(), names(&stack)),
            (GuestState::InHost, vec!["f".to_string(), "run".to_string()])
        );
    });
    let instance = Instance::new(&mut store, &module, &[look.into()]).unwrap();
    instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
}

/// A guest in a host function of another store's guest is not confused with that guest.
#[test]
fn stores_that_run_inside_each_other_are_told_apart() {
    let engine = Engine::default();
    let inner = Module::new(&engine, "(module (func $inner (export \"run\") (loop (br 0))))").unwrap();
    let outer = Module::new(
        &engine,
        r#"(module (import "" "in" (func $in)) (func $outer (export "run") (call $in)))"#,
    )
    .unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    let mut store = Store::new(&engine, ());
    let enter = Func::wrap(&mut store, move || {
        let mut store = Store::new(inner.engine(), ());
        let instance = Instance::new(&mut store, &inner, &[]).unwrap();
        send.send(store.inspector()).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    });
    let instance = Instance::new(&mut store, &outer, &[enter.into()]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let outer = store.inspector();
    std::thread::spawn(move || run.call(&mut store, ()));
    let inner = receive.recv().unwrap();
    until(&inner, GuestState::InGuest);
    for _ in 0..200 {
        let (inner, outer) = (inner.capture(TIMEOUT).unwrap(), outer.capture(TIMEOUT).unwrap());
        assert_eq!((inner.state(), names(&inner)), (GuestState::InGuest, vec!["inner".to_string()]));
        assert_eq!((outer.state(), names(&outer)), (GuestState::InHost, vec!["outer".to_string()]));
    }
}

/// Which function calls which in the storm, and waits for it.
const CALLS: &[(&str, &[&str])] = &[
    (
        "run",
        &[
            "even",
            "leaf",
            "switch",
            "grow",
            "many",
            "throws",
            "through_table",
            "through_table_last",
            "tail",
            "import_twice",
            "host_last",
            "make",
        ],
    ),
    ("even", &["odd"]),
    ("odd", &["even", "leaf"]),
    ("switch", &["leaf"]),
    ("many", &["leaf"]),
    ("throws", &["thrower"]),
    ("thrower", &["leaf"]),
    ("through_table", &["leaf", "even", "tail"]),
    // Through the host.
    ("import_twice", &["again"]),
    ("again", &["leaf", "uncaught", "divide", "load"]),
    ("uncaught", &["thrower"]),
];

/// Which functions may be on the stack in place of a function that made a tail call.
const LAST_CALLS: &[(&str, &[&str])] = &[
    ("through_table_last", &["leaf", "even", "tail"]),
    ("tail", &["widen", "leaf"]),
    ("widen", &["shrink"]),
    ("shrink", &["leaf", "tail"]),
    ("host_last", &["again"]),
];

fn callees<'a>(of: &str, table: &[(&str, &'a [&'a str])]) -> &'a [&'a str] {
    table.iter().find(|(name, _)| *name == of).map_or(&[], |(_, callees)| callees)
}

/// Returns whether a function can have called another, or one that ended in a tail call of it.
fn can_call(caller: &str, callee: &str) -> bool {
    let mut reached: Vec<&str> = callees(caller, CALLS).to_vec();
    let mut i = 0;
    while i < reached.len() {
        for next in callees(reached[i], LAST_CALLS) {
            if !reached.contains(next) {
                reached.push(next);
            }
        }
        i += 1;
    }
    reached.contains(&callee)
}

const STORM: &str = include_str!("calls.wat");

/// Runs a guest that uses all features until it is told to stop, and compares its results.
fn run_storm(
    engine: &Engine,
    module: &Module,
    is_over: &AtomicBool,
    seen: &std::sync::mpsc::Sender<Inspector>,
) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("", "host", |mut caller: Caller<'_, ()>, x: i32| -> Result<i32, Error> {
            let again = caller.get_export("again").and_then(|again| again.into_func()).unwrap();
            match again.typed::<i32, i32>(&caller)?.call(&mut caller, x) {
                Ok(result) => Ok(result),
                Err(error) if error.downcast_ref::<Trap>().is_some() => Ok(-1),
                Err(_) => Ok(-2),
            }
        })
        .unwrap();
    let mut expected = None;
    let mut rounds = 0;
    while !is_over.load(Relaxed) {
        // Modules are created and dropped, and their code with them.
        rounds += 1;
        let own = (rounds % 4 == 0).then(|| Module::new(engine, STORM).unwrap());
        let module = own.as_ref().unwrap_or(module);
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let _ = seen.send(store.inspector());
        let result = run.call(&mut store, 5_000).unwrap();
        assert_eq!(*expected.get_or_insert(result), result);
    }
}

#[test]
fn every_stack_of_a_storm_is_a_legal_one() {
    let long = std::env::var_os("BELLJAR_LONG_TESTS").is_some();
    let end = Instant::now() + Duration::from_secs(if long { 60 } else { 3 });
    // Inlined functions are shown too: then any path of calls is a stack.
    let engine = Engine::default();
    let module = Module::new(&engine, STORM).unwrap();
    let is_over = AtomicBool::new(false);
    let captures = AtomicU64::new(0);
    let frames = AtomicU64::new(0);
    // Ten times as often as usual: as often as threads are captured.
    let profiler = Profiler::start(&engine, "storm", Duration::from_micros(100)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..if long { 8 } else { 4 } {
            let (send, receive) = std::sync::mpsc::channel();
            let (engine, module, is_over) = (&engine, &module, &is_over);
            scope.spawn(move || run_storm(engine, module, is_over, &send));
            let (captures, frames) = (&captures, &frames);
            scope.spawn(move || {
                let mut inspector = receive.recv().unwrap();
                while Instant::now() < end {
                    while let Ok(newer) = receive.try_recv() {
                        inspector = newer;
                    }
                    // The store may have been dropped by now.
                    let Ok(stack) = inspector.capture(TIMEOUT) else { continue };
                    let names = names(&stack);
                    if stack.state() == GuestState::Idle {
                        assert!(names.is_empty());
                        continue;
                    }
                    captures.fetch_add(1, Relaxed);
                    frames.fetch_add(names.len() as u64, Relaxed);
                    for pair in names.windows(2) {
                        assert!(can_call(&pair[1], &pair[0]), "{:?}: {names:?}", stack.state());
                    }
                    if let Some(outermost) = names.last() {
                        assert_eq!(outermost, "run", "{:?}: {names:?}", stack.state());
                    }
                }
                is_over.store(true, Relaxed);
            });
        }
    });
    let profile = profiler.finish().unwrap();
    println!("{captures:?} captures, {frames:?} frames, {} samples", profile.sample_count());
    for sample in profile.samples() {
        let stack: Vec<_> = sample.stack().filter(|frame| frame.kind() == FrameKind::Guest).collect();
        for pair in stack.windows(2) {
            let (callee, caller) = (pair[0].function(), pair[1].function());
            assert!(can_call(caller, callee), "{caller} does not call {callee}");
        }
    }
    assert!(captures.load(Relaxed) > 0);
}
