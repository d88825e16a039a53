//! Core dumps, as a reader of the format sees them.

use belljar::{
    Caller, Config, Engine, Extern, Func, Instance, Linker, MemoryType, Module, Result, SharedMemory, Store,
    Trap, WasmBacktrace, WasmCoreDump,
};
use wasmparser::{
    ConstExpr, CoreDumpInstance, CoreDumpStackFrame, DataKind, KnownCustom, Operator, Parser, Payload,
    Validator, WasmFeatures,
};

/// The contents of a dump.
#[derive(Default, Debug)]
struct Read {
    name: String,
    modules: Vec<String>,
    instances: Vec<CoreDumpInstance>,
    thread: String,
    frames: Vec<CoreDumpStackFrame>,
    memories: Vec<wasmparser::MemoryType>,
    globals: Vec<String>,
    /// Whether each global is mutable.
    mutable: Vec<bool>,
    /// Memory, offset, bytes.
    segments: Vec<(u32, u64, Vec<u8>)>,
}

/// Reads a dump, which must be a valid module without empty sections: some readers assume that a section has an entry.
fn read(dump: &[u8]) -> Read {
    let features = WasmFeatures::default() | WasmFeatures::CUSTOM_PAGE_SIZES;
    Validator::new_with_features(features).validate_all(dump).unwrap();
    let mut read = Read::default();
    for payload in Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::CoreDump(core) => read.name = core.name.into(),
                KnownCustom::CoreDumpModules(modules) => {
                    read.modules = modules.modules.iter().map(ToString::to_string).collect();
                }
                KnownCustom::CoreDumpInstances(instances) => read.instances = instances.instances,
                KnownCustom::CoreDumpStack(stack) => {
                    read.thread = stack.name.into();
                    read.frames = stack.frames;
                }
                _ => panic!("the section {} has no place here", section.name()),
            },
            Payload::MemorySection(section) => {
                assert!(section.count() > 0);
                read.memories = section.into_iter().map(|m| m.unwrap()).collect()
            }
            Payload::GlobalSection(section) => {
                assert!(section.count() > 0);
                for global in section {
                    let global = global.unwrap();
                    read.mutable.push(global.ty.mutable);
                    read.globals.push(format!("{:?}", operator(&global.init_expr)));
                }
            }
            Payload::DataSection(section) => {
                assert!(section.count() > 0);
                read.segments = section.into_iter().map(|d| segment(d.unwrap())).collect()
            }
            _ => {}
        }
    }
    read
}

fn operator<'a>(expr: &ConstExpr<'a>) -> Operator<'a> {
    expr.get_operators_reader().read().unwrap()
}

fn segment(data: wasmparser::Data<'_>) -> (u32, u64, Vec<u8>) {
    let DataKind::Active { memory_index, offset_expr } = data.kind else { panic!("a passive segment") };
    let offset = match operator(&offset_expr) {
        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
        Operator::I64Const { value } => value.cast_unsigned(),
        other => panic!("{other:?} as an offset"),
    };
    (memory_index, offset, data.data.to_vec())
}

impl Read {
    /// Returns bytes of a memory, as an instance of the dump would have them.
    fn bytes(&self, memory: u32, offset: u64, length: usize) -> Vec<u8> {
        let byte = |at: u64| {
            let covering = |(m, start, data): &&(u32, u64, Vec<u8>)| {
                *m == memory && (*start..*start + data.len() as u64).contains(&at)
            };
            self.segments.iter().find(covering).map_or(0, |(_, start, data)| data[(at - start) as usize])
        };
        (offset..offset + length as u64).map(byte).collect()
    }
}

fn dumping() -> Engine {
    Engine::new(Config::new().coredump_on_trap(true)).unwrap()
}

/// Instantiates a module without imports, calls its `run`, which must fail, and reads the dump.
fn dump_of(wat: &str) -> (Read, usize) {
    let engine = dumping();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, wat).unwrap(), &[]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    let dump = error.downcast_ref::<WasmCoreDump>().unwrap().serialize(&mut store, "test");
    (read(&dump), dump.len())
}

const INNER: &str = r#"(module $inner
    (memory (export "memory") 2 9)
    (global (export "count") (mut i32) (i32.const 7))
    (global (mut i64) (i64.const -3))
    (func $fail (param i32) (local i64 i64 f32)
        (global.set 0 (i32.const 8))
        (i32.store (i32.const 65540) (local.get 0))
        unreachable)
    (func (export "call") (param i32) (call $fail (local.get 0)) (global.set 0 (i32.const 9))))"#;

