//! Hostile closures, destructors, iterators and conversions, and handles of another engine.

use crate::Row;
use crate::store_pair::{Data, StorePair, WAT, assert_is_a_message, check_store, linker};
use belljar::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// Runs something that panics with a payload of the adversary.
fn expect_panic<R>(name: &str, f: impl FnOnce() -> R) {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("{name}: a panic of the adversary's was swallowed"),
        Err(panic) => assert_is_a_message(name, &*panic),
    }
}

fn refused<R>(name: &str, result: Result<R>) {
    let Err(error) = result else { panic!("{name}: not refused") };
    assert!(!format!("{error:#}").is_empty(), "{name}");
}

/// A value whose destructor panics, once.
struct Bomb(Arc<AtomicU32>);

impl Bomb {
    fn new() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
            && !std::thread::panicking()
        {
            panic!("the adversary's destructor");
        }
    }
}

/// An iterator that reports a wrong length, or panics in the middle.
struct Liar<T>(Vec<T>, bool);

impl<T> Iterator for Liar<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        if self.0.len() == 1 && self.1 {
            panic!("the adversary's iterator");
        }
        self.0.pop()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (1000, Some(1000))
    }
}

impl<T> ExactSizeIterator for Liar<T> {
    fn len(&self) -> usize {
        1000
    }
}

/// Text that differs on each call, or panics.
struct Fickle(std::cell::Cell<u32>);

impl AsRef<[u8]> for Fickle {
    fn as_ref(&self) -> &[u8] {
        match self.0.replace(self.0.get() + 1) % 3 {
            0 => b"(module (func (export \"f\")))",
            1 => b"\0asm\x01\0\0\0",
            _ => panic!("the adversary's conversion"),
        }
    }
}

impl AsRef<str> for Fickle {
    fn as_ref(&self) -> &str {
        match self.0.replace(self.0.get() + 1) % 2 {
            0 => "\u{1b}[31mred\0nul",
            _ => "x",
        }
    }
}

impl AsRef<std::path::Path> for Fickle {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(match self.0.replace(self.0.get() + 1) % 2 {
            0 => "/dev/null",
            _ => "/nonexistent\u{1b}",
        })
    }
}

/// A reason whose conversion also kills, and then panics.
struct Vengeful(KillHandle);

impl From<Vengeful> for KillReason {
    fn from(reason: Vengeful) -> Self {
        let _ = reason.0.kill("from within");
        panic!("the adversary's reason");
    }
}

fn fickle() -> Fickle {
    Fickle(std::cell::Cell::new(0))
}

/// A limiter with random answers that panics now and then.
#[derive(Default)]
struct Moody(u32);

impl Moody {
    fn mood(&mut self) -> Result<bool> {
        self.0 += 1;
        // The same answer three times, because instantiation asks more than once.
        match self.0 / 3 % 4 {
            0 => Ok(true),
            1 => Err(Error::msg("the adversary's error")),
            2 => Ok(false),
            _ => panic!("the adversary's limiter"),
        }
    }
}

impl ResourceLimiter for Moody {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        self.mood()
    }
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.mood().and(Err(error))
    }
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        self.mood()
    }
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.mood().and(Err(error))
    }
    fn gc_heap_growing(&mut self, _: usize, _: usize) -> Result<bool> {
        self.mood()
    }
}

fn limiter(pair: &mut StorePair) {
    let mut store = Store::new(&pair.engine, Moody::default());
    store.limiter(|moody| moody);
    let grower = r#"(module (memory (export "m") 1) (table (export "t") 1 funcref)
        (type $big (array (mut i64)))
        (func (export "grow") (result i32) (memory.grow (i32.const 1)))
        (func (export "grow_table") (result i32) (table.grow (ref.null func) (i32.const 1)))
        (func (export "objects") (result i32) (drop (array.new_default $big (i32.const 2000000))) (i32.const 0)))"#;
    let module = Module::new(&pair.engine, grower).unwrap();
    let tried = |f: &mut dyn FnMut() -> Result<()>| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            assert_is_a_message("Store::limiter", &*panic);
        }
    };
    for _ in 0..8 {
        tried(&mut || Instance::new(&mut store, &module, &[]).map(drop));
        tried(&mut || Memory::new(&mut store, MemoryType::new(1, None)).map(drop));
    }
    let instance = (0..100).find_map(|_| {
        catch_unwind(AssertUnwindSafe(|| Instance::new(&mut store, &module, &[]).ok())).ok().flatten()
    });
    let instance = instance.expect("an instance, in the end");
    for name in ["grow", "grow_table", "objects"] {
        let grow = instance.get_typed_func::<(), i32>(&mut store, name).unwrap();
        for _ in 0..12 {
            tried(&mut || grow.call(&mut store, ()).map(drop));
            tried(&mut || store.gc(None));
        }
        let memory = instance.get_memory(&mut store, "m").unwrap();
        let size = memory.size(&store) * 65536;
        assert_eq!(memory.data(&store).len() as u64, size);
        tried(&mut || memory.grow(&mut store, 1).map(drop));
    }
}

