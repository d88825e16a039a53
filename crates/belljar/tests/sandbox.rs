//! Sandboxes: every call starts from the same state, however the previous one ended.

use belljar::{
    Burst, Caller, Config, Engine, Error, Func, Global, GlobalType, Inspector, Instance, Killed, Linker,
    Module, Mutability, PoolConfig, PoolExhausted, Profiler, Sandbox, SandboxDiscarded, SandboxTemplate,
    StoreLimits, StoreLimitsBuilder, Trap, Val, ValType,
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

/// The report of a fresh sandbox: 101 + 15 + 2 pages + its first call of the host.
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
    assert_eq!(made.load(SeqCst), 3, "one for the initialization, and one for each session");
}

/// Inspects its own store when it is dropped.
struct Looks(Inspector);

impl Drop for Looks {
    fn drop(&mut self) {
        assert!(self.0.capture(TIMEOUT).is_ok() || self.0.is_over());
    }
}

#[test]
fn one_that_goes_back_can_be_looked_at_and_sampled_meanwhile() {
    let engine = Engine::default();
    let mut sandbox = template(&engine, Arc::default()).build().unwrap();
    let is_over = AtomicBool::new(false);
    let profiler = Profiler::start(&engine, "sandbox", Duration::from_millis(1)).unwrap();
    let seen = std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut seen = 0;
            while !is_over.load(SeqCst) {
                for inspector in engine.inspectors() {
                    match inspector.capture(TIMEOUT) {
                        // Whatever is captured can be printed, even if the sandbox has continued meanwhile.
                        Ok(stack) => seen += u32::from(stack.to_string().contains("work")),
                        Err(error) => assert!(inspector.is_over(), "{error:#}"),
                    }
                }
            }
            seen
        });
        for round in 0..400 {
            let mut session = sandbox.session().unwrap();
            // What a session adds ends with it: a host function, and a module that calls it.
            let looks = Looks(session.store().inspector());
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
    // A stack refers to instances by handles that are valid now.
    let mut session = sandbox.session().unwrap();
    let instance = session.instance();
    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), FRESH);
    assert_eq!(instance, session.instance());
}