const OUTER: &str = r#"(module $outer
    (import "inner" "call" (func $call (param i32)))
    (import "inner" "count" (global (mut i32)))
    (global f64 (f64.const 1.5))
    (global v128 (v128.const i64x2 1 2))
    (global (mut externref) (ref.null extern))
    (memory 1)
    (data (i32.const 100) "outer")
    (func (export "run") (nop) (call $call (i32.const 0x11223344)) (nop)))"#;

#[test]
fn a_trap_in_nested_calls_over_two_instances() -> Result<()> {
    for inlining in [true, false] {
        let engine = Engine::new(Config::new().coredump_on_trap(true).compiler_inlining(inlining))?;
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.module(&mut store, "inner", &Module::new(&engine, INNER)?)?;
        let outer = linker.instantiate(&mut store, &Module::new(&engine, OUTER)?)?;
        let error = outer.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
        assert_eq!(dump.frames().len(), backtrace.frames().len());
        assert_eq!(dump.to_string(), "wasm core dump: 3 frames, 2 instances, 2 memories, 5 globals");
        assert!(format!("{error:?}").contains(&dump.to_string()));
        assert_eq!(dump.modules().collect::<Vec<_>>(), ["inner", "outer"]);
        assert_eq!((dump.memories().len(), dump.shared_memories().len(), dump.globals().len()), (2, 0, 5));
        assert_eq!(dump.instance_of_frame(0), Some(dump.instances()[0]));
        assert_eq!(dump.instance_of_frame(2), Some(outer));
        assert_eq!(dump.instance_of_frame(3), None);

        let found = read(&dump.serialize(&mut store, "outer.wasm"));
        assert_eq!((&*found.name, &*found.thread), ("outer.wasm", "main"));
        assert_eq!(found.modules, ["inner", "outer"]);
        let [inner, outer] = &found.instances[..] else { panic!("{:?}", found.instances) };
        assert_eq!((inner.module_index, &inner.memories[..], &inner.globals[..]), (0, &[0][..], &[0, 1][..]));
        assert_eq!((outer.module_index, &outer.memories[..]), (1, &[1][..]));
        assert_eq!(outer.globals, [0, 2, 3, 4]);
        let frames: Vec<_> = found.frames.iter().map(|f| (f.instanceidx, f.funcidx, f.codeoffset)).collect();
        let offsets: Vec<_> = backtrace.frames().iter().map(|f| f.func_offset().unwrap() as u32).collect();
        assert_eq!(frames, [(0, 0, offsets[0]), (0, 1, offsets[1]), (1, 1, offsets[2])]);
        assert_eq!(offsets[1..], [3, 1 + 1 + 6]);
        assert!(found.frames.iter().all(|f| f.locals.is_empty() && f.stack.is_empty()));

        assert_eq!((found.memories[0].initial, found.memories[0].maximum), (2, Some(9)));
        assert_eq!(found.segments.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(found.bytes(0, 65536, 10), [0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0, 0]);
        assert_eq!(found.bytes(1, 99, 7), b"\0outer\0");
        assert_eq!(found.mutable, [true, true, false, false, true]);
        assert_eq!(found.globals[..2], ["I32Const { value: 8 }", "I64Const { value: -3 }"]);
        assert!(found.globals[2].starts_with("F64Const"), "{}", found.globals[2]);
        assert!(found.globals[3].starts_with("V128Const"), "{}", found.globals[3]);
        assert!(found.globals[4].starts_with("RefNull"), "{}", found.globals[4]);
    }
    Ok(())
}

#[test]
fn no_dump_when_switched_off() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, r#"(module (func (export "run") unreachable))"#)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let error = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
    assert!(error.is::<WasmBacktrace>() && !error.is::<WasmCoreDump>());
    Ok(())
}

#[test]
fn memories_with_64_bit_addresses() {
    let (found, size) = dump_of(
        r#"(module
            (memory 1)
            (memory $far i64 100000)
            (func (export "run")
                (i64.store8 $far (i64.const 5_000_000_000) (i64.const 77))
                unreachable))"#,
    );
    assert!(found.memories[1].memory64 && !found.memories[0].memory64);
    assert_eq!(found.memories[1].initial, 100_000);
    assert_eq!(found.segments.len(), 1);
    assert_eq!(found.bytes(1, 4_999_999_999, 3), [0, 77, 0]);
    assert!(size < 200, "{size} bytes");
}

