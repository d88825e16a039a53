//! Guests that hang in different ways: what inspectors, watchdogs and the engine report.

use belljar::{
    Caller, Engine, Func, GuestState, Instance, Linker, MemoryType, Module, SharedMemory, Stack, Store,
    Watchdog, WatchdogAction,
};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(120);

fn names(stack: &Stack) -> Vec<&str> {
    stack.backtrace().frames().iter().map(|frame| frame.func_name().unwrap_or("?")).collect()
}

/// Runs the export `run` of a module on its own thread, forever.
fn hang(engine: &Engine, wat: &str, imports: impl FnOnce(&mut Linker<()>, &Store<()>)) -> belljar::Inspector {
    let module = Module::new(engine, wat).unwrap();
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    imports(&mut linker, &store);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let inspector = store.inspector();
    std::thread::spawn(move || run.call(&mut store, ()));
    inspector
}

/// Captures stacks until one is as wanted.
fn until(inspector: &belljar::Inspector, wanted: impl Fn(&Stack) -> bool) -> Stack {
    let end = Instant::now() + TIMEOUT;
    loop {
        let stack = inspector.capture(TIMEOUT).unwrap();
        if wanted(&stack) {
            return stack;
        }
        assert!(Instant::now() < end, "{stack}");
    }
}

#[test]
fn a_deadlocked_wait() {
    let engine = Engine::default();
    let ty = MemoryType::shared(1, 1);
    let memory = SharedMemory::new(&engine, ty).unwrap();
    let inspector = hang(
        &engine,
        r#"(module (import "m" "m" (memory 1 1 shared))
            (func $lock (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1))))
            (func $run (export "run") (call $lock)))"#,
        |linker, store| {
            linker.define(store, "m", "m", memory.clone()).unwrap();
        },
    );
    let stack = until(&inspector, |stack| stack.state() == GuestState::InHost);
    assert_eq!(stack.host_call().unwrap().runtime_work(), Some("memory.atomic.wait32"));
    assert_eq!((names(&stack), stack.host_function()), (vec!["lock", "run"], None));
    assert!(stack.to_string().starts_with("in the runtime (memory.atomic.wait32), called by"), "{stack}");
    assert_eq!(inspector.memory_size(), 1 << 16);
}

#[test]
fn a_host_function_that_sleeps() {
    let engine = Engine::default();
    let wat = r#"(module
        (import "host" "nap" (func $nap)) (import "host" "quick" (func $quick))
        (table funcref (elem $nap))
        (func $run (export "run") (call $quick) (call_indirect (i32.const 0))))"#;
    let inspector = hang(&engine, wat, |linker, _| {
        linker.func_wrap("host", "quick", || ()).unwrap();
        linker.func_wrap("host", "nap", || std::thread::sleep(Duration::from_secs(1 << 20))).unwrap();
    });
    // The name is known, although the instruction does not tell it.
    let stack = until(&inspector, |stack| stack.host_function() == Some(("host", "nap")));
    let before = stack.in_host_for().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let later = inspector.capture(TIMEOUT).unwrap();
    assert!(later.in_host_for().unwrap() >= before + Duration::from_millis(40));
    assert_eq!(names(&later), ["run"]);
    assert!(later.thread_id().is_some_and(|thread| thread != std::process::id()));
}

#[test]
fn a_huge_fill() {
    let engine = Engine::default();
    let wat = r#"(module (memory 1024)
        (func $clear (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000)))
        (func $run (export "run") (loop (call $clear) (br 0))))"#;
    let inspector = hang(&engine, wat, |_, _| ());
    let stack = until(&inspector, |stack| stack.state() == GuestState::InHost && stack.host_call().is_some());
    assert_eq!(stack.host_call().unwrap().runtime_work(), Some("memory.fill"));
    assert_eq!(names(&stack), ["clear", "run"]);
}

