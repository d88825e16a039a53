//! What the host does in a session of a sandbox, and sessions that end without a call: nothing of it is left.

use belljar::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const WAT: &str = r#"(module
    (import "host" "note" (func $note (result i32)))
    (memory (export "memory") 1)
    (global $n (mut i32) (i32.const 0))
    (global $value (mut externref) (ref.null extern))
    (func (export "init") (drop (call $note)) (global.set $n (i32.const 10)))
    (func (export "count") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
    (func (export "note") (result i32) (call $note))
    (func (export "keep") (param externref) (global.set $value (local.get 0)))
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func (export "spin") (result i32) (local $i i32)
        (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) (local.get $i)))"#;

struct Host {
    notes: i32,
    limits: StoreLimits,
}

fn template(
    engine: &Engine,
    prepare: impl Fn(&mut Store<Host>) + Send + Sync + 'static,
) -> SandboxTemplate<Host> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "note", |mut caller: Caller<'_, Host>| {
            caller.data_mut().notes += 1;
            caller.data().notes
        })
        .unwrap();
    let pre = linker.instantiate_pre(&Module::new(engine, WAT).unwrap()).unwrap();
    SandboxTemplate::new(pre, || Ok(Host { notes: 0, limits: StoreLimits::default() }))
        .prepare(move |store| {
            prepare(store);
            Ok(())
        })
        .init("init")
}

fn count(sandbox: &mut Sandbox<Host>) -> i32 {
    sandbox.call("count", ()).unwrap()
}

#[test]
fn a_forgotten_session_is_over_when_the_next_begins() {
    let mut sandbox = template(&Engine::default(), |_| ()).build().unwrap();
    for _ in 0..3 {
        let mut session = sandbox.session().unwrap();
        assert_eq!(session.call::<(), i32>("count", ()).unwrap(), 11);
        assert_eq!(session.call::<(), i32>("note", ()).unwrap(), 1);
        std::mem::forget(session);
        assert_eq!(count(&mut sandbox), 11);
    }
}

#[test]
fn the_first_call_has_as_new_a_host_state_as_those_that_follow() {
    let prepare = |store: &mut Store<Host>| store.data_mut().notes = 50;
    let mut sandbox = template(&Engine::default(), prepare).build().unwrap();
    for _ in 0..3 {
        assert_eq!(sandbox.call::<(), i32>("note", ()).unwrap(), 1);
    }
}

#[test]
fn handles_of_the_preparation_are_refused_in_the_first_session_as_in_those_that_follow() {
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let mut sandbox = template(&Engine::default(), move |store| {
        *keep.lock().unwrap() = Some(Func::wrap(&mut *store, || 5));
    })
    .build()
    .unwrap();
    for _ in 0..3 {
        let mut session = sandbox.session().unwrap();
        let func: Func = kept.lock().unwrap().unwrap();
        let called =
            catch_unwind(AssertUnwindSafe(|| func.typed::<(), i32>(&mut *session.store()).map(drop)));
        assert!(called.is_err(), "it is another store's");
        assert_eq!(session.call::<(), i32>("count", ()).unwrap(), 11);
    }
}

#[test]
fn epochs_count_from_the_beginning_of_each_session() {
    let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let mut sandbox = template(&engine, |store| store.set_epoch_deadline(2)).build().unwrap();
    for _ in 0..5 {
        for _ in 0..3 {
            engine.increment_epoch();
        }
        assert_eq!(sandbox.call::<(), i32>("spin", ()).unwrap(), 1000);
        let mut session = sandbox.session().unwrap();
        engine.increment_epoch();
        engine.increment_epoch();
        let error = session.call::<(), i32>("spin", ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }
}

#[test]
fn who_decides_about_growth_and_epochs_is_again_who_did() {
    let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let notes = asked.clone();
    let mut sandbox = template(&engine, move |store| {
        store.limiter(|host| &mut host.limits);
        let asked = asked.clone();
        store.epoch_deadline_callback(move |store| {
            asked.fetch_add(1, SeqCst);
            if store.data().notes == 77 {
                resume_unwind(Box::new("expected"));
            }
            Ok(UpdateDeadline::Continue(100))
        });
    })
    .build()
    .unwrap();
    for _ in 0..4 {
        let mut session = sandbox.session().unwrap();
        assert_eq!(session.call::<(), i32>("grow", ()).unwrap(), 1);
        session.store().epoch_deadline_trap();
        session.store().limiter(|host| {
            host.limits = StoreLimitsBuilder::new().memory_size(1).build();
            &mut host.limits
        });
        session.store().limiter(|host| {
            host.limits = StoreLimitsBuilder::new().memory_size(2).build();
            &mut host.limits
        });
        session.store().set_epoch_deadline(9);
        assert_eq!(session.call::<(), i32>("grow", ()).unwrap(), -1);
        session.store().set_epoch_deadline(0);
        assert!(session.call::<(), i32>("spin", ()).is_err());
        drop(session);
        assert_eq!(sandbox.call::<(), i32>("grow", ()).unwrap(), 1);
        // A callback that panicked is called again the next time.
        let before = notes.load(SeqCst);
        let mut session = sandbox.session().unwrap();
        session.store().data_mut().notes = 77;
        session.store().set_epoch_deadline(0);
        assert!(catch_unwind(AssertUnwindSafe(move || session.call::<(), i32>("spin", ()))).is_err());
        let mut session = sandbox.session().unwrap();
        session.store().set_epoch_deadline(0);
        assert_eq!(session.call::<(), i32>("spin", ()).unwrap(), 1000);
        assert_eq!(notes.load(SeqCst), before + 2);
    }
}

/// A host value that panics when it is dropped.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        resume_unwind(Box::new("expected"));
    }
}

