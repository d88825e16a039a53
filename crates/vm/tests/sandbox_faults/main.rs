//! Whichever system call of a reset fails, the next call sees a fresh instance. Whichever call fails while a sandbox is
//! created, there is an error and no resource is leaked.
//!
//! A child process of this test is traced ([`tracer`]). First its first system call that can fail does, then the
//! second, and so on until there are no more, with each error that the call can return.

mod tracer;

use belljar::{
    Caller, Config, Engine, Func, Instance, Linker, Module, Sandbox, SandboxTemplate, Session, Store,
};
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use tracer::{Fault, MOST_ERRORS, be_traced, begin, end, trace};

/// A guest, and what happens to it.
struct Case {
    name: &'static str,
    wat: &'static str,
    reserve: bool,
}

/// Exports `mess`, which calls `arm` last and returns a fixed result. All state can be inspected.
const CASES: &[Case] = &[
    Case {
        name: "a small memory",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 1 1) (data (i32.const 5) "hello")
            (global $g (export "g") (mut i32) (i32.const 5))
            (func (export "init") (i32.store (i32.const 100) (i32.const 7)))
            (func (export "mess") (result i32) (memory.fill (i32.const 0) (i32.const 9) (i32.const 9000))
                (global.set $g (i32.const 6)) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "a memory of zeros",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 3 3)
            (func (export "init"))
            (func (export "mess") (result i32) (memory.fill (i32.const 70000) (i32.const 9) (i32.const 9000)) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "many pages",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 200 200) (data (i32.const 5) "hello")
            (func (export "init") (i32.store (i32.const 9000000) (i32.const 7)))
            (func (export "mess") (result i32) (memory.fill (i32.const 0) (i32.const 9) (i32.const 13000000)) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "many ranges of pages in several memories",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 50 50) (memory $b (export "b") 9)
            (memory $c (export "c") i64 3) (data (memory $c) (i64.const 5) "hello")
            (func (export "init") (i32.store (i32.const 90000) (i32.const 7)) (i32.store $b (i32.const 90000) (i32.const 7)))
            (func (export "mess") (result i32) (local $i i32)
                (loop (i32.store (local.get $i) (i32.const 8)) (i32.store $c (i64.const 8000) (i32.const 9))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8192))) (i32.const 3000000))))
                (i32.store $b (i32.const 400000) (i32.const 5))
                (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "a memory that grew",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 1 400) (data (i32.const 5) "hello")
            (func (export "init") (drop (memory.grow (i32.const 1))) (i32.store (i32.const 100000) (i32.const 7)))
            (func (export "mess") (result i32) (drop (memory.grow (i32.const 100)))
                (memory.fill (i32.const 9) (i32.const 9) (i32.const 6000000)) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "memories that moved",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 2 400) (data (i32.const 70000) "hello")
            (memory $b (export "b") i64 2 10000)
            (func (export "init") (i32.store (i32.const 100000) (i32.const 7)))
            (func (export "mess") (result i32)
                (memory.fill (i32.const 9) (i32.const 9) (i32.const 80000))
                (drop (memory.grow (i32.const 10))) (drop (memory.grow (i32.const 100))) (drop (memory.grow $b (i64.const 3)))
                (memory.fill $b (i64.const 9) (i32.const 9) (i64.const 200000))
                (memory.fill (i32.const 600000) (i32.const 9) (i32.const 6000000)) (call $arm) (i32.const 42)))"#,
        reserve: false,
    },
    Case {
        name: "tables and objects",
        wat: r#"(module (import "host" "arm" (func $arm)) (table $t (export "t") 10 500000 funcref) (table $o (export "o") 5 90000 anyref)
            (type $box (struct (field (mut i32)) (field (ref null $box))))
            (global $list (mut (ref null $box)) (ref.null $box))
            (memory (export "memory") 1)
            (func $f) (elem declare func $f)
            (func (export "init") (table.set $t (i32.const 3) (ref.func $f))
                (global.set $list (struct.new $box (i32.const 1) (ref.null $box))))
            (func (export "boxes") (result i32) (local $b (ref null $box)) (local $n i32)
                (local.set $b (global.get $list))
                (block $end (loop $next (br_if $end (ref.is_null (local.get $b)))
                    (local.set $n (i32.add (local.get $n) (struct.get $box 0 (local.get $b))))
                    (local.set $b (struct.get $box 1 (local.get $b))) (br $next)))
                (local.get $n))
            (func (export "mess") (result i32) (local $i i32)
                (drop (table.grow $t (ref.func $f) (i32.const 90000))) (drop (table.grow $t (ref.func $f) (i32.const 200000)))
                (loop (global.set $list (struct.new $box (i32.const 3) (global.get $list)))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30000))))
                (drop (table.grow $o (global.get $list) (i32.const 20000)))
                (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "a large table",
        wat: r#"(module (import "host" "arm" (func $arm)) (table $t (export "t") 9000 funcref) (memory (export "memory") 1)
            (global $g (export "g") (mut i32) (i32.const 5))
            (func $f) (elem declare func $f)
            (func (export "init") (table.set $t (i32.const 3) (ref.func $f)))
            (func (export "boxes") (result i32) (local $i i32) (local $n i32)
                (loop $next
                    (local.set $n (i32.add (local.get $n) (ref.is_null (table.get $t (local.get $i)))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t))))
                (local.get $n))
            (func (export "mess") (result i32) (global.set $g (i32.const 6))
                (table.set $t (i32.const 5000) (ref.func $f)) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
    Case {
        name: "objects where there were none",
        wat: r#"(module (import "host" "arm" (func $arm)) (memory (export "memory") 1)
            (type $box (struct (field (mut i32)) (field (ref null $box))))
            (global $list (mut (ref null $box)) (ref.null $box))
            (func (export "init"))
            (func (export "boxes") (result i32) (ref.is_null (global.get $list)))
            (func (export "mess") (result i32)
                (global.set $list (struct.new $box (i32.const 3) (global.get $list))) (call $arm) (i32.const 42)))"#,
        reserve: true,
    },
];