#[test]
fn pages_of_one_byte() {
    let (found, _) = dump_of(
        r#"(module
            (memory 5003 6000 (pagesize 1))
            (data (i32.const 4999) "abcd")
            (func (export "run") unreachable))"#,
    );
    let memory = found.memories[0];
    assert_eq!((memory.initial, memory.maximum, memory.page_size_log2), (5003, Some(6000), Some(0)));
    assert_eq!(found.bytes(0, 4998, 5), b"\0abcd");
}

#[test]
fn a_large_sparse_memory_stays_small() {
    let (found, size) = dump_of(
        r#"(module
            (memory 65536)
            (func (export "run")
                (i32.store8 (i32.const 0) (i32.const 1))
                (i32.store8 (i32.const 4096) (i32.const 2))
                (i32.store8 (i32.const 0x8000_0000) (i32.const 3))
                (i32.store8 (i32.const 0xffff_ffff) (i32.const 4))
                unreachable))"#,
    );
    assert!(size < 300, "{size} bytes");
    assert_eq!(found.memories[0].initial, 65536);
    let places: Vec<_> = found.segments.iter().map(|(_, start, data)| (*start, data.len())).collect();
    assert_eq!(places, [(0, 1), (4096, 1), (0x8000_0000, 1), (0xffff_ffff, 1)]);
    assert_eq!(found.bytes(0, 0xffff_ffff, 1), [4]);
}

#[test]
fn zeros_between_what_is_set_need_no_bytes() {
    let (found, size) = dump_of(
        r#"(module
            (memory 1)
            (data (i32.const 1000) "first\00second")
            (data (i32.const 1200) "third")
            (data (i32.const 65535) "!")
            (func (export "run") unreachable))"#,
    );
    let places: Vec<_> = found.segments.iter().map(|(_, start, data)| (*start, &data[..])).collect();
    assert_eq!(places, [(1000, &b"first\0second"[..]), (1200, b"third"), (65535, b"!")]);
    assert!(size < 200, "{size} bytes");
}

/// A memory of which every 128th byte is set has more runs than readers accept segments.
#[test]
fn a_memory_of_many_small_runs_has_few_segments() {
    let (found, _) = dump_of(
        r#"(module
            (memory 256)
            (func (export "run") (local i32)
                (loop $next
                    (i32.store8 (local.get 0) (i32.const 7))
                    (br_if $next (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 128))) (i32.const 0x100_0000))))
                unreachable))"#,
    );
    assert!((50_000..=100_000).contains(&found.segments.len()), "{} segments", found.segments.len());
    let total: usize =
        found.segments.iter().map(|(_, _, data)| data.iter().filter(|b| **b == 7).count()).sum();
    assert_eq!(total, 0x100_0000 / 128);
    for at in [0, 128, 0x80_0000, 0xff_ff80] {
        assert_eq!(found.bytes(0, at, 3), [7, 0, 0], "{at:#x}");
    }
}

#[test]
fn later_instances_share_images_of_memories() -> Result<()> {
    let engine = dumping();
    let wat = r#"(module (memory 4)
        (data (i32.const 8) "first") (data (i32.const 70000) "second")
        (func (export "run") (i32.store8 (i32.const 200000) (i32.const 5)) unreachable))"#;
    let module = Module::new(&engine, wat)?;
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        let _other = Instance::new(&mut store, &module, &[])?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let error = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
        let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
        // Compiled code does not tell which of the two it ran for.
        assert_eq!(dump.instance_of_frame(0), None);
        assert_eq!(dump.modules().len(), 1);
        let found = read(&dump.serialize(&mut store, ""));
        assert_eq!(found.instances.iter().map(|i| i.module_index).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(found.frames[0].instanceidx, 0);
        for memory in [0, 1] {
            assert_eq!(found.bytes(memory, 8, 5), b"first");
            assert_eq!(found.bytes(memory, 70000, 6), b"second");
        }
        assert_eq!((found.bytes(0, 200_000, 1), found.bytes(1, 200_000, 1)), (vec![0], vec![5]));
    }
    Ok(())
}

