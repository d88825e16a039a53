use belljar::error::Context;
use belljar::{Caller, Engine, GuestAlloc, Limits, Linker, Module, Result, Sandbox, SandboxTemplate};
use std::time::Duration;

/// The host's data for each call of a plugin.
struct Host {
    lines: Vec<String>,
}

/// Returns the functions that plugins may import.
fn host_functions(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "log", |mut caller: Caller<'_, Host>, at: u32, length: u32| -> Result<()> {
        let memory = caller.get_export("memory").and_then(|export| export.into_memory());
        let memory = memory.context("the plugin exports no memory")?;
        let mut text = vec![0; length.min(1000) as usize];
        memory.read(&caller, at as usize, &mut text)?;
        caller.data_mut().lines.push(String::from_utf8_lossy(&text).into_owned());
        Ok(())
    })?;
    Ok(linker)
}

/// Loads a plugin. Each of its calls may use 16 MiB of memory and 200 ms of time.
fn load(engine: &Engine, path: &str) -> Result<Sandbox<Host>> {
    let module = Module::from_file(engine, path)?;
    let linked = host_functions(engine)?.instantiate_pre(&module)?;
    let limits = Limits::default().memory(16 << 20).wall(Duration::from_millis(200));
    SandboxTemplate::new(linked, || Ok(Host { lines: Vec::new() })).limits(limits).build()
}

/// Lets a plugin greet somebody. Returns the lines that it logged.
fn greet(plugin: &mut Sandbox<Host>, name: &str) -> Result<Vec<String>> {
    let mut session = plugin.session()?;
    let instance = session.instance();
    let alloc = GuestAlloc::find(session.store(), instance)?;
    let name = alloc.alloc_bytes(session.store(), name.as_bytes())?;
    session.call::<(u32, u32), ()>("greet", name.as_params()?)?;
    Ok(std::mem::take(&mut session.store().data_mut().lines))
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut plugin = load(&engine, "greet.wat")?;
    println!("{:?}", greet(&mut plugin, "world")?);

    // This call never returns by itself: the limit ends it.
    let error = plugin.call::<(), ()>("hang", ()).unwrap_err();
    println!("{error:?}");

    // The next call finds the plugin in its clean state.
    println!("{:?}", greet(&mut plugin, "again")?);
    Ok(())
}