#[test]
fn a_recursion_just_before_it_ends() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "wait" (func $wait))
        (func $deep (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (call $wait)))
            (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
        (func $run (export "run") (drop (call $deep (i32.const 4000)))))"#;
    let inspector = hang(&engine, wat, |linker, _| {
        linker.func_wrap("host", "wait", || std::thread::sleep(Duration::from_secs(1 << 20))).unwrap();
    });
    let stack = until(&inspector, |stack| stack.host_function().is_some());
    let kept = names(&stack);
    assert!(kept.len() > 200 && kept.iter().all(|name| *name == "deep"), "{kept:?}");
    assert!(kept.len() + stack.backtrace().omitted() > 1000, "{}", stack.backtrace().omitted());
}

#[test]
fn recursion_without_end() {
    let engine = Engine::default();
    let module = r#"(module (func $deep (param i32) (result i32)
            (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
        (func (export "run") (drop (call $deep (i32.const 0)))))"#;
    let module = Module::new(&engine, module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let inspector = store.inspector();
    // It traps again and again.
    std::thread::spawn(move || while run.call(&mut store, ()).is_err() {});
    let stack = until(&inspector, |stack| stack.backtrace().omitted() > 0);
    assert!(names(&stack).iter().all(|name| *name == "deep"));
}

#[test]
fn the_engine_knows_all_that_run() {
    let engine = Engine::default();
    let spin = |name: &str| format!(r#"(module ${name} (func $spin (export "run") (loop (br 0))))"#);
    let first = hang(&engine, &spin("first"), |_, _| ());
    let second = hang(&engine, &spin("second"), |_, _| ());
    let mut idle = Store::new(&engine, ());
    idle.set_label("idle");
    until(&first, |stack| stack.state() == GuestState::InGuest);
    until(&second, |stack| stack.state() == GuestState::InGuest);
    let stacks: Vec<Stack> = engine.stacks(TIMEOUT).into_iter().map(Result::unwrap).collect();
    let seen: Vec<_> = stacks.iter().map(|stack| (stack.label().unwrap(), names(stack))).collect();
    assert_eq!(seen, [("first", vec!["spin"]), ("second", vec!["spin"])]);
    let threads: Vec<_> = stacks.iter().map(|stack| stack.thread_id().unwrap()).collect();
    assert_ne!(threads[0], threads[1]);
    let labels: Vec<_> = engine.inspectors().iter().map(|inspector| inspector.label().unwrap()).collect();
    assert_eq!(labels, ["first".into(), "second".into(), "idle".into()] as [std::sync::Arc<str>; 3]);
    drop(idle);
    assert_eq!(engine.inspectors().len(), 2);
    assert!(Engine::default().inspectors().is_empty());
}

#[test]
fn frames_tell_their_instances_and_the_host_between_them() {
    let engine = Engine::default();
    let outer = Module::new(
        &engine,
        r#"(module $outer (import "host" "in" (func $in)) (import "" "" (func $same))
            (func $f (call $in)) (func (export "again") (call $same)) (func $run (export "run") (call $f)))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "in", |mut caller: Caller<'_, ()>| {
            let again = caller.get_export("again").unwrap().into_func().unwrap();
            again.typed::<(), ()>(&caller).unwrap().call(&mut caller, ()).unwrap();
        })
        .unwrap();
    let inspector = store.inspector();
    let (send, receive) = mpsc::channel();
    let look = Func::wrap(&mut store, move || send.send(inspector.capture(TIMEOUT).unwrap()).unwrap());
    linker.define(&store, "", "", look).unwrap();
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    let stack = receive.recv().unwrap();
    assert_eq!(stack.backtrace().frames().len(), 3);
    // The innermost function has no name from its creator; the instruction names it.
    let calls: Vec<_> = stack.host_calls().iter().map(|call| (call.by(), call.function())).collect();
    assert_eq!(calls, [(0, Some(("", ""))), (1, Some(("host", "in")))]);
    assert!((0..3).all(|frame| stack.instance_of_frame(frame) == Some(instance)));
    assert_eq!(stack.instance_of_frame(3), None);
    let text = stack.to_string();
    assert!(
        text.contains("outer!") && text.contains("\n       the host function host::in\n    1: "),
        "{text}"
    );

    // With two instances of a module, nothing tells which of them it is.
    linker.instantiate(&mut store, &outer).unwrap();
    run.call(&mut store, ()).unwrap();
    assert_eq!(receive.recv().unwrap().instance_of_frame(0), None);
}

