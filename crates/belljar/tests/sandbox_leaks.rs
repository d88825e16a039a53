//! Calls of sandboxes that fail in all ways leak nothing: no memory, descriptors, mappings or threads of this process.
//! With `BELLJAR_LONG_TESTS=1`, a million of them.
//!
//! Each part runs in its own process, so that no other memory is counted.

use belljar::{
    Caller, Config, Engine, Error, ExternRef, Func, Instance, Linker, Module, Rooted, Sandbox,
    SandboxTemplate, StoreLimits, StoreLimitsBuilder,
};
use std::fs::{read_dir, read_to_string};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Barrier;

const WAT: &str = r#"(module
    (import "host" "do" (func $do (param i32)))
    (import "host" "make" (func $make (result externref)))
    (memory (export "memory") 2 1000) (data (i32.const 5) "hello") (data $passive "passive")
    (table $t 2 100000 externref)
    (global $n (mut i32) (i32.const 0)) (tag $e (param externref))
    (type $node (struct (field (ref null $node)) (field i64 i64 i64 i64)))
    (global $list (mut (ref null $node)) (ref.null $node))
    (func (export "init") (i32.store (i32.const 70000) (i32.const 5)))
    (func $mess (export "mess") (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store (i32.const 8) (i32.const 5)) (drop (memory.grow (i32.const 3))) (i32.store (i32.const 300000) (i32.const 5))
        (drop (table.grow $t (call $make) (i32.const 20))) (data.drop $passive)
        (global.set $list (struct.new $node (global.get $list) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))))
    (func (export "trap") (call $mess) unreachable)
    (func (export "oob") (call $mess) (drop (i32.load (i32.const -4))))
    (func (export "divide") (call $mess) (drop (i32.div_u (i32.const 1) (i32.const 0))))
    (func (export "throw") (call $mess) (throw $e (call $make)))
    (func $deep (export "deep") (drop (struct.new_default $node)) (call $deep) (call $deep))
    (func (export "host_error") (call $mess) (call $do (i32.const 0)))
    (func (export "host_panic") (call $mess) (call $do (i32.const 1)))
    (func (export "host_kill") (call $mess) (call $do (i32.const 2)) (loop (br 0)))
    (func (export "fill") (call $mess) (memory.fill (i32.const 0) (i32.const 9) (i32.const 200000)))
    (func (export "fill_much") (drop (memory.grow (i32.const 100)))
        (memory.fill (i32.const 0) (i32.const 9) (i32.const 6000000)) unreachable)
    (func (export "grow_all") (loop (br_if 0 (i32.ne (memory.grow (i32.const 10)) (i32.const -1)))) unreachable)
    (func (export "heap") (loop (call $mess) (br 0))))"#;

struct Host(StoreLimits);

fn template(engine: &Engine) -> SandboxTemplate<Host> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "do", |caller: Caller<'_, Host>, how: i32| -> Result<(), Error> {
            match how {
                0 => Err(Error::msg("a host error")),
                1 => resume_unwind(Box::new("expected")),
                _ => {
                    caller.kill_handle().kill("enough")?;
                    Ok(())
                }
            }
        })
        .unwrap();
    linker
        .func_wrap(
            "host",
            "make",
            |mut caller: Caller<'_, Host>| -> Result<Option<Rooted<ExternRef>>, Error> {
                Ok(Some(ExternRef::new(&mut caller, [7_u8; 1000])?))
            },
        )
        .unwrap();
    let pre = linker.instantiate_pre(&Module::new(engine, WAT).unwrap()).unwrap();
    let limits =
        || StoreLimitsBuilder::new().memory_size(16 << 20).table_elements(5000).gc_heap_size(2 << 20).build();
    SandboxTemplate::new(pre, move || Ok(Host(limits())))
        .prepare(|store| {
            store.limiter(|host| &mut host.0);
            Ok(())
        })
        .init("init")
}

/// The resources of a process.
#[derive(Clone, Copy, Debug)]
struct Resources {
    resident: usize,
    descriptors: usize,
    mappings: usize,
    threads: usize,
}

impl Resources {
    fn now() -> Self {
        let pages = read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            resident: pages * rustix::param::page_size(),
            descriptors: read_dir("/proc/self/fd").unwrap().count(),
            mappings: read_to_string("/proc/self/maps").unwrap().lines().count(),
            threads: read_dir("/proc/self/task").unwrap().count(),
        }
    }

    /// As [`Resources::now`], once there are at most this many threads. Threads that supervised or sent kills end by
    /// themselves. If they do not, returns the current resources.
    fn at_rest(threads: usize) -> Self {
        for _ in 0..1000 {
            let now = Self::now();
            if now.threads <= threads {
                return now;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self::now()
    }

    /// Asserts that usage is as before. Allocators keep some of the freed memory.
    #[track_caller]
    fn assert_as_before(self, before: Self) {
        assert!(self.resident <= before.resident + (6 << 20), "{self:?} instead of {before:?}");
        assert!(self.descriptors <= before.descriptors, "{self:?} instead of {before:?}");
        assert!(self.mappings <= before.mappings + 10, "{self:?} instead of {before:?}");
        assert!(self.threads <= before.threads, "{self:?} instead of {before:?}");
    }
}

const ENDS: &[&str] =
    &["mess", "trap", "oob", "divide", "throw", "host_error", "host_panic", "host_kill", "fill"];

/// Ends that take long; used in one of a few hundred calls.
const SLOW_ENDS: &[&str] = &["deep", "heap", "grow_all", "fill_much"];

fn fail(sandbox: &mut Sandbox<Host>, added: &Module, round: usize) {
    let end = match round % 300 {
        0 => SLOW_ENDS[round / 300 % SLOW_ENDS.len()],
        _ => ENDS[round % ENDS.len()],
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut session = sandbox.session()?;
        if round % 10 == 3 {
            // Adds entities of all kinds to the store.
            let own = Func::wrap(session.store(), || 5);
            Instance::new(session.store(), added, &[own.into()])?;
            ExternRef::new(session.store(), [7_u8; 1000])?.to_owned_rooted(session.store())?;
        }
        session.call::<(), ()>(end, ())
    }));
    let is_right = matches!(end, "mess" | "fill") == matches!(ended, Ok(Ok(())));
    assert!(is_right, "{end}: {ended:?}");
}

