//! Sandboxes: every call begins in the same world, however the one before ended.

use belljar::{
    Caller, Engine, Error, Func, Inspector, Instance, Killed, Linker, Module, Profiler, Sandbox,
    SandboxTemplate, StoreLimits, StoreLimitsBuilder, Trap,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);

struct Host {
    limits: StoreLimits,
    calls: u32,
}

const WAT: &str = r#"(module
    (import "host" "count" (func $count (result i32)))
    (import "host" "fail" (func $fail (param i32)))
    (memory (export "memory") 1) (global $n (mut i32) (i32.const 0)) (table 1 1000 funcref)
    (tag $e) (type $node (struct (field (ref null $node)) (field i64 i64 i64 i64)))
    (global $list (mut (ref null $node)) (ref.null $node))
    (func (export "init") (global.set $n (i32.const 100)) (i32.store (i32.const 8) (i32.const 5)))
    ;; Tells what it sees, and changes it all.
    (func $see (export "see") (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 10)))
        (drop (memory.grow (i32.const 1)))
        (global.set $list (struct.new $node (global.get $list) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
        (i32.add (i32.add (global.get $n) (i32.load (i32.const 8)))
            (i32.add (i32.mul (memory.size) (i32.const 1000)) (i32.mul (call $count) (i32.const 100000)))))
    (func (export "trap") (drop (call $see)) unreachable)
    (func (export "oob") (drop (call $see)) (drop (i32.load (i32.const -4))))
    (func (export "throw") (drop (call $see)) (throw $e))
    (func $deep (export "deep") (drop (call $see)) (call $deep))
    (func (export "host_error") (drop (call $see)) (call $fail (i32.const 0)))
    (func (export "host_panic") (drop (call $see)) (call $fail (i32.const 1)))
    (func (export "bomb") (drop (call $see)) (loop (br_if 0 (i32.ne (memory.grow (i32.const 10)) (i32.const -1)))) unreachable)
    (func (export "heap") (loop (drop (call $see)) (br 0)))
    (func (export "spin") (drop (call $see)) (loop (br 0))))"#;

fn template(engine: &Engine, made: Arc<AtomicU32>) -> SandboxTemplate<Host> {
    let module = Module::new(engine, WAT).unwrap();
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "count", |mut caller: Caller<'_, Host>| {
            caller.data_mut().calls += 1;
            caller.data().calls as i32
        })
        .unwrap();
    linker
        .func_wrap("host", "fail", |how: i32| -> Result<(), Error> {
            assert!(how == 0, "a panic, expected here");
            Err(Error::msg("a host error"))
        })
        .unwrap();
    let make = move || {
        made.fetch_add(1, SeqCst);
        let limits = StoreLimitsBuilder::new().memory_size(16 << 20).gc_heap_size(4 << 20).build();
        Ok(Host { limits, calls: 0 })
    };
    let pre = linker.instantiate_pre(&module).unwrap();
    SandboxTemplate::new(pre, make)
        .prepare(|store| {
            store.limiter(|host| &mut host.limits);
            Ok(())
        })
        .init("init")
}

fn see(sandbox: &mut Sandbox<Host>) -> i32 {
    sandbox.call("see", ()).unwrap()
}

/// What a fresh one tells: 101 + 15 + 2 pages + its first call of the host.
const FRESH: i32 = 101 + 15 + 2000 + 100_000;

#[test]
fn every_call_begins_in_the_same_world_however_the_one_before_ended() {
    let engine = Engine::default();
    let mut sandbox = template(&engine, Arc::default()).build().unwrap();
    let ends = ["trap", "oob", "throw", "deep", "host_error", "bomb", "heap", "host_panic", "spin"];
    for _ in 0..3 {
        assert_eq!([see(&mut sandbox), see(&mut sandbox)], [FRESH; 2]);
        for end in ends {
            let ended = match end {
                "host_panic" => {
                    let panicked = catch_unwind(AssertUnwindSafe(|| sandbox.call::<(), ()>(end, ())));
                    assert!(panicked.is_err());
                    None
                }
                "spin" => {
                    let handle = sandbox.kill_handle();
                    let killer = std::thread::spawn(move || while !handle.kill("enough").unwrap() {});
                    let error = sandbox.call::<(), ()>(end, ()).unwrap_err();
                    killer.join().unwrap();
                    assert!(error.is::<Killed>());
                    Some(error)
                }
                _ => Some(sandbox.call::<(), ()>(end, ()).unwrap_err()),
            };
            if end == "deep" {
                assert_eq!(ended.unwrap().downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
            }
            assert_eq!(see(&mut sandbox), FRESH, "after {end}");
        }
    }
}

#[test]
fn a_session_keeps_what_happens_until_it_is_dropped() {
    let engine = Engine::default();
    let made = Arc::new(AtomicU32::new(0));
    let mut sandbox = template(&engine, made.clone()).build().unwrap();
    let mut session = sandbox.session().unwrap();
    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), FRESH);
    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), 102 + 25 + 3000 + 200_000);
    let memory = session.instance().get_memory(session.store(), "memory").unwrap();
    assert_eq!(memory.data(session.store())[8], 25);
    assert!(session.call::<(), ()>("trap", ()).is_err());
    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), 104 + 45 + 5000 + 400_000);
    drop(session);
    assert_eq!(see(&mut sandbox), FRESH);
    assert_eq!(
        made.load(SeqCst),
        4,
        "one for what initializes, one for the first session, one for each that followed"
    );
}

