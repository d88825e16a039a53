//! Every way in which a run of guest code can end, and that the store is usable afterwards.

use belljar::{
    Caller, Config, Engine, Error, Extern, Func, Instance, Linker, MemoryFault, Module, Result, Store, Trap,
    Val, WasmBacktrace,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn instance(store: &mut Store<()>, wat: &str, imports: &[Extern]) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, imports)
}

fn trap_of(wat: &str) -> Result<(Trap, Vec<String>)> {
    let mut store = Store::new(&Engine::default(), ());
    let instance = instance(&mut store, wat, &[])?;
    let f = instance.get_func(&mut store, "f").expect("the module exports f");
    let mut results = vec![Val::I32(0); f.ty(&store).results().len()];
    let error = f.call(&mut store, &[], &mut results).unwrap_err();
    let names = error
        .downcast_ref::<WasmBacktrace>()
        .map(|b| b.frames().iter().map(|f| f.func_name().unwrap_or("?").to_string()).collect::<Vec<_>>());
    let trap = *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("no trap: {error:?}"));
    // The store continues to work.
    if let Some(ok) = instance.get_func(&mut store, "ok") {
        ok.call(&mut store, &[], &mut [])?;
    }
    Ok((trap, names.unwrap_or_default()))
}

#[test]
fn every_trap_is_told_apart_and_named() -> Result<()> {
    let cases = [
        ("unreachable", Trap::UnreachableCodeReached),
        ("(drop (i32.div_s (i32.const 1) (global.get $zero)))", Trap::IntegerDivisionByZero),
        ("(drop (i32.rem_u (i32.const 1) (global.get $zero)))", Trap::IntegerDivisionByZero),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (global.get $zero) (i32.const 1))))",
            Trap::IntegerOverflow,
        ),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", Trap::BadConversionToInteger),
        ("(drop (i32.trunc_f64_s (f64.const 1e30)))", Trap::IntegerOverflow),
        ("(drop (i32.load (i32.const 65533)))", Trap::MemoryOutOfBounds),
        ("(drop (i64.load offset=0xffffffff (i32.const 0xffffffff)))", Trap::MemoryOutOfBounds),
        ("(i32.store8 (i32.const 65536) (i32.const 1))", Trap::MemoryOutOfBounds),
        ("(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))", Trap::MemoryOutOfBounds),
        ("(memory.copy (i32.const 0) (i32.const 65536) (i32.const 1))", Trap::MemoryOutOfBounds),
        ("(drop (table.get $t (i32.const 3)))", Trap::TableOutOfBounds),
        ("(table.set $t (i32.const 3) (ref.null func))", Trap::TableOutOfBounds),
        ("(call_indirect (i32.const 3))", Trap::UndefinedElement),
        ("(call_indirect (i32.const 1))", Trap::IndirectCallToNull),
        ("(call_indirect (param i32) (i32.const 1) (i32.const 0))", Trap::BadSignature),
        ("(call $f)", Trap::StackOverflow),
    ];
    for (body, expected) in cases {
        let wat = format!(
            r#"(module
                (memory 1)
                (table $t 3 funcref)
                (elem (i32.const 0) $ok)
                (global $zero (mut i32) (i32.const 0))
                (func $ok (export "ok"))
                (func $inner {body})
                (func $f (export "f") (call $inner)))"#
        );
        let (trap, names) = trap_of(&wat)?;
        assert_eq!(trap, expected, "{body}");
        if expected == Trap::StackOverflow {
            assert!(names.len() > 100, "{}", names.len());
        } else {
            assert_eq!(names, ["inner", "f"], "{body}");
        }
    }
    Ok(())
}

#[test]
fn a_stack_overflow_is_at_the_start_of_the_function_that_did_not_fit() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let wat = r#"(module (func $f (export "f") (param i32) (result i32)
        (i32.div_s (call $f (local.get 0)) (local.get 0))))"#;
    let f = instance(&mut store, wat, &[])?.get_typed_func::<i32, i32>(&mut store, "f")?;
    let error = f.call(&mut store, 0).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    let frames = error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames();
    assert_eq!(frames[0].func_offset(), Some(0));
    // The number of locals, a `local.get` of two bytes, then the call.
    assert!(frames[1..].iter().all(|frame| frame.func_offset() == Some(3)));
    Ok(())
}