#[test]
fn watchdogs_tell_where_a_guest_hangs_and_let_it_go_on() {
    let engine = Engine::default();
    let spin = r#"(module (func $spin (export "run") (loop (br 0))))"#;
    let inspector = hang(&engine, spin, |_, _| ());
    until(&inspector, |stack| stack.state() == GuestState::InGuest);
    for is_cpu in [false, true] {
        let (send, receive) = mpsc::channel();
        let mut left = 3;
        let callback = move |stack: belljar::Result<Stack>| {
            send.send(names(&stack.unwrap()).join(" ")).unwrap();
            left -= 1;
            if left > 0 { WatchdogAction::Again } else { WatchdogAction::Stop }
        };
        let after = Duration::from_millis(30);
        let watchdog = match is_cpu {
            false => Watchdog::wall(inspector.clone(), after, callback),
            true => Watchdog::cpu(inspector.clone(), after, callback),
        };
        let told: Vec<_> = receive.iter().collect();
        assert_eq!(told, ["spin"; 3]);
        drop(watchdog.unwrap());
    }
}

#[test]
fn a_guest_that_waits_uses_no_cpu_time_and_dropped_watchdogs_are_silent() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "nap" (func $nap)) (func $run (export "run") (call $nap)))"#;
    let inspector = hang(&engine, wat, |linker, _| {
        linker.func_wrap("host", "nap", || std::thread::sleep(Duration::from_secs(1 << 20))).unwrap();
    });
    until(&inspector, |stack| stack.host_function().is_some());
    let (send, receive) = mpsc::channel();
    let tell = |what: &'static str| {
        let send = send.clone();
        move |_: belljar::Result<Stack>| {
            send.send(what).unwrap();
            WatchdogAction::Stop
        }
    };
    let _cpu = Watchdog::cpu(inspector.clone(), Duration::from_millis(20), tell("cpu")).unwrap();
    drop(Watchdog::wall(inspector.clone(), Duration::from_millis(10), tell("dropped")).unwrap());
    let _never = Watchdog::wall(inspector.clone(), Duration::MAX, tell("never")).unwrap();
    let _panics =
        Watchdog::wall(inspector.clone(), Duration::from_millis(1), |_| panic!("expected here")).unwrap();
    let _wall = Watchdog::wall(inspector, Duration::from_millis(200), tell("wall")).unwrap();
    assert_eq!(receive.recv_timeout(TIMEOUT), Ok("wall"));
    assert!(receive.try_recv().is_err());
}

#[test]
fn a_watchdog_that_its_own_callback_drops_is_over() {
    let engine = Engine::default();
    let inspector = hang(&engine, r#"(module (func (export "run") (loop (br 0))))"#, |_, _| ());
    let kept: Arc<Mutex<Option<Watchdog>>> = Arc::default();
    let (send, receive) = mpsc::channel();
    let own = kept.clone();
    let mut guard = kept.lock().unwrap();
    let watchdog = Watchdog::wall(inspector, Duration::from_millis(1), move |_| {
        send.send(own.lock().unwrap().take().is_some()).unwrap();
        WatchdogAction::Again
    });
    *guard = Some(watchdog.unwrap());
    drop(guard);
    // When the callback is dropped, so is its sender.
    assert_eq!(receive.iter().collect::<Vec<_>>(), [true]);
}

#[test]
fn a_watchdog_of_a_store_that_is_gone_says_so() {
    let engine = Engine::default();
    let store = Store::new(&engine, ());
    let inspector = store.inspector();
    drop(store);
    let (send, receive) = mpsc::channel();
    let _watchdog = Watchdog::wall(inspector, Duration::ZERO, move |stack| {
        send.send(format!("{:#}", stack.unwrap_err())).unwrap();
        WatchdogAction::Stop
    })
    .unwrap();
    assert_eq!(receive.recv_timeout(TIMEOUT).unwrap(), "could not inspect the guest: the store is gone");
}
