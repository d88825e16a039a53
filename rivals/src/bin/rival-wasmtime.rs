//! Wasmtime under measurement, with Cranelift and its default settings: see `bench-runner`.

use anyhow::Result;
use bench_runner::{CALL_HOST, Ended, GUEST_ADD, Meter, Program};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wasmtime::{
    Cache, CacheConfig, Caller, Config, Enabled, Engine, Instance, InstanceAllocationStrategy, Linker,
    Module, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

struct Wasmtime(Engine);

impl bench_runner::Engine for Wasmtime {
    type Module = Module;

    fn new(cache: Option<PathBuf>) -> Result<Self> {
        let mut config = Config::new();
        if let Some(directory) = cache {
            let mut settings = CacheConfig::new();
            settings.with_directory(directory);
            config.cache(Some(Cache::new(settings)?));
        }
        config.wasm_wide_arithmetic(true).wasm_tail_call(true).wasm_exceptions(true);
        config.wasm_function_references(true).wasm_gc(true);
        Ok(Self(Engine::new(&config)?))
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Ok(Module::from_binary(&self.0, wasm)?)
    }

    #[allow(unsafe_code)]
    fn load(&self, compiled: &Path, wasm: &Path) -> Result<Module> {
        if !compiled.exists() {
            std::fs::write(compiled, Module::from_file(&self.0, wasm)?.serialize()?)?;
        }
        // SAFETY: this process made the file, or one like it, and nobody changes it.
        unsafe { Ok(Module::deserialize_file(&self.0, compiled)?) }
    }

    fn run(&self, module: &Module, program: &Program) -> Result<Ended> {
        let mut linker: Linker<WasiP1Ctx> = Linker::new(&self.0);
        p1::add_to_linker_sync(&mut linker, |ctx| ctx)?;
        let mut store = Store::new(&self.0, wasi(program)?);
        let instance = linker.instantiate(&mut store, module)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let began = Instant::now();
        let outcome = start.call(&mut store, ());
        let took = began.elapsed();
        let exit = match outcome {
            Ok(()) => 0,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => exit.0,
                None => return Err(error.into()),
            },
        };
        Ok(Ended { exit, took })
    }

    fn host_to_guest(&self, module: &Module, meter: &Meter) -> Result<f64> {
        let (mut store, instance) = self.calls(module)?;
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, GUEST_ADD)?;
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
        let call_host = instance.get_typed_func::<i32, i32>(&mut store, CALL_HOST)?;
        meter.measure(|count| {
            black_box(call_host.call(&mut store, count as i32)?);
            Ok(())
        })
    }

    /// Which pool settings are best depends on the machine: all are tried, and the best figure counts.
    fn instantiate(wasm: &[u8], export: &str, meter: &Meter) -> Result<f64> {
        let mut best = f64::INFINITY;
        for pool in pools() {
            best = best.min(instantiate_with(pool, wasm, export, meter)?);
        }
        Ok(best)
    }
}

impl Wasmtime {
    fn calls(&self, module: &Module) -> Result<(Store<i32>, Instance)> {
        let mut linker = Linker::new(&self.0);
        linker.func_wrap("host", "add", |caller: Caller<'_, i32>, a: i32, b: i32| {
            a.wrapping_add(b) ^ *caller.data()
        })?;
        let mut store = Store::new(&self.0, 1);
        let instance = linker.instantiate(&mut store, module)?;
        Ok((store, instance))
    }
}

/// Bytes of a memory that the pool may keep and reset by copying, instead of giving them back.
const KEPT: [usize; 3] = [0, 64 << 10, 2 << 20];

fn pools() -> Vec<PoolingAllocationConfig> {
    let scans = [Enabled::No, Enabled::Auto];
    let pool = |scan: Enabled, kept: usize| {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(16).total_memories(16).total_tables(16).max_memory_size(16 << 20);
        pool.linear_memory_keep_resident(kept).table_keep_resident(kept.min(64 << 10)).pagemap_scan(scan);
        pool
    };
    scans.into_iter().flat_map(|scan| KEPT.map(|kept| pool(scan, kept))).collect()
}

fn instantiate_with(pool: PoolingAllocationConfig, wasm: &[u8], export: &str, meter: &Meter) -> Result<f64> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
    let engine = Engine::new(&config)?;
    let module = Module::from_binary(&engine, wasm)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;
    meter.measure(|count| {
        for _ in 0..count {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store)?;
            let export = instance.get_typed_func::<(), i32>(&mut store, export)?;
            black_box(export.call(&mut store, ())?);
        }
        Ok(())
    })
}

fn wasi(program: &Program) -> Result<WasiP1Ctx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().args(&program.args).envs(&program.env);
    for (host, guest) in &program.dirs {
        wasi.preopened_dir(host, guest, FsPerms::ReadWrite)?;
    }
    Ok(wasi.build_p1())
}

fn main() {
    bench_runner::main::<Wasmtime>()
}