#[test]
fn the_caller_whose_state_cannot_be_made_is_told() {
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
    // The call that needs the state gets the error. The sandbox is not discarded: the next call uses the same instance.
    for _ in 0..2 {
        fails.store(1, SeqCst);
        let error = sandbox.call::<(), i32>("see", ()).unwrap_err();
        assert_eq!(format!("{error:#}"), "could not create the host's state: no host state today");
        assert!(!error.is::<SandboxDiscarded>());
        assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    }
    // The end of a call is not affected by problems of the next call.
    let error = sandbox.call::<(), ()>("trap", ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(sandbox.call::<(), i32>("see", ()).unwrap(), FRESH);
    assert!(engine.problems().iter().all(|problem| !problem.contains("discarded")));
}

#[test]
fn others_begin_where_the_first_did_and_run_nothing() {
    let engine = Engine::default();
    let wat = r#"(module
        (import "host" "count" (func $count (result i32)))
        (type $pair (struct (field (mut i32)) (field (mut anyref))))
        (memory (export "memory") 1) (data (i32.const 50) "first") (memory $small 1 1)
        (table $t (export "t") 2 50 funcref) (table $objects 1 (ref null $pair))
        (global $g (export "g") (mut i32) (i32.const 1)) (global $v (mut v128) (v128.const i64x2 1 2))
        (data $passive "passive")
        (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2)) (elem declare func $two $count)
        (start $start)
        (func $start (global.set $g (i32.add (global.get $g) (call $count))))
        (func (export "init") (local $pair (ref $pair))
            (local.set $pair (struct.new $pair (i32.const 30) (ref.null any)))
            (struct.set $pair 1 (local.get $pair) (local.get $pair))
            (table.set $objects (i32.const 0) (local.get $pair))
            (drop (table.grow $t (ref.func $two) (i32.const 3))) (table.set $t (i32.const 0) (ref.func $count))
            (drop (memory.grow (i32.const 2))) (memory.init $passive (i32.const 100_000) (i32.const 0) (i32.const 7))
            (data.drop $passive)
            (global.set $v (i64x2.splat (i64.const 9))))
        (type $f (func (result i32)))
        (func (export "see") (result i32) (local $pair (ref $pair))
            (local.set $pair (ref.as_non_null (table.get $objects (i32.const 0))))
            (i32.add (i32.add
                (i32.mul (i32.const 1000) (i32.add (memory.size) (table.size $t)))
                (i32.add (struct.get $pair 0 (ref.cast (ref $pair) (struct.get $pair 1 (local.get $pair))))
                    (i32.load8_u (i32.const 100_000))))
            (i32.add (i32.add (global.get $g) (i32.wrap_i64 (i64x2.extract_lane 1 (global.get $v))))
                (i32.add (call_indirect $t (type $f) (i32.const 0)) (call_indirect $t (type $f) (i32.const 4))))))
        (func (export "init_again") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let counted = Arc::new(AtomicU32::new(0));
    let calls = counted.clone();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "count", move || {
            calls.fetch_add(1, SeqCst);
            10
        })
        .unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).init("init").verify(true);
    // 3 pages and 5 elements; 30 from the object, 'p', 11 and 9 from the globals, 10 and 2 from the functions.
    let fresh = 8000 + 30 + i32::from(b'p') + 11 + 9 + 10 + 2;
    let mut sandboxes: Vec<_> = (0..20).map(|_| template.build().unwrap()).collect();
    // Open at once, so that each has its own instance.
    let mut sessions: Vec<_> = sandboxes.iter_mut().map(|sandbox| sandbox.session().unwrap()).collect();
    for _ in 0..2 {
        for session in &mut sessions {
            assert_eq!(session.call::<(), i32>("see", ()).unwrap(), fresh);
            let instance = session.instance();
            let memory = instance.get_memory(session.store(), "memory").unwrap();
            assert_eq!(&memory.data(session.store())[50..55], b"first");
            let error = session.call::<(), ()>("init_again", ()).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
            let table = instance.get_table(session.store(), "t").unwrap();
            table.grow(session.store(), 1, belljar::Ref::Func(None)).unwrap();
            table.set(session.store(), 5, belljar::Ref::Func(None)).unwrap();
        }
        drop(sessions);
        sessions = sandboxes.iter_mut().map(|sandbox| sandbox.session().unwrap()).collect();
    }
    // The start function ran once.
    assert_eq!(counted.load(SeqCst), 1 + 40);
    assert_eq!(engine.problems(), Vec::<String>::new());
}

