//! A reset sandbox cannot be distinguished from a fresh one: for generated modules, after every kind of end of a run.
//!
//! Each seed determines a module and a scenario: operations that change the state, an end, and then what a reset
//! sandbox and a fresh one report and answer. `BELLJAR_LAW_SEED=n` repeats one scenario, several times, because the
//! numbers of types depend on what the engine has seen before; `BELLJAR_LAW_WAT=file` keeps its module.
//! `BELLJAR_LONG_TESTS=1` runs many.

#[path = "law/generate.rs"]
mod generate;

use belljar::{
    Caller, Config, Engine, Error, ExternRef, Func, GcStats, Inspector, Instance, Killed, Linker, Memory,
    MemoryType, Module, ResourceUsage, Rooted, Sandbox, SandboxTemplate, Session, Store, StoreLimits,
    StoreLimitsBuilder, Trap, UpdateDeadline,
};
use generate::{Generated, Random, generate};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

struct Host {
    limits: StoreLimits,
    calls: u64,
    /// How many functions the guest exports that change its state.
    ops: u64,
    depth: u32,
}

/// The payload of a host function's panic. `resume_unwind` prints nothing.
struct Expected;

fn host_function(caller: &mut Caller<'_, Host>, what: i64, x: i64) -> Result<i64, Error> {
    caller.data_mut().calls += 1;
    match what {
        0 => Ok(caller.data().calls as i64),
        1 => Err(Error::msg("a host error")),
        2 => resume_unwind(Box::new(Expected)),
        3..=5 => {
            assert!(caller.kill_handle().kill("the host wants it").unwrap());
            match what {
                3 => Ok(1),
                4 => resume_unwind(Box::new(Expected)),
                _ => Err(Error::msg("a host error after a kill")),
            }
        }
        6 => Err(Error::msg("exit with code 3")),
        7 => Err(Trap::UnreachableCodeReached.into()),
        8 | 9 => {
            // A nested run, however it ends.
            if caller.data().depth == 3 {
                return Ok(-4);
            }
            caller.data_mut().depth += 1;
            let name = if what == 8 {
                format!("op{}", x as u64 % caller.data().ops)
            } else {
                ["recurses", "throws", "fills_heap", "host_error", "divides_by_zero"][x as u64 as usize % 5]
                    .into()
            };
            let op = caller.get_export(&name).and_then(|op| op.into_func()).expect("an export");
            let result = op.typed::<i64, i64>(&*caller)?.call(&mut *caller, x >> 3);
            caller.data_mut().depth -= 1;
            Ok(result.unwrap_or(-3))
        }
        _ => {
            let memory = caller.get_export("m0").and_then(|memory| memory.into_memory());
            let Some(memory) = memory else { return Ok(-9) };
            let old = memory.grow(&mut *caller, 1).map_or(-1, |pages| pages as i64);
            if let Some(byte) = memory.data_mut(&mut *caller).last_mut() {
                *byte = 99;
            }
            Ok(old)
        }
    }
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "do", |mut caller: Caller<'_, Host>, what: i64, x: i64| {
            host_function(&mut caller, what, x)
        })
        .unwrap();
    linker
        .func_wrap("host", "make", |mut caller: Caller<'_, Host>, x: i64| -> Result<_, Error> {
            caller.data_mut().calls += 1;
            Ok(Some(ExternRef::new(&mut caller, x)?))
        })
        .unwrap();
    linker
        .func_wrap(
            "host",
            "read",
            |caller: Caller<'_, Host>, value: Option<Rooted<ExternRef>>| -> Result<i64, Error> {
                let Some(value) = value else { return Ok(-1) };
                Ok(value
                    .data(&caller)?
                    .map_or(-8, |value| *value.downcast_ref::<i64>().expect("the host made it")))
            },
        )
        .unwrap();
    linker
}

/// An engine with particular settings.
struct Setup {
    engine: Engine,
    /// The fuel of a session, if it is counted.
    fuel: Option<u64>,
    has_epochs: bool,
}

