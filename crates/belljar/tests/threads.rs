//! Shared memories: several stores on several threads.

use belljar::{
    Config, Engine, Error, Instance, Linker, Memory, MemoryType, Module, ResourceLimiter, SharedMemory,
    Store, Trap, TypedFunc, UpdateDeadline, WaitResult, WasmParams, WasmResults,
};
use std::time::Duration;

fn engine() -> Engine {
    Engine::new(Config::new().wasm_threads(true)).unwrap()
}

/// Returns a function of an instance that imports the memory as `m::m`.
fn func<T: 'static, P: WasmParams, R: WasmResults>(
    store: &mut Store<T>,
    module: &Module,
    memory: &SharedMemory,
    name: &str,
) -> TypedFunc<P, R> {
    let instance = Instance::new(&mut *store, module, &[memory.clone().into()]).unwrap();
    instance.get_typed_func(store, name).unwrap()
}

const GUEST: &str = r#"(module
    (import "m" "m" (memory 1 100 shared))
    (func (export "add") (param i32) (result i32) (local $i i32)
        (loop $next
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (local.get 0))))
        (i32.atomic.load (i32.const 0)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow and touch") (result i32) (local $old i32) (local $times i32)
        (loop $next
            (local.set $old (memory.grow (i32.const 1)))
            (if (i32.ne (local.get $old) (i32.const -1))
                (then
                    ;; The page is this thread's alone: nobody else was told the same number.
                    (drop (i32.atomic.rmw.add
                        (i32.mul (local.get $old) (i32.const 65536)) (i32.const 1)))
                    (local.set $times (i32.add (local.get $times) (i32.const 1)))
                    (br_if $next (i32.ge_u (memory.size) (local.get $old))))))
        (local.get $times))
    (func (export "wait") (param i64) (result i32)
        (memory.atomic.wait32 (i32.const 8) (i32.const 0) (local.get 0)))
    (func (export "notify") (result i32) (memory.atomic.notify (i32.const 8) (i32.const -1))))"#;

#[test]
fn two_stores_on_two_threads_use_one_memory() {
    let engine = engine();
    let module = Module::new(&engine, GUEST).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut store = Store::new(&engine, ());
                func::<_, i32, i32>(&mut store, &module, &memory, "add").call(&mut store, 50_000).unwrap();
            });
        }
        // The host is a third thread.
        for _ in 0..1000 {
            memory.data().fetch_add_u32(0, 1).unwrap();
        }
    });
    assert_eq!(memory.data().load_u32(0), Ok(101_000));
}

#[test]
fn threads_that_grow_at_once_never_get_the_same_page() {
    for reserve in [true, false] {
        let engine = Engine::new(Config::new().wasm_threads(true).memory_reservation(if reserve {
            4 << 30
        } else {
            0
        }))
        .unwrap();
        let module = Module::new(&engine, GUEST).unwrap();
        let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
        let run = || {
            let mut store = Store::new(&engine, ());
            func::<_, (), u32>(&mut store, &module, &memory, "grow and touch").call(&mut store, ()).unwrap()
        };
        let grown: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!((grown, memory.size()), (99, 100));
        for page in 1..100 {
            assert_eq!(memory.data().load_u32(page * 65536), Ok(1), "page {page}");
        }
        assert_eq!(
            memory.grow(1).unwrap_err().to_string().split(':').next_back(),
            Some(" it has 100 and may have 100")
        );
    }
}

#[test]
fn guests_and_host_wake_each_other() {
    let engine = engine();
    let module = Module::new(&engine, GUEST).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut store = Store::new(&engine, ());
            func::<_, i64, u32>(&mut store, &module, &memory, "wait").call(&mut store, -1).unwrap()
        });
        while memory.atomic_notify(8, 1).unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), 0);
        let waiter = scope.spawn(|| memory.atomic_wait32(8, 0, None));
        let mut store = Store::new(&engine, ());
        let notify = func::<_, (), u32>(&mut store, &module, &memory, "notify");
        while notify.call(&mut store, ()).unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), Ok(WaitResult::Ok));
    });
    assert_eq!(memory.atomic_wait64(8, 1, None), Ok(WaitResult::Mismatch));
    assert_eq!(memory.atomic_wait64(8, 0, Some(Duration::from_millis(1))), Ok(WaitResult::TimedOut));
    assert_eq!(memory.atomic_wait64(12, 0, None), Err(Trap::HeapMisaligned));
    assert_eq!(memory.atomic_wait32(65536, 0, None), Err(Trap::MemoryOutOfBounds));
    assert_eq!(memory.atomic_notify(2, 0), Err(Trap::HeapMisaligned));
}

/// A waiting guest is interrupted like a running one: at the deadline, unless the embedder moves it.
#[test]
fn the_epoch_reaches_those_who_wait() {
    let engine = Engine::new(Config::new().wasm_threads(true).epoch_interruption(true)).unwrap();
    let module = Module::new(&engine, GUEST).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
    let mut store = Store::new(&engine, 0);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        Ok(if *store.data() < 3 { UpdateDeadline::Continue(0) } else { UpdateDeadline::Interrupt })
    });
    let wait = func::<_, i64, u32>(&mut store, &module, &memory, "wait");
    assert_eq!(wait.call(&mut store, 1_000_000).unwrap(), 2);
    engine.increment_epoch();
    // The loop that calls would check the epoch as well, so the count starts where the wait does.
    let error = wait.call(&mut store, -1).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    assert_eq!(*store.data(), 3);
}