#[test]
fn a_memory_fault_says_where() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let wat = r#"(module (memory 17) (func (export "f") (drop (i32.load (i32.const 0x41414141)))))"#;
    let f = instance(&mut store, wat, &[])?.get_typed_func::<(), ()>(&mut store, "f")?;
    let error = f.call(&mut store, ()).unwrap_err();
    let fault = error.downcast_ref::<MemoryFault>().expect("a fault");
    assert_eq!((fault.address(), fault.memory_size()), (Some(0x41414141), 17 << 16));
    assert_eq!((fault.access_size(), fault.memory_index()), (Some(4), Some(0)));
    let expected = "4 bytes at 0x41414141, memory 0 is 17 pages (1088 KiB); \
        the address reads as the text \"AAAA\": was text written over a pointer?";
    assert_eq!(fault.to_string(), expected);
    Ok(())
}

/// Returns the description of the access that traps in a function's body, in a module with these memories.
fn fault_of(engine: &Engine, memories: &str, body: &str) -> Result<Option<MemoryFault>> {
    let mut store = Store::new(engine, ());
    let wat =
        format!(r#"(module {memories} (func (export "f") (param i32) (result i32) {body} (local.get 0)))"#);
    let f = instance(&mut store, &wat, &[])?.get_typed_func::<i32, i32>(&mut store, "f")?;
    let error = f.call(&mut store, 65535).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{body}");
    Ok(error.downcast_ref::<MemoryFault>().copied())
}

#[test]
fn a_memory_fault_describes_the_access() -> Result<()> {
    let engine = Engine::default();
    let cases = [
        ("(drop (i32.load8_u offset=1 (local.get 0)))", "1 byte at 0x10000"),
        ("(drop (i32.load16_u offset=2 (local.get 0)))", "2 bytes at 0x10001"),
        ("(i64.store (i32.const -1) (i64.const 0))", "8 bytes at 0xffffffff"),
        ("(v128.store offset=16 (i32.const -1) (v128.const i64x2 0 0))", "16 bytes at 0x10000000f"),
        // It begins inside the memory, or exactly at its end: the processor does not tell.
        ("(drop (i32.load (local.get 0)))", "4 bytes at or across the end at 0x10000"),
        ("(i64.store offset=1 (local.get 0) (i64.const 0))", "8 bytes at or across the end at 0x10000"),
        // The load is part of another instruction.
        ("(local.set 0 (i32.add (local.get 0) (i32.load offset=9 (local.get 0))))", "4 bytes at 0x10008"),
        ("(local.set 0 (i32.lt_u (local.get 0) (i32.load offset=9 (local.get 0))))", "4 bytes at 0x10008"),
        ("(local.set 0 (i32.div_u (i32.const 9) (i32.load offset=9 (local.get 0))))", "4 bytes at 0x10008"),
        ("(local.set 0 (i32.wrap_i64 (i64.load offset=9 (local.get 0))))", "8 bytes at 0x10008"),
        ("(if (i32.load offset=9 (local.get 0)) (then unreachable))", "4 bytes at 0x10008"),
        (
            "(if (i32.lt_u (local.get 0) (i32.load offset=9 (local.get 0))) (then (local.set 0 (i32.const 5))))",
            "4 bytes at 0x10008",
        ),
        (
            "(if (i32.eqz (i32.and (i32.load offset=9 (local.get 0)) (i32.const 4)))
                (then (local.set 0 (i32.const 5))))",
            "4 bytes at 0x10008",
        ),
        (
            "(local.set 0 (f64.lt (f64.convert_i32_s (local.get 0)) (f64.load offset=9 (local.get 0))))",
            "8 bytes at 0x10008",
        ),
        (
            "(i32.store offset=9 (local.get 0)
                (i32.add (i32.load offset=9 (local.get 0)) (i32.const 5)))",
            "4 bytes at 0x10008",
        ),
        (
            "(drop (f64x2.add (v128.const i64x2 1 2) (v128.load offset=17 (local.get 0))))",
            "16 bytes at 0x10010",
        ),
    ];
    for (body, expected) in cases {
        let fault = fault_of(&engine, "(memory 1)", body)?.expect("a fault");
        let hint = match fault.address() {
            Some(0xffff_ffff) => {
                "; the address is -1 as a signed number: an access before null, or a negative index"
            }
            Some(0x1_0000_000f) => {
                "; the address is above 4 GiB: a value that is negative as a signed number, plus an offset"
            }
            _ => "",
        };
        assert_eq!(fault.to_string(), format!("{expected}, memory 0 is 1 page (64 KiB){hint}"), "{body}");
    }
    Ok(())
}