fn setups() -> Vec<Setup> {
    let setup = |set: &dyn Fn(&mut Config), fuel: Option<u64>, has_epochs| {
        let mut config = Config::new();
        config.max_wasm_stack(256 << 10).consume_fuel(fuel.is_some()).epoch_interruption(has_epochs);
        set(&mut config);
        Setup { engine: Engine::new(&config).unwrap(), fuel, has_epochs }
    };
    vec![
        setup(&|_| (), None, false),
        setup(
            &|config| {
                config.compile_as_huge(true);
            },
            Some(300_000),
            false,
        ),
        setup(
            &|config| {
                config.memory_reservation(0);
            },
            None,
            true,
        ),
        // A small heap: each new object moves all others.
        setup(
            &|config| {
                config.gc_stress(true);
            },
            Some(2_000),
            true,
        ),
    ]
}

const TICKS: u64 = 3;

fn template(setup: &Setup, generated: &Generated, random: &mut Random) -> SandboxTemplate<Host> {
    let module = Module::new(&setup.engine, &generated.wat).unwrap();
    let pre = linker(&setup.engine).instantiate_pre(&module).unwrap();
    let ops = generated.ops as u64;
    let traps = random.chance(20);
    // The initial size of a heap exceeds the other limits.
    let heap = if traps { 6 << 20 } else { random.pick(&[2 << 20, 2 << 20, 3 << 20]) };
    let memory = random.pick(&[8 << 20, 12 << 20]);
    let make = move || {
        let limits = StoreLimitsBuilder::new().memory_size(memory).table_elements(500).gc_heap_size(heap);
        Ok(Host { limits: limits.trap_on_grow_failure(traps).build(), calls: 0, ops, depth: 0 })
    };
    let (fuel, has_epochs, asks) = (setup.fuel, setup.has_epochs, random.chance(30));
    let is_named = random.chance(50);
    let prepare = move |store: &mut Store<Host>| {
        if is_named {
            store.set_label("prepared");
        }
        store.limiter(|host| &mut host.limits);
        if let Some(fuel) = fuel {
            store.set_fuel(fuel)?;
        }
        if has_epochs {
            store.set_epoch_deadline(TICKS);
        }
        if asks {
            store.epoch_deadline_callback(|mut store| {
                store.data_mut().calls += 1;
                match store.data().calls % 4 {
                    0 => Ok(UpdateDeadline::Interrupt),
                    1 => resume_unwind(Box::new(Expected)),
                    _ => Ok(UpdateDeadline::Continue(1)),
                }
            });
        }
        Ok(())
    };
    let template = SandboxTemplate::new(pre, make).prepare(prepare);
    if random.chance(60) { template.init("init") } else { template }
}

/// How a run ended.
#[derive(PartialEq, Eq, Debug)]
enum Ended {
    Returned(i64),
    Trapped(Trap),
    Killed,
    Failed(String),
    Panicked,
}

/// Calls an export, and ensures that the call ends.
fn call(setup: &Setup, session: &mut Session<'_, Host>, name: &str, x: i64) -> Ended {
    let ends_by_itself = name != "spins" || setup.fuel.is_some();
    let handle = session.store().kill_handle();
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        if !ends_by_itself {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    if setup.has_epochs && x % 2 == 0 {
                        setup.engine.increment_epoch();
                    } else {
                        handle.kill("enough").unwrap();
                    }
                    std::thread::sleep(Duration::from_micros(20));
                }
            });
        }
        let run = catch_unwind(AssertUnwindSafe(|| session.call::<i64, i64>(name, x)));
        is_over.store(true, SeqCst);
        run
    });
    match run {
        Ok(result) => ended(result),
        Err(panic) if panic.is::<Expected>() => Ended::Panicked,
        Err(panic) => resume_unwind(panic),
    }
}

fn ended(result: Result<i64, Error>) -> Ended {
    let error = match result {
        Ok(result) => return Ended::Returned(result),
        Err(error) => error,
    };
    match error.downcast_ref::<Trap>() {
        _ if error.is::<Killed>() => Ended::Killed,
        Some(trap) => Ended::Trapped(*trap),
        None => Ended::Failed(error.root_cause().to_string()),
    }
}

/// Everything that can be observed of a sandbox without changing it much.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    memories: Vec<(i64, Vec<u8>)>,
    tables: Vec<Vec<Ended>>,
    globals: Vec<Ended>,
    calls: u64,
    fuel: Option<u64>,
    about: About,
}

