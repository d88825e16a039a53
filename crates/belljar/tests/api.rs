//! The embedding interface: its shapes, its limits, and the results of misuse.

use belljar::{
    Caller, Config, Engine, Extern, ExternRef, Func, FuncType, Global, GlobalType, Instance, InstancePre,
    Linker, Memory, MemoryType, Module, Mutability, Ref, RefType, Result, Rooted, Store, StoreLimits,
    StoreLimitsBuilder, Table, TableType, UnknownImportError, V128, Val, ValType,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn instance<T>(store: &mut Store<T>, wat: &str, imports: &[Extern]) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, imports)
}

#[test]
fn what_is_shared_is_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Engine>();
    shared::<Module>();
    shared::<Linker<()>>();
    shared::<InstancePre<()>>();
    sent::<Store<()>>();
}

#[test]
fn sixteen_parameters_of_every_type_and_many_results() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    type Many = (i32, i64, f32, f64, i32, i64, f32, f64, i32, i64, f32, f64, i32, i64, f32, f64);
    let sum = |t: Many| {
        t.0 as f64
            + t.1 as f64 * 2.0
            + t.2 as f64 * 3.0
            + t.3 * 4.0
            + t.4 as f64 * 5.0
            + t.5 as f64 * 6.0
            + t.6 as f64 * 7.0
            + t.7 * 8.0
            + t.8 as f64 * 9.0
            + t.9 as f64 * 10.0
            + t.10 as f64 * 11.0
            + t.11 * 12.0
            + t.12 as f64 * 13.0
            + t.13 as f64 * 14.0
            + t.14 as f64 * 15.0
            + t.15 * 16.0
    };
    #[rustfmt::skip]
    let host = Func::wrap(&mut store, move |a: i32, b: i64, c: f32, d: f64, e: i32, f: i64, g: f32, h: f64,
        i: i32, j: i64, k: f32, l: f64, m: i32, n: i64, o: f32, p: f64| -> (f64, i32, V128) {
        (sum((a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)), a, V128::from(u128::MAX - 5))
    });
    let types = "i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64";
    let gets: String = (0..16).map(|i| format!("(local.get {i})")).collect();
    let wat = format!(
        r#"(module (import "" "" (func $host (param {types}) (result f64 i32 v128)))
            (func (export "f") (param {types}) (result f64 i32 v128) (call $host {gets})))"#
    );
    let f = instance(&mut store, &wat, &[host.into()])?;
    let f = f.get_typed_func::<Many, (f64, i32, V128)>(&mut store, "f")?;
    let args = (1, 2, 3.0, 4.0, 5, 6, 7.0, 8.0, 9, 10, 11.0, 12.0, 13, 14, 15.0, 16.0);
    let (total, first, vector) = f.call(&mut store, args)?;
    assert_eq!((total, first, vector.as_u128()), (1496.0, 1, u128::MAX - 5));
    // The same through the dynamically typed interface.
    let params: Vec<Val> = vec![
        1.into(),
        2_i64.into(),
        3_f32.into(),
        4_f64.into(),
        5.into(),
        6_i64.into(),
        7_f32.into(),
        8_f64.into(),
        9.into(),
        10_i64.into(),
        11_f32.into(),
        12_f64.into(),
        13.into(),
        14_i64.into(),
        15_f32.into(),
        16_f64.into(),
    ];
    let mut results = [Val::I32(0); 3];
    f.func().call(&mut store, &params, &mut results)?;
    assert_eq!((results[0].unwrap_f64(), results[1].unwrap_i32()), (1496.0, 1));
    assert_eq!(results[2].unwrap_v128().as_u128(), u128::MAX - 5);
    Ok(())
}

#[test]
fn functions_of_a_type_known_at_run_time() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<i64> = Linker::new(&engine);
    let ty = FuncType::new(&engine, [ValType::I32, ValType::F64], [ValType::F64, ValType::I32]);
    linker.func_new("host", "swap", ty, |mut caller, params, results| {
        *caller.data_mut() += 1;
        results[0] = params[1];
        results[1] = params[0];
        Ok(())
    })?;
    linker.func_new("host", "wrong", FuncType::new(&engine, [], [ValType::I32]), |_, _, results| {
        results[0] = Val::I64(1);
        Ok(())
    })?;
    let module = Module::new(
        &engine,
        r#"(module (import "host" "swap" (func $swap (param i32 f64) (result f64 i32)))
            (import "host" "wrong" (func $wrong (result i32)))
            (func (export "f") (param i32 f64) (result f64 i32) (call $swap (local.get 0) (local.get 1)))
            (func (export "w") (result i32) (call $wrong)))"#,
    )?;
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &module)?;
    let f = instance.get_typed_func::<(i32, f64), (f64, i32)>(&mut store, "f")?;
    assert_eq!(f.call(&mut store, (3, 2.5))?, (2.5, 3));
    assert_eq!(*store.data(), 1);
    let w = instance.get_typed_func::<(), i32>(&mut store, "w")?;
    let error = w.call(&mut store, ()).unwrap_err();
    assert!(error.root_cause().to_string().contains("returned a value of type i64"), "{error:?}");
    Ok(())
}