type Host = Option<Fault>;

fn template(engine: &Engine, wat: &str) -> SandboxTemplate<Host> {
    let module = Module::new(engine, wat).unwrap();
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "arm", |caller: Caller<'_, Host>| {
            if let Some(fault) = *caller.data() {
                begin(fault);
            }
        })
        .unwrap();
    SandboxTemplate::new(linker.instantiate_pre(&module).unwrap(), || Ok(None)).init("init")
}

/// All observable state, for comparison.
#[derive(PartialEq, Eq)]
struct Seen(Vec<Vec<u8>>, String);

fn see(session: &mut Session<'_, Host>) -> Seen {
    let mut memories = Vec::new();
    let mut text = String::new();
    let instance = session.instance();
    for name in ["memory", "b", "c"] {
        let Some(memory) = instance.get_memory(session.store(), name) else { continue };
        memories.push(memory.data(&*session.store()).to_vec());
    }
    for name in ["t", "o"] {
        let Some(table) = instance.get_table(session.store(), name) else { continue };
        let size = table.size(session.store());
        write!(text, "{size} ").unwrap();
        for i in 0..size.min(100) {
            write!(text, "{}", u8::from(table.get(session.store(), i).unwrap().is_null())).unwrap();
        }
    }
    if instance.get_table(session.store(), "t").is_some() {
        // Space that tables of the previous session used.
        let wat = r#"(module (table 100000 400000 funcref) (func (export "used") (result i32) (local $i i32) (local $used i32)
            (loop (local.set $used (i32.add (local.get $used) (i32.eqz (ref.is_null (table.get 0 (local.get $i))))))
                (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
            (local.get $used)))"#;
        let module = Module::new(session.store().engine(), wat).unwrap();
        let added = Instance::new(session.store(), &module, &[]).unwrap();
        let used = added.get_typed_func::<(), i32>(session.store(), "used").unwrap();
        write!(text, " {} of a new table", used.call(session.store(), ()).unwrap()).unwrap();
    }
    if let Some(global) = instance.get_global(session.store(), "g") {
        write!(text, "{:?}", global.get(session.store())).unwrap();
    }
    if instance.get_func(session.store(), "boxes").is_some() {
        write!(text, "{}", session.call::<(), i32>("boxes", ()).unwrap()).unwrap();
    }
    Seen(memories, text)
}

/// Checks that later instances get memory that is not dirty.
fn look_at_what_others_get(engine: &Engine) {
    let module = Module::new(engine, r#"(module (memory (export "memory") 210))"#).unwrap();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let zeros = [0; 4096];
        assert!(memory.data(&store).chunks(4096).all(|page| page == zeros), "others get what was written");
        kept.push(store);
    }
}

