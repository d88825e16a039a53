//! Host functions: closures over the store's data, access to the caller's memory, errors that the host gets back unchanged.
//!
//! `cargo run -p belljar-examples --example host_functions`

use belljar::{Caller, Engine, Extern, Linker, Module, Result, Store, WasmBacktrace};

/// The host's state for its guest.
#[derive(Default)]
struct Host {
    lines: Vec<String>,
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Host> = Linker::new(&engine);
    linker.func_wrap("host", "log", |mut caller: Caller<'_, Host>, at: u32, length: u32| -> Result<()> {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| belljar::Error::msg("the guest exports no memory"))?;
        let (bytes, host) = memory.data_and_store_mut(&mut caller);
        let end = at as usize + length as usize;
        let text = bytes.get(at as usize..end).ok_or_else(|| {
            belljar::Error::msg(format!("log({at}, {length}) lies outside the guest's memory"))
        })?;
        host.lines.push(String::from_utf8_lossy(text).into_owned());
        Ok(())
    })?;
    let module = Module::new(
        &engine,
        r#"(module $guest
            (import "host" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "a line from the guest")
            (func $well (export "well") (call $log (i32.const 16) (i32.const 21)))
            (func $badly (export "badly") (call $log (i32.const 65530) (i32.const 21))))"#,
    )?;
    let mut store = Store::new(&engine, Host::default());
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&mut store, "well")?.call(&mut store, ())?;
    println!("the guest said: {:?}", store.data().lines);

    let badly = instance.get_typed_func::<(), ()>(&mut store, "badly")?;
    let error = badly.call(&mut store, ()).expect_err("the range is outside");
    println!("the host said: {}", error.root_cause());
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        println!("{backtrace}");
    }
    Ok(())
}