/// What the host can observe of a sandbox apart from its contents.
#[derive(PartialEq, Eq, Debug)]
struct About {
    collector: Counts,
    usage: ResourceUsage,
    refused: Option<String>,
    limits: String,
    label: Option<String>,
    memory: u64,
    exports: Vec<String>,
}

/// The counters of a collector, without times.
#[derive(PartialEq, Eq, Debug)]
struct Counts([u64; 6]);

fn about(session: &mut Session<'_, Host>) -> About {
    let instance = session.instance();
    let store = session.store();
    let GcStats { minor_collections, major_collections, allocated_bytes, promoted_bytes, old_bytes, .. } =
        store.gc_stats();
    let live_bytes = store.gc_stats().live_bytes;
    let counts =
        [minor_collections, major_collections, allocated_bytes, promoted_bytes, old_bytes, live_bytes];
    let inspector = store.inspector();
    assert!(!inspector.is_over());
    About {
        collector: Counts(counts),
        usage: store.resource_usage(),
        refused: store.refused_growth().map(|refused| format!("{refused:#}")),
        limits: format!("{:?}", store.limits()),
        label: inspector.label().map(|label| label.to_string()),
        memory: inspector.memory_size(),
        exports: instance.exports(store).map(|export| export.name().to_string()).collect(),
    }
}

fn see(setup: &Setup, session: &mut Session<'_, Host>, generated: &Generated) -> Seen {
    let fuel = setup.fuel.map(|_| session.store().get_fuel().unwrap());
    let about = about(session);
    let calls = session.store().data().calls;
    let plenty = |session: &mut Session<'_, Host>| {
        if setup.fuel.is_some() {
            session.store().set_fuel(u64::MAX).unwrap();
        }
    };
    plenty(session);
    let memories = (0..generated.memories).map(|i| {
        let size = session.call::<i64, i64>(&format!("size_m{i}"), 0).unwrap();
        let memory = session.instance().get_memory(session.store(), &format!("m{i}")).unwrap();
        assert_eq!(memory.size(session.store()), size as u64);
        (size, memory.data(&*session.store()).to_vec())
    });
    let memories = memories.collect();
    let tables = (0..generated.tables).map(|i| {
        let size = session.call::<i64, i64>(&format!("size_t{i}"), 0).unwrap();
        let see =
            session.instance().get_typed_func::<i64, i64>(session.store(), &format!("see_t{i}")).unwrap();
        (0..size).map(|at| ended(see.call(session.store(), at))).collect()
    });
    let tables = tables.collect();
    let mut globals: Vec<_> =
        (0..generated.globals).map(|i| call(setup, session, &format!("see_g{i}"), 0)).collect();
    globals.extend(["see_kept", "see_deep", "see_host"].map(|name| call(setup, session, name, 0)));
    if setup.fuel.is_some() {
        session.store().set_fuel(fuel.unwrap()).unwrap();
    }
    Seen { memories, tables, globals, calls, fuel, about }
}

/// Returns what a sandbox reports at first, how some calls end, and what it reports then.
fn tell(
    setup: &Setup,
    sandbox: &mut Sandbox<Host>,
    generated: &Generated,
    seed: u64,
) -> (Seen, Vec<(String, Ended)>, Seen) {
    let mut random = Random(seed);
    let mut session = sandbox.session().unwrap();
    let first = see(setup, &mut session, generated);
    let mut calls = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for _ in 0..2 + random.below(6) {
        names.push(format!("op{}", random.below(generated.ops as u64)));
    }
    names.extend(generated.probes.iter().cloned());
    names.push(random.pick(&generated.ends).into());
    for name in names {
        let ended = call(setup, &mut session, &name, random.next() as i64 >> random.below(64));
        calls.push((name, ended));
    }
    (first, calls, see_last(setup, &mut session, generated))
}

/// As [`see`], for a guest that may have been killed, or whose epoch may be over.
fn see_last(setup: &Setup, session: &mut Session<'_, Host>, generated: &Generated) -> Seen {
    if session.store().killed().is_none() {
        session.store().set_epoch_deadline(1 << 40);
        return see(setup, session, generated);
    }
    let memories = (0..generated.memories).map(|i| {
        let memory = session.instance().get_memory(session.store(), &format!("m{i}")).unwrap();
        (0, memory.data(&*session.store()).to_vec())
    });
    let memories = memories.collect();
    Seen {
        memories,
        tables: Vec::new(),
        globals: Vec::new(),
        calls: session.store().data().calls,
        fuel: None,
        about: about(session),
    }
}