#[test]
fn shared_memories_are_copied() -> Result<()> {
    let engine = dumping();
    let wat = r#"(module (import "" "m" (memory 1 4 shared)) (func (export "run") unreachable))"#;
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 4))?;
    memory.grow(1)?;
    memory.data().write(70000, &[9])?;
    let mut store = Store::new(&engine, ());
    let imports = [Extern::from(memory)];
    let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &imports)?;
    let error = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
    let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
    assert_eq!((dump.memories().len(), dump.shared_memories().len()), (0, 1));
    let found = read(&dump.serialize(&mut store, ""));
    let memory = found.memories[0];
    assert!(memory.shared);
    assert_eq!((memory.initial, memory.maximum), (2, Some(4)));
    assert_eq!(found.bytes(0, 69999, 3), [0, 9, 0]);
    Ok(())
}

#[test]
fn all_frames_of_a_deep_stack_are_there() {
    let (found, _) = dump_of(
        r#"(module
            (func $down (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
            (func (export "run") (drop (call $down (i32.const 3000)))))"#,
    );
    assert!(found.frames.len() >= 3002, "{}", found.frames.len());
    assert_eq!(found.frames.last().unwrap().funcidx, 1);
}

#[test]
fn the_backtrace_is_as_short_as_without() -> Result<()> {
    let wat = r#"(module (func $f (export "run") (result i32) (i32.add (call $f) (i32.const 1))))"#;
    let mut told = Vec::new();
    for enable in [false, true] {
        let engine = Engine::new(Config::new().coredump_on_trap(enable))?;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &[])?;
        let error = instance.get_typed_func::<(), i32>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        told.push(backtrace.to_string());
        if let Some(dump) = error.downcast_ref::<WasmCoreDump>() {
            read(&dump.serialize(&mut store, ""));
        }
    }
    assert_eq!(told[0], told[1]);
    Ok(())
}

#[test]
fn errors_of_the_host_and_deeper_runs() -> Result<()> {
    let engine = dumping();
    let wat = r#"(module (import "" "host" (func $host)) (func (export "run") (call $host)) (func (export "deep") unreachable))"#;
    let mut store = Store::new(&engine, None::<Func>);
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, Option<Func>>| match *caller.data() {
        Some(deep) => deep.call(&mut caller, &[], &mut []),
        None => Err(belljar::Error::msg("the host's own")),
    });
    let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &[host.into()])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "the host's own");
    let functions = |dump: &WasmCoreDump| dump.frames().iter().map(|f| f.func_index()).collect::<Vec<_>>();
    assert_eq!(functions(error.downcast_ref().unwrap()), [1]);

    *store.data_mut() = instance.get_func(&mut store, "deep");
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(functions(error.downcast_ref().unwrap()), [2, 1]);
    assert_eq!(format!("{error:?}").matches("wasm core dump").count(), 1);
    Ok(())
}

#[test]
fn a_segment_that_does_not_fit() -> Result<()> {
    let engine = dumping();
    let wat = r#"(module (memory 1) (data (i32.const 10) "in") (data (i32.const 65535) "out"))"#;
    let mut store = Store::new(&engine, ());
    let error = Instance::new(&mut store, &Module::new(&engine, wat)?, &[]).unwrap_err();
    let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
    assert!(dump.frames().is_empty());
    assert_eq!(read(&dump.serialize(&mut store, "")).bytes(0, 10, 2), b"in");
    Ok(())
}

#[test]
fn an_empty_store_is_a_valid_file() {
    let store = Store::new(&Engine::default(), ());
    let dump = WasmCoreDump::of(&store);
    let found = read(&dump.serialize(&store, "nothing"));
    assert_eq!((found.modules.len(), found.instances.len(), found.frames.len()), (0, 0, 0));
    assert_eq!((found.memories.len(), found.globals.len(), found.segments.len()), (0, 0, 0));
}

#[test]
#[should_panic = "a WasmCoreDump was used with a store that it does not belong to"]
fn another_store_is_refused() {
    let engine = Engine::default();
    let dump = WasmCoreDump::of(Store::new(&engine, ()));
    dump.serialize(Store::new(&engine, ()), "");
}

#[test]
fn artifacts_need_nothing_for_it() -> Result<()> {
    let plain = Engine::default();
    let wat = r#"(module $kept (memory 1) (func (export "run") (param i32) (local i64) (nop) unreachable))"#;
    let artifact = Module::new(&plain, wat)?.serialize()?;
    let engine = dumping();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::deserialize(&engine, artifact)?, &[])?;
    let error = instance.get_typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, 1).unwrap_err();
    let found = read(&error.downcast_ref::<WasmCoreDump>().unwrap().serialize(&mut store, ""));
    assert_eq!(found.modules, ["kept"]);
    assert_eq!((found.frames[0].funcidx, found.frames[0].codeoffset), (0, 4));
    Ok(())
}
