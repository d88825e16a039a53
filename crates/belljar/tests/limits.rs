//! Limits of guests: each limit at its boundary, with its message; deadlines that end the right run and nothing else.

use belljar::{
    Caller, Config, Engine, EngineLimitExceeded, Error, Instance, KillReason, Killed, Limit, LimitExceeded,
    LimitGroup, Limits, Linker, Memory, MemoryType, Module, Ref, RefType, Result, SandboxTemplate,
    SharedMemory, Store, StoreLimits, StoreLimitsBuilder, Table, TableType, Trap, TypedFunc, WasmBacktrace,
    WasmParams, WasmResults,
};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const PAGE: u64 = 65536;

fn store(engine: &Engine, limits: Limits) -> Store<()> {
    let mut store = Store::new(engine, ());
    store.set_limits(limits).unwrap();
    store
}

fn instance(store: &mut Store<()>, wat: &str) -> Result<Instance> {
    let module = Module::new(store.engine(), wat).unwrap();
    Instance::new(store, &module, &[])
}

fn func<P: WasmParams, R: WasmResults>(store: &mut Store<()>, of: Instance, name: &str) -> TypedFunc<P, R> {
    of.get_typed_func(store, name).unwrap()
}

fn exceeded(error: &Error) -> String {
    error.downcast_ref::<LimitExceeded>().unwrap_or_else(|| panic!("{error:?}")).to_string()
}

fn killed(error: &Error) -> &KillReason {
    error.downcast_ref::<Killed>().unwrap_or_else(|| panic!("{error:?}")).reason()
}

#[test]
fn memories_count_together_to_the_last_byte() {
    let mut store = store(&Engine::default(), Limits::unlimited().memory(5 * PAGE));
    let wat = r#"(module (memory (export "a") 2) (memory 1)
        (func (export "grow") (param i32) (result i32) (memory.grow 1 (local.get 0))))"#;
    let instance = instance(&mut store, wat).unwrap();
    let grow = func::<i32, i32>(&mut store, instance, "grow");
    assert_eq!(grow.call(&mut store, 3).unwrap(), -1);
    let refused = store.refused_growth().unwrap();
    assert_eq!(
        exceeded(&refused),
        "memory: the guest wanted 384 KiB, and its limit is 320 KiB (Limits::memory)"
    );
    assert_eq!(grow.call(&mut store, i32::MAX).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), 2);
    assert_eq!(grow.call(&mut store, 0).unwrap(), 3);
    assert_eq!(store.resource_usage().memory, 5 * PAGE);
    let a = instance.get_memory(&mut store, "a").unwrap();
    let error = a.grow(&mut store, 1).unwrap_err();
    assert_eq!(
        exceeded(&error),
        "memory: the guest wanted 384 KiB, and its limit is 320 KiB (Limits::memory)"
    );
    let error = Memory::new(&mut store, MemoryType::new(1, None)).unwrap_err();
    assert_eq!(
        exceeded(&error),
        "memory: the guest wanted 384 KiB, and its limit is 320 KiB (Limits::memory)"
    );
    store.set_limits(store.limits().memory(6 * PAGE)).unwrap();
    assert_eq!(a.grow(&mut store, 1).unwrap(), 2);
}

#[test]
fn memories_of_one_module_count_together() {
    let engine = Engine::default();
    let wat = "(module (memory 2) (memory 2))";
    assert!(instance(&mut store(&engine, Limits::unlimited().memory(4 * PAGE)), wat).is_ok());
    let error = instance(&mut store(&engine, Limits::unlimited().memory(4 * PAGE - 1)), wat).unwrap_err();
    assert_eq!(
        exceeded(&error),
        "memory: the guest wanted 262144 bytes, and its limit is 262143 bytes (Limits::memory)"
    );
}

#[test]
fn memories_that_are_shared_count_in_each_store() {
    let engine = Engine::default();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 10)).unwrap();
    let wat = r#"(module (import "m" "m" (memory 1 10 shared))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&Store::new(&engine, ()), "m", "m", memory.clone()).unwrap();
    let mut store = store(&engine, Limits::unlimited().memory(3 * PAGE));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let grow = func::<i32, i32>(&mut store, instance, "grow");
    assert_eq!(grow.call(&mut store, 2).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
    memory.grow(7).unwrap();
    assert_eq!(store.resource_usage().memory, 10 * PAGE);
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
}