#[test]
fn a_memory_fault_names_the_memory_that_was_accessed() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_multi_memory(true))?;
    for (index, size) in ["1 page (64 KiB)", "2 pages (128 KiB)", "0 pages (0 bytes)"].iter().enumerate() {
        let body = format!("(drop (i32.load {index} (i32.const 0xfffffff0)))");
        let fault = fault_of(&engine, "(memory 1) (memory 2) (memory 0)", &body)?.expect("a fault");
        assert_eq!(fault.memory_index(), Some(index as u32));
        let hint = "the address is -16 as a signed number: an access before null, or a negative index";
        assert_eq!(fault.to_string(), format!("4 bytes at 0xfffffff0, memory {index} is {size}; {hint}"));
    }
    Ok(())
}

#[test]
fn a_fault_of_a_bulk_operation_tells_its_range() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_multi_memory(true))?;
    let module =
        r#"(memory 1) (memory 2) (data $d "hello") (data $empty (i32.const 0) "") (data $gone "gone")"#;
    let cases = [
        (
            "(memory.fill (i32.const 65000) (i32.const 0) (i32.const 1000))",
            "1000 bytes at 0xfde8, memory 0 is 1 page (64 KiB)",
        ),
        (
            "(memory.fill 1 (i32.const 65536) (i32.const 0) (i32.add (local.get 0) (i32.const 2)))",
            "65537 bytes at 0x10000, memory 1 is 2 pages (128 KiB)",
        ),
        (
            "(memory.copy (i32.const 0) (i32.const 1) (local.get 0))
             (memory.copy (i32.const 2) (i32.const 0) (local.get 0))",
            "65535 bytes at 0x2, memory 0 is 1 page (64 KiB)",
        ),
        // Short operations of unknown length, which are done inline.
        (
            "(memory.copy (local.get 0) (i32.const 1) (i32.and (local.get 0) (i32.const 7)))",
            "7 bytes at 0xffff, memory 0 is 1 page (64 KiB)",
        ),
        (
            "(memory.copy 0 1 (local.get 0) (i32.const 1) (i32.and (local.get 0) (i32.const 7)))",
            "7 bytes at 0xffff, memory 0 is 1 page (64 KiB)",
        ),
        (
            "(memory.copy 0 1 (i32.const 0) (i32.const 0x20001) (i32.and (local.get 0) (i32.const 0)))",
            "0 bytes at 0x20001, memory 1 is 2 pages (128 KiB)",
        ),
        // Operations of constant length, whose bounds are compared inline.
        (
            "(memory.fill 1 (i32.const -1) (i32.const 0) (i32.const 9))",
            "at an unknown address, memory 1 is 2 pages (128 KiB)",
        ),
        (
            "(memory.init $d (i32.const 65534) (i32.const 1) (i32.const 3))",
            "3 bytes of data segment 0 at 0xfffe, memory 0 is 1 page (64 KiB)",
        ),
        (
            "(memory.init $d (i32.const 0) (i32.const 3) (i32.const 3))",
            "3 bytes at 0x3 of data segment 0, which has 5 bytes",
        ),
        (
            "(data.drop $gone) (memory.init $gone (i32.const 0) (i32.const 0) (i32.const 4))",
            "4 bytes at 0x0 of data segment 2, which is dropped or empty",
        ),
    ];
    for (body, expected) in cases {
        let fault = fault_of(&engine, module, body)?.unwrap_or_else(|| panic!("no fault: {body}"));
        assert_eq!(fault.to_string(), expected, "{body}");
    }
    let fault = fault_of(&engine, module, cases[0].0)?.expect("a fault");
    assert_eq!((fault.address(), fault.access_size(), fault.data_segment()), (Some(65000), Some(1000), None));
    Ok(())
}