fn host_closures(pair: &mut StorePair) {
    let (a, f0) = (&mut pair.a, pair.of_a.func);
    let of_b = pair.of_b.func;
    let ty = |engine: &Engine, n: usize| {
        FuncType::new(engine, vec![ValType::I32; n], [ValType::Ref(RefType::FUNCREF)])
    };
    // Results of another store, of other types, and too few of them.
    let foreign = Func::new(&mut *a, ty(&pair.engine, 0), move |_, _, results| {
        results[0] = Val::FuncRef(Some(of_b));
        Ok(())
    });
    refused("a result of another store", foreign.call(&mut *a, &[], &mut [Val::I32(0)]));
    let wrong = Func::new(&mut *a, ty(&pair.engine, 1), |_, _, results| {
        results[0] = Val::I64(3);
        Ok(())
    });
    refused("a result of another type", wrong.call(&mut *a, &[Val::I32(1)], &mut [Val::I32(0)]));
    let foreign = Func::wrap(&mut *a, move || Some(of_b));
    refused("a typed result of another store", foreign.call(&mut *a, &[], &mut [Val::I32(0)]));
    // Panics, and a caller that is leaked, or used to call again, recursively without end.
    let panics = Func::wrap(&mut *a, |caller: Caller<'_, Data>| -> i32 {
        let _never_dropped = std::mem::ManuallyDrop::new(caller);
        panic!("the adversary's function")
    });
    expect_panic("Func::wrap", || panics.call(&mut *a, &[], &mut [Val::I32(0)]));
    let again = Func::wrap(&mut *a, move |mut caller: Caller<'_, Data>, depth: i32| -> Result<i32> {
        if depth == 0 {
            return Err(Error::msg("the adversary's error"));
        }
        *caller.data_mut() = 1000;
        let mut result = [Val::I32(0)];
        f0.call(&mut caller, &[], &mut result)?;
        let more = caller.get_export("f0");
        assert!(more.is_none(), "nobody imported the function");
        Ok(result[0].unwrap_i32())
    });
    assert!(again.call(&mut *a, &[Val::I32(1)], &mut [Val::I32(0)]).is_ok());
    assert!(again.call(&mut *a, &[Val::I32(0)], &mut [Val::I32(0)]).is_err());
    // A closure whose destructor panics, in a store that is being dropped.
    let bomb = Bomb::new();
    let mut store = Store::new(&pair.engine, 0);
    Func::wrap(&mut store, move || {
        let _kept = &bomb;
    });
    expect_panic("the destructor of a host function", || drop(store));
}

fn scratch(pair: &mut StorePair) {
    let mut linker = Linker::<Data>::new(&pair.engine);
    let work = |mut caller: Caller<'_, Data>, how: i32| -> Result<i32> {
        caller.with_scratch(100, |caller, outer| {
            outer.fill(1);
            match how {
                0 => panic!("the adversary's closure"),
                1 => caller.with_scratch(100, |_, inner| {
                    inner.fill(2);
                    Ok(i32::from(outer.iter().all(|byte| *byte == 1)))
                }),
                2 => caller.with_scratch(usize::MAX, |_, _| Ok(7)),
                _ => Err(Error::msg("the adversary's error")),
            }
        })
    };
    linker.func_wrap("host", "work", work).unwrap();
    let wat = r#"(module (import "host" "work" (func $work (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call $work (local.get 0))))"#;
    let mut store = Store::new(&pair.engine, 0);
    let instance = linker.instantiate(&mut store, &Module::new(&pair.engine, wat).unwrap()).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for _ in 0..3 {
        expect_panic("Caller::with_scratch", || run.call(&mut store, 0));
        assert_eq!(run.call(&mut store, 1).unwrap(), 1, "two loans are one memory");
        refused("Caller::with_scratch", run.call(&mut store, 2));
        refused("Caller::with_scratch", run.call(&mut store, 3));
    }
}