#[test]
fn tables_count_together_to_the_last_element() {
    let mut store = store(&Engine::default(), Limits::unlimited().table_elements(100));
    let wat = r#"(module (table (export "t") 40 funcref) (table 40 externref)
        (func (export "grow") (param i32) (result i32) (table.grow 1 (ref.null extern) (local.get 0))))"#;
    let instance = instance(&mut store, wat).unwrap();
    let grow = func::<i32, i32>(&mut store, instance, "grow");
    assert_eq!(grow.call(&mut store, 21).unwrap(), -1);
    let wants = "table_elements: the guest wanted 101, and its limit is 100 (Limits::table_elements)";
    assert_eq!(exceeded(&store.refused_growth().unwrap()), wants);
    assert_eq!(grow.call(&mut store, 20).unwrap(), 40);
    assert_eq!(store.resource_usage().table_elements, 100);
    let table = instance.get_table(&mut store, "t").unwrap();
    assert_eq!(exceeded(&table.grow(&mut store, 1, Ref::Func(None)).unwrap_err()), wants);
    let error =
        Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None)).unwrap_err();
    assert_eq!(exceeded(&error), wants);
}

#[test]
fn things_are_counted() {
    let engine = Engine::default();
    let mut store = store(&engine, Limits::unlimited().instances(2).tables(1).memories(1));
    instance(&mut store, "(module (memory 0) (table 0 funcref))").unwrap();
    let error = instance(&mut store, "(module (memory 0))").unwrap_err();
    assert_eq!(exceeded(&error), "memories: the guest wanted 2, and its limit is 1 (Limits::memories)");
    let error = instance(&mut store, "(module (table 0 funcref))").unwrap_err();
    assert_eq!(exceeded(&error), "tables: the guest wanted 2, and its limit is 1 (Limits::tables)");
    instance(&mut store, "(module)").unwrap();
    let error = instance(&mut store, "(module)").unwrap_err();
    assert_eq!(exceeded(&error), "instances: the guest wanted 3, and its limit is 2 (Limits::instances)");
    let usage = store.resource_usage();
    assert_eq!((usage.instances, usage.tables, usage.memories), (2, 1, 1));
}

#[test]
fn growth_beyond_a_limit_may_be_an_error() {
    let limits = Limits::unlimited().memory(PAGE).trap_on_grow_failure(true);
    let mut store = store(&Engine::default(), limits);
    let wat = r#"(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
    let instance = instance(&mut store, wat).unwrap();
    let error = func::<(), i32>(&mut store, instance, "grow").call(&mut store, ()).unwrap_err();
    assert_eq!(
        exceeded(&error),
        "memory: the guest wanted 128 KiB, and its limit is 64 KiB (Limits::memory)"
    );
    assert!(error.is::<WasmBacktrace>());
}

#[test]
fn the_limiter_of_the_data_has_a_say_too() {
    let engine = Engine::default();
    let mut store =
        Store::new(&engine, StoreLimitsBuilder::new().memory_size(2 * PAGE as usize).instances(1).build());
    store.limiter(|limits: &mut StoreLimits| limits);
    store.set_limits(Limits::unlimited().memory(3 * PAGE)).unwrap();
    let a = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let b = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    assert_eq!(a.grow(&mut store, 1).unwrap(), 1);
    assert!(
        !a.grow(&mut store, 1).unwrap_err().is::<LimitExceeded>()
            || store.resource_usage().memory == 3 * PAGE
    );
    assert!(b.grow(&mut store, 1).unwrap_err().is::<LimitExceeded>());
    let module = Module::new(&engine, "(module)").unwrap();
    Instance::new(&mut store, &module, &[]).unwrap();
    let error = Instance::new(&mut store, &module, &[]).unwrap_err();
    assert_eq!(error.to_string(), "instances: the store has 1, and its limit is 1");
}

#[test]
fn the_heap_of_objects_has_an_end() {
    let mut store = store(&Engine::default(), Limits::unlimited().gc_heap(3 << 20));
    let wat = r#"(module (type $a (array (mut i32))) (type $list (struct (field (ref $a)) (field (ref null $list))))
        (func (export "keep") (local $l (ref null $list))
            (loop (local.set $l (struct.new $list (array.new $a (i32.const 1) (i32.const 1000)) (local.get $l)))
                (br 0))))"#;
    let instance = instance(&mut store, wat).unwrap();
    let error = func::<(), ()>(&mut store, instance, "keep").call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::GcHeapExhausted));
    let text = exceeded(&error);
    assert!(
        text.starts_with("gc_heap: the guest wanted ")
            && text.ends_with("its limit is 3145728 bytes (Limits::gc_heap)"),
        "{text}"
    );
    let used = store.resource_usage().gc_heap;
    assert!((1 << 20..4 << 20).contains(&used), "{used}");
}