#[test]
fn a_data_segment_without_room_is_named() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let wat = r#"(module (memory 1) (data (i32.const 65535) "a") (data (i32.const 65534) "abc"))"#;
    let error = instance(&mut store, wat, &[]).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
    let fault = error.downcast_ref::<MemoryFault>().expect("a fault");
    assert_eq!((fault.address(), fault.access_size(), fault.data_segment()), (Some(65534), Some(3), Some(1)));
    assert_eq!(fault.to_string(), "3 bytes of data segment 1 at 0xfffe, memory 0 is 1 page (64 KiB)");
    Ok(())
}

#[test]
fn a_compared_access_tells_all_but_its_address() -> Result<()> {
    let body = "(i64.store offset=1 (local.get 0) (i64.const 0))";
    let expected = "8 bytes at an unknown address, memory 0 is 1 page (64 KiB)";
    let checked = Engine::new(Config::new().memory_reservation(0))?;
    let fault = fault_of(&checked, "(memory 1)", body)?.expect("a fault");
    assert_eq!((fault.address(), fault.memory_size()), (None, 1 << 16));
    assert_eq!(fault.to_string(), expected);
    // An offset beyond the guard region is always compared.
    let far = "(drop (i64.load offset=0x7fffffff (local.get 0)))";
    assert_eq!(fault_of(&Engine::default(), "(memory 1)", far)?.expect("a fault").to_string(), expected);
    Ok(())
}

/// Code that compares does not tell for which instance of a module it ran.
#[test]
fn the_size_of_a_memory_is_told_where_it_is_certain() -> Result<()> {
    let engine = Engine::new(Config::new().memory_reservation(0))?;
    let mut store = Store::new(&engine, ());
    let module = Module::new(
        &engine,
        r#"(module (memory (export "m") 1) (func (export "f") (drop (i32.load (i32.const -1)))))"#,
    )?;
    let (first, second) =
        (Instance::new(&mut store, &module, &[])?, Instance::new(&mut store, &module, &[])?);
    let f = first.get_typed_func::<(), ()>(&mut store, "f")?;
    assert!(f.call(&mut store, ()).unwrap_err().downcast_ref::<MemoryFault>().is_some());
    second.get_memory(&mut store, "m").expect("a memory").grow(&mut store, 1)?;
    assert!(f.call(&mut store, ()).unwrap_err().downcast_ref::<MemoryFault>().is_none());
    Ok(())
}

#[test]
fn a_host_error_comes_back_as_itself() -> Result<()> {
    #[derive(Debug)]
    struct Mine(u32);
    impl std::fmt::Display for Mine {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "mine {}", self.0)
        }
    }
    impl std::error::Error for Mine {}

    let mut store = Store::new(&Engine::default(), ());
    let fail = Func::wrap(&mut store, |x: u32| -> Result<()> { Err(Error::new(Mine(x))) });
    let wat = r#"(module (import "" "" (func $fail (param i32)))
        (func $f (export "f") (call $fail (i32.const 7))))"#;
    let f = instance(&mut store, wat, &[fail.into()])?.get_typed_func::<(), ()>(&mut store, "f")?;
    for _ in 0..3 {
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Mine>().expect("my error").0, 7);
        assert_eq!(error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames().len(), 1);
    }
    Ok(())
}

#[test]
fn a_host_panic_goes_on_to_the_caller() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let fail = Func::wrap(&mut store, |x: i32| {
        if x > 0 {
            std::panic::panic_any(x);
        }
    });
    let wat = r#"(module (import "" "" (func $fail (param i32)))
        (func $f (export "f") (param i32) (call $fail (local.get 0))))"#;
    let f = instance(&mut store, wat, &[fail.into()])?.get_typed_func::<i32, ()>(&mut store, "f")?;
    let payload = catch_unwind(AssertUnwindSafe(|| f.call(&mut store, 9))).unwrap_err();
    assert_eq!(payload.downcast_ref::<i32>(), Some(&9));
    f.call(&mut store, 0)
}