fn epochs(pair: &mut StorePair) {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let wat = r#"(module (func (export "f") (result i32) (i32.const 1)))"#;
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, 0_u32);
    let f = Instance::new(&mut store, &module, &[]).unwrap();
    let f = f.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    store.epoch_deadline_callback(move |mut context| {
        *context.data_mut() += 1;
        match *context.data() % 4 {
            1 => panic!("the adversary's callback"),
            // Calls the guest again, which calls back again.
            2 => f.call(&mut context, ()).map(|_| UpdateDeadline::Continue(1)),
            3 => Err(Error::msg("the adversary's error")),
            _ => Ok(UpdateDeadline::Continue(u64::MAX)),
        }
    });
    for _ in 0..8 {
        engine.increment_epoch();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f.call(&mut store, ()))) {
            assert_is_a_message("Store::epoch_deadline_callback", &*panic);
        }
    }
    store.set_epoch_deadline(1000);
    assert_eq!(f.call(&mut store, ()).unwrap(), 1);
    let _ = pair;
}

fn progress(pair: &mut StorePair) {
    let functions = "(func (result i32) (i32.const 1))".repeat(300);
    let wat = format!("(module {functions})");
    let mut config = Config::new();
    config.compile_progress(|_| panic!("the adversary's progress"));
    let engine = Engine::new(&config).unwrap();
    expect_panic("Config::compile_progress", || Module::new(&engine, &wat));
    // A callback that compiles with the same engine meanwhile.
    let inner: Arc<std::sync::OnceLock<Engine>> = Arc::default();
    let (known, asked) = (inner.clone(), AtomicU32::new(0));
    config.compile_progress(move |_| {
        if let (Some(engine), 0) = (known.get(), asked.fetch_add(1, SeqCst)) {
            Module::new(engine, "(module (func))").unwrap();
        }
    });
    let engine = Engine::new(&config).unwrap();
    inner.set(engine.clone()).unwrap();
    let done = std::thread::spawn(move || Module::new(&engine, &wat).is_ok());
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !done.is_finished() {
        assert!(std::time::Instant::now() < end, "a progress callback that compiles hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(done.join().unwrap());
    let _ = pair;
}

/// Types and handles of another engine.
fn foreign(pair: &mut StorePair) {
    let other = &pair.other_engine;
    let here = StructType::new(&pair.engine, [FieldType::new(Mutability::Var, StorageType::I8)]).unwrap();
    // So that the type's number is also valid here.
    for i in 0..5 {
        let fields = vec![FieldType::new(Mutability::Const, StorageType::I16); i];
        StructType::new(&pair.engine, fields).unwrap();
    }
    let point = StructType::new(other, [FieldType::new(Mutability::Var, StorageType::I8)]).unwrap();
    let array = ArrayType::new(other, FieldType::new(Mutability::Var, StorageType::I8)).unwrap();
    let foreign = ValType::Ref(point.ref_type(true));
    let field = FieldType::new(Mutability::Var, StorageType::ValType(foreign.clone()));
    let a = &mut pair.a;
    assert_ne!(here, point);
    assert!(!here.matches(&point) && !point.matches(&here));
    assert!(!point.heap_type().matches(&here.heap_type()) && !array.heap_type().matches(&here.heap_type()));
    refused("StructType::new", StructType::new(&pair.engine, [field.clone()]));
    refused("ArrayType::new", ArrayType::new(&pair.engine, field));
    refused(
        "StructType::with_finality_and_supertype",
        StructType::with_finality_and_supertype(&pair.engine, Finality::NonFinal, Some(&point), []),
    );
    refused("Table::new", Table::new(&mut *a, TableType::new(point.ref_type(true), 1, None), Ref::Any(None)));
    refused(
        "Global::new",
        Global::new(&mut *a, GlobalType::new(foreign.clone(), Mutability::Var), Val::AnyRef(None)),
    );
    let function = FuncType::new(&pair.engine, [foreign], []);
    refused("Tag::new", Tag::new(&mut *a, &TagType::new(function.clone())));
    expect_panic("Func::new", || Func::new(&mut *a, function.clone(), |_, _, _| Ok(())));
    refused(
        "Linker::func_new",
        Linker::<Data>::new(&pair.engine).func_new("m", "f", function, |_, _, _| Ok(())).map(drop),
    );
    let pre = StructRefPre::new(&mut *a, point);
    refused("StructRef::new", StructRef::new(&mut *a, &pre, &[Val::I32(1)]));
    let pre = ArrayRefPre::new(&mut *a, array);
    refused("ArrayRef::new", ArrayRef::new(&mut *a, &pre, &Val::I32(1), 3));
    let exception = ExnType::new(other, []).unwrap();
    let pre = ExnRefPre::new(&mut *a, exception);
    refused("ExnRef::new", ExnRef::new(&mut *a, &pre, &pair.of_a.tag, &[Val::I32(1)]));
    let module = Module::new(other, WAT).unwrap();
    let imports = [pair.of_a.func.into()];
    refused("Instance::new", Instance::new(&mut *a, &module, &imports));
    refused("Linker::instantiate", pair.linker.instantiate(&mut *a, &module));
    let pre = linker(other).instantiate_pre(&module).unwrap();
    refused("InstancePre::instantiate", pre.instantiate(&mut *a));
    let shared = SharedMemory::new(other, MemoryType::shared(1, 2)).unwrap();
    let wants = Module::new(&pair.engine, r#"(module (import "m" "m" (memory 1 2 shared)))"#).unwrap();
    refused("a shared memory", Instance::new(&mut *a, &wants, &[shared.into()]));
    // An engine that was dropped.
    let gone = {
        let engine = crate::store_pair::engine();
        StructType::new(&engine, [FieldType::new(Mutability::Var, StorageType::I8)]).unwrap()
    };
    assert!(!gone.matches(&here) && !here.matches(&gone));
    let pre = StructRefPre::new(&mut *a, gone.clone());
    refused("a type of an engine that only the type keeps", StructRef::new(&mut *a, &pre, &[Val::I32(1)]));
    assert_eq!(gone.fields().len(), 1);
}

/// Calls without fuel are resumed with another store, with too little fuel, and not at all.
fn out_of_fuel(_pair: &mut StorePair) {
    let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
    let wat = r#"(module (func (export "run") (result i32) (local $i i32)
        (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
        (local.get $i)))"#;
    let module = Module::new(&engine, wat).unwrap();
    let (mut store, mut other) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    let mut results = [Val::I32(0)];
    let mut suspend = |store: &mut Store<()>| {
        store.set_fuel(10).unwrap();
        match run.func().call_resumable(store, &[], &mut results) {
            Ok(ResumableCall::OutOfFuel(call)) => call,
            ended => panic!("{ended:?}"),
        }
    };
    let typed = |store: &mut Store<()>| {
        store.set_fuel(10).unwrap();
        match run.call_resumable(store, ()) {
            Ok(TypedResumableCall::OutOfFuel(call)) => call,
            ended => panic!("{ended:?}"),
        }
    };
    other.set_fuel(1000).unwrap();
    let call = suspend(&mut store);
    assert!(catch_unwind(AssertUnwindSafe(|| call.resume(&mut other, &mut [Val::I32(0)]))).is_err());
    let call = typed(&mut store);
    assert!(catch_unwind(AssertUnwindSafe(|| call.resume(&mut other))).is_err());
    drop((suspend(&mut store), typed(&mut store)));
    let (first, second) = (suspend(&mut store), typed(&mut store));
    refused("no room for results", first.resume(&mut store, &mut []));
    store.set_fuel(1000).unwrap();
    assert!(matches!(second.resume(&mut store), Ok(TypedResumableCall::Finished(100))));
    let (first, second) = (suspend(&mut store), typed(&mut store));
    drop(store);
    assert!(first.required_fuel() > 0);
    assert!(catch_unwind(AssertUnwindSafe(|| first.resume(&mut other, &mut [Val::I32(0)]))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| second.resume(&mut other))).is_err());
}

/// Hooks that call guests, replace themselves, fail and panic.
fn call_hooks(pair: &mut StorePair) {
    let StorePair { a, of_a, .. } = pair;
    let typed = of_a.typed;
    a.call_hook(move |mut context, _| typed.call(&mut context, ()).map(drop));
    typed.call(&mut *a, ()).unwrap();
    for at in [
        CallHook::CallingWasm,
        CallHook::ReturningFromWasm,
        CallHook::CallingHost,
        CallHook::ReturningFromHost,
    ] {
        a.call_hook(move |_, transition| match transition {
            transition if transition == at => Err(Error::msg("the adversary's error")),
            _ => Ok(()),
        });
        let _ = of_a.func.call(&mut *a, &[], &mut [Val::I32(0)]);
        a.call_hook(move |_, transition| {
            assert_ne!(transition, at, "the adversary's panic");
            Ok(())
        });
        let _ = catch_unwind(AssertUnwindSafe(|| of_a.func.call(&mut *a, &[], &mut [Val::I32(0)])));
    }
    a.call_hook(|_, _| Ok(()));
}

/// Modules of another engine, iterators that panic, and a file that cannot be written.
fn guest_profilers(pair: &mut StorePair) {
    let second = std::time::Duration::from_secs(1);
    let foreign = Module::new(&pair.other_engine, "(module)").unwrap();
    let given = [(String::from("foreign"), foreign)];
    refused("GuestProfiler::new", GuestProfiler::new(&pair.engine, "p", second, given));
    expect_panic("GuestProfiler::new", || {
        let panicking =
            std::iter::from_fn(|| -> Option<(String, Module)> { panic!("the adversary's iterator") });
        GuestProfiler::new(&pair.engine, "p", second, panicking)
    });
    /// Refuses everything.
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the adversary's disk is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut profiler = GuestProfiler::new(&pair.engine, "p", second, []).unwrap();
    profiler.sample(&pair.a, second);
    refused("GuestProfiler::finish", profiler.finish(Full));
}

/// Impossible sizes.
fn sizes(pair: &mut StorePair) {
    let a = &mut pair.a;
    let funcref = RefType::FUNCREF;
    for ty in [
        MemoryType::new(5, Some(1)),
        MemoryType::new(u32::MAX, None),
        MemoryType::new(65537, None),
        MemoryType::new64(u64::MAX, None),
        MemoryType::new64(1 << 48, None),
        MemoryType::new64(7, Some(3)),
        MemoryType::new(1, Some(1)).with_page_size_log2(63),
        MemoryType::new(1, None).with_page_size_log2(255),
        MemoryType::new32(1 << 40, None).with_page_size_log2(0),
        MemoryType::shared(1, 2),
        MemoryType::new(1, None).with_shared(true),
    ] {
        refused("Memory::new", Memory::new(&mut *a, ty));
        assert!(!format!("{ty} {}", ty.page_size()).is_empty());
    }
    for ty in [
        MemoryType::shared(3, 2),
        MemoryType::shared(u32::MAX, u32::MAX),
        MemoryType::shared(0, u32::MAX),
        MemoryType::new(1, Some(2)),
        MemoryType::new(1, None).with_shared(true),
        MemoryType::new64(1, Some(u64::MAX)).with_shared(true),
    ] {
        refused("SharedMemory::new", SharedMemory::new(&pair.engine, ty));
    }
    for ty in [
        TableType::new(funcref.clone(), 5, Some(1)),
        TableType::new(funcref.clone(), u32::MAX, None),
        TableType::new64(funcref.clone(), u64::MAX, None),
        TableType::new64(funcref, 9, Some(8)),
    ] {
        refused("Table::new", Table::new(&mut *a, ty, Ref::Func(None)));
    }
    refused("Table::grow", pair.of_a.table.grow(&mut *a, u64::MAX, Ref::Func(None)));
    refused("Memory::grow", pair.of_a.memory.grow(&mut *a, u64::MAX));
    assert!(pair.of_a.memory.read(&*a, usize::MAX, &mut [0; 2]).is_err());
    assert!(pair.of_a.table.fill(&mut *a, u64::MAX, Ref::Func(None), u64::MAX).is_err());
    assert!(pair.of_a.table.get(&mut *a, u64::MAX).is_none());
    refused("GuestAlloc::alloc", pair.of_a.alloc.alloc(&mut *a, usize::MAX, 8));
    refused("GuestAlloc::alloc", pair.of_a.alloc.alloc(&mut *a, 8, 3));
    refused("GuestAlloc::adopt", pair.of_a.alloc.adopt(&mut *a, u64::MAX, u64::MAX));
}

fn iterators(pair: &mut StorePair) {
    let i32s = |panics| Liar(vec![ValType::I32; 3], panics);
    assert_eq!(FuncType::new(&pair.engine, i32s(false), i32s(false)).params().len(), 3);
    expect_panic("FuncType::try_new", || FuncType::try_new(&pair.engine, i32s(true), []));
    expect_panic("FuncType::with_finality_and_supertype", || {
        FuncType::with_finality_and_supertype(&pair.engine, Finality::Final, None, i32s(true), [])
    });
    expect_panic("ExnType::new", || ExnType::new(&pair.engine, i32s(true)));
    expect_panic("FuncType::new", || FuncType::new(&pair.engine, i32s(true), []));
    let fields = |panics| Liar(vec![FieldType::new(Mutability::Var, StorageType::I8); 3], panics);
    assert_eq!(StructType::new(&pair.engine, fields(false)).unwrap().fields().len(), 3);
    expect_panic("StructType::new", || StructType::new(&pair.engine, fields(true)));
    // An iterator that defines types meanwhile.
    let engine = pair.engine.clone();
    let nested = (0..3_usize).map(move |i| {
        StructType::new(&engine, vec![FieldType::new(Mutability::Var, StorageType::I16); i + 1]).unwrap();
        FieldType::new(Mutability::Const, StorageType::I8)
    });
    assert_eq!(StructType::new(&pair.engine, nested).unwrap().fields().len(), 3);
}

fn destructors(pair: &mut StorePair) {
    // A host value that a collection finds dead.
    expect_panic("a host value's destructor", || {
        let mut scope = RootScope::new(&mut pair.a);
        ExternRef::new(&mut scope, Bomb::new()).unwrap();
        drop(scope);
        (0..2).for_each(|_| pair.a.gc(None).unwrap());
    });
    // The embedder's data.
    let store = Store::new(&pair.engine, Bomb::new());
    expect_panic("Store::new", || drop(store));
    let store = Store::new(&pair.engine, Bomb::new());
    expect_panic("Store::into_data", || drop(store.into_data()));
    let store = Store::try_new(&pair.engine, Bomb::new()).unwrap();
    expect_panic("Store::try_new", || drop(store));
}

fn kills(pair: &mut StorePair) {
    let handle = pair.a.kill_handle();
    expect_panic("KillHandle::kill", || handle.kill(Vengeful(handle.clone())));
    expect_panic("Engine::kill_all", || pair.engine.kill_all(Vengeful(handle.clone())));
    assert!(!handle.kill("nothing runs").unwrap());
    let pre = pair.linker.instantiate_pre(&pair.module).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(1000)).build().unwrap();
    let in_sandbox = sandbox.kill_handle();
    assert!(!in_sandbox.kill("nobody is there").unwrap());
    let session = sandbox.session().unwrap();
    expect_panic("SandboxKillHandle::kill", || in_sandbox.kill(Vengeful(session.kill_handle())));
    drop(session);
    assert!(sandbox.call::<(), i32>("f0", ()).is_ok());
}