#[test]
fn the_stack_may_be_smaller_than_the_engines() {
    let engine = Engine::default();
    let wat = r#"(module (func $f (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
            (else (i32.const 0)))))"#;
    let deep = |limits: Limits| {
        let mut store = store(&engine, limits);
        let instance = instance(&mut store, wat).unwrap();
        let f = func::<i32, i32>(&mut store, instance, "f");
        f.call(&mut store, 2_000).map(|_| f.call(&mut store, 100_000_000).unwrap_err())
    };
    let error = deep(Limits::unlimited().stack(8 << 10)).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    assert_eq!(exceeded(&error), "stack: the guest wanted more than its limit of 8 KiB (Limits::stack)");
    assert!(exceeded(&deep(Limits::unlimited().stack(512 << 10)).unwrap()).contains("512 KiB"));
    // That is the engine's limit.
    assert!(!deep(Limits::unlimited().stack(1 << 30)).unwrap().is::<LimitExceeded>());
    assert!(!deep(Limits::unlimited()).unwrap().is::<LimitExceeded>());
}

#[test]
fn fuel_is_for_each_call() {
    let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
    let mut fueled = store(&engine, Limits::unlimited().fuel(10_000));
    let wat = r#"(module (func (export "f") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let instance = instance(&mut fueled, wat).unwrap();
    let f = func::<i32, ()>(&mut fueled, instance, "f");
    for _ in 0..100 {
        f.call(&mut fueled, 1000).unwrap();
    }
    let error = f.call(&mut fueled, 100_000).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
    assert_eq!(exceeded(&error), "fuel: the guest wanted more than its limit of 10000 (Limits::fuel)");
    f.call(&mut fueled, 1000).unwrap();
    let error = Store::new(&Engine::default(), ()).set_limits(Limits::unlimited().fuel(1)).unwrap_err();
    assert!(error.to_string().contains("Config::consume_fuel"), "{error}");
}