const DISCARDED: &str = "a sandbox could not be reset and was discarded: a destructor of the host panicked";

#[test]
fn a_destructor_that_panics_leaves_nothing_either() {
    let engine = Engine::default();
    let mut sandbox = template(&engine, |_| ()).build().unwrap();
    engine.problems();
    for round in 0..4 {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut session = sandbox.session().unwrap();
            assert_eq!(session.call::<(), i32>("count", ()).unwrap(), 11);
            assert_eq!(session.call::<(), i32>("note", ()).unwrap(), 1);
            match round % 2 {
                0 => {
                    let value = ExternRef::new(session.store(), Panics).unwrap();
                    session.call::<_, ()>("keep", Some(value)).unwrap();
                }
                _ => {
                    let panics = Panics;
                    Func::wrap(session.store(), move || {
                        let _ = &panics;
                    });
                }
            }
            drop(session);
        }));
        assert!(ended.is_err());
        assert_eq!(engine.problems(), [DISCARDED]);
        assert_eq!(sandbox.call::<(), i32>("note", ()).unwrap(), 1);
        assert_eq!(count(&mut sandbox), 11);
        assert!(engine.problems().is_empty());
    }
}

/// Also if the session ends in a panic, and if the state's destructor panics each time.
#[test]
fn every_discarded_sandbox_is_told() {
    struct Host(bool);
    impl Drop for Host {
        fn drop(&mut self) {
            if self.0 {
                resume_unwind(Box::new("expected"));
            }
        }
    }
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "f")))"#).unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(Host(false))).build().unwrap();
    engine.problems();
    for is_panicking in [false, true] {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut session = sandbox.session().unwrap();
            session.call::<(), ()>("f", ()).unwrap();
            session.store().data_mut().0 = true;
            if is_panicking {
                resume_unwind(Box::new("the host's own"));
            }
        }));
        assert_eq!(ended.is_err(), is_panicking);
        let told =
            "a sandbox could not be reset and was discarded: the destructor of the host's state panicked";
        assert_eq!(engine.problems(), [told]);
        sandbox.call::<(), ()>("f", ()).unwrap();
        assert!(engine.problems().is_empty());
    }
}

#[test]
fn a_store_that_was_exchanged_is_none_of_the_sandbox_s() {
    let engine = Engine::default();
    let mut sandbox = template(&engine, |_| ()).build().unwrap();
    let mut other = Store::new(&engine, Host { notes: 1000, limits: StoreLimits::default() });
    let mut session = sandbox.session().unwrap();
    assert_eq!(session.call::<(), i32>("count", ()).unwrap(), 11);
    std::mem::swap(session.store(), &mut other);
    drop(session);
    assert_eq!(sandbox.call::<(), i32>("note", ()).unwrap(), 1);
    assert_eq!(count(&mut sandbox), 11);
}

#[test]
fn a_session_without_its_state_does_not_begin_though_a_panic_came_between() {
    let engine = Engine::default();
    let fails = Arc::new(AtomicU32::new(0));
    let how = fails.clone();
    let pre = {
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "note", || 1).unwrap();
        linker.instantiate_pre(&Module::new(&engine, WAT).unwrap()).unwrap()
    };
    let make = move || match how.load(SeqCst) {
        0 => Ok(()),
        1 => Err(Error::msg("not now")),
        _ => resume_unwind(Box::new("expected")),
    };
    let mut sandbox = SandboxTemplate::new(pre, make).init("init").build().unwrap();
    for (how, why) in [(1, "not now"), (2, "the closure panicked")] {
        fails.store(how, SeqCst);
        for _ in 0..2 {
            let told = format!("{:#}", sandbox.call::<(), i32>("count", ()).unwrap_err());
            assert!(told.contains(why), "{told}");
        }
        fails.store(0, SeqCst);
        assert_eq!(sandbox.call::<(), i32>("count", ()).unwrap(), 11);
    }
}

