//! Profiles of running guests: their contents, and that time is attributed to where it was spent.

use belljar::{
    Caller, Engine, FrameKind, Instance, Linker, Module, Profile, ProfileFormat, Profiler, Store, TypedFunc,
};
use std::fmt::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// A process records only one profile at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn recorded(engine: &Engine, work: impl FnOnce()) -> Profile {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let profiler = Profiler::start(engine, "test", MS).unwrap();
    assert!(format!("{:#}", Profiler::start(engine, "again", MS).unwrap_err()).contains("another profile"));
    work();
    profiler.finish().unwrap()
}

fn run(engine: &Engine, wat: &str) -> (Store<()>, TypedFunc<i32, ()>) {
    let module = Module::new(engine, wat).unwrap();
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "work", || spend(5 * MS)).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func(&mut store, "run").unwrap();
    (store, run)
}

/// Uses CPU time of this thread.
fn spend(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Seconds: a few normally, many in long tests.
fn long(short: u64, long: u64) -> Duration {
    let is_long = std::env::var_os("BELLJAR_LONG_TESTS").is_some();
    Duration::from_secs(if is_long { long } else { short })
}

#[test]
fn guests_the_host_and_the_runtime_are_in_it() {
    let engine = Engine::default();
    let wat = r#"(module $tool (import "host" "work" (func $work)) (memory 256)
        (func $guest (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func $fill (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x1000000)))
        (func $run (export "run") (param i32)
            (call $guest (i32.const 30000000)) (call $fill) (call $work)))"#;
    let (mut store, run) = run(&engine, wat);
    let mut idle = Store::new(&Engine::default(), ());
    let profile = recorded(&engine, || {
        // Each phase takes many intervals, and not a time that other threads could use up.
        for _ in 0..long(50, 250).as_secs() {
            run.call(&mut store, 0).unwrap();
        }
    });
    idle.set_label("of another engine");
    assert_eq!(profile.lost(), 0);
    assert_eq!((profile.title(), profile.interval()), ("test", MS));
    let summary = profile.summary();
    let time = |name: &str| summary.function(name).unwrap_or_else(|| panic!("{name} is not in {summary}"));
    assert_eq!(time("run").kind(), FrameKind::Guest);
    assert_eq!(time("run").module(), Some("tool"));
    assert_eq!(time("host::work").kind(), FrameKind::Host);
    assert_eq!(time("memory.fill").kind(), FrameKind::Runtime);
    assert!(time("run").total_time() >= time("guest").self_time() + time("host::work").self_time());
    for sample in profile.samples() {
        let stack: Vec<_> = sample.stack().map(|frame| frame.function()).collect();
        let legal: [&[&str]; 4] =
            [&["run"], &["guest", "run"], &["memory.fill", "fill", "run"], &["host::work", "run"]];
        assert!(legal.contains(&&*stack) || stack == ["fill", "run"], "{stack:?}");
    }
    assert_eq!(time("run").total_time(), profile.total_weight());
    let mut text = Vec::new();
    profile.write_to(ProfileFormat::Collapsed, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    // The test's own thread has a name.
    assert!(text.lines().all(|line| line.starts_with("guests_the_host;run")), "{text}");
}

/// Straight-line code without a back edge, where runtimes that sample only at loops and calls see nothing.
fn straight(steps: usize) -> String {
    let mut body = String::new();
    for i in 0..steps {
        // A computation that a compiler cannot fold.
        let step = format!(
            "(i32.xor (i32.mul (local.get 0) (i32.const {})) (i32.shr_u (local.get 0) (i32.const 9)))",
            2 * i + 3
        );
        write!(body, "(local.set 0 {step})").unwrap();
    }
    body
}

/// Returns the CPU time of some iterations.
fn cpu_time(store: &mut Store<()>, run: &TypedFunc<i32, ()>, rounds: i32) -> Duration {
    let start = this_threads_cpu_time();
    run.call(store, rounds).unwrap();
    this_threads_cpu_time() - start
}

fn this_threads_cpu_time() -> Duration {
    belljar_vm::thread_cpu_time(belljar_vm::this_thread_id()).unwrap()
}

/// The time of two phases by the clock of the same thread, read where they end: how fast a machine runs each of them
/// changes from second to second with what else it does, and so is not measured beforehand.
struct Phases {
    last: Duration,
    spent: [Duration; 2],
}

#[test]
fn time_is_attributed_to_where_it_was_spent() {
    let engine = Engine::default();
    let straight = straight(2000);
    let wat = format!(
        r#"(module (import "host" "ended" (func $ended (param i32))) (global $g (mut i32) (i32.const 1))
        (func $straight (param i32) (result i32) {straight} (local.get 0))
        (func $loop (param i32) (result i32) (local $n i32)
            (loop
                (local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const 5)) (i32.shr_u (local.get 0) (i32.const 9))))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2000))))
            (local.get 0))
        (func $run (export "run") (param i32) (local $i i32)
            (loop $rounds
                (local.set $i (i32.const 70))
                (block $end (loop $a (br_if $end (i32.eqz (local.get $i)))
                    (global.set $g (call $straight (global.get $g)))
                    (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $a)))
                (call $ended (i32.const 0))
                (local.set $i (i32.const 30))
                (block $end (loop $b (br_if $end (i32.eqz (local.get $i)))
                    (global.set $g (call $loop (global.get $g)))
                    (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $b)))
                (call $ended (i32.const 1))
                (br_if $rounds (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#
    );
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, Phases { last: Duration::ZERO, spent: [Duration::ZERO; 2] });
    let mut linker = Linker::new(&engine);
    let ended = |mut caller: Caller<'_, Phases>, phase: i32| {
        let (now, phases) = (this_threads_cpu_time(), caller.data_mut());
        phases.spent[phase as usize] += now - phases.last;
        phases.last = now;
    };
    linker.func_wrap("host", "ended", ended).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    let profile = recorded(&engine, || {
        let end = Instant::now() + long(4, 60);
        while Instant::now() < end {
            store.data_mut().last = this_threads_cpu_time();
            run.call(&mut store, 100).unwrap();
        }
    });
    let [straight, looped] = store.data().spent.map(|time| time.as_secs_f64());
    let expected = straight / (straight + looped);
    assert!(0.4 < expected && expected < 0.9, "{expected}: the compiler has seen through this");
    let summary = profile.summary();
    let time = |name: &str| summary.function(name).unwrap().self_time().as_secs_f64();
    println!("{summary:.9}");
    let found = time("straight") / (time("straight") + time("loop"));
    println!(
        "{:.1} % found, {:.1} % expected, {} samples",
        100.0 * found,
        100.0 * expected,
        profile.sample_count()
    );
    // The accuracy of this many samples: four standard deviations. For a minute it is two points.
    let deviation = (expected * (1.0 - expected) / profile.sample_count() as f64).sqrt();
    assert!((found - expected).abs() < (4.0 * deviation).max(0.02), "{found} found, {expected} expected");
}