/// Grants all growth, and grows the memory itself, which it must not.
struct Grants {
    bytes: usize,
    asked: usize,
    meddles_with: Option<SharedMemory>,
}

impl ResourceLimiter for Grants {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, Error> {
        self.asked += 1;
        if let Some(memory) = &self.meddles_with {
            assert!(memory.grow(1).is_err());
        }
        Ok(desired <= self.bytes)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool, Error> {
        Ok(true)
    }
}

fn limited(engine: &Engine, bytes: usize) -> Store<Grants> {
    let mut store = Store::new(engine, Grants { bytes, asked: 0, meddles_with: None });
    store.limiter(|grants| grants);
    store
}

#[test]
fn limiters_are_asked_about_shared_memories() {
    let engine = engine();
    let module = Module::new(&engine, GUEST).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
    let mut small = limited(&engine, 2 * 65536);
    let mut large = limited(&engine, 10 * 65536);
    small.data_mut().meddles_with = Some(memory.clone());
    let grow_small = func::<_, i32, i32>(&mut small, &module, &memory, "grow");
    let grow_large = func::<_, i32, i32>(&mut large, &module, &memory, "grow");
    // Memory that the host created is not counted in the stores.
    assert_eq!((small.data().asked, large.data().asked), (0, 0));
    assert_eq!(grow_small.call(&mut small, 1).unwrap(), 1);
    assert_eq!(grow_small.call(&mut small, 1).unwrap(), -1);
    assert_eq!(grow_large.call(&mut large, 3).unwrap(), 2);
    assert_eq!(grow_large.call(&mut large, 6).unwrap(), -1);
    assert_eq!(memory.size(), 5);
    assert_eq!((small.data().asked, large.data().asked), (2, 2));

    small.data_mut().meddles_with = None;
    let defines = Module::new(&engine, r#"(module (memory (export "m") 3 3 shared))"#).unwrap();
    assert!(Instance::new(&mut small, &defines, &[]).is_err());
    let instance = Instance::new(&mut large, &defines, &[]).unwrap();
    assert_eq!(large.data().asked, 3);
    let exported = instance.get_shared_memory(&mut large, "m").unwrap();
    assert!(instance.get_memory(&mut large, "m").is_none());
    drop(large);
    // The memory outlives the store that it was created in.
    assert_eq!((exported.size(), exported.data().load_u64(8)), (3, Ok(0)));
}

#[test]
fn contents_are_images_data_segments_and_clean_pages() {
    let engine = engine();
    // Large enough to be an image.
    let module = format!(
        r#"(module (memory (export "m") 2 2 shared) (data (i32.const 100) "{}") (data (i32.const 99) "x"))"#,
        "y".repeat(40_000)
    );
    let module = Module::new(&engine, module).unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_shared_memory(&mut store, "m").unwrap();
        drop(store);
        let mut bytes = [0; 4];
        memory.data().read(98, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0xyy");
        memory.data().fill(0, 131_072, 7).unwrap();
    }
    let memory = SharedMemory::new(&engine, MemoryType::shared(2, 2)).unwrap();
    let mut bytes = vec![1; 131_072];
    memory.data().read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|b| *b == 0));
    assert!(memory.data().read(1, &mut bytes).is_err());
    assert!(memory.data().write(usize::MAX, &[0; 2]).is_err());
    assert!(memory.data().fill(131_072, 1, 0).is_err());
    memory.data().fill(131_072, 0, 0).unwrap();
}

#[test]
fn what_is_no_shared_memory_is_refused() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    assert!(SharedMemory::new(&engine, MemoryType::new(1, Some(1))).is_err());
    assert!(SharedMemory::new(&engine, MemoryType::shared(2, 1)).is_err());
    assert!(Memory::new(&mut store, MemoryType::shared(1, 1)).is_err());
    let huge = MemoryType::new64(1, Some(1 << 47)).with_shared(true);
    let error = SharedMemory::new(&engine, huge).unwrap_err().to_string();
    assert!(error.contains("reserved whole"), "{error}");
    // A memory of another engine.
    let memory = SharedMemory::new(&Engine::default(), MemoryType::shared(1, 100)).unwrap();
    let module = Module::new(&engine, GUEST).unwrap();
    let error = Instance::new(&mut store, &module, &[memory.into()]).unwrap_err().to_string();
    assert!(error.contains("another engine"), "{error}");
    // Instructions of threads, with the feature disabled.
    let mut config = Config::new();
    let without = Engine::new(config.wasm_threads(false)).unwrap();
    let error = Module::new(&without, GUEST).unwrap_err().to_string();
    assert!(error.contains("Config::wasm_threads(true)"), "{error}");
}

#[test]
fn a_linker_gives_one_memory_to_many_stores() {
    let engine = engine();
    let module = Module::new(&engine, GUEST).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 100)).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.define(Store::new(&engine, ()), "m", "m", memory.clone()).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    for times in 1..=2 {
        let mut store = Store::new(&engine, ());
        // Twice in one store: the memory is registered once.
        pre.instantiate(&mut store).unwrap();
        let instance = pre.instantiate(&mut store).unwrap();
        let add = instance.get_typed_func::<i32, i32>(&mut store, "add").unwrap();
        assert_eq!(add.call(&mut store, 5).unwrap(), 5 * times);
    }
    assert_eq!(
        linker.get(Store::new(&engine, ()), "m", "m").unwrap().into_shared_memory().unwrap().size(),
        1
    );
}