#[test]
fn a_beginning_that_adds_to_the_store_is_run_for_each() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "make" (func $make (result funcref))) (type $f (func (result i32)))
        (table 1 funcref) (func (export "init") (table.set (i32.const 0) (call $make)))
        (func (export "call") (result i32) (call_indirect (type $f) (i32.const 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut linker = Linker::<u32>::new(&engine);
    let made = Arc::new(AtomicU32::new(0));
    let count = made.clone();
    let make = move |mut caller: Caller<'_, u32>| {
        count.fetch_add(1, SeqCst);
        Some(Func::wrap(&mut caller, |caller: Caller<'_, u32>| *caller.data() as i32))
    };
    linker.func_wrap("host", "make", make).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(7)).init("init").verify(true);
    let mut both = [template.build().unwrap(), template.build().unwrap()];
    let [first, second] = &mut both;
    let (mut first, mut second) = (first.session().unwrap(), second.session().unwrap());
    for _ in 0..3 {
        assert_eq!(first.call::<(), i32>("call", ()).unwrap(), 7);
        assert_eq!(second.call::<(), i32>("call", ()).unwrap(), 7);
    }
    assert_eq!(made.load(SeqCst), 2);
}

#[test]
fn a_pool_serves_many_threads_and_no_more_than_it_may_have() {
    let engine = Engine::default();
    let config = PoolConfig::new().max_sandboxes(3).on_burst(Burst::Wait(TIMEOUT));
    let pool = template(&engine, Arc::default()).verify(true).pool(config).unwrap();
    let ends = ["trap", "oob", "throw", "deep", "host_error", "bomb", "see", "host_panic", "spin"];
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..40 {
                    assert_eq!(pool.call::<(), i32>("see", ()).unwrap(), FRESH);
                    let end = ends[(thread + round) % ends.len()];
                    let mut session = pool.session().unwrap();
                    assert_eq!(session.call::<(), i32>("see", ()).unwrap(), FRESH);
                    let handle = session.kill_handle();
                    let killer = (end == "spin")
                        .then(|| scope.spawn(move || while !handle.kill("enough").unwrap() {}));
                    let ended = catch_unwind(AssertUnwindSafe(|| match end {
                        "see" => session.call::<(), i32>(end, ()).map(drop),
                        _ => session.call::<(), ()>(end, ()),
                    }));
                    match end {
                        "host_panic" => assert!(ended.is_err()),
                        "see" => ended.unwrap().unwrap(),
                        "spin" => assert!(ended.unwrap().unwrap_err().is::<Killed>()),
                        _ => drop(ended.unwrap().unwrap_err()),
                    }
                    // Before the session is over, because its handle is invalid then.
                    killer.into_iter().for_each(|killer| killer.join().unwrap());
                }
            });
        }
    });
    let statistics = pool.statistics();
    assert_eq!((statistics.sessions, statistics.refused, statistics.discarded), (2 * 8 * 40, 0, 0));
    assert!(statistics.most_sandboxes <= 3 && statistics.sandboxes == statistics.idle, "{statistics:?}");
    assert_eq!(engine.problems(), Vec::<String>::new());
}

#[test]
fn a_burst_waits_or_is_refused() {
    let engine = Engine::default();
    let refuse = PoolConfig::new().max_sandboxes(2).min_sandboxes(2).on_burst(Burst::Refuse);
    let pool = template(&engine, Arc::default()).pool(refuse).unwrap();
    assert_eq!((pool.statistics().idle, pool.statistics().created), (2, 2));
    let both = (pool.session().unwrap(), pool.session().unwrap());
    let error = pool.call::<(), i32>("see", ()).unwrap_err();
    assert!(error.is::<PoolExhausted>());
    let message = "all 2 sandboxes of the pool are in use (PoolConfig::max_sandboxes, PoolConfig::on_burst)";
    assert_eq!(error.to_string(), message);
    drop(both);
    assert_eq!(pool.call::<(), i32>("see", ()).unwrap(), FRESH);
    let statistics = pool.statistics();
    assert_eq!((statistics.refused, statistics.waited, statistics.sandboxes, statistics.idle), (1, 0, 2, 2));

    let wait = PoolConfig::new().max_sandboxes(1).on_burst(Burst::Wait(Duration::from_millis(20)));
    let pool = template(&engine, Arc::default()).pool(wait).unwrap();
    let mut taken = pool.session().unwrap();
    assert!(pool.call::<(), i32>("see", ()).unwrap_err().to_string().contains("within 20ms"));
    let wait = PoolConfig::new().max_sandboxes(1).on_burst(Burst::Wait(Duration::MAX));
    let pool = template(&engine, Arc::default()).pool(wait).unwrap();
    let only = pool.session().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| pool.call::<(), i32>("see", ()).unwrap());
        while pool.statistics().waited == 0 {
            std::thread::yield_now();
        }
        drop(only);
        assert_eq!(waits.join().unwrap(), FRESH);
    });
    assert_eq!(taken.call::<(), i32>("see", ()).unwrap(), FRESH);
}