/// Modifies the store of a session, as an embedder could.
fn meddle(setup: &Setup, session: &mut Session<'_, Host>, random: &mut Random) {
    let store = session.store();
    match random.below(11) {
        10 => store.set_label("another's"),
        0 => store.data_mut().calls += 1000,
        1 => drop(store.gc(None)),
        2 => drop(Func::wrap(store, || 5)),
        3 => drop(Memory::new(store, MemoryType::new(1, None))),
        4 => {
            let wat = r#"(module (memory (export "m") 3) (global (export "g") (mut i32) (i32.const 5)) (table 9 funcref)
                (func (export "f") (drop (memory.grow (i32.const 1)))) (start 0))"#;
            drop(Instance::new(store, &Module::new(&setup.engine, wat).unwrap(), &[]));
        }
        5 => store.data_mut().limits = StoreLimitsBuilder::new().memory_size(1).table_elements(1).build(),
        6 => store.limiter(|_| panic!("it is another's limiter")),
        7 if setup.fuel.is_some() => store.set_fuel(random.below(1000)).unwrap(),
        8 if setup.has_epochs => {
            store.epoch_deadline_trap();
            store.set_epoch_deadline(random.below(5));
        }
        9 => drop(ExternRef::new(store, 5_i64)),
        _ => {}
    }
}

/// Changes the state, and ends the session.
fn make_a_mess(
    setup: &Setup,
    sandbox: &mut Sandbox<Host>,
    generated: &Generated,
    random: &mut Random,
    events: &mut Vec<String>,
) -> Option<Inspector> {
    let mut session = sandbox.session().unwrap();
    let inspector = session.store().inspector();
    for _ in 0..random.below(7) {
        let op = format!("op{}", random.below(generated.ops as u64));
        let ended = call(setup, &mut session, &op, random.next() as i64 >> random.below(64));
        events.push(format!("{op}: {ended:?}"));
    }
    let end = random.pick(&generated.ends);
    let x = random.next() as i64;
    match random.below(20) {
        // A panic that unwinds through the session.
        0 if end != "spins" => {
            let ended = catch_unwind(AssertUnwindSafe(move || drop(session.call::<i64, i64>(end, x))));
            events.push(format!("{end}, unwinding: {}", ended.is_err()));
        }
        1 => {
            events.push("forgotten".into());
            std::mem::forget(session);
            return None;
        }
        2..=4 => {
            meddle(setup, &mut session, random);
            events.push("meddled".into());
        }
        _ => {
            let ended = call(setup, &mut session, end, x);
            events.push(format!("{end}: {ended:?}"));
        }
    }
    Some(inspector)
}

/// Inspectors of earlier sessions see nothing of later ones, one of which is running.
fn are_over(inspectors: &[Inspector], sandbox: &mut Sandbox<Host>) {
    let mut session = sandbox.session().unwrap();
    session.store().set_label("of the session that goes on");
    for inspector in inspectors {
        let error = inspector.capture(Duration::from_secs(60)).unwrap_err();
        assert!(format!("{error:#}").ends_with("that session is over"), "{error:#}");
        assert!(inspector.is_over() && inspector.label().is_none());
        assert_eq!((inspector.memory_size(), inspector.age()), (0, Duration::ZERO));
        assert_ne!(inspector.store_id(), session.store().inspector().store_id());
    }
}

/// Calls the same function often enough for the sandbox's memories to be write-protected.
fn do_the_same(
    setup: &Setup,
    sandbox: &mut Sandbox<Host>,
    generated: &Generated,
    random: &mut Random,
    events: &mut Vec<String>,
) {
    let op = format!("op{}", random.below(generated.ops as u64));
    let x = random.next() as i64 >> random.below(64);
    for _ in 0..20 {
        call(setup, &mut sandbox.session().unwrap(), &op, x);
    }
    events.push(format!("{op} twenty times"));
}