#[test]
fn an_engine_limits_all_its_stores() {
    let engine = Engine::new(Config::new().max_memory(8 * PAGE)).unwrap();
    let wat =
        r#"(module (memory 2) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let (mut a, mut b) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let in_a = instance(&mut a, wat).unwrap();
    let in_b = instance(&mut b, wat).unwrap();
    let (grow_a, grow_b) = (func::<i32, i32>(&mut a, in_a, "grow"), func::<i32, i32>(&mut b, in_b, "grow"));
    assert_eq!(grow_a.call(&mut a, 3).unwrap(), 2);
    assert_eq!(engine.memory_used(), 7 * PAGE);
    assert_eq!(grow_b.call(&mut b, 2).unwrap(), -1);
    let refused = b.refused_growth().unwrap();
    let full = refused.downcast_ref::<EngineLimitExceeded>().unwrap();
    assert_eq!(
        (full.used(), full.stores(), full.wanted(), full.allowed()),
        (7 * PAGE, 2, 2 * PAGE, 8 * PAGE)
    );
    assert_eq!(
        full.to_string(),
        "memory of the engine: 448 KiB are used by 2 stores, 128 KiB more were wanted, and all together may have \
         512 KiB (Config::max_memory)"
    );
    assert_eq!(grow_b.call(&mut b, 1).unwrap(), 2);
    let mut c = Store::new(&engine, ());
    assert!(instance(&mut c, wat).unwrap_err().is::<EngineLimitExceeded>());
    assert!(Memory::new(&mut c, MemoryType::new(1, None)).unwrap_err().is::<EngineLimitExceeded>());
    drop(a);
    assert_eq!(engine.memory_used(), 3 * PAGE);
    instance(&mut c, wat).unwrap();
    drop((b, c));
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn an_engine_counts_shared_memories_once() {
    let engine = Engine::new(Config::new().max_memory(4 * PAGE)).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 10)).unwrap();
    let wat = r#"(module (import "m" "m" (memory 1 10 shared)) (memory 1)
        (func (export "grow") (param i32) (result i32) (memory.grow 0 (local.get 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define(&Store::new(&engine, ()), "m", "m", memory.clone()).unwrap();
    let (mut a, mut b) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let in_a = linker.instantiate(&mut a, &module).unwrap();
    linker.instantiate(&mut b, &module).unwrap();
    assert_eq!(engine.memory_used(), 3 * PAGE);
    let grow = func::<i32, i32>(&mut a, in_a, "grow");
    assert_eq!(grow.call(&mut a, 2).unwrap(), -1);
    assert_eq!(grow.call(&mut a, 1).unwrap(), 1);
    assert!(memory.grow(1).unwrap_err().is::<EngineLimitExceeded>());
    assert_eq!(engine.memory_used(), 4 * PAGE);
    assert!(SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap_err().is::<EngineLimitExceeded>());
    // A shared memory does not hide another one.
    let both = "(module (memory 0 1 shared) (memory 1))";
    assert!(instance(&mut Store::new(&engine, ()), both).unwrap_err().is::<EngineLimitExceeded>());
    drop((a, b));
    assert_eq!(engine.memory_used(), 2 * PAGE);
    drop((linker, memory));
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn an_engine_counts_objects_and_what_sandboxes_give_back() {
    let engine = Engine::new(Config::new().max_memory(16 << 20)).unwrap();
    let wat = r#"(module (memory 1) (type $a (array (mut i32)))
        (global $keep (mut (ref null $a)) (ref.null $a))
        (func (export "grow") (param i32) (result i32)
            (global.set $keep (array.new $a (i32.const 1) (i32.const 2000000))) (memory.grow (local.get 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).build().unwrap();
    let clean = engine.memory_used();
    for _ in 0..10 {
        assert_eq!(sandbox.call::<i32, i32>("grow", 50).unwrap(), 1);
        assert_eq!(engine.memory_used(), clean);
        assert_eq!(sandbox.call::<i32, i32>("grow", 150).unwrap(), -1);
    }
    drop(sandbox);
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn growth_on_many_threads_is_counted_right() {
    let engine = Engine::new(Config::new().max_memory(40 * PAGE)).unwrap();
    let wat = r#"(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
    let module = Module::new(&engine, wat).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut store = Store::new(&engine, ());
                    let Ok(instance) = Instance::new(&mut store, &module, &[]) else { continue };
                    let grow = func::<(), i32>(&mut store, instance, "grow");
                    while grow.call(&mut store, ()).unwrap() >= 0 {
                        assert!(engine.memory_used() <= 40 * PAGE);
                    }
                }
            });
        }
    });
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn an_engine_limits_calls_at_once() {
    let engine = Engine::new(Config::new().max_concurrent_calls(2)).unwrap();
    let barrier = Arc::new(Barrier::new(3));
    let mut linker = Linker::new(&engine);
    let wait = barrier.clone();
    linker
        .func_wrap("", "wait", move |mut caller: Caller<'_, ()>| {
            // A nested call is part of it.
            let nop = caller.get_export("nop").and_then(|nop| nop.into_func()).unwrap();
            nop.call(&mut caller, &[], &mut []).unwrap();
            wait.wait();
            wait.wait();
        })
        .unwrap();
    let wat = r#"(module (import "" "wait" (func $wait)) (func (export "run") (call $wait)) (func (export "nop")))"#;
    let module = Module::new(&engine, wat).unwrap();
    let runs: Vec<_> = (0..2)
        .map(|_| {
            let (engine, linker, module) = (engine.clone(), linker.clone(), module.clone());
            std::thread::spawn(move || {
                let mut store = Store::new(&engine, ());
                let instance = linker.instantiate(&mut store, &module).unwrap();
                func::<(), ()>(&mut store, instance, "run").call(&mut store, ()).unwrap();
            })
        })
        .collect();
    barrier.wait();
    assert_eq!(engine.concurrent_calls(), 2);
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let nop = func::<(), ()>(&mut store, instance, "nop");
    let error = nop.call(&mut store, ()).unwrap_err();
    assert_eq!(
        error.downcast_ref::<EngineLimitExceeded>().unwrap().to_string(),
        "calls of the engine: guests of 2 stores are running, and 2 may at once (Config::max_concurrent_calls)"
    );
    barrier.wait();
    runs.into_iter().for_each(|run| run.join().unwrap());
    assert_eq!(engine.concurrent_calls(), 0);
    nop.call(&mut store, ()).unwrap();
    assert_eq!(engine.concurrent_calls(), 0);
}

#[test]
fn calls_are_counted_however_they_end() {
    let engine = Engine::new(Config::new().max_concurrent_calls(1)).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("", "panic", || -> () { panic!("as expected") }).unwrap();
    let wat = r#"(module (import "" "panic" (func $panic)) (func (export "panic") (call $panic))
        (func (export "trap") unreachable) (func $s (export "stack") (call $s) (call $s)))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    for name in ["trap", "stack"] {
        assert!(func::<(), ()>(&mut store, instance, name).call(&mut store, ()).is_err());
        assert_eq!(engine.concurrent_calls(), 0);
    }
    let panics = func::<(), ()>(&mut store, instance, "panic");
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.call(&mut store, ()))).unwrap_err();
    assert_eq!(engine.concurrent_calls(), 0);
}