#[test]
fn a_pool_lets_go_of_what_nobody_needs() {
    let engine = Engine::default();
    let config = PoolConfig::new().min_sandboxes(1).idle_timeout(Duration::ZERO);
    let pool = template(&engine, Arc::default()).pool(config).unwrap();
    let many: Vec<_> = (0..30).map(|_| pool.session().unwrap()).collect();
    drop(many);
    assert_eq!(pool.statistics().idle, 30);
    for _ in 0..1000 {
        pool.call::<(), i32>("see", ()).unwrap();
    }
    assert_eq!((pool.statistics().sandboxes, pool.statistics().most_sandboxes), (1, 30));
    let many: Vec<_> = (0..5).map(|_| pool.session().unwrap()).collect();
    drop(many);
    pool.shrink();
    assert_eq!((pool.statistics().sandboxes, pool.statistics().idle), (1, 1));
}

#[test]
fn a_handle_kills_its_session_and_no_other() {
    let engine = Engine::default();
    let template = template(&engine, Arc::default());
    let mut sandbox = template.build().unwrap();
    let of_all = sandbox.kill_handle();
    assert!(!of_all.kill("nothing runs").unwrap());
    let of_one = sandbox.session().unwrap().kill_handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The same instance runs a guest, but in another session.
            for _ in 0..1000 {
                assert!(!of_one.kill("too late").unwrap());
            }
            while !of_all.kill("now").unwrap() {}
        });
        let error = sandbox.call::<(), ()>("spin", ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Killed>().unwrap().to_string(), "the guest was killed: now");
    });
    assert_eq!(see(&mut sandbox), FRESH);
}

#[test]
fn many_sandboxes_take_next_to_nothing() {
    let engine = Engine::default();
    let template = template(&engine, Arc::default());
    let mut many: Vec<_> = (0..100_000).map(|_| template.build().unwrap()).collect();
    for sandbox in many.iter_mut().step_by(100) {
        assert_eq!(see(sandbox), FRESH);
    }
}

#[test]
fn what_cannot_be_a_sandbox_is_refused() {
    let engine = Engine::default();
    let refused = |wat: &str, linker: &Linker<()>| {
        let module = Module::new(&engine, wat).unwrap();
        let template = SandboxTemplate::new(linker.instantiate_pre(&module).unwrap(), || Ok(())).init("init");
        format!("{:#}", template.build().unwrap_err())
    };
    let none = Linker::new(&engine);
    let message = refused(r#"(module (func (export "init") unreachable))"#, &none);
    assert!(message.contains("unreachable"), "{message}");
    let message = refused("(module)", &none);
    assert!(message.contains("has no export named `init`"), "{message}");
    let message = refused(r#"(module (memory 1 1 shared) (func (export "init")))"#, &none);
    assert!(message.contains("is shared with others"), "{message}");
    let mut linker = Linker::new(&engine);
    let mut store = belljar::Store::new(&engine, ());
    let global =
        Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(1)).unwrap();
    linker.define(&store, "", "g", global).unwrap();
    let message = refused(r#"(module (import "" "g" (global i32)) (func (export "init")))"#, &linker);
    assert!(message.contains("an item of a store"), "{message}");
}

#[test]
fn counters_begin_anew_as_well() {
    let engine = Engine::new(Config::new().consume_fuel(true).epoch_interruption(true)).unwrap();
    let wat = r#"(module (func (export "spin") (loop (br 0))) (func (export "one")))"#;
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).verify(true).prepare(|store| {
        store.set_epoch_deadline(5);
        store.set_fuel(10_000)
    });
    let mut sandbox = template.build().unwrap();
    for _ in 0..3 {
        let error = sandbox.call::<(), ()>("spin", ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
        // The deadline is as far away as at the start.
        (0..4).for_each(|_| engine.increment_epoch());
        sandbox.call::<(), ()>("one", ()).unwrap();
    }
}