fn sources(pair: &mut StorePair) {
    let name = "a conversion";
    for _ in 0..3 {
        let tried = catch_unwind(AssertUnwindSafe(|| Module::new(&pair.engine, fickle()).is_ok()));
        tried.err().iter().for_each(|panic| assert_is_a_message(name, &**panic));
        let tried = catch_unwind(AssertUnwindSafe(|| Module::deserialize(&pair.engine, fickle()).is_ok()));
        tried.err().iter().for_each(|panic| assert_is_a_message(name, &**panic));
    }
    refused("Module::from_file", Module::from_file(&pair.engine, fickle()));
    refused("Module::deserialize_file", Module::deserialize_file(&pair.engine, fickle()));
    assert!(!matches!(Engine::detect_precompiled_file(fickle()), Ok(Some(_))));
    refused("Module::from_bytes", Module::from_bytes(&pair.engine, Vec::new()));
    refused("Module::from_bytes", Module::from_bytes(&pair.engine, vec![0; 100]));
    // The second registration, and what it returns, changes nothing.
    for _ in 0..3 {
        let mut builder = CodeBuilder::new(&pair.engine);
        let first = catch_unwind(AssertUnwindSafe(|| {
            builder
                .wasm_binary(AsRef::<[u8]>::as_ref(&fickle()).to_vec(), None)
                .map(|builder| builder.compile_module().is_ok())
        }));
        first.err().iter().for_each(|panic| assert_is_a_message("CodeBuilder::wasm_binary", &**panic));
    }
    let mut builder = CodeBuilder::new(&pair.engine);
    builder.wasm_binary(&b"\0asm\x01\0\0\0"[..], None).unwrap();
    refused("CodeBuilder::wasm_binary", builder.wasm_binary(Vec::new(), None).map(drop));
    assert!(builder.compile_module().is_ok());
    for processor in ["", "\u{1b}[31m", "has_avx2", "x86-64-v9"] {
        refused("Config::target_processor", Engine::new(Config::new().target_processor(processor)));
    }
}