const SPIN: &str = r#"(module (func (export "spin") (loop (br 0))) (func (export "nop"))
    (func (export "count") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

#[test]
fn wall_time_ends_an_endless_loop() {
    let time = Duration::from_millis(30);
    let mut store = store(&Engine::default(), Limits::unlimited().wall(time));
    let instance = instance(&mut store, SPIN).unwrap();
    let nop = func::<(), ()>(&mut store, instance, "nop");
    // Calls that end in time do not affect the next.
    for _ in 0..20 {
        nop.call(&mut store, ()).unwrap();
        std::thread::sleep(Duration::from_millis(3));
    }
    let start = Instant::now();
    let error = func::<(), ()>(&mut store, instance, "spin").call(&mut store, ()).unwrap_err();
    assert!(start.elapsed() >= time);
    assert_eq!(killed(&error), &KillReason::WallTime(time));
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    assert_eq!(exceeded(&error), "wall: the guest wanted more than its limit of 30ms (Limits::wall)");
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
    assert!(nop.call(&mut store, ()).unwrap_err().is::<Killed>());
}

#[test]
fn a_start_function_has_a_deadline_too() {
    let mut store = store(&Engine::default(), Limits::unlimited().wall(Duration::from_millis(20)));
    let error = instance(&mut store, "(module (func $f (loop (br 0))) (start $f))").unwrap_err();
    assert_eq!(killed(&error), &KillReason::WallTime(Duration::from_millis(20)));
}

#[test]
fn cpu_time_ends_an_endless_loop_and_waiting_uses_none() {
    let time = Duration::from_millis(30);
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "sleep", || std::thread::sleep(Duration::from_millis(100))).unwrap();
    let wat = r#"(module (import "" "sleep" (func $sleep)) (func (export "sleep") (call $sleep))
        (func (export "spin") (loop (br 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = store(&engine, Limits::unlimited().cpu(time));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    func::<(), ()>(&mut store, instance, "sleep").call(&mut store, ()).unwrap();
    let start = Instant::now();
    let error = func::<(), ()>(&mut store, instance, "spin").call(&mut store, ()).unwrap_err();
    assert!(start.elapsed() >= time);
    assert_eq!(killed(&error), &KillReason::CpuTime(time));
    assert_eq!(exceeded(&error), "cpu: the guest wanted more than its limit of 30ms (Limits::cpu)");
}

#[test]
fn wall_time_ends_a_wait() {
    let engine = Engine::default();
    let wat = r#"(module (memory 1 1 shared)
        (func (export "wait") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    let mut store = store(&engine, Limits::unlimited().wall(Duration::from_millis(20)));
    let instance = instance(&mut store, wat).unwrap();
    let error = func::<(), ()>(&mut store, instance, "wait").call(&mut store, ()).unwrap_err();
    assert_eq!(killed(&error), &KillReason::WallTime(Duration::from_millis(20)));
}

#[test]
fn wall_time_ends_the_guest_of_a_host_function_that_sleeps() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "sleep", || std::thread::sleep(Duration::from_millis(100))).unwrap();
    let went_on = Arc::new(AtomicBool::new(false));
    let note = went_on.clone();
    linker.func_wrap("", "note", move || note.store(true, SeqCst)).unwrap();
    let wat = r#"(module (import "" "sleep" (func $sleep)) (import "" "note" (func $note))
        (func (export "run") (call $sleep) (call $note)))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = store(&engine, Limits::unlimited().wall(Duration::from_millis(20)));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let error = func::<(), ()>(&mut store, instance, "run").call(&mut store, ()).unwrap_err();
    assert_eq!(killed(&error), &KillReason::WallTime(Duration::from_millis(20)));
    assert!(!went_on.load(SeqCst));
}

#[test]
fn a_deadline_never_hits_the_next_call() {
    let engine = Engine::default();
    let limits = |time| Limits::unlimited().wall(time);
    let module = Module::new(&engine, SPIN).unwrap();
    let make = |time| {
        let mut store = store(&engine, limits(time));
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let count = func::<i32, ()>(&mut store, instance, "count");
        (store, count)
    };
    // About as long as an average call takes.
    let (mut plain, count) = make(Duration::from_secs(100));
    let start = Instant::now();
    (0..100).for_each(|_| count.call(&mut plain, 200_000).unwrap());
    let time = start.elapsed() / 100;
    let (mut store, mut count) = make(time);
    let (mut in_time, mut late) = (0, 0);
    for i in 0..20_000 {
        // Some have plenty of time, and no earlier deadline may end them.
        let start = Instant::now();
        let ended = count.call(&mut store, if i % 3 == 0 { 1 } else { 200_000 });
        match ended {
            Ok(()) => {
                assert_eq!(store.killed(), None);
                in_time += 1;
            }
            Err(error) => {
                assert_eq!(killed(&error), &KillReason::WallTime(time));
                assert!(
                    start.elapsed() >= time,
                    "call {i} was killed after {:?} of {time:?}",
                    start.elapsed()
                );
                late += 1;
                (store, count) = make(time);
            }
        }
    }
    println!("{in_time} in time, {late} late, {time:?} each");
    assert!(in_time > 0);
}

#[test]
fn calls_within_calls_have_the_time_of_the_outermost() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    let depth = Arc::new(AtomicU32::new(0));
    let deeper = depth.clone();
    linker
        .func_wrap("", "again", move |mut caller: Caller<'_, ()>| -> Result<()> {
            let name = if deeper.fetch_add(1, SeqCst) < 5 { "run" } else { "spin" };
            let run = caller.get_export(name).and_then(|run| run.into_func()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            run.call(&mut caller, &[], &mut [])
        })
        .unwrap();
    let wat = r#"(module (import "" "again" (func $again)) (func (export "run") (call $again))
        (func (export "spin") (loop (br 0))))"#;
    let module = Module::new(&engine, wat).unwrap();
    let time = Duration::from_millis(60);
    let mut store = store(&engine, Limits::unlimited().wall(time));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let start = Instant::now();
    let error = func::<(), ()>(&mut store, instance, "run").call(&mut store, ()).unwrap_err();
    assert_eq!(killed(&error), &KillReason::WallTime(time));
    assert!(start.elapsed() >= time);
    assert_eq!(depth.load(SeqCst), 6);
}