/// Returns the numbers of descriptors and mappings of this process.
fn resources() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (descriptors, std::fs::read_to_string("/proc/self/maps").unwrap().lines().count())
}

/// Injects every fault and calls `run` each time, until `run` reports that nothing failed. Returns the number of
/// faults.
fn each_fault(mut run: impl FnMut(Fault) -> bool) -> u64 {
    let mut faults = 0;
    for error in 0..MOST_ERRORS {
        for from_then_on in [false, true] {
            for nth in 1.. {
                if !run(Fault { nth, error, from_then_on }) {
                    break;
                }
                faults += 1;
            }
        }
    }
    faults
}

fn engine_of(case: &Case) -> Engine {
    Engine::new(Config::new().memory_reservation(if case.reserve { 4 << 30 } else { 0 })).unwrap()
}

/// Runs a test in a traced process.
fn traced(test: &str, run: impl FnOnce()) {
    if std::env::var_os("BELLJAR_TEST_CHILD").is_some() {
        be_traced();
        return run();
    }
    let output = tempfile::NamedTempFile::new().unwrap();
    let [out, error] = [(); 2].map(|()| output.reopen().unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("BELLJAR_TEST_CHILD", "1").stdout(out).stderr(error);
    let status = ExitStatus::from_raw(trace(&mut command));
    let text = String::from_utf8_lossy(&std::fs::read(output.path()).unwrap()).into_owned();
    println!("{text}");
    assert!(status.success(), "{status}");
}

fn fresh(template: &SandboxTemplate<Host>) -> Seen {
    see(&mut template.build().unwrap().session().unwrap())
}

#[test]
fn a_reset_of_which_anything_fails_leaves_no_trace() {
    traced("a_reset_of_which_anything_fails_leaves_no_trace", || {
        for case in CASES {
            let engine = engine_of(case);
            let template = template(&engine, case.wat);
            let expected = fresh(&template);
            let mut sandbox = template.build().unwrap();
            let (mut rounds, mut before) = (0, None);
            for pass in 0..3 {
                let faults = each_fault(|fault| {
                    rounds += 1;
                    let mut session = sandbox.session().unwrap();
                    *session.store().data_mut() = Some(fault);
                    if rounds % 5 == 0 {
                        let _ = Func::wrap(session.store(), || 5);
                        let plain =
                            Module::new(&engine, r#"(module (memory 1) (func (export "f")))"#).unwrap();
                        Instance::new(session.store(), &plain, &[]).unwrap();
                    }
                    // The fault happens after the guest's last action.
                    let result = session.call::<(), i32>("mess", ());
                    drop(session);
                    let failed = end();
                    assert_eq!(result.unwrap(), 42);
                    assert!(see(&mut sandbox.session().unwrap()) == expected, "{}: {fault:?}", case.name);
                    if rounds % 4 == 0 {
                        // As seen by the caller of a single call.
                        assert_eq!(call_with(&mut sandbox, fault), 42);
                        assert!(see(&mut sandbox.session().unwrap()) == expected, "{}: {fault:?}", case.name);
                    }
                    if rounds % 7 == 0 {
                        sandbox = template.build().unwrap();
                        look_at_what_others_get(&engine);
                    }
                    failed
                });
                println!("{}: {faults} faults, {:?}", case.name, resources());
                // For a write-protected memory, the kernel is not asked any more.
                assert!(faults > 0 || pass > 0);
                if pass == 1 {
                    before = Some(resources());
                }
            }
            assert_no_more(before.unwrap());
        }
    });
}

#[test]
fn a_memory_that_settles_and_is_disturbed_while_anything_fails_leaves_no_trace() {
    traced("a_memory_that_settles_and_is_disturbed_while_anything_fails_leaves_no_trace", || {
        // Enough resets for a memory to become write-protected, and some more.
        const ROUNDS: usize = 24;
        for case in CASES {
            let engine = engine_of(case);
            let template = template(&engine, case.wat);
            let expected = fresh(&template);
            let mut faults = 0;
            for nth in 1..8 {
                for from_then_on in [false, true] {
                    let mut sandbox = template.build().unwrap();
                    for round in 0..ROUNDS {
                        let mut session = sandbox.session().unwrap();
                        *session.store().data_mut() = Some(Fault { nth, error: 0, from_then_on });
                        if round % 21 == 20 {
                            let memory = session.instance().get_memory(session.store(), "memory").unwrap();
                            let last = memory.data_size(session.store()) - 1;
                            memory.write(session.store(), last, b"!").unwrap();
                        }
                        let result = session.call::<(), i32>("mess", ());
                        drop(session);
                        faults += usize::from(end());
                        assert_eq!(result.unwrap(), 42);
                        let seen = see(&mut sandbox.session().unwrap());
                        assert!(seen == expected, "{}: {nth}, round {round}", case.name);
                    }
                }
            }
            println!("{}: {faults} faults, {:?}", case.name, resources());
        }
    });
}

/// Makes a call whose reset is disturbed.
fn call_with(sandbox: &mut Sandbox<Host>, fault: Fault) -> i32 {
    begin(fault);
    let session = sandbox.session();
    end();
    let mut session = session.unwrap();
    *session.store().data_mut() = Some(fault);
    drop(session);
    let result = sandbox.call("mess", ());
    end();
    result.unwrap()
}

fn assert_no_more(before: (usize, usize)) {
    let now = resources();
    // The allocator and the pools do not always hold the same amount.
    assert!(now.0 <= before.0 + 3 && now.1 <= before.1 + 20, "{now:?} instead of {before:?}");
}

#[test]
fn a_sandbox_of_which_anything_fails_is_made_whole_or_not_at_all() {
    traced("a_sandbox_of_which_anything_fails_is_made_whole_or_not_at_all", || {
        for case in CASES {
            let engine = engine_of(case);
            let template = template(&engine, case.wat);
            let expected = fresh(&template);
            let mut before = None;
            for pass in 0..3 {
                let mut refused = 0;
                // An instance that adopts a checkpoint, or one that runs its own initialization.
                let mut other = template.build().unwrap();
                let faults = each_fault(|fault| {
                    let anew = template.clone().verify(true);
                    let held = (pass != 1).then(|| other.session().unwrap());
                    begin(fault);
                    let built = match held {
                        Some(_) => template.build().and_then(|mut sandbox| {
                            sandbox.session()?;
                            Ok(sandbox)
                        }),
                        None => anew.build(),
                    };
                    let failed = end();
                    drop(held);
                    match built {
                        Ok(mut sandbox) => {
                            assert!(
                                see(&mut sandbox.session().unwrap()) == expected,
                                "{}: {fault:?}",
                                case.name
                            );
                            assert_eq!(sandbox.call::<(), i32>("mess", ()).unwrap(), 42);
                            assert!(
                                see(&mut sandbox.session().unwrap()) == expected,
                                "{}: {fault:?}",
                                case.name
                            );
                        }
                        Err(error) => {
                            assert!(failed, "{error:#}");
                            refused += 1;
                        }
                    }
                    look_at_what_others_get(&engine);
                    failed
                });
                println!("{}: {faults} faults, {refused} refused, {:?}", case.name, resources());
                // An instance that adopts a checkpoint may need nothing of the kernel.
                assert!(faults > 0 || pass != 1);
                if pass == 1 {
                    before = Some(resources());
                }
            }
            assert_no_more(before.unwrap());
        }
    });
}

#[test]
fn one_in_place_of_another_is_fresh_or_none() {
    traced("one_in_place_of_another_is_fresh_or_none", || {
        for case in CASES {
            let engine = engine_of(case);
            let template = template(&engine, case.wat);
            let expected = fresh(&template);
            let mut sandbox = template.build().unwrap();
            let faults = each_fault(|fault| {
                let mut session = sandbox.session().unwrap();
                // Every system call fails.
                *session.store().data_mut() = Some(Fault { nth: 1, error: 0, from_then_on: true });
                assert_eq!(session.call::<(), i32>("mess", ()).unwrap(), 42);
                drop(session);
                end();
                begin(fault);
                let session = sandbox.session().map(drop);
                let failed = end();
                assert!(failed || session.is_ok(), "{session:?}");
                assert!(see(&mut sandbox.session().unwrap()) == expected, "{}: {fault:?}", case.name);
                failed
            });
            println!("{}: {faults} faults, {:?}", case.name, resources());
        }
    });
}