fn sandboxes(pair: &mut StorePair) {
    let pre = pair.linker.instantiate_pre(&pair.module).unwrap();
    let made = Arc::new(AtomicU32::new(0));
    let count = made.clone();
    let template = SandboxTemplate::new(pre.clone(), move || match count.fetch_add(1, SeqCst) % 5 {
        3 => panic!("the adversary's state"),
        4 => Err(Error::msg("the adversary's error")),
        _ => Ok(1000),
    });
    let pool = template.pool(PoolConfig::new().max_sandboxes(2)).unwrap();
    let good = (0..30).filter(|_| pool.call::<(), i32>("f0", ()).is_ok_and(|own| own == 1000)).count();
    assert!(good >= 10, "{good} of 30 calls were served");
    // An initialization that replaces its store by another, or fails in some other way.
    let (other, tries) = (pair.other_engine.clone(), AtomicU32::new(0));
    let template = SandboxTemplate::new(pre.clone(), || Ok(1000)).prepare(move |store| {
        match tries.fetch_add(1, SeqCst) {
            0 => *store = Store::new(&other, 1000),
            1 => panic!("the adversary's beginning"),
            2 => return Err(Error::msg("the adversary's error")),
            3 => *store = Store::new(&store.engine().clone(), 1000),
            _ => {}
        }
        Ok(())
    });
    let mut sandbox = template.build().ok();
    for _ in 0..8 {
        let tried = catch_unwind(AssertUnwindSafe(|| match &mut sandbox {
            Some(sandbox) => sandbox.call::<(), i32>("f0", ()).ok(),
            None => {
                sandbox = template.build().ok();
                None
            }
        }));
        match tried {
            Ok(result) => assert!(result.is_none_or(|own| own == 1000)),
            Err(panic) => assert_is_a_message("SandboxTemplate::prepare", &*panic),
        }
    }
    // Sessions whose stores are swapped with each other's, and with a store of the host.
    let template = SandboxTemplate::new(pre, || Ok(1000)).verify(true);
    let (mut one, mut two) = (template.build().unwrap(), template.build().unwrap());
    for _ in 0..3 {
        let (mut first, mut second) = (one.session().unwrap(), two.session().unwrap());
        let kept = first.instance();
        std::mem::swap(first.store(), second.store());
        let tried = catch_unwind(AssertUnwindSafe(|| first.call::<(), i32>("f0", ())));
        tried.err().iter().for_each(|panic| assert_is_a_message("Session::call", &**panic));
        std::mem::swap(second.store(), &mut pair.b);
        let tried = catch_unwind(AssertUnwindSafe(|| second.call::<(), i32>("f0", ())));
        tried.err().iter().for_each(|panic| assert_is_a_message("Session::call", &**panic));
        let mut empty = Store::new(&pair.engine, 1000);
        std::mem::swap(second.store(), &mut empty);
        refused("Session::call", second.call::<(), i32>("f0", ()));
        let tried =
            catch_unwind(AssertUnwindSafe(|| second.instance().get_export(second.store(), "f0").is_some()));
        tried.err().iter().for_each(|panic| assert_is_a_message("Session::instance", &**panic));
        let tried = catch_unwind(AssertUnwindSafe(|| kept.get_export(second.store(), "f0").is_some()));
        tried.err().iter().for_each(|panic| assert_is_a_message("an instance of before", &**panic));
        std::mem::swap(&mut empty, &mut pair.b);
        std::mem::forget(first);
        drop(second);
        assert_eq!(one.call::<(), i32>("f0", ()).unwrap(), 1000);
        assert_eq!(two.call::<(), i32>("f0", ()).unwrap(), 1000);
        // What is in `pair.b` now is a store of the engine, but maybe not the original one.
        *pair = StorePair::new(&pair.engine);
    }
}

