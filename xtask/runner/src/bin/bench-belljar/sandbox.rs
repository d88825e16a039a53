//! Sandboxes: calls in clean instances.

use anyhow::Result;
use belljar::{
    Engine, Instance, Killed, Limits, Linker, Module, PoolConfig, Sandbox, SandboxPool, SandboxTemplate,
    Store,
};
use bench_runner::{CONSTANT, DIRTY, Effort, Guest, Kills, Meter, sandbox_module};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn template(wasm: &[u8]) -> Result<SandboxTemplate<()>> {
    let engine = Engine::default();
    let module = Module::from_binary(&engine, wasm)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;
    Ok(SandboxTemplate::new(pre, || Ok(())))
}

/// Returns the nanoseconds of one call in a pool.
pub(super) fn call(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
    let pool = template(&guest.wasm)?.pool(PoolConfig::new())?;
    meter.measure_on(threads, |count| calls(&pool, guest, count))
}

/// Returns the nanoseconds of the first calls in a pool with an engine of its own.
pub(super) fn first(guest: &Guest, count: u32, meter: &Meter) -> Result<f64> {
    let make = || Ok(template(&guest.wasm)?.pool(PoolConfig::new())?);
    meter.measure_fresh(make, |pool| calls(pool, guest, count))
}

fn calls(pool: &SandboxPool<()>, guest: &Guest, count: u32) -> Result<()> {
    (0..count).try_for_each(|_| guest.check(pool.call::<(), i32>(guest.export, ())?))
}

/// Returns the nanoseconds of a call with a time limit, or without one.
pub(super) fn stoppable(wasm: &[u8], export: &str, can_stop: bool, meter: &Meter) -> Result<f64> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    if can_stop {
        store.set_limits(Limits::unlimited().wall(Duration::from_secs(3600)))?;
    }
    let instance = Instance::new(&mut store, &Module::from_binary(&engine, wasm)?, &[])?;
    let export = instance.get_typed_func::<(), i32>(&mut store, export)?;
    meter.measure(|count| {
        for _ in 0..count {
            black_box(export.call(&mut store, ())?);
        }
        Ok(())
    })
}

/// Sandboxes that exist at once.
const MANY: usize = 100_000;
/// Sessions that are open at once: each has its own mappings, of which a process may have 65,530.
const OPEN: usize = 10_000;
const KILLS: usize = 1000;

pub(super) fn facts() -> Result<()> {
    let meter = Meter::new(Effort::Full);
    let wasm = sandbox_module();
    let template = template(&wasm)?;
    let pool: SandboxPool<()> = template.pool(PoolConfig::new())?;
    let clean = meter.measure(|count| Ok((0..count).try_for_each(|_| pool.session().map(drop))?))?;
    let mut session = pool.session()?;
    let call = |session: &mut belljar::Session<'_, ()>, export: &str| {
        meter.measure(|count| {
            for _ in 0..count {
                black_box(session.call::<(), i32>(export, ())?);
            }
            Ok(())
        })
    };
    let small = call(&mut session, CONSTANT)?;
    let dirty = call(&mut session, DIRTY)?;
    drop(session);
    let whole = meter.measure(|count| {
        for _ in 0..count {
            black_box(pool.call::<(), i32>(DIRTY, ())?);
        }
        Ok(())
    })?;
    println!("a session without a call                {:>8.2} us", clean / 1e3);
    println!("a call of a small function, no reset    {:>8.2} us", small / 1e3);
    println!("a call that writes 32 pages, no reset   {:>8.2} us", dirty / 1e3);
    println!("its reset (with all else of a session)  {:>8.2} us, wanted 10", (whole - dirty) / 1e3);
    let made = (0..3).map(|_| make(&template)).collect::<Result<Vec<_>>>()?;
    println!(
        "a world that is not in the pool         {:>8.2} us",
        made.into_iter().fold(f64::MAX, f64::min) / 1e3
    );

    let before = resident()?;
    let mut many: Vec<Sandbox<()>> = (0..MANY).map(|_| template.build()).collect::<belljar::Result<_>>()?;
    for sandbox in &mut many {
        black_box(sandbox.call::<(), i32>(DIRTY, ())?);
    }
    let each = (resident()?.saturating_sub(before)) as f64 / MANY as f64;
    println!("{MANY} sandboxes, each called once       {each:>8.0} bytes each, wanted 8192");
    let before = resident()?;
    let open = many[..OPEN].iter_mut().map(|sandbox| {
        let mut session = sandbox.session()?;
        session.call::<(), i32>(CONSTANT, ())?;
        Ok(session)
    });
    let open = open.collect::<Result<Vec<_>>>()?;
    let each = (resident()?.saturating_sub(before)) as f64 / OPEN as f64;
    println!("{OPEN} of them with an open session       {each:>8.0} bytes each, without page tables");
    drop(open);
    println!("{}", kills()?.tell("from a kill to the end of the call", ", wanted 100"));
    Ok(())
}

/// Returns the nanoseconds to create an instance, when none is idle.
fn make(template: &SandboxTemplate<()>) -> Result<f64> {
    let pool = template.pool(PoolConfig::new())?;
    let start = Instant::now();
    let sessions = (0..100).map(|_| pool.session()).collect::<belljar::Result<Vec<_>>>()?;
    let took = start.elapsed();
    drop(sessions);
    Ok(took.as_nanos() as f64 / 99.0)
}

/// Returns the resident bytes of the process.
fn resident() -> Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

/// Measures how long it takes from a kill until the call has ended.
fn kills() -> Result<Kills> {
    let wasm = wat::parse_str(r#"(module (func (export "spin") (loop (br 0))))"#)?;
    let mut sandbox = template(&wasm)?.build()?;
    let handle = sandbox.kill_handle();
    let killer = || {
        let handle = handle.clone();
        move || handle.kill("measured").expect("it is there")
    };
    Kills::measure(KILLS, killer, || {
        let ended = sandbox.call::<(), ()>("spin", ());
        anyhow::ensure!(ended.is_err_and(|error| error.is::<Killed>()), "it was not killed");
        Ok(())
    })
}