/// Host → guest → host → guest …, with a failure at the bottom.
#[test]
fn reentry_to_any_depth_unwinds_level_by_level() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Vec<String>> = Linker::new(&engine);
    linker.func_wrap("", "down", |mut caller: Caller<'_, Vec<String>>, depth: i32| -> Result<i32> {
        let run = caller.get_export("run").and_then(Extern::into_func).expect("the caller exports run");
        let run = run.typed::<i32, i32>(&caller)?;
        let result = run.call(&mut caller, depth);
        let note = format!("{depth} {}", if result.is_ok() { "ok" } else { "failed" });
        caller.data_mut().push(note);
        result
    })?;
    let module = Module::new(
        &engine,
        r#"(module (import "" "down" (func $down (param i32) (result i32)))
            (func $run (export "run") (param i32) (result i32)
                (if (result i32) (i32.eqz (local.get 0))
                    (then (unreachable))
                    (else (i32.eq (local.get 0) (i32.const 100))
                        (if (result i32) (then (i32.const 5))
                            (else (call $down (i32.sub (local.get 0) (i32.const 1)))))))))"#,
    )?;
    let mut store = Store::new(&engine, Vec::new());
    let run = linker.instantiate(&mut store, &module)?.get_typed_func::<i32, i32>(&mut store, "run")?;
    let error = run.call(&mut store, 5).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    // One backtrace, of the whole stack through all levels.
    assert_eq!(error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames().len(), 6);
    assert_eq!(store.data().join(","), "0 failed,1 failed,2 failed,3 failed,4 failed");
    store.data_mut().clear();
    assert_eq!(run.call(&mut store, 103)?, 5);
    assert_eq!(store.data().len(), 3);
    Ok(())
}

#[test]
fn recursion_through_the_host_ends_in_a_trap() -> Result<()> {
    let mut config = Config::new();
    config.max_wasm_stack(512 << 10);
    let engine = Engine::new(&config)?;
    let mut linker: Linker<u32> = Linker::new(&engine);
    linker.func_wrap("", "again", |mut caller: Caller<'_, u32>| -> Result<()> {
        *caller.data_mut() += 1;
        let run = caller.get_export("run").and_then(Extern::into_func).expect("the caller exports run");
        run.typed::<(), ()>(&caller)?.call(&mut caller, ())
    })?;
    let module = Module::new(
        &engine,
        r#"(module (import "" "again" (func $again)) (func (export "run") (call $again)))"#,
    )?;
    let mut store = Store::new(&engine, 0);
    let run = linker.instantiate(&mut store, &module)?.get_typed_func::<(), ()>(&mut store, "run")?;
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    assert!(*store.data() > 50, "{}", store.data());
    Ok(())
}

#[test]
fn recursion_of_host_functions_alone_ends_in_a_trap() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<u32> = Linker::new(&engine);
    linker.func_wrap("", "call_back", |mut caller: Caller<'_, u32>| -> Result<()> {
        *caller.data_mut() += 1;
        let function = caller.get_export("back").and_then(Extern::into_func).expect("the caller exports it");
        function.call(&mut caller, &[], &mut [])
    })?;
    // There is no guest code between two calls that would check the stack.
    let wat = r#"(module (import "" "call_back" (func $f)) (export "back" (func $f)) (func (export "run") (call $f)))"#;
    let module = Module::new(&engine, wat)?;
    for export in ["run", "back"] {
        let mut store = Store::new(&engine, 0);
        let run = linker.instantiate(&mut store, &module)?.get_typed_func::<(), ()>(&mut store, export)?;
        let error = run.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
        assert!(*store.data() > 50, "{}", store.data());
    }
    Ok(())
}

#[test]
fn a_trap_in_a_start_function_leaves_the_store_usable() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let error = instance(&mut store, "(module (func $s unreachable) (start $s))", &[]).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    instance(&mut store, "(module (func $s) (start $s))", &[])?;
    Ok(())
}