fn watchdogs(pair: &mut StorePair) {
    let barked = Arc::new(AtomicU32::new(0));
    for cpu in [false, true] {
        let count = barked.clone();
        let callback = move |_: Result<Stack>| -> WatchdogAction {
            count.fetch_add(1, SeqCst);
            panic!("the adversary's callback")
        };
        let start = if cpu { Watchdog::cpu } else { Watchdog::wall };
        let watchdog = start(pair.a.inspector(), Duration::ZERO, callback).unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while barked.load(SeqCst) <= u32::from(cpu) && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            // CPU time has to pass.
            check_store("Watchdog", &mut pair.a, pair.of_a.instance);
        }
        drop(watchdog);
    }
    assert!(barked.load(SeqCst) >= 1);
    // A watchdog that ends another in its callback, and creates a third.
    let third = Arc::new(std::sync::Mutex::new(None));
    let (slot, inspector) = (third.clone(), pair.a.inspector());
    let second =
        Watchdog::wall(pair.a.inspector(), Duration::from_secs(3600), |_| WatchdogAction::Again).unwrap();
    let mut second = Some(second);
    let (done, is_done) = std::sync::mpsc::channel();
    let _first = Watchdog::wall(pair.a.inspector(), Duration::ZERO, move |_| {
        drop(second.take());
        let made = Watchdog::wall(inspector.clone(), Duration::from_secs(3600), |_| WatchdogAction::Stop);
        *slot.lock().unwrap() = made.ok();
        done.send(()).unwrap();
        WatchdogAction::Stop
    })
    .unwrap();
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(third.lock().unwrap().take().is_some());
}