/// A timer of a thread's CPU time ticks with the kernel's clock, 250 times a second on many machines, and counts how
/// often it should have ticked. So only a quarter of a thousand samples a second are taken, and each stands for four.
#[test]
fn a_timer_that_ticks_seldom_counts_what_it_left_out() {
    let engine = Engine::default();
    let wat = r#"(module (func (export "run") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (mut store, run) = run(&engine, wat);
    let mut used = Duration::ZERO;
    let profile = recorded(&engine, || {
        while used < 400 * MS {
            used += cpu_time(&mut store, &run, 10_000_000);
        }
    });
    let (told, samples) = (profile.total_weight(), profile.sample_count());
    println!("{samples} samples for {told:?} of {used:?}");
    // One tick more or less at both ends, and the host's work between two calls.
    assert!(told > used / 2 && told < used * 3 / 2 + 40 * MS, "{told:?} told, {used:?} used");
    assert!(samples > 0 && told >= MS * samples as u32, "{samples} samples for {told:?}");
}

#[test]
fn threads_that_come_and_go_with_their_modules_are_sampled() {
    let engine = Engine::default();
    let wat = r#"(module (func $work (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func $run (export "run") (param i32) (call $work (i32.const 20000000))))"#;
    let profile = recorded(&engine, || {
        for _ in 0..20 {
            let engine = &engine;
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(move || {
                        // The module is dropped with the thread, before the samples are looked up.
                        let (mut store, run) = run(engine, wat);
                        run.call(&mut store, 0).unwrap();
                    });
                }
            });
        }
    });
    assert!(profile.sample_count() > 0);
    assert!(profile.samples().all(|sample| sample.stack().last().is_some_and(|f| f.function() == "run")));
    assert!(profile.threads().len() > 2);
}

#[test]
fn stores_inside_each_other_are_one_stack() {
    let engine = Engine::default();
    let inner = Module::new(
        &engine,
        r#"(module (func $inner (export "run") (param i32)
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
    )
    .unwrap();
    let outer = Module::new(
        &engine,
        r#"(module (import "host" "in" (func $in)) (func $outer (export "run") (call $in)))"#,
    )
    .unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "in", move || {
            let mut store = Store::new(inner.engine(), ());
            let instance = Instance::new(&mut store, &inner, &[]).unwrap();
            let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
            run.call(&mut store, 300_000_000).unwrap();
            spend(100 * MS);
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let profile = recorded(&engine, || run.call(&mut store, ()).unwrap());
    let mut seen = [false; 2];
    for sample in profile.samples() {
        let stack: Vec<_> = sample.stack().map(|frame| frame.function()).collect();
        seen[0] |= stack == ["inner", "host::in", "outer"];
        seen[1] |= stack == ["host::in", "outer"];
        assert!(stack.ends_with(&["host::in", "outer"]) || stack == ["outer"], "{stack:?}");
    }
    assert_eq!(seen, [true; 2]);
}
