//! Sandboxes of components: a reset one cannot be distinguished from a fresh one, whatever a call has done and however it ended.

use belljar::component::{Component, InstancePre, Linker, Resource};
use belljar::{
    Engine, Error, Killed, Limit, LimitExceeded, Limits, PoolConfig, Result, Sandbox, SandboxTemplate,
    Session, StoreContextMut,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const USER: &str = "my:test/user@1.0.0";

type Guest = InstancePre<Host>;

#[derive(Default)]
struct Host {
    /// What stands for the next thing.
    next: u32,
}

struct Thing;

/// The payload of a host function's panic. `resume_unwind` prints nothing.
struct Expected;

fn end(mut store: StoreContextMut<'_, Host>, how: u32) -> Result<u32> {
    match how {
        0 => Ok(store.data().next),
        1 => Err(Error::msg("a host error")),
        2 => resume_unwind(Box::new(Expected)),
        3 => {
            assert!(store.kill_handle().kill("the host wants it")?);
            Ok(1)
        }
        _ => {
            store.data_mut().next = 1 << 20;
            Ok(2)
        }
    }
}

fn pre(engine: &Engine) -> Result<Guest> {
    let component = Component::new(engine, include_str!("component_sandbox.wat"))?;
    let mut linker = Linker::<Host>::new(engine);
    let mut host = linker.instance("host")?;
    host.resource("thing", belljar::component::ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    host.func_wrap("make", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().next += 1;
        Ok((Resource::<Thing>::new_own(store.data().next),))
    })?;
    host.func_wrap("read", |_, (thing,): (Resource<Thing>,)| Ok((thing.rep(),)))?;
    host.func_wrap("end", |store, (how,): (u32,)| Ok((end(store, how)?,)))?;
    linker.instantiate_pre(&component)
}

fn template() -> SandboxTemplate<Host, Guest> {
    let engine = Engine::default();
    SandboxTemplate::new(pre(&engine).unwrap(), || Ok(Host::default())).verify(true)
}

/// What a call has returned, or how it ended.
fn call(session: &mut Session<'_, Host, Guest>, op: &str, x: u32) -> String {
    let path = [USER, op];
    let called = catch_unwind(AssertUnwindSafe(|| match op {
        "forget" | "trap" | "warm-up" => session.call::<(), ()>(path, ()).map(|()| String::new()),
        "seven" | "size" | "make" | "dropped" => {
            session.call::<(), (u32,)>(path, ()).map(|(n,)| n.to_string())
        }
        "drop-thing" | "drop-item" => session.call::<(u32,), ()>(path, (x,)).map(|()| String::new()),
        "echo" => {
            let text = "ä€𝄞z".repeat(x as usize % 5000);
            session.call::<(&str,), (String,)>(path, (&text,)).map(|(same,)| (same == text).to_string())
        }
        _ => session.call::<(u32,), (u32,)>(path, (x,)).map(|(n,)| n.to_string()),
    }));
    match called {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("{error:#}").lines().next().unwrap_or_default().to_string(),
        Err(panic) => {
            assert!(panic.is::<Expected>(), "an unexpected panic");
            "panicked".to_string()
        }
    }
}

/// Everything that a guest can find out about its state.
fn report(sandbox: &mut Sandbox<Host, Guest>) -> Vec<String> {
    let mut session = sandbox.session().unwrap();
    let questions = [
        ("size", 0),
        ("add", 0),
        ("seven", 0),
        ("peek", 512),
        ("peek", 1024),
        ("peek", 16),
        ("dropped", 0),
        ("end", 0),
        ("make", 0),
        ("new", 5),
        ("new", 6),
        ("make", 0),
        ("echo", 3),
        ("peek", 1028),
        ("get", 1),
        ("get", 2),
        ("read", 1),
    ];
    questions.iter().map(|(op, x)| format!("{op} {x}: {}", call(&mut session, op, *x))).collect()
}

const OPS: [&str; 15] = [
    "add",
    "forget",
    "grow",
    "make",
    "read",
    "drop-thing",
    "new",
    "get",
    "drop-item",
    "echo",
    "end",
    "trap",
    "peek",
    "seven",
    "warm-up",
];

fn run_law(template: &SandboxTemplate<Host, Guest>, rounds: u64) {
    let mut fresh = report(&mut template.build().unwrap());
    // A template of its own, whose only instance was never used.
    let again = report(&mut template.clone().build().unwrap());
    assert_eq!(fresh, again);
    assert!(fresh.contains(&"echo 3: true".to_string()), "{fresh:#?}");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut sandbox = template.build().unwrap();
    for round in 0..rounds {
        let mut done = Vec::new();
        {
            let mut session = sandbox.session().unwrap();
            for _ in 0..=next(12) {
                let op = OPS[next(OPS.len() as u64) as usize];
                let x = if op == "peek" { next(1 << 17) } else { next(9) } as u32;
                done.push(format!("{op} {x}: {}", call(&mut session, op, x)));
            }
        }
        let mut reset = report(&mut sandbox);
        if reset != fresh {
            // The messages tell what differs.
            reset.retain(|line| !fresh.contains(line));
            fresh.truncate(20);
            panic!("round {round}: after {done:#?} a sandbox answers {reset:#?} instead of {fresh:#?}");
        }
    }
}

#[test]
fn a_reset_sandbox_is_like_a_fresh_one() {
    run_law(&template(), 400);
}

/// The state after an initialization, which other sandboxes adopt without running it.
#[test]
fn the_same_after_an_initialization() {
    let template = template().init(&format!("{USER}#warm-up"));
    run_law(&template, 200);
    let mut sandbox = template.build().unwrap();
    let mut session = sandbox.session().unwrap();
    // The item that the initialization made is still there.
    assert_eq!(call(&mut session, "get", 1), "3");
    assert_eq!(call(&mut session, "peek", 70000), "4711");
    assert_eq!(call(&mut session, "dropped", 0), "40");
    assert_eq!(call(&mut session, "add", 1), "101");
}

#[test]
fn a_pool_initializes_once() {
    let initialized = Arc::new(AtomicU32::new(0));
    let engine = Engine::default();
    let component = Component::new(
        &engine,
        r#"(component
            (import "count" (func $count (result u32)))
            (core func $count (canon lower (func $count)))
            (core module $m
                (import "" "count" (func $count (result i32)))
                (memory 1)
                (global $n (mut i32) (i32.const 0))
                (func $start (i32.store (i32.const 8) (call $count)))
                (start $start)
                (func (export "next") (result i32)
                    (global.set $n (i32.add (global.get $n) (i32.const 1)))
                    (i32.add (i32.mul (i32.load (i32.const 8)) (i32.const 100)) (global.get $n))))
            (core instance $m (instantiate $m (with "" (instance (export "count" (func $count))))))
            (func (export "next") (result u32) (canon lift (core func $m "next"))))"#,
    )
    .unwrap();
    let mut linker = Linker::<()>::new(&engine);
    let counter = initialized.clone();
    linker.root().func_wrap("count", move |_, (): ()| Ok((counter.fetch_add(1, Relaxed) + 1,))).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();
    let config = PoolConfig::new().max_sandboxes(3).min_sandboxes(3);
    let pool = SandboxTemplate::new(pre, || Ok(())).verify(true).pool(config).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(pool.call::<(), (u32,)>("next", ()).unwrap(), (101,));
                    let mut session = pool.session().unwrap();
                    assert_eq!(session.call::<(), (u32,)>("next", ()).unwrap(), (101,));
                    assert_eq!(session.call::<(), (u32,)>("next", ()).unwrap(), (102,));
                }
            });
        }
    });
    assert_eq!(initialized.load(Relaxed), 1, "others adopt the state");
    let statistics = pool.statistics();
    assert_eq!((statistics.discarded, statistics.created), (0, 3));
}