/// Runs the scenario of one seed. Returns whether the module can be used, or a description of a difference.
fn run_scenario(setups: &[Setup], seed: u64) -> Result<bool, String> {
    let random = &mut Random(seed);
    let generated = generate(random.next());
    if let Some(file) = std::env::var_os("BELLJAR_LAW_WAT") {
        std::fs::write(file, &generated.wat).unwrap();
    }
    // The last one is slow.
    let setup = &setups[random.pick(&[0, 0, 1, 1, 2, 2, 2, 3])];
    let template = template(setup, &generated, random);
    let built = template.build();
    let Ok(mut sandbox) = built else {
        // Fresh sandboxes fail in the same way, and leave nothing behind.
        return if template.build().is_err() {
            Ok(false)
        } else {
            Err("one could be built, one could not".into())
        };
    };
    let mut events = Vec::new();
    let mut inspectors = Vec::new();
    for round in 0..3 {
        if random.chance(20) {
            do_the_same(setup, &mut sandbox, &generated, random, &mut events);
        }
        for _ in 0..1 + random.below(3) {
            inspectors.extend(make_a_mess(setup, &mut sandbox, &generated, random, &mut events));
        }
        are_over(&inspectors, &mut sandbox);
        // Lets time pass.
        for _ in 0..random.below(3) {
            setup.engine.increment_epoch();
        }
        let later = random.next();
        let old = tell(setup, &mut sandbox, &generated, later);
        let new = tell(setup, &mut template.build().unwrap(), &generated, later);
        if old != new {
            let difference = difference(&old.0, &new.0)
                .or_else(|| (old.1 != new.1).then(|| format!("then: {:?} instead of {:?}", old.1, new.1)))
                .or_else(|| {
                    difference(&old.2, &new.2).map(|what| format!("at the end: {what}, after {:?}", old.1))
                });
            return Err(format!("{}, round {round}, after {events:#?}", difference.unwrap()));
        }
        let problems = setup.engine.problems();
        if problems.iter().any(|problem| problem.contains("discarded")) {
            return Err(format!("{problems:?}, round {round}, after {events:#?}"));
        }
    }
    Ok(true)
}

fn difference(old: &Seen, new: &Seen) -> Option<String> {
    for (i, (old, new)) in old.memories.iter().zip(&new.memories).enumerate() {
        if old.1.len() != new.1.len() {
            return Some(format!("memory {i} has {} bytes instead of {}", old.1.len(), new.1.len()));
        }
        if let Some(at) = (0..old.1.len()).find(|at| old.1[*at] != new.1[*at]) {
            return Some(format!("memory {i} has {} instead of {} at {at:#x}", old.1[at], new.1[at]));
        }
    }
    let rest = |seen: &Seen| {
        format!("{:?} {:?} {} {:?} {:?}", seen.tables, seen.globals, seen.calls, seen.fuel, seen.about)
    };
    (old != new).then(|| format!("{} instead of {}", rest(old), rest(new)))
}

fn run_scenarios(seeds: impl Iterator<Item = u64>, time: Duration) {
    let (setups, end) = (setups(), Instant::now() + time);
    let mut told = 0;
    for seed in seeds {
        let result = catch_unwind(AssertUnwindSafe(|| run_scenario(&setups, seed)));
        match result {
            Ok(Ok(is_one)) => told += u32::from(is_one),
            Ok(Err(difference)) => panic!("BELLJAR_LAW_SEED={seed}, after {told} others: {difference}"),
            Err(panic) => {
                println!("BELLJAR_LAW_SEED={seed}, after {told} others");
                resume_unwind(panic)
            }
        }
        if Instant::now() > end {
            break;
        }
    }
    println!("{told} stories");
    assert!(told > 0 || end > Instant::now());
}

/// Two halves, for two threads.
fn run(half: u64) {
    if let Some(seed) = std::env::var("BELLJAR_LAW_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run_scenarios(std::iter::repeat_n(seed, 20), Duration::MAX / 4);
    }
    let is_long = std::env::var_os("BELLJAR_LONG_TESTS").is_some();
    let count = if is_long { 20_000 } else { 2000 };
    run_scenarios((0..count).map(|i| 2 * i + half), Duration::from_secs(if is_long { 1200 } else { 40 }));
}

#[test]
fn one_that_went_back_is_like_one_that_was_just_made() {
    run(0);
}

#[test]
fn and_so_it_is_of_other_modules() {
    run(1);
}
