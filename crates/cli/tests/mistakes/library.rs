//! Mistakes in using the library.

use belljar::{
    Config, Engine, Extern, Func, Global, GlobalType, GuestAlloc, Instance, Limits, Linker, Memory,
    MemoryType, Module, Mutability, Ref, RefType, Result, Store, Table, TableType, Trust, UserKey, Val,
    ValType,
};
use belljar_wasi::{WasiCtx, WasiCtxBuilder};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a mistake; the error is that of the library.
type Mistake = fn() -> Result<()>;

/// The mistakes by the names that `mistakes.txt` uses.
pub(crate) const MISTAKES: &[(&str, Mistake)] = &[
    ("get_typed_func, a name that is not exported", || {
        let (mut store, instance) = instance(MATH)?;
        instance.get_typed_func::<(), ()>(&mut store, "divide").map(drop)
    }),
    ("get_typed_func, a name in another case", || {
        let (mut store, instance) = instance(MATH)?;
        instance.get_typed_func::<(i32, i32), i32>(&mut store, "Add").map(drop)
    }),
    ("get_typed_func, the wrong types", || {
        let (mut store, instance) = instance(MATH)?;
        instance.get_typed_func::<(i64, i64), i64>(&mut store, "add").map(drop)
    }),
    ("get_typed_func, a memory", || {
        let (mut store, instance) = instance(MATH)?;
        instance.get_typed_func::<(), ()>(&mut store, "memory").map(drop)
    }),
    ("Func::call, too few parameters", || call(&[Val::I32(1)], 1)),
    ("Func::call, parameters of the wrong types", || call(&[Val::I32(1), Val::F64(0)], 1)),
    ("Func::call, no room for the result", || call(&[Val::I32(1), Val::I32(2)], 0)),
    ("Linker::instantiate, nothing is defined", || {
        let (mut store, module) = store_and_module(LOGS)?;
        Linker::new(store.engine()).instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::instantiate, a name in another case", || {
        let (mut store, module) = store_and_module(LOGS)?;
        let mut linker = Linker::new(store.engine());
        linker.func_wrap("env", "Log", |_: i32| ())?;
        linker.instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::instantiate, another module name", || {
        let (mut store, module) = store_and_module(LOGS)?;
        let mut linker = Linker::new(store.engine());
        linker.func_wrap("host", "log", |_: i32| ())?;
        linker.instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::instantiate, a function of another type", || {
        let (mut store, module) = store_and_module(LOGS)?;
        let mut linker = Linker::new(store.engine());
        linker.func_wrap("env", "log", |_: i64| ())?;
        linker.instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::instantiate, WASI is not added", || {
        let (mut store, module) = store_and_module(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))"#,
        )?;
        Linker::new(store.engine()).instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::instantiate, a module of another engine", || {
        let (mut store, _) = store_and_module(LOGS)?;
        let module = Module::new(&Engine::default(), "(module)")?;
        Linker::new(store.engine()).instantiate(&mut store, &module).map(drop)
    }),
    ("Linker::func_wrap, the same name twice", || {
        let mut linker = Linker::<()>::new(&Engine::default());
        linker.func_wrap("env", "log", || ())?.func_wrap("env", "log", || ()).map(drop)
    }),
    ("Instance::new, no imports are given", || {
        let (mut store, module) = store_and_module(LOGS)?;
        Instance::new(&mut store, &module, &[]).map(drop)
    }),
    ("Instance::new, an import of the wrong kind", || {
        let (mut store, module) = store_and_module(LOGS)?;
        let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
        Instance::new(&mut store, &module, &[Extern::Memory(memory)]).map(drop)
    }),
    ("Instance::new, a module of another engine", || {
        let (mut store, _) = store_and_module(LOGS)?;
        Instance::new(&mut store, &Module::new(&Engine::default(), "(module)")?, &[]).map(drop)
    }),
    ("Store::set_fuel, the engine does not count fuel", || {
        Store::new(&Engine::default(), ()).set_fuel(1000).map(drop)
    }),
    ("a call, no fuel was ever set", || spin(Config::new().consume_fuel(true), |_| Ok(()))),
    ("a call, all fuel is used up", || {
        spin(Config::new().consume_fuel(true), |store| store.set_fuel(1000).map(drop))
    }),
    ("a call, no epoch deadline was ever set", || spin(Config::new().epoch_interruption(true), |_| Ok(()))),
    ("a call, a limit of time", || {
        let time = std::time::Duration::from_millis(20);
        spin(&Config::new(), |store| store.set_limits(Limits::unlimited().wall(time)).map(drop))
    }),
    ("Instance::new, a limit of memory", || {
        let (mut store, module) = store_and_module("(module (memory 17))")?;
        store.set_limits(Limits::default().memory(1 << 20))?;
        Instance::new(&mut store, &module, &[]).map(drop)
    }),
    ("Module::new, a type error in text", || {
        Module::new(&Engine::default(), "(module\n  (func (result i32)\n    (i64.const 1)))").map(drop)
    }),
    ("Module::new, a component", || Module::new(&Engine::default(), b"\0asm\x0d\0\x01\0").map(drop)),
    ("Module::new, a compiled module", || {
        let engine = engine()?;
        Module::new(&engine, Module::new(&engine, "(module)")?.serialize()?).map(drop)
    }),
    ("Module::new, a feature that is disabled", || {
        let engine = Engine::new(Config::new().wasm_simd(false))?;
        Module::new(&engine, "(module (func (result v128) (v128.const i64x2 0 0)))").map(drop)
    }),
    ("Module::from_binary, text", || Module::from_binary(&Engine::default(), b"(module)").map(drop)),
    ("Module::from_file, no such file", || Module::from_file(&Engine::default(), "nowhere.wasm").map(drop)),
    ("Module::deserialize, a wasm binary", || Module::deserialize(&engine()?, b"\0asm\x01\0\0\0").map(drop)),
    ("Memory::read, outside the memory", || {
        let mut store = Store::new(&Engine::default(), ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
        Ok(memory.read(&store, 65535, &mut [0; 2])?)
    }),
    ("Global::set, an immutable global", || {
        let mut store = Store::new(&Engine::default(), ());
        let ty = GlobalType::new(ValType::I32, Mutability::Const);
        Global::new(&mut store, ty, Val::I32(1))?.set(&mut store, Val::I32(2))
    }),
    ("Global::set, a value of another type", || {
        let mut store = Store::new(&Engine::default(), ());
        let ty = GlobalType::new(ValType::I32, Mutability::Var);
        Global::new(&mut store, ty, Val::I32(1))?.set(&mut store, Val::I64(2))
    }),
    ("Table::set, outside the table", || {
        let mut store = Store::new(&Engine::default(), ());
        let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None))?;
        table.set(&mut store, 1, Ref::Func(None))
    }),
    ("Val::unwrap_i64, an i32", || {
        Val::I32(1).unwrap_i64();
        Ok(())
    }),
    ("a function, with another store", || {
        let (_, instance) = instance(MATH)?;
        let (mut other, _) = store_and_module(MATH)?;
        instance.get_func(&mut other, "add");
        Ok(())
    }),
    ("GuestAlloc::find, the guest exports no allocator", || {
        let (mut store, instance) = instance(MATH)?;
        GuestAlloc::find(&mut store, instance).map(drop)
    }),
    ("a WASI function, the guest exports no memory", || {
        let engine = Engine::default();
        let mut linker = Linker::<WasiCtx>::new(&engine);
        belljar_wasi::p1::add_to_linker(&mut linker, |wasi| wasi)?;
        let module = Module::new(
            &engine,
            r#"(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
                (memory 1) (func (export "run") (drop (call $random (i32.const 0) (i32.const 1)))))"#,
        )?;
        let mut store = Store::new(&engine, WasiCtxBuilder::new().build());
        let instance = linker.instantiate(&mut store, &module)?;
        instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())
    }),
];