#[test]
fn ends_are_told_and_wiped() {
    let mut sandbox = template().limits(Limits::default().wall(Duration::from_millis(20))).build().unwrap();
    let error = sandbox.call::<(), ()>([USER, "spin"], ()).unwrap_err();
    assert!(error.is::<Killed>(), "{error:?}");
    let error = sandbox.call::<(), ()>([USER, "missing"], ()).unwrap_err();
    assert_eq!(error.to_string(), "the instance does not export the function my:test/user@1.0.0#missing");
    let error = sandbox.call::<(u32,), ()>([USER, "spin"], (1,)).unwrap_err();
    assert!(format!("{error:#}").contains("type mismatch"), "{error:#}");
    let mut session = sandbox.session().unwrap();
    assert_eq!(call(&mut session, "trap", 0), "wasm `unreachable` instruction executed");
    let closed = call(&mut session, "seven", 0);
    assert!(closed.starts_with("cannot enter component instance"), "{closed}");
    drop(session);
    assert_eq!(sandbox.call::<(), (u32,)>([USER, "seven"], ()).unwrap(), (7,));
}

#[test]
fn handles_of_an_earlier_session_are_refused() {
    let mut sandbox = template().build().unwrap();
    let func = {
        let mut session = sandbox.session().unwrap();
        let instance = session.instance();
        instance.get_typed_func::<(), (u32,)>(session.store(), [USER, "seven"]).unwrap()
    };
    let mut session = sandbox.session().unwrap();
    let called = catch_unwind(AssertUnwindSafe(|| func.call(session.store(), ())));
    assert!(called.is_err(), "a function of an earlier session was called");
}