#[test]
fn references_cross_the_boundary_both_ways() -> Result<()> {
    let mut store = Store::new(&Engine::default(), 0_i32);
    let note = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, x: i32| *caller.data_mut() += x);
    let choose = Func::wrap(&mut store, move |first: i32, other: Option<Func>| -> Option<Func> {
        if first != 0 { Some(note) } else { other }
    });
    let wat = r#"(module
        (import "" "choose" (func $choose (param i32 funcref) (result funcref)))
        (table $t (export "t") 2 4 funcref)
        (elem declare func $own)
        (func $own (param i32))
        (func (export "run") (param i32)
            (table.set $t (i32.const 0) (call $choose (local.get 0) (ref.func $own)))
            (call_indirect (param i32) (i32.const 5) (i32.const 0))))"#;
    let instance = instance(&mut store, wat, &[choose.into()])?;
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run")?;
    run.call(&mut store, 0)?;
    assert_eq!(*store.data(), 0);
    run.call(&mut store, 1)?;
    assert_eq!(*store.data(), 5);
    let table = instance.get_table(&mut store, "t").expect("a table");
    let element = table.get(&mut store, 0).expect("in bounds");
    element.unwrap_func().expect("not null").call(&mut store, &[Val::I32(10)], &mut [])?;
    assert_eq!(*store.data(), 15);
    table.set(&mut store, 1, Ref::Func(None))?;
    assert!(table.get(&mut store, 1).expect("in bounds").is_null());
    assert_eq!(table.grow(&mut store, 2, element)?, 2);
    assert!(table.grow(&mut store, 1, element).is_err());
    assert!(table.set(&mut store, 4, element).is_err());
    let value = ExternRef::new(&mut store, "x")?;
    let error = table.set(&mut store, 0, value.into()).unwrap_err();
    assert_eq!(error.to_string(), "the table holds values of type funcref, and was given an externref");
    Ok(())
}

#[test]
fn everything_is_imported_and_exported() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let exporter = instance(
        &mut store,
        r#"(module
            (memory (export "m") 1 3) (table (export "t") 2 funcref) (table (export "fixed") 1 1 funcref)
            (global (export "g") (mut i64) (i64.const 7)) (global (export "c") i32 (i32.const 9))
            (func (export "f") (result i32) (i32.load (i32.const 4)))
            (elem (i32.const 1) func 0))"#,
        &[],
    )?;
    let mut linker = Linker::new(&store.engine().clone());
    linker.instance(&mut store, "a", exporter)?;
    let module = Module::new(
        store.engine(),
        r#"(module
            (import "a" "m" (memory 1)) (import "a" "t" (table 1 funcref)) (import "a" "fixed" (table 1 1 funcref))
            (import "a" "g" (global $g (mut i64))) (import "a" "c" (global $c i32))
            (import "a" "f" (func $f (result i32)))
            (global $own i32 (global.get $c))
            (export "f2" (func $f))
            (func (export "run") (result i32)
                (i32.store (i32.const 4) (i32.const 100))
                (global.set $g (i64.add (global.get $g) (i64.const 1)))
                (table.set 1 (i32.const 0) (table.get 0 (i32.const 1)))
                (drop (memory.grow (i32.const 1)))
                (i32.add (call_indirect (result i32) (i32.const 1))
                    (i32.add (call_indirect 1 (result i32) (i32.const 0))
                        (i32.add (call $f) (i32.mul (memory.size) (global.get $own)))))))"#,
    )?;
    let importer = linker.instantiate(&mut store, &module)?;
    let run = importer.get_typed_func::<(), i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, ())?, 318);
    assert_eq!(exporter.get_global(&mut store, "g").expect("a global").get(&mut store).unwrap_i64(), 8);
    assert_eq!(exporter.get_memory(&mut store, "m").expect("a memory").size(&store), 2);
    let f2 = importer.get_typed_func::<(), i32>(&mut store, "f2")?;
    assert_eq!(f2.call(&mut store, ())?, 100);
    assert_eq!(exporter.exports(&store).len(), 6);
    Ok(())
}