#[test]
fn many_deadlines_at_once() {
    let engine = Engine::default();
    let module = Module::new(&engine, SPIN).unwrap();
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (engine, module) = (&engine, &module);
            scope.spawn(move || {
                for round in 0..5 {
                    let time = Duration::from_millis(5 + (i * 7 + round * 3) % 20);
                    let limits = if i % 2 == 0 {
                        Limits::unlimited().wall(time)
                    } else {
                        Limits::unlimited().cpu(time)
                    };
                    let mut store = store(engine, limits);
                    let instance = Instance::new(&mut store, module, &[]).unwrap();
                    let spin = func::<(), ()>(&mut store, instance, "spin");
                    let start = Instant::now();
                    assert!(spin.call(&mut store, ()).unwrap_err().is::<Killed>());
                    assert!(start.elapsed() >= time);
                }
            });
        }
    });
}

#[test]
fn a_session_has_its_time_as_a_whole() {
    let engine = Engine::default();
    let module = Module::new(&engine, SPIN).unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let time = Duration::from_millis(50);
    let template = SandboxTemplate::new(pre, || Ok(()));
    let mut sandbox = template.clone().limits(Limits::unlimited().wall(time)).build().unwrap();
    for _ in 0..5 {
        sandbox.call::<(), ()>("nop", ()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut session = sandbox.session().unwrap();
    session.call::<(), ()>("nop", ()).unwrap();
    std::thread::sleep(2 * time);
    let error = session.call::<(), ()>("nop", ()).unwrap_err();
    assert_eq!(killed(&error), &KillReason::WallTime(time));
    drop(session);
    assert_eq!(killed(&sandbox.call::<(), ()>("spin", ()).unwrap_err()), &KillReason::WallTime(time));
    sandbox.call::<(), ()>("nop", ()).unwrap();

    let mut sandbox = template.limits(Limits::unlimited().cpu(time)).build().unwrap();
    let mut session = sandbox.session().unwrap();
    std::thread::sleep(2 * time);
    session.call::<(), ()>("nop", ()).unwrap();
    let start = Instant::now();
    let error = loop {
        if let Err(error) = session.call::<i32, ()>("count", 1_000_000) {
            break error;
        }
    };
    assert_eq!(killed(&error), &KillReason::CpuTime(time));
    assert!(start.elapsed() >= time / 2, "{:?}", start.elapsed());
}

#[test]
fn limits_that_a_session_sets_end_with_it() {
    let engine = Engine::default();
    let module = Module::new(&engine, SPIN).unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let limits = Limits::unlimited().wall(Duration::from_millis(20)).instances(7);
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).limits(limits.clone()).build().unwrap();
    let mut session = sandbox.session().unwrap();
    session.store().set_limits(Limits::unlimited()).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    session.call::<(), ()>("nop", ()).unwrap();
    drop(session);
    assert_eq!(sandbox.session().unwrap().store().limits(), limits);
    assert!(sandbox.call::<(), ()>("spin", ()).unwrap_err().is::<Killed>());
}

#[test]
fn the_manual_has_the_defaults() {
    let manual = include_str!("../../../docs/sandbox.md");
    for limit in Limit::ALL {
        let default = limit.default_amount().map_or("none".into(), |amount| limit.show(amount));
        let row = format!("| `{}` | {default} |", limit.name());
        assert!(manual.contains(&row), "docs/sandbox.md lacks: {row}");
    }
}

/// Returns whether this process has a thread of this name.
fn has_thread(name: &str) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .any(|n| n.trim() == name)
}