/// Looks at itself when it is dropped.
struct Looks(Inspector);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.capture(TIMEOUT).unwrap();
    }
}

#[test]
fn one_that_goes_back_can_be_looked_at_and_sampled_meanwhile() {
    let engine = Engine::default();
    let mut sandbox = template(&engine, Arc::default()).build().unwrap();
    let inspector = sandbox.session().unwrap().store().inspector();
    let is_over = AtomicBool::new(false);
    let profiler = Profiler::start(&engine, "sandbox", Duration::from_millis(1)).unwrap();
    let seen = std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut seen = 0;
            while !is_over.load(SeqCst) {
                let stack = inspector.capture(TIMEOUT).unwrap();
                // Whatever is seen can be printed, though the sandbox may have gone on.
                seen += u32::from(stack.to_string().contains("work"));
            }
            seen
        });
        for round in 0..400 {
            let mut session = sandbox.session().unwrap();
            // What is added by a session goes with it: a host function, and a module that calls it.
            let looks = Looks(inspector.clone());
            let down = move |x: i32| if x > round { x - 1 } else { i32::from(looks.0.store_id() == 0) };
            let own = Func::wrap(session.store(), down);
            let wat = r#"(module (import "" "f" (func $f (param i32) (result i32)))
                (func $work (export "work") (param i32) (loop (br_if 0 (local.tee 0 (call $f (local.get 0)))))))"#;
            let module = Module::new(session.store().engine(), wat).unwrap();
            let added = Instance::new(session.store(), &module, &[own.into()]).unwrap();
            let work = added.get_typed_func::<i32, ()>(session.store(), "work").unwrap();
            let handle = session.store().kill_handle();
            let killer = scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(1));
                handle.kill("enough")
            });
            let _ = work.call(session.store(), 100_000 + round);
            killer.join().unwrap().unwrap();
            drop(session);
            assert_eq!(see(&mut sandbox), FRESH);
        }
        is_over.store(true, SeqCst);
        looker.join().unwrap()
    });
    assert!(seen > 0);
    assert!(profiler.finish().unwrap().sample_count() > 0);
    // A stack names instances by handles that mean something now.
    let mut session = sandbox.session().unwrap();
    let instance = session.instance();
    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), FRESH);
    assert_eq!(instance, session.instance());
}

#[test]
fn one_that_cannot_be_cleaned_is_replaced() {
    let engine = Engine::default();
    let module = Module::new(&engine, WAT).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "count", || 1).unwrap();
    linker.func_wrap("host", "fail", |_: i32| ()).unwrap();
    let fails = Arc::new(AtomicU32::new(0));
    let left = fails.clone();
    let pre = linker.instantiate_pre(&module).unwrap();
    let make = move || match left.load(SeqCst) {
        0 => Ok(()),
        n => {
            left.store(n - 1, SeqCst);
            Err(Error::msg("no host state today"))
        }
    };
    let mut sandbox = SandboxTemplate::new(pre, make).init("init").build().unwrap();
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    // The call returns what it returns; that cleaning failed is the next one's matter, which gets a new world.
    fails.store(1, SeqCst);
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    fails.store(2, SeqCst);
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    let error = sandbox.call::<(), i32>("see", ()).unwrap_err();
    assert!(
        format!("{error:#}").contains("was discarded: the host's state could not be made: no host state"),
        "{error:#}"
    );
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
}
