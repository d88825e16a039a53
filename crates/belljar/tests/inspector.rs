//! Looking at running guests from other threads: what is seen is what was there, wherever the guest is.

use belljar::{
    Caller, Engine, Error, Func, GuestState, Inspector, Instance, Linker, Module, Stack, Store, Trap,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(120);

fn names(stack: &Stack) -> Vec<String> {
    stack.backtrace().frames().iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

/// Looks until the guest is in a state.
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
        // `$spin` and `$middle` are inlined, and shown all the same.
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
            assert!(stack.to_string().contains("in the host function ::wait, called by"), "{stack}");
        }
    }
    go_on.store(true, Relaxed);
    let store = thread.join().unwrap().unwrap();
    assert_eq!(inspector.capture(TIMEOUT).unwrap().state(), GuestState::Idle);
    drop(store);
    let error = inspector.capture(TIMEOUT).unwrap_err();
    assert!(format!("{error:#}").contains("the store is gone"), "{error:#}");
}

/// A guest in a host function of another store's guest is not taken for that one's.
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

/// Who calls whom in the storm, with whether the call is a last one, which leaves no frame of the caller.
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
            "tail",
            "import_twice",
            "make",
        ],
    ),
    ("even", &["odd"]),
    ("odd", &["even", "leaf"]),
    ("switch", &["leaf"]),
    ("many", &["leaf"]),
    ("throws", &["thrower"]),
    ("thrower", &["leaf"]),
    ("through_table", &["leaf", "even", "odd"]),
    ("tail", &[]),
    ("import_twice", &["again"]),
    ("again", &["leaf", "trap"]),
];

/// What may stand where a function made a last call.
const LAST_CALLS: &[(&str, &[&str])] = &[
    ("tail", &["shrink", "widen", "leaf", "tail"]),
    ("shrink", &["leaf", "widen"]),
    ("widen", &["shrink", "leaf"]),
];

fn callees<'a>(of: &str, table: &[(&str, &'a [&'a str])]) -> &'a [&'a str] {
    table.iter().find(|(name, _)| *name == of).map_or(&[], |(_, callees)| callees)
}

/// Whether a function can have called another, or one that ended in a call of it.
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

const STORM: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (memory 1 200)
    (table $t 4 funcref) (elem (i32.const 0) $leaf2 $even2 $odd2)
    (tag $e (param i32))
    (type $i (func (param i32) (result i32)))
    (type $pair (struct (field i32) (field (ref null $pair))))
    (func $leaf (type $i) (i32.mul (local.get 0) (i32.const 31)))
    (func $leaf2 (type $i) (return_call $leaf (local.get 0)))
    (func $even2 (type $i) (return_call $even (local.get 0)))
    (func $odd2 (type $i) (return_call $odd (local.get 0)))
    (func $even (type $i) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
        (else (i32.add (call $odd (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))))
    (func $odd (type $i) (if (result i32) (i32.eqz (local.get 0)) (then (call $leaf (i32.const 3)))
        (else (i32.add (call $even (i32.sub (local.get 0) (i32.const 1))) (i32.const 2)))))
    (func $switch (type $i) (block (block (block (block (br_table 0 1 2 3 (i32.rem_u (local.get 0) (i32.const 4))))
        (return (i32.const 7))) (return (call $leaf (i32.const 9)))) (return (i32.const 11))) (i32.const 5))
    (func $many (param i32 i64 f64 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (i32.add (call $leaf (local.get 0)) (i32.add (local.get 8) (local.get 9))))
    (func $thrower (type $i) (throw $e (call $leaf (local.get 0))))
    (func $throws (type $i) (block $h (result i32) (try_table (catch $e $h) (drop (call $thrower (local.get 0)))) (i32.const 1)))
    (func $through_table (type $i) (call_indirect $t (type $i) (i32.and (local.get 0) (i32.const 15)) (i32.rem_u (local.get 0) (i32.const 3))))
    (func $tail (type $i) (if (result i32) (i32.eqz (local.get 0)) (then (return_call $leaf (local.get 0)))
        (else (return_call $widen (i32.sub (local.get 0) (i32.const 1))))))
    (func $widen (type $i) (return_call $shrink (local.get 0) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9)))
    (func $shrink (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (if (result i32) (i32.eqz (local.get 0))
        (then (return_call $leaf (local.get 8))) (else (return_call $widen (i32.sub (local.get 0) (i32.const 1))))))
    (func $grow (type $i) (drop (memory.grow (i32.const 0))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 3000)) (i32.load (i32.const 16)))
    (func $make (type $i) (local $l (ref null $pair)) (loop $again
        (local.set $l (struct.new $pair (local.get 0) (local.get $l)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (struct.get $pair 0 (local.get $l)))
    (func $import_twice (type $i) (i32.add (call $host (local.get 0)) (call $host (i32.const 1))))
    (func $trap (type $i) (i32.div_u (local.get 0) (i32.const 0)))
    (func $again (export "again") (type $i) (if (result i32) (i32.and (local.get 0) (i32.const 1)) (then (call $trap (local.get 0))) (else (call $leaf (local.get 0)))))
    (func $run (export "run") (param $n i32) (result i32) (local $sum i32)
        (loop $l
            (local.set $sum (i32.add (local.get $sum) (call $even (i32.const 9))))
            (local.set $sum (i32.xor (local.get $sum) (call $leaf (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $switch (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $grow (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $many (local.get $n) (i64.const 1) (f64.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9))))
            (local.set $sum (i32.add (local.get $sum) (call $throws (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $through_table (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $tail (i32.const 20))))
            (local.set $sum (i32.add (local.get $sum) (call $import_twice (local.get $n))))
            (local.set $sum (i32.add (local.get $sum) (call $make (i32.const 50))))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

/// Runs a guest that does everything until told to stop, and compares its results.
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
                Err(error) if error.downcast_ref::<Trap>() == Some(&Trap::IntegerDivisionByZero) => Ok(-1),
                Err(error) => Err(error),
            }
        })
        .unwrap();
    let mut expected = None;
    while !is_over.load(Relaxed) {
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
    std::thread::scope(|scope| {
        for _ in 0..4 {
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
                    // The store may be gone by now.
                    let Ok(stack) = inspector.capture(TIMEOUT) else { continue };
                    let names = names(&stack);
                    if stack.state() == GuestState::Idle {
                        assert!(names.is_empty());
                        continue;
                    }
                    captures.fetch_add(1, Relaxed);
                    frames.fetch_add(names.len() as u64, Relaxed);
                    for pair in names.windows(2) {
                        let is_legal = can_call(&pair[1], &pair[0])
                            // Through the host.
                            || (pair[0] == "again" && pair[1] == "import_twice")
                            // Functions of the table that go on in others.
                            || pair[0].ends_with('2') || pair[1].ends_with('2');
                        assert!(is_legal, "{:?}: {names:?}", stack.state());
                    }
                    if let Some(outermost) = names.last() {
                        assert_eq!(outermost, "run", "{:?}: {names:?}", stack.state());
                    }
                }
                is_over.store(true, Relaxed);
            });
        }
    });
    println!("{captures:?} captures, {frames:?} frames");
    assert!(captures.load(Relaxed) > 0);
}