#[test]
fn a_backtrace_counts_what_it_leaves_out() -> Result<()> {
    let wat = r#"(module
        (func $down (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then unreachable))
            (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (func $step (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))
        (func (export "run") (param i32) (result i32) (i32.add (call $step (local.get 0)) (i32.const 1))))"#;
    for inlining in [true, false] {
        let engine = Engine::new(Config::new().compiler_inlining(inlining))?;
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, wat, &[])?.get_typed_func::<i32, i32>(&mut store, "run")?;
        for depth in [0, 1, 100, 252, 253, 254, 255, 256, 257, 1000, 5000] {
            let error = run.call(&mut store, depth).unwrap_err();
            let backtrace = error.downcast_ref::<WasmBacktrace>().expect("a trap has a backtrace");
            let (kept, omitted) = (backtrace.frames().len(), backtrace.omitted());
            // One `down` for each number up to `depth`, and the two functions that lead there.
            assert_eq!(kept + omitted, depth as usize + 3, "{kept} kept of {depth}");
            let text = backtrace.to_string();
            assert_eq!(text.contains(" more frame"), omitted > 0);
            assert!(omitted < 2 || text.ends_with(&format!("\n  … {omitted} more frames")), "{text}");
        }
    }
    Ok(())
}

/// By how much fuel may overshoot, as documented in docs/cli.md.
#[test]
fn fuel_is_looked_at_where_functions_and_loops_begin() -> Result<()> {
    let count = "(global.set $n (i32.add (global.get $n) (i32.const 1)))";
    let wat = format!(
        r#"(module
            (global $n (export "n") (mut i32) (i32.const 0))
            (func $many (export "many") {many})
            (func (export "around") (call $many) {ten} (call $many))
            (func (export "rounds") (loop {ten} (br 0))))"#,
        many = count.repeat(1000),
        ten = count.repeat(10)
    );
    let engine = Engine::new(Config::new().consume_fuel(true).compiler_inlining(false))?;
    let mut store = Store::new(&engine, ());
    let instance = instance(&mut store, &wat, &[])?;
    let mut counted = |name: &str, fuel: u64| -> Result<(i32, bool)> {
        let n = instance.get_global(&mut store, "n").expect("a global");
        n.set(&mut store, Val::I32(0))?;
        store.set_fuel(fuel)?;
        let ended = instance.get_typed_func::<(), ()>(&mut store, name)?.call(&mut store, ());
        let is_out = ended.is_err_and(|error| error.downcast_ref() == Some(&Trap::OutOfFuel));
        Ok((n.get(&mut store).i32().expect("an i32"), is_out))
    };
    // To the end of a function without loops and calls; and not at all.
    assert_eq!(counted("many", 1)?, (1000, false));
    assert_eq!(counted("many", 0)?, (0, true));
    // Further in the calling function, up to its next call.
    assert_eq!(counted("around", 2)?, (1010, true));
    // The iteration in which it runs out is the last: one has 41 instructions.
    assert_eq!(counted("rounds", 41 * 6 + 1)?, (70, true));
    Ok(())
}

#[test]
fn fuel_runs_out_and_can_be_given() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let mut store = Store::new(&engine, ());
    let wat = r#"(module (func (export "f") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let f = instance(&mut store, wat, &[])?.get_typed_func::<i32, ()>(&mut store, "f")?;
    store.set_fuel(1_000_000)?;
    f.call(&mut store, 1000)?;
    let used = 1_000_000 - store.get_fuel()?;
    assert!((3000..10_000).contains(&used), "{used}");
    store.set_fuel(1000)?;
    let error = f.call(&mut store, 1000).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::OutOfFuel));
    store.set_fuel(u64::MAX)?;
    f.call(&mut store, 1000)?;
    assert_eq!(store.get_fuel()?, u64::MAX - used);
    assert!(Store::new(&Engine::default(), ()).set_fuel(1).is_err());
    Ok(())
}