fn linkers(pair: &mut StorePair) {
    let mut linker = Linker::<Data>::new(&pair.engine);
    let ty = FuncType::new(&pair.engine, [], [ValType::I32]);
    linker.func_new("m", "panics", ty.clone(), |_, _, _| panic!("the adversary's function")).unwrap();
    linker
        .func_new("m", "lies", ty, |_, _, results| {
            results[0] = Val::FuncRef(None);
            Ok(())
        })
        .unwrap();
    linker.func_wrap("m", "typed", || -> i32 { panic!("the adversary's function") }).unwrap();
    for name in ["panics", "lies", "typed"] {
        let wat = format!(
            r#"(module (import "m" "{name}" (func $f (result i32))) (func (export "f") (result i32) (call $f)))"#
        );
        let module = Module::new(&pair.engine, wat).unwrap();
        let instance = linker.instantiate(&mut pair.a, &module).unwrap();
        let f = instance.get_typed_func::<(), i32>(&mut pair.a, "f").unwrap();
        match name {
            "lies" => refused("Linker::func_new", f.call(&mut pair.a, ())),
            _ => expect_panic("Linker::func_wrap", || f.call(&mut pair.a, ())),
        }
    }
}

pub(crate) const ROWS: &[(&str, Row)] = &[
    ("Caller::with_scratch", Row::Stores(scratch)),
    ("Config::allocation_strategy", Row::Harmless("takes one of a few values")),
    ("Config::compile_progress", Row::Stores(progress)),
    ("Config::compiler_inlining", Row::Harmless("takes one of a few values")),
    ("Config::target_processor", Row::Stores(sources)),
    ("Engine::detect_precompiled_file", Row::Stores(sources)),
    ("Engine::kill_all", Row::Stores(kills)),
    ("ExnType::new", Row::Stores(iterators)),
    ("FuncType::new", Row::Stores(iterators)),
    ("FuncType::try_new", Row::Stores(iterators)),
    ("FuncType::with_finality_and_supertype", Row::Stores(iterators)),
    ("GcHeapOutOfMemory::into_inner", Row::Harmless("returns what the embedder passed")),
    ("GuestProfiler::finish", Row::Stores(guest_profilers)),
    ("GuestProfiler::new", Row::Stores(guest_profilers)),
    ("KillHandle::kill", Row::Stores(kills)),
    ("Linker::func_new", Row::Stores(linkers)),
    ("Linker::func_wrap", Row::Stores(linkers)),
    ("CodeBuilder::wasm_binary", Row::Stores(sources)),
    ("Module::deserialize", Row::Stores(sources)),
    ("Module::deserialize_file", Row::Stores(sources)),
    ("Module::from_bytes", Row::Stores(sources)),
    ("Module::from_file", Row::Stores(sources)),
    ("Module::new", Row::Stores(sources)),
    ("Sandbox::call", Row::Stores(sandboxes)),
    ("SandboxKillHandle::kill", Row::Stores(kills)),
    ("SandboxPool::call", Row::Stores(sandboxes)),
    ("SandboxTemplate::new", Row::Stores(sandboxes)),
    ("SandboxTemplate::prepare", Row::Stores(sandboxes)),
    ("Session::call", Row::Stores(sandboxes)),
    ("Store::epoch_deadline_callback", Row::Stores(epochs)),
    ("Store::into_data", Row::Stores(destructors)),
    ("ResumableCallOutOfFuel::resume", Row::Stores(out_of_fuel)),
    ("Store::call_hook", Row::Stores(call_hooks)),
    (
        "TypedResumableCallOutOfFuel<Results>::resume",
        Row::Harmless("`ResumableCallOutOfFuel::resume` tries both"),
    ),
    ("Store::limiter", Row::Stores(limiter)),
    ("Store::new", Row::Stores(destructors)),
    ("Store::try_new", Row::Stores(destructors)),
    ("StructType::new", Row::Stores(iterators)),
    ("StructType::with_finality_and_supertype", Row::Stores(foreign)),
    ("Watchdog::cpu", Row::Stores(watchdogs)),
    ("Watchdog::wall", Row::Stores(watchdogs)),
    // Entry points because of what they do, not because of what they take.
    ("also: host functions", Row::Stores(host_closures)),
    ("also: sizes that nothing can have", Row::Stores(sizes)),
    ("also: things of another engine", Row::Stores(foreign)),
];
