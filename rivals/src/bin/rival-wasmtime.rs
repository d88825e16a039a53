//! Wasmtime under measurement, with Cranelift and its default settings: see `bench-runner`.

use anyhow::Result;
use bench_runner::{CALL_HOST, Clocks, Ended, GUEST_ADD, Meter, Pairs, Program, Turn, on_threads};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wasmtime::{
    Cache, CacheConfig, Caller, Config, Enabled, Engine, GuestProfiler, Instance, InstanceAllocationStrategy,
    Linker, Module, PoolingAllocationConfig, Store, UpdateDeadline,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

struct Wasmtime(Engine);

impl bench_runner::Engine for Wasmtime {
    type Module = Module;

    fn new(cache: Option<PathBuf>) -> Result<Self> {
        Ok(Self(Engine::new(&config(cache)?)?))
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
            best = best.min(fresh_instances(pool, wasm, export, 1, meter)?);
        }
        Ok(best)
    }

    fn sandbox(wasm: &[u8], export: &str, threads: usize, meter: &Meter) -> Result<f64> {
        let mut best = f64::INFINITY;
        for pool in pools() {
            best = best.min(fresh_instances(pool, wasm, export, threads, meter)?);
        }
        Ok(best)
    }

    /// Epochs are how Wasmtime stops guests at a low price.
    fn stoppable(wasm: &[u8], export: &str, can_stop: bool, meter: &Meter) -> Result<f64> {
        let mut config = Config::new();
        config.epoch_interruption(can_stop);
        let engine = Engine::new(&config)?;
        let mut store = Store::new(&engine, ());
        if can_stop {
            store.set_epoch_deadline(1000);
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

    fn watch(what: &str, words: impl Iterator<Item = String>, pairs: &Pairs) -> Result<()> {
        anyhow::ensure!(what == "sampled", "only samples are compared");
        sampled(&Program::parse(words)?, pairs)
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

fn config(cache: Option<PathBuf>) -> Result<Config> {
    let mut config = Config::new();
    if let Some(directory) = cache {
        let mut settings = CacheConfig::new();
        settings.with_directory(directory);
        config.cache(Some(Cache::new(settings)?));
    }
    config.wasm_wide_arithmetic(true).wasm_tail_call(true).wasm_exceptions(true);
    config.wasm_function_references(true).wasm_gc(true);
    Ok(config)
}

/// Bytes of a memory that the pool may keep and reset by copying, instead of giving them back.
const KEPT: [usize; 4] = [0, 64 << 10, 2 << 20, 16 << 20];

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

/// Nanoseconds of a call of a new instance, out of its pool: Wasmtime's clean world.
fn fresh_instances(
    pool: PoolingAllocationConfig,
    wasm: &[u8],
    export: &str,
    threads: usize,
    meter: &Meter,
) -> Result<f64> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
    let engine = Engine::new(&config)?;
    let module = Module::from_binary(&engine, wasm)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;
    meter.measure(|count| {
        on_threads(threads, count, |count| {
            for _ in 0..count {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate(&mut store)?;
                let export = instance.get_typed_func::<(), i32>(&mut store, export)?;
                black_box(export.call(&mut store, ())?);
            }
            Ok(())
        })
    })
}

/// A thousand times a second.
const INTERVAL: Duration = Duration::from_millis(1);

/// What a sampled store holds.
struct Sampled {
    wasi: WasiP1Ctx,
    profiler: Option<GuestProfiler>,
    last: Instant,
    samples: usize,
}

/// A program that is run again and again, with an engine that can sample or one that cannot.
struct Guest<'a> {
    engine: Engine,
    module: Module,
    linker: Linker<Sampled>,
    program: &'a Program,
}

impl<'a> Guest<'a> {
    fn new(program: &'a Program, can_sample: bool) -> Result<Self> {
        let mut config = config(std::env::var_os("BENCH_CACHE").map(PathBuf::from))?;
        config.epoch_interruption(can_sample);
        let engine = Engine::new(&config)?;
        let module = Module::from_file(&engine, &program.file)?;
        let mut linker: Linker<Sampled> = Linker::new(&engine);
        p1::add_to_linker_sync(&mut linker, |data| &mut data.wasi)?;
        Ok(Self { engine, module, linker, program })
    }

    fn store(&self) -> Result<Store<Sampled>> {
        let data = Sampled { wasi: wasi(self.program)?, profiler: None, last: Instant::now(), samples: 0 };
        Ok(Store::new(&self.engine, data))
    }

    /// Runs it to its end. The CPU time of that, without making the instance.
    fn run(&self, store: &mut Store<Sampled>) -> Result<Duration> {
        let instance = self.linker.instantiate(&mut *store, &self.module)?;
        let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
        let clocks = Clocks::now();
        let outcome = start.call(store, ());
        let took = clocks.own();
        match outcome {
            Err(error) if error.downcast_ref::<I32Exit>().is_none_or(|exit| exit.0 != 0) => Err(error.into()),
            _ => Ok(took),
        }
    }

    /// As its manual and its own program do it: a thread ends epochs, and where code finds that one has ended, it samples.
    fn run_sampled(&self) -> Result<Turn> {
        let clocks = Clocks::now();
        let mut store = self.store()?;
        let modules = [("guest".to_string(), self.module.clone())];
        store.data_mut().profiler = Some(GuestProfiler::new(&self.engine, "guest", INTERVAL, modules)?);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            if let Some(mut profiler) = store.data_mut().profiler.take() {
                let now = Instant::now();
                let used = now - std::mem::replace(&mut store.data_mut().last, now);
                profiler.sample(&store, used);
                store.data_mut().profiler = Some(profiler);
                store.data_mut().samples += 1;
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let is_over = AtomicBool::new(false);
        let took = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    std::thread::sleep(INTERVAL);
                    self.engine.increment_epoch();
                }
            });
            let took = self.run(&mut store);
            is_over.store(true, Relaxed);
            took
        });
        let looks = store.data().samples;
        Ok(Turn { ns: took?.as_nanos() as f64, looks, beside: clocks.beside() })
    }
}

fn sampled(program: &Program, pairs: &Pairs) -> Result<()> {
    let guests = [Guest::new(program, false)?, Guest::new(program, true)?];
    pairs.print(|with| {
        if with {
            return guests[1].run_sampled();
        }
        let took = guests[0].run(&mut guests[0].store()?)?;
        Ok(Turn { ns: took.as_nanos() as f64, ..Turn::default() })
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
