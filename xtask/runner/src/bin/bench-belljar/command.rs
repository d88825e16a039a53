//! A program of WASI 0.2, again and again.

use anyhow::{Result, anyhow};
use belljar::component::{Component, InstancePre, Linker, ResourceTable};
use belljar::{Engine, SandboxTemplate, Store};
use belljar_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use bench_runner::{COMMAND, COMMAND_ARGS, COMMAND_RUN, Meter};

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Host {
    fn new() -> Self {
        Self { ctx: WasiCtxBuilder::new().args(&COMMAND_ARGS).build(), table: ResourceTable::new() }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

fn pre(engine: &Engine) -> Result<InstancePre<Host>> {
    let component = Component::from_binary(engine, COMMAND)?;
    let mut linker = Linker::<Host>::new(engine);
    belljar_wasi::p2::add_to_linker_sync(&mut linker)?;
    Ok(linker.instantiate_pre(&component)?)
}

type Ran = (Result<(), ()>,);

fn check((result,): Ran) -> Result<()> {
    result.map_err(|()| anyhow!("the program failed"))
}

/// In a new store each time.
pub(crate) fn fresh(engine: &Engine, meter: &Meter) -> Result<f64> {
    let pre = pre(engine)?;
    meter.measure(|count| {
        for _ in 0..count {
            let mut store = Store::new(engine, Host::new());
            let instance = pre.instantiate(&mut store)?;
            let run = instance.get_typed_func::<(), Ran>(&store, COMMAND_RUN)?;
            check(run.call(&mut store, ())?)?;
        }
        Ok(())
    })
}

/// In a sandbox.
pub(crate) fn clean(engine: &Engine, meter: &Meter) -> Result<f64> {
    let mut sandbox = SandboxTemplate::new(pre(engine)?, || Ok(Host::new())).build()?;
    meter.measure(|count| {
        for _ in 0..count {
            check(sandbox.call::<(), Ran>(COMMAND_RUN, ())?)?;
        }
        Ok(())
    })
}