#[test]
fn host_made_memories_tables_and_globals_are_imported() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    let table = Table::new(&mut store, TableType::new(RefType::EXTERNREF, 3, None), Ref::Extern(None))?;
    let global = Global::new(&mut store, GlobalType::new(ValType::F32, Mutability::Var), Val::from(1.5_f32))?;
    let wat = r#"(module (import "" "m" (memory 1)) (import "" "t" (table 3 externref))
        (import "" "g" (global $g (mut f32)))
        (func (export "run") (param externref)
            (table.set (i32.const 2) (local.get 0))
            (global.set $g (f32.mul (global.get $g) (f32.const 2)))
            (i32.store8 (i32.const 70000) (i32.const 1))))"#;
    let instance = instance(&mut store, wat, &[memory.into(), table.into(), global.into()])?;
    memory.grow(&mut store, 1)?;
    let run = instance.get_typed_func::<Option<Rooted<ExternRef>>, ()>(&mut store, "run")?;
    let value = ExternRef::new(&mut store, 11_u8)?;
    run.call(&mut store, Some(value))?;
    assert_eq!(global.get(&mut store).unwrap_f32(), 3.0);
    assert_eq!(memory.data(&store)[70000], 1);
    let Some(Ref::Extern(Some(back))) = table.get(&mut store, 2) else { panic!("a host value") };
    assert_eq!(back.data(&store)?.unwrap().downcast_ref::<u8>(), Some(&11));
    assert!(global.set(&mut store, Val::I32(0)).is_err());
    Ok(())
}

#[test]
fn limits_are_kept_and_say_numbers() -> Result<()> {
    let engine = Engine::default();
    let limits = StoreLimitsBuilder::new().memory_size(3 << 16).table_elements(10).instances(2).memories(1);
    let mut store = Store::new(&engine, limits.build());
    store.limiter(|limits| limits);
    let wat = r#"(module (memory 1) (table 4 funcref)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "tgrow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#;
    let first = instance(&mut store, wat, &[])?;
    let grow = first.get_typed_func::<i32, i32>(&mut store, "grow")?;
    assert_eq!((grow.call(&mut store, 2)?, grow.call(&mut store, 1)?), (1, -1));
    let tgrow = first.get_typed_func::<i32, i32>(&mut store, "tgrow")?;
    assert_eq!((tgrow.call(&mut store, 6)?, tgrow.call(&mut store, 1)?), (4, -1));
    let error = instance(&mut store, wat, &[]).unwrap_err();
    assert_eq!(error.to_string(), "memories: the store has 1, and its limit is 1");
    let error = instance(&mut store, "(module)", &[])
        .map(|_| ())
        .and_then(|()| instance(&mut store, "(module)", &[]).map(|_| ()));
    assert_eq!(error.unwrap_err().to_string(), "instances: the store has 2, and its limit is 2");

    let mut strict: Store<StoreLimits> = Store::new(
        &engine,
        StoreLimitsBuilder::new().memory_size(1 << 16).trap_on_grow_failure(true).build(),
    );
    strict.limiter(|limits| limits);
    let grow = instance(&mut strict, wat, &[])?.get_typed_func::<i32, i32>(&mut strict, "grow")?;
    let error = grow.call(&mut strict, 1).unwrap_err();
    let message = "a memory wanted to grow to 128 KiB, but the store's limit is 64 KiB";
    assert_eq!(error.root_cause().to_string(), message);
    Ok(())
}

#[test]
fn missing_imports_are_listed_with_types_and_a_hint() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (import "wasi:cli/exit@0.2.0" "exit" (func (param i32))) (import "env" "m" (memory 1)))"#,
    )?;
    let mut linker: Linker<()> = Linker::new(&engine);
    let error = linker.instantiate_pre(&module).unwrap_err();
    let unknown = error.downcast_ref::<UnknownImportError>().expect("what is missing");
    assert_eq!(unknown.missing().len(), 2);
    let text = unknown.to_string();
    assert!(text.contains("exit: func (i32) -> ()") && text.contains("env::m: memory 1"), "{text}");
    assert!(text.contains("core module of a component"), "{text}");
    assert!(linker.define_unknown_imports_as_traps(&module).is_err());
    let many = (0..30).map(|i| format!(r#"(import "env" "f{i}" (func))"#)).collect::<String>();
    let error = linker.instantiate_pre(&Module::new(&engine, format!("(module {many})"))?).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("env::f19:") && !text.contains("env::f20:") && text.contains("\n    … and 10 more\n"),
        "{text}"
    );
    assert_eq!(error.downcast_ref::<UnknownImportError>().expect("what is missing").missing().len(), 30);
    Ok(())
}