#[test]
fn resources_of_the_host_are_no_part_of_the_initial_state() {
    let engine = Engine::default();
    let component = Component::new(
        &engine,
        r#"(component
            (import "thing" (type $thing (sub resource)))
            (import "make" (func $make (result (own $thing))))
            (import "read" (func $read (param "thing" (borrow $thing)) (result u32)))
            (core func $make (canon lower (func $make)))
            (core func $read (canon lower (func $read)))
            (core module $m
                (import "" "make" (func $make (result i32)))
                (import "" "read" (func $read (param i32) (result i32)))
                (func (export "init") (drop (call $make)))
                (func (export "read") (result i32) (call $read (i32.const 1))))
            (core instance $m (instantiate $m (with "" (instance
                (export "make" (func $make)) (export "read" (func $read))))))
            (func (export "init") (canon lift (core func $m "init")))
            (func (export "read") (result u32) (canon lift (core func $m "read"))))"#,
    )
    .unwrap();
    let mut linker = Linker::<()>::new(&engine);
    let mut root = linker.root();
    root.resource("thing", belljar::component::ResourceType::host::<Thing>(), |_, _| Ok(())).unwrap();
    root.func_wrap("make", |_, (): ()| Ok((Resource::<Thing>::new_own(17),))).unwrap();
    root.func_wrap("read", |_, (thing,): (Resource<Thing>,)| Ok((thing.rep(),))).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).init("init");
    let error = template.build().unwrap_err().to_string();
    assert!(error.starts_with("the guest holds resources of the host after its initialization"), "{error}");
    assert!(error.contains("initialization (thing): "), "{error}");
    let mut sandbox = template.keep_host_resources(true).build().unwrap();
    for _ in 0..2 {
        assert_eq!(sandbox.call::<(), (u32,)>("read", ()).unwrap(), (17,));
    }
}

#[test]
fn handles_and_lifted_bytes_are_limited() {
    // Each item is one in the maker's table before it is one in the user's.
    let limits = Limits::default().handles(21).bytes_lifted(1000);
    let mut sandbox = template().limits(limits).build().unwrap();
    let mut session = sandbox.session().unwrap();
    for number in 1..=20 {
        assert_eq!(call(&mut session, "new", 1), number.to_string());
    }
    let error = call(&mut session, "new", 1);
    assert!(
        error.starts_with("handles: the guest wanted 22, and its limit is 21 (Limits::handles)"),
        "{error}"
    );
    drop(session);
    // Those of a session are gone with it, and a handle that was dropped makes room.
    let mut session = sandbox.session().unwrap();
    for _ in 0..100 {
        assert_eq!(call(&mut session, "new", 1), "1");
        assert_eq!(call(&mut session, "drop-item", 1), "");
    }
    let text = "x".repeat(1000);
    let echo = |session: &mut Session<'_, Host, Guest>, text: &str| {
        session.call::<(&str,), (String,)>([USER, "echo"], (text,))
    };
    assert_eq!(echo(&mut session, &text).unwrap().0, text);
    let error = echo(&mut session, &(text + "x")).unwrap_err();
    let exceeded = error.downcast_ref::<LimitExceeded>().expect("a limit");
    assert_eq!((exceeded.limit(), exceeded.wanted()), (Limit::BytesLifted, Some(1001)), "{error:#}");
}