#[test]
fn without_deadlines_there_is_no_timer() {
    // Runs in its own process, because the other tests have deadlines.
    if std::env::var_os("BELLJAR_TEST_CHILD").is_none() {
        let name = "without_deadlines_there_is_no_timer";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("BELLJAR_TEST_CHILD", "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let limits = Limits::default().with(Limit::Wall, None).with(Limit::Cpu, None);
    let mut plain = store(&Engine::default(), limits);
    let in_plain = instance(&mut plain, SPIN).unwrap();
    func::<(), ()>(&mut plain, in_plain, "nop").call(&mut plain, ()).unwrap();
    let mut with = store(&Engine::default(), Limits::default());
    let in_with = instance(&mut with, SPIN).unwrap();
    assert!(!has_thread("belljar-timer"));
    func::<(), ()>(&mut with, in_with, "nop").call(&mut with, ()).unwrap();
    // The thread sets its own name.
    let end = Instant::now() + Duration::from_secs(60);
    while !has_thread("belljar-timer") {
        assert!(Instant::now() < end);
    }
}

/// Creates stores of one guest, with these limits for all of them together.
fn stores_of_one_guest(engine: &Engine, limits: &Limits) -> (LimitGroup, [Store<()>; 2]) {
    let group = LimitGroup::new();
    let stores = [0, 1].map(|_| {
        let mut store = store(engine, limits.clone());
        store.set_limit_group(&group);
        store
    });
    (group, stores)
}

#[test]
fn stores_of_one_guest_count_together() {
    let engine = Engine::new(Config::new().wasm_threads(true)).unwrap();
    let wat = r#"(module (table (export "t") 30 funcref) (memory 1)
        (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#;
    let in_second = |limits: Limits| {
        let (group, [mut first, mut second]) = stores_of_one_guest(&engine, &limits);
        instance(&mut first, wat).unwrap();
        let error = instance(&mut second, wat).unwrap_err();
        // Once the first is dropped, there is room for the second, whose refused growth was not counted.
        drop(first);
        instance(&mut second, wat).unwrap();
        drop(second);
        assert!(Limit::ALL.iter().all(|limit| group.used(*limit).unwrap_or_default() == 0));
        exceeded(&error)
    };
    let unlimited = Limits::unlimited;
    for (limits, told) in [
        (unlimited().instances(1), "instances: the guest wanted 2, and its limit is 1 (Limits::instances)"),
        (unlimited().tables(1), "tables: the guest wanted 2, and its limit is 1 (Limits::tables)"),
        (unlimited().memories(1), "memories: the guest wanted 2, and its limit is 1 (Limits::memories)"),
        (
            unlimited().table_elements(59),
            "table_elements: the guest wanted 60, and its limit is 59 (Limits::table_elements)",
        ),
    ] {
        assert_eq!(in_second(limits), told);
    }

    let (group, mut stores) = stores_of_one_guest(&engine, &unlimited().table_elements(100));
    let grows = stores.each_mut().map(|store| {
        let instance = instance(store, wat).unwrap();
        func::<i32, i32>(store, instance, "grow")
    });
    assert_eq!(grows[0].call(&mut stores[0], 41).unwrap(), -1);
    assert_eq!(
        exceeded(&stores[0].refused_growth().unwrap()),
        "table_elements: the guest wanted 101, and its limit is 100 (Limits::table_elements)"
    );
    assert_eq!(grows[0].call(&mut stores[0], 40).unwrap(), 30);
    assert_eq!(grows[1].call(&mut stores[1], 1).unwrap(), -1);
    assert_eq!((group.used(Limit::TableElements), group.used(Limit::Instances)), (Some(100), Some(2)));
    // A shared memory is counted in each store.
    let shared = r#"(module (import "" "m" (memory 1 1 shared)))"#;
    let (group, mut stores) = stores_of_one_guest(&engine, &unlimited().memories(1));
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap();
    for store in &mut stores {
        let module = Module::new(&engine, shared).unwrap();
        Instance::new(store, &module, &[memory.clone().into()]).unwrap();
    }
    assert_eq!(group.used(Limit::Memories), Some(0));
}

#[test]
fn heaps_of_one_guest_count_together() {
    let engine = Engine::default();
    let wat = r#"(module (type $a (array (mut i8))) (global $kept (mut (ref null $a)) (ref.null $a))
        (func (export "keep") (param i32) (global.set $kept (array.new_default $a (local.get 0)))))"#;
    let (group, mut stores) = stores_of_one_guest(&engine, &Limits::unlimited().gc_heap(8 << 20));
    let keeps = stores.each_mut().map(|store| {
        let instance = instance(store, wat).unwrap();
        func::<i32, ()>(store, instance, "keep")
    });
    keeps[0].call(&mut stores[0], 5 << 20).unwrap();
    let used = group.used(Limit::GcHeap).unwrap();
    assert!((5 << 20..=8 << 20).contains(&used), "{used}");
    let error = keeps[1].call(&mut stores[1], 5 << 20).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::GcHeapExhausted));
    assert!(exceeded(&stores[1].refused_growth().unwrap()).starts_with("gc_heap: the guest wanted 1"));
    let [first, mut second] = stores;
    drop(first);
    keeps[1].call(&mut second, 5 << 20).unwrap();
    drop(second);
    assert_eq!(group.used(Limit::GcHeap), Some(0));
}