#[test]
fn functions_are_checked_before_there_is_a_module() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("host", "seek", |_: i32, _: i64, _: i32| 0_i32)?;
    assert!(linker.defines("host", "seek") && !linker.defines("host", "tell"));
    let ty = |params: &[ValType]| FuncType::new(&engine, params.iter().cloned(), [ValType::I32]);
    linker.check_func("host", "seek", &ty(&[ValType::I32, ValType::I64, ValType::I32]))?;
    linker.check_func("host", "tell", &ty(&[]))?;
    let other = linker.check_func("host", "seek", &ty(&[ValType::I64])).unwrap_err().to_string();
    assert!(other.ends_with("the definition is func (i32, i64, i32) -> i32"), "{other}");
    let split = linker.check_func("host", "seek", &ty(&[const { ValType::I32 }; 4])).unwrap_err().to_string();
    assert!(split.contains("each i64 as two i32"), "{split}");
    Ok(())
}

#[test]
fn linkers_alias_shadow_and_run_commands_anew() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<i32> = Linker::new(&engine);
    linker.func_wrap("a", "f", || 1_i32)?;
    assert!(linker.func_wrap("a", "f", || 2_i32).is_err());
    linker.alias("a", "f", "b", "g")?.alias_module("a", "c")?;
    linker.allow_shadowing(true).func_wrap("a", "f", || 2_i32)?;
    let mut store = Store::new(&engine, 0);
    let command = Module::new(
        &engine,
        r#"(module (global $n (mut i32) (i32.const 0)) (func (export "_start"))
            (func (export "next") (result i32)
                (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#,
    )?;
    linker.module(&mut store, "command", &command)?;
    let initialized = Module::new(
        &engine,
        r#"(module (global $n (mut i32) (i32.const 0)) (func (export "_start"))
            (func (export "_initialize") (global.set $n (i32.add (global.get $n) (i32.const 5))))
            (func (export "get") (result i32) (global.get $n)))"#,
    )?;
    linker.module(&mut store, "initialized", &initialized)?;
    let reactor = Module::new(
        &engine,
        r#"(module (global $n (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $n (i32.const 10)))
            (func (export "next") (result i32)
                (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#,
    )?;
    linker.module(&mut store, "reactor", &reactor)?;
    let call = |linker: &Linker<i32>, store: &mut Store<i32>, module: &str, name: &str| -> Result<i32> {
        let func = linker.get(&mut *store, module, name).and_then(Extern::into_func).expect("a function");
        func.typed::<(), i32>(&*store)?.call(store, ())
    };
    assert_eq!(call(&linker, &mut store, "a", "f")?, 2);
    assert_eq!(call(&linker, &mut store, "b", "g")?, 1);
    assert_eq!(call(&linker, &mut store, "c", "f")?, 1);
    for expected in [11, 12] {
        assert_eq!(call(&linker, &mut store, "initialized", "get")?, 5);
        assert_eq!(call(&linker, &mut store, "command", "next")?, 1);
        assert_eq!(call(&linker, &mut store, "reactor", "next")?, expected);
    }
    Ok(())
}

#[test]
fn handles_of_another_store_are_refused() -> Result<()> {
    let engine = Engine::default();
    let mut first = Store::new(&engine, ());
    let mut second = Store::new(&engine, ());
    let memory = Memory::new(&mut first, MemoryType::new(1, None))?;
    let func = Func::wrap(&mut first, || {});
    assert!(catch_unwind(AssertUnwindSafe(|| memory.data(&second).len())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| func.call(&mut second, &[], &mut []))).is_err());
    let typed = func.typed::<(), ()>(&first)?;
    assert!(catch_unwind(AssertUnwindSafe(|| typed.call(&mut second, ()))).is_err());
    let takes = Func::wrap(&mut second, |_: Option<Func>| {});
    assert!(takes.call(&mut second, &[func.into()], &mut []).is_err());
    let other = Module::new(&Engine::default(), "(module)")?;
    assert!(Instance::new(&mut first, &other, &[]).is_err());
    assert!(func.typed::<i32, ()>(&first).is_err());
    Ok(())
}

#[test]
fn memories_that_are_not_reserved_work_with_checks() -> Result<()> {
    let engine = Engine::new(Config::new().memory_reservation(0))?;
    let mut store = Store::new(&engine, ());
    let wat = r#"(module (memory (export "m") 1)
        (func (export "f") (param i32) (result i32)
            (drop (memory.grow (i32.const 2)))
            (i32.store offset=8 (local.get 0) (i32.const 77))
            (i32.load offset=8 (local.get 0))))"#;
    let instance = instance(&mut store, wat, &[])?;
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f")?;
    assert_eq!(f.call(&mut store, 150_000)?, 77);
    assert_eq!(instance.get_memory(&mut store, "m").expect("a memory").size(&store), 3);
    assert!(f.call(&mut store, -20).is_err());
    assert!(f.call(&mut store, (7 << 16) - 11).is_err());
    Ok(())
}