fn long() -> bool {
    std::env::var_os("BELLJAR_LONG_TESTS").is_some()
}

fn in_child(test: &str, run: impl FnOnce()) {
    if std::env::var_os("BELLJAR_TEST_CHILD").is_some() {
        return run();
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    let output =
        command.args(["--exact", test, "--nocapture"]).env("BELLJAR_TEST_CHILD", "1").output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn calls_that_fail_leave_nothing() {
    in_child("calls_that_fail_leave_nothing", || {
        let engine = Engine::new(Config::new().max_wasm_stack(256 << 10)).unwrap();
        let added = r#"(module (import "" "f" (func (result i32))) (memory 1) (table 10 100 funcref)
            (type $s (struct (field i32))) (global anyref (struct.new_default $s)))"#;
        let (template, added) = (template(&engine), Module::new(&engine, added).unwrap());
        let (warm, calls) = (3_000, if long() { 500_000 } else { 5_000 });
        let barrier = Barrier::new(3);
        let (before, after) = std::thread::scope(|scope| {
            for thread in 0..2 {
                let (template, added, barrier) = (&template, &added, &barrier);
                scope.spawn(move || {
                    let mut sandbox = template.build().unwrap();
                    let run = |sandbox: &mut _, count| {
                        (0..count).for_each(|round| fail(sandbox, added, round + thread * 150));
                        barrier.wait();
                        barrier.wait();
                    };
                    run(&mut sandbox, warm);
                    run(&mut sandbox, calls);
                });
            }
            // The two threads of the test harness, and those that use a sandbox.
            let look = || {
                barrier.wait();
                let resources = Resources::at_rest(4);
                println!("{resources:?}");
                barrier.wait();
                resources
            };
            (look(), look())
        });
        after.assert_as_before(before);
    });
}

#[test]
fn sandboxes_that_are_dropped_leave_nothing() {
    in_child("sandboxes_that_are_dropped_leave_nothing", || {
        for reserve in [true, false] {
            let engine =
                Engine::new(Config::new().memory_reservation(if reserve { 4 << 30 } else { 0 })).unwrap();
            let template = template(&engine);
            let rounds = |count| {
                for round in 0..count {
                    let mut sandbox = template.build().unwrap();
                    let _ = sandbox.call::<(), ()>(ENDS[round % 6], ());
                    let mut session = sandbox.session().unwrap();
                    // Dropped while its state is changed.
                    session.call::<(), ()>("mess", ()).unwrap();
                }
            };
            rounds(150);
            let before = Resources::now();
            println!("{before:?}");
            rounds(if long() { 20_000 } else { 500 });
            let after = Resources::at_rest(before.threads);
            println!("{after:?}");
            after.assert_as_before(before);
        }
    });
}

/// The initial state of a sandbox is in its own memory file.
#[test]
fn many_sandboxes_at_once_keep_nothing_once_they_are_gone() {
    in_child("many_sandboxes_at_once_keep_nothing_once_they_are_gone", || {
        let engine = Engine::default();
        let template = template(&engine);
        let several = |count| drop((0..count).map(|_| template.build().unwrap()).collect::<Vec<_>>());
        several(2);
        let before = Resources::now();
        several(40);
        let after = Resources::now();
        println!("{after:?} after {before:?}");
        assert!(after.descriptors <= before.descriptors, "{after:?} instead of {before:?}");
    });
}

#[test]
fn one_large_call_does_not_keep_its_memory() {
    in_child("one_large_call_does_not_keep_its_memory", || {
        let wat = r#"(module (memory 1) (table $t 1 funcref)
            (type $a (array (mut i64))) (type $list (array (mut (ref null $a)))) (global $kept (mut (ref null $list)) (ref.null $list))
            (func (export "init") (global.set $kept (array.new_default $list (i32.const 2))))
            (func (export "memory") (drop (memory.grow (i32.const 1600)))
                (memory.fill (i32.const 0) (i32.const 9) (i32.const 100000000)))
            (func (export "table") (drop (table.grow $t (ref.null func) (i32.const 5000000)))
                (table.fill $t (i32.const 0) (ref.func 0) (i32.const 5000000)))
            (func (export "objects") (local $i i32)
                (global.set $kept (array.new_default $list (i32.const 1000)))
                (loop (array.set $list (global.get $kept) (local.get $i) (array.new $a (i64.const 1) (i32.const 12500)))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))))"#;
        let engine = Engine::default();
        let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
        let mut sandbox = SandboxTemplate::new(pre, || Ok(())).init("init").build().unwrap();
        for export in ["memory", "table", "objects"] {
            let before = Resources::now();
            for _ in 0..3 {
                sandbox.call::<(), ()>(export, ()).unwrap();
                let after = Resources::now();
                println!("{export}: {} MiB more", after.resident.saturating_sub(before.resident) >> 20);
                assert!(
                    after.resident < before.resident + (20 << 20),
                    "{export}: {after:?} instead of {before:?}"
                );
            }
        }
    });
}
