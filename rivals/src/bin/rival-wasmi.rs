//! The bench program of Wasmi, with its default settings: see `bench-runner`.

use anyhow::Result;
use bench_runner::{CALL_HOST, Ended, GUEST_ADD, Guest, Meter, Program};
use std::hint::black_box;
use std::time::Instant;
use wasmi::{Caller, Config, Engine, Instance, Linker, Module, Store};
use wasmi_wasi::{Dir, WasiCtx, WasiCtxBuilder, ambient_authority};

struct Wasmi(Engine);

impl bench_runner::Engine for Wasmi {
    type Module = Module;

    fn new(cache: Option<std::path::PathBuf>) -> Result<Self> {
        anyhow::ensure!(cache.is_none(), "wasmi has no cache");
        let mut config = Config::default();
        config.wasm_wide_arithmetic(true);
        Ok(Self(Engine::new(&config)))
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&self.0, wasm)?)
    }

    fn run(&self, module: &Module, program: &Program) -> Result<Ended> {
        let mut linker: Linker<WasiCtx> = Linker::new(&self.0);
        wasmi_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
        let mut store = Store::new(&self.0, wasi(program)?);
        let instance = linker.instantiate_and_start(&mut store, module)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let began = Instant::now();
        let outcome = start.call(&mut store, ());
        let took = began.elapsed();
        let exit = match outcome {
            Ok(()) => 0,
            Err(error) => match error.i32_exit_status() {
                Some(exit) => exit,
                None => return Err(error.into()),
            },
        };
        Ok(Ended { exit, took })
    }

    fn host_to_guest(&self, module: &Module, meter: &Meter) -> Result<f64> {
        let (mut store, instance) = self.calls(module)?;
        let add = instance.get_typed_func::<(i32, i32), i32>(&store, GUEST_ADD)?;
        meter.measure(|count| {
            let mut sum = 0;
            for i in 0..count {
                sum = add.call(&mut store, (sum, i as i32))?;
            }
            black_box(sum);
            Ok(())
        })
    }

    fn guest_to_host(&self, module: &Module, meter: &Meter) -> Result<f64> {
        let (mut store, instance) = self.calls(module)?;
        let call_host = instance.get_typed_func::<i32, i32>(&store, CALL_HOST)?;
        meter.measure(|count| {
            black_box(call_host.call(&mut store, count as i32)?);
            Ok(())
        })
    }

    fn instantiate(guest: &Guest, meter: &Meter) -> Result<f64> {
        let engine = Engine::default();
        let module = Module::new(&engine, &guest.wasm)?;
        let linker = Linker::new(&engine);
        meter.measure(|count| {
            for _ in 0..count {
                let mut store = Store::new(&engine, ());
                let instance = linker.instantiate_and_start(&mut store, &module)?;
                let export = instance.get_typed_func::<(), i32>(&store, guest.export)?;
                guest.check(export.call(&mut store, ())?)?;
            }
            Ok(())
        })
    }
}

impl Wasmi {
    fn calls(&self, module: &Module) -> Result<(Store<i32>, Instance)> {
        let mut linker = Linker::new(&self.0);
        linker.func_wrap("host", "add", |caller: Caller<'_, i32>, a: i32, b: i32| {
            a.wrapping_add(b) ^ *caller.data()
        })?;
        let mut store = Store::new(&self.0, 1);
        let instance = linker.instantiate_and_start(&mut store, module)?;
        Ok((store, instance))
    }
}

fn wasi(program: &Program) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().args(&program.args)?.envs(&program.env)?;
    for (host, guest) in &program.dirs {
        wasi.preopened_dir(Dir::open_ambient_dir(host, ambient_authority())?, guest)?;
    }
    Ok(wasi.build())
}

fn main() {
    bench_runner::main::<Wasmi>()
}