#[test]
fn an_endless_loop_is_interrupted_at_the_epoch_deadline() -> Result<()> {
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let mut store = Store::new(&engine, 0);
    let module = Module::new(&engine, r#"(module (func (export "f") (loop (br 0))))"#)?;
    let f = Instance::new(&mut store, &module, &[])?.get_typed_func::<(), ()>(&mut store, "f")?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        match *store.data() {
            3 => Ok(belljar::UpdateDeadline::Interrupt),
            _ => Ok(belljar::UpdateDeadline::Continue(1)),
        }
    });
    let ticker = {
        let engine = engine.clone();
        std::thread::spawn(move || {
            for _ in 0..2000 {
                engine.increment_epoch();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        })
    };
    let error = f.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    assert_eq!(*store.data(), 3);
    drop(ticker);
    Ok(())
}

#[test]
fn two_threads_run_two_stores_of_one_module() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (memory 1) (func (export "f") (param i32) (result i32) (local i32)
            (loop
                (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get 0)))
                (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 100000))))
            (drop (i32.load (i32.const 65536)))
            (i32.load (i32.const 8))))"#,
    )?;
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|i| {
                let (engine, module) = (&engine, &module);
                scope.spawn(move || -> Result<()> {
                    for _ in 0..20 {
                        let mut store = Store::new(engine, ());
                        let instance = Instance::new(&mut store, module, &[])?;
                        let f = instance.get_typed_func::<i32, i32>(&mut store, "f")?;
                        let error = f.call(&mut store, i).unwrap_err();
                        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
                    }
                    Ok(())
                })
            })
            .collect();
        runs.into_iter().try_for_each(|run| run.join().expect("no panic"))
    })
}

fn engine_with_tail_calls(adjust: impl FnOnce(&mut Config)) -> Result<Engine> {
    let mut config = Config::new();
    config.wasm_tail_call(true);
    adjust(&mut config);
    Engine::new(&config)
}

#[test]
fn a_tail_call_leaves_no_frame_to_be_shown() -> Result<()> {
    for inlining in [false, true] {
        let engine = engine_with_tail_calls(|config| {
            config.compiler_inlining(inlining);
        })?;
        let mut store = Store::new(&engine, ());
        let fail = Func::wrap(&mut store, || -> Result<()> { Err(Error::msg("the host is out")) });
        let wat = r#"(module
            (import "host" "fail" (func $fail))
            (func $inner (param i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (call $inner (i32.sub (local.get 0) (i32.const 1))))
            (func $middle (return_call $inner (i32.const 1)))
            (func $outer (export "f") (call $middle))
            (func $last (return_call $fail))
            (func $before (export "g") (call $last))
            (func (export "h") (return_call $fail)))"#;
        let instance = instance(&mut store, wat, &[fail.into()])?;
        for (name, frames) in [("f", &["inner", "inner", "outer"][..]), ("g", &["before"]), ("h", &[])] {
            let f = instance.get_typed_func::<(), ()>(&mut store, name)?;
            let error = f.call(&mut store, ()).unwrap_err();
            let mut found: Vec<_> = error
                .downcast_ref::<WasmBacktrace>()
                .map(|b| b.frames().iter().map(|f| f.func_name().unwrap_or("?").to_string()).collect())
                .unwrap_or_default();
            // Inlined functions are shown where they were inlined.
            found.retain(|name| !inlining || !["middle", "last"].contains(&&**name));
            assert_eq!(found, frames, "{name}");
        }
    }
    Ok(())
}

#[test]
fn endless_tail_calls_end_when_the_fuel_does() -> Result<()> {
    let engine = engine_with_tail_calls(|config| {
        config.consume_fuel(true);
    })?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(100_000)?;
    let wat = r#"(module
        (func $itself (export "itself") (return_call $itself))
        (func $inlined (export "inlined") (call $itself))
        (func $ping (export "ping") (return_call $pong))
        (func $pong (return_call $ping)))"#;
    let instance = instance(&mut store, wat, &[])?;
    for name in ["itself", "inlined", "ping"] {
        store.set_fuel(100_000)?;
        let f = instance.get_typed_func::<(), ()>(&mut store, name)?;
        assert_eq!(f.call(&mut store, ()).unwrap_err().downcast_ref(), Some(&Trap::OutOfFuel), "{name}");
    }
    Ok(())
}