#[test]
fn types_of_one_session_are_not_taken_for_those_of_the_next() {
    let engine = Engine::default();
    let wat = r#"(module
        (type $own (struct (field (mut i32)) (field (mut anyref))))
        (global $o (mut anyref) (ref.null any))
        (func (export "init") (global.set $o (struct.new $own (i32.const 5) (ref.i31 (i32.const 6)))))
        (func (export "get") (result i32) (struct.get $own 0 (ref.cast (ref $own) (global.get $o)))))"#;
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).init("init").build().unwrap();
    // The same number identifies a small struct without references, a larger one with references, an array, and so on.
    let types = [
        ("(struct (field (mut i32)))", "(struct.new $t (i32.const 7))", "(struct.get $t 0 (local.get $o))"),
        (
            "(struct (field (mut anyref)) (field (mut i32)) (field (mut anyref)) (field i64 i64 i64))",
            "(struct.new $t (global.get $list) (i32.const 7) (global.get $list) (i64.const 1) (i64.const 2) (i64.const 3))",
            "(struct.get $t 1 (local.get $o))",
        ),
        (
            "(array (mut i32))",
            "(array.new $t (i32.const 7) (i32.const 60))",
            "(array.get $t (local.get $o) (i32.const 59))",
        ),
        (
            "(array (mut anyref))",
            "(array.new $t (ref.i31 (i32.const 7)) (i32.const 60))",
            "(i31.get_s (ref.cast (ref i31) (array.get $t (local.get $o) (i32.const 59))))",
        ),
    ];
    for round in 0..12 {
        let (ty, new, get) = types[round % types.len()];
        let wat = format!(
            r#"(module (type $t {ty}) (type $many (array (mut anyref)))
                (global $list (mut anyref) (ref.null any))
                (func (export "run") (result i32) (local $i i32) (local $o (ref null $t)) (local $all (ref $many))
                    (local.set $all (array.new_default $many (i32.const 1000)))
                    (loop (array.set $many (local.get $all) (local.get $i) {new})
                        (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
                    (global.set $list (local.get $all)) (i32.const 1))
                (func (export "sum") (result i32) (local $i i32) (local $sum i32) (local $o (ref null $t))
                    (loop
                        (local.set $o (ref.cast (ref $t) (array.get $many (ref.cast (ref $many) (global.get $list)) (local.get $i))))
                        (local.set $sum (i32.add (local.get $sum) {get}))
                        (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
                    (local.get $sum)))"#
        );
        let mut session = sandbox.session().unwrap();
        let module = Module::new(&engine, wat).unwrap();
        let added = Instance::new(session.store(), &module, &[]).unwrap();
        let run = added.get_typed_func::<(), i32>(session.store(), "run").unwrap();
        let sum = added.get_typed_func::<(), i32>(session.store(), "sum").unwrap();
        for _ in 0..3 {
            run.call(session.store(), ()).unwrap();
            session.store().gc(None).unwrap();
            assert_eq!(sum.call(session.store(), ()).unwrap(), 7000, "round {round}");
        }
        assert_eq!(session.call::<(), i32>("get", ()).unwrap(), 5);
    }
}

#[test]
fn memory_that_host_functions_borrow_is_limited_and_comes_back_however_they_end() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "borrow" (func $borrow (param i32 i32)))
        (func (export "borrow") (param i32 i32) (call $borrow (local.get 0) (local.get 1))))"#;
    let mut linker = Linker::<()>::new(&engine);
    let borrow = |mut caller: Caller<'_, ()>, length: u32, how: u32| {
        caller.with_scratch(length as usize, |caller, bytes| {
            assert!(bytes.len() == length as usize && bytes.iter().all(|byte| *byte == 0));
            bytes.fill(7);
            match how {
                0 => Ok(()),
                1 => Err(Error::msg("a host error")),
                2 => resume_unwind(Box::new("expected")),
                // Both are borrowed at once.
                _ => caller.with_scratch(600, |_, more| {
                    assert!(more.iter().all(|byte| *byte == 0));
                    Ok(())
                }),
            }
        })
    };
    linker.func_wrap("host", "borrow", borrow).unwrap();
    let pre = linker.instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).limits(Limits::unlimited().scratch(1000));
    let mut sandbox = template.build().unwrap();
    let mut session = sandbox.session().unwrap();
    for how in [0, 1, 2, 0, 2, 1, 0] {
        let ended = catch_unwind(AssertUnwindSafe(|| session.call::<(u32, u32), ()>("borrow", (1000, how))));
        match how {
            0 => ended.unwrap().unwrap(),
            1 => assert_eq!(ended.unwrap().unwrap_err().root_cause().to_string(), "a host error"),
            _ => drop(ended.unwrap_err()),
        }
    }
    let told = session.call::<(u32, u32), ()>("borrow", (1001, 0)).unwrap_err();
    assert_eq!(told.downcast_ref::<LimitExceeded>().unwrap().limit(), Limit::Scratch);
    assert!(session.call::<(u32, u32), ()>("borrow", (500, 3)).unwrap_err().is::<LimitExceeded>());
    session.call::<(u32, u32), ()>("borrow", (400, 3)).unwrap();
}