/// Stores on their own threads, which grow everything as far as possible.
#[test]
fn stores_that_grow_at_once_stay_within_the_limit_together() {
    let engine = Engine::default();
    let wat = r#"(module (table 0 funcref)
        (func (export "grow") (result i32) (loop $again
            (br_if $again (i32.ne (table.grow (ref.null func) (i32.const 7)) (i32.const -1)))) (table.size)))"#;
    let group = LimitGroup::new();
    let sizes: Vec<i32> = std::thread::scope(|scope| {
        let run = || {
            let mut store = store(&engine, Limits::unlimited().table_elements(10_000));
            store.set_limit_group(&group);
            let instance = instance(&mut store, wat).unwrap();
            let size = func::<(), i32>(&mut store, instance, "grow").call(&mut store, ()).unwrap();
            (size, store)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        // The stores are kept until all have grown.
        let grown: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        grown.into_iter().map(|(size, _)| size).collect()
    });
    let all = sizes.iter().sum::<i32>();
    assert!((9_990..=10_000).contains(&all), "{sizes:?}");
    assert_eq!(group.used(Limit::TableElements), Some(0));
}

/// A session's membership in a group ends with the session, and its usage is subtracted.
#[test]
fn a_group_that_a_session_joined_is_left_at_its_end() {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (table 10 funcref) (func (export "grow") (result i32) (table.grow (ref.null func) (i32.const 20))))"#,
    )
    .unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let (theirs, own) = (LimitGroup::new(), LimitGroup::new());
    let of_template = own.clone();
    let template = SandboxTemplate::new(pre, || Ok(())).prepare(move |store| {
        store.set_limit_group(&of_template);
        Ok(())
    });
    let mut sandbox = template.build().unwrap();
    for _ in 0..3 {
        assert_eq!(own.used(Limit::TableElements), Some(10));
        let mut session = sandbox.session().unwrap();
        assert_eq!(session.call::<(), i32>("grow", ()).unwrap(), 10);
        assert_eq!(own.used(Limit::TableElements), Some(30));
        session.store().set_limit_group(&theirs);
        assert_eq!((own.used(Limit::TableElements), theirs.used(Limit::TableElements)), (Some(0), Some(30)));
        assert_eq!(session.call::<(), i32>("grow", ()).unwrap(), 30);
        assert_eq!(theirs.used(Limit::TableElements), Some(50));
        drop(session);
        assert_eq!(theirs.used(Limit::TableElements), Some(0));
    }
}