/// Makes a mistake, and returns the message of the error or panic.
pub(crate) fn message(name: &str) -> String {
    let (_, mistake) =
        MISTAKES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name}"));
    match catch_unwind(AssertUnwindSafe(mistake)) {
        Ok(Ok(())) => panic!("{name}: there is no error"),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(message) => format!("panic: {message}"),
            None => format!("panic: {}", panic.downcast_ref::<&str>().unwrap()),
        },
    }
}

const MATH: &str = r#"(module (memory (export "memory") 1)
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "negate") (param i32) (result i32) (i32.sub (i32.const 0) (local.get 0))))"#;

const LOGS: &str = r#"(module (import "env" "log" (func (param i32))))"#;

/// Returns an engine with a key of its own for artifacts.
fn engine() -> Result<Engine> {
    let trust = Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() };
    Engine::new(Config::new().trust(trust))
}

fn store_and_module(text: &str) -> Result<(Store<()>, Module)> {
    let engine = Engine::default();
    Ok((Store::new(&engine, ()), Module::new(&engine, text)?))
}

fn instance(text: &str) -> Result<(Store<()>, Instance)> {
    let (mut store, module) = store_and_module(text)?;
    let instance = Instance::new(&mut store, &module, &[])?;
    Ok((store, instance))
}

/// Calls `add` with these parameters and room for so many results.
fn call(params: &[Val], results: usize) -> Result<()> {
    let (mut store, instance) = instance(MATH)?;
    let add: Func = instance.get_func(&mut store, "add").unwrap();
    add.call(&mut store, params, &mut vec![Val::I32(0); results])
}

/// Calls a function that never returns, in a store that was prepared.
fn spin(config: &Config, prepare: impl FnOnce(&mut Store<()>) -> Result<()>) -> Result<()> {
    let engine = Engine::new(config)?;
    let module = Module::new(&engine, r#"(module (func (export "spin") (loop (br 0))))"#)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    prepare(&mut store)?;
    spin.call(&mut store, ())
}