#[test]
fn worlds_whose_preparation_differs_share_no_beginning() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "take" (func $take (result funcref))) (type $f (func (result i32)))
        (table 1 funcref) (func (export "init") (table.set (i32.const 0) (call $take)))
        (func (export "call") (result i32) (call_indirect (type $f) (i32.const 0))))"#;
    let mut linker = Linker::<Option<Func>>::new(&engine);
    linker.func_wrap("host", "take", |caller: Caller<'_, Option<Func>>| *caller.data()).unwrap();
    let pre = linker.instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
    // The same number of entities in each instance, of other types and in another order.
    let nth = AtomicU32::new(0);
    let template = SandboxTemplate::new(pre, || Ok(None)).init("init").prepare(move |store| {
        let nth = nth.fetch_add(1, SeqCst);
        let global = |store: &mut Store<Option<Func>>| match nth % 2 {
            0 => Global::new(store, GlobalType::new(ValType::I32, Mutability::Var), Val::I32(0x4000)),
            _ => Global::new(store, GlobalType::new(ValType::FUNCREF, Mutability::Var), Val::FuncRef(None)),
        };
        if nth.is_multiple_of(3) {
            global(store)?;
        }
        let func = Func::wrap(&mut *store, move || nth as i32);
        if !nth.is_multiple_of(3) {
            global(store)?;
        }
        *store.data_mut() = Some(func);
        Ok(())
    });
    let mut sandboxes: Vec<_> = (0..8).map(|_| template.build().unwrap()).collect();
    let mut sessions: Vec<_> = sandboxes.iter_mut().map(|sandbox| sandbox.session().unwrap()).collect();
    // Each calls the function of an instance of its own kind.
    let mut seen: Vec<i32> = sessions.iter_mut().map(|s| s.call::<(), i32>("call", ()).unwrap()).collect();
    seen.dedup();
    assert_eq!(seen.len(), 8);
}

#[test]
fn whoever_waits_for_a_world_that_cannot_be_made_holds_nobody() {
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "f")))"#).unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    let fails = Arc::new(AtomicU32::new(0));
    let how = fails.clone();
    let make = move || match how.load(SeqCst) {
        0 => Ok(()),
        _ => Err(Error::msg("not now")),
    };
    let patience = std::time::Duration::from_secs(60);
    let config = PoolConfig::new().max_sandboxes(1).on_burst(Burst::Wait(patience));
    let pool = SandboxTemplate::new(pre, make).pool(config).unwrap();
    let taken = pool.session().unwrap();
    std::thread::scope(|scope| {
        let call = || pool.call::<(), ()>("f", ()).unwrap_err().to_string();
        let waiting = [(); 3].map(|()| scope.spawn(call));
        while pool.statistics().waited < 3 {
            std::thread::yield_now();
        }
        // Each of them takes the instance, cannot make its state, and gives the instance back.
        fails.store(1, SeqCst);
        drop(taken);
        for told in waiting.map(|thread| thread.join().unwrap()) {
            assert!(told.contains("could not create the host's state"), "{told}");
        }
    });
    fails.store(0, SeqCst);
    pool.call::<(), ()>("f", ()).unwrap();
    assert_eq!(pool.statistics().sandboxes, 1);
}

#[test]
fn a_function_of_the_host_whose_destructor_panics_takes_no_place_of_the_pool() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            resume_unwind(Box::new("expected"));
        }
    }
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "f")))"#).unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
    let config = PoolConfig::new().max_sandboxes(1).on_burst(Burst::Refuse);
    let pool = SandboxTemplate::new(pre, || Ok(())).pool(config).unwrap();
    for _ in 0..3 {
        let mut session = pool.session().unwrap();
        let panics = Panics;
        Func::wrap(session.store(), move || {
            let _held = &panics;
        });
        assert!(catch_unwind(AssertUnwindSafe(|| drop(session))).is_err());
        assert!(engine.problems().contains(&DISCARDED.into()));
        pool.call::<(), ()>("f", ()).unwrap();
    }
    assert_eq!(pool.statistics().discarded, 3);
}
