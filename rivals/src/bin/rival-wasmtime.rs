//! The bench program of Wasmtime, with Cranelift and its default settings: see `bench-runner`.

use anyhow::Result;
use bench_runner::{
    BYTES, CALL_HOST, COMMAND, COMMAND_ARGS, COMMAND_RUN, Clocks, ComponentCall, Ended, GUEST_ADD, Guest,
    HOST_ADD, HOST_TEXT, Meter, PAIRS, Pairs, Program, TEXT, Turn,
};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wasmtime::{
    Cache, CacheConfig, Caller, Config, Enabled, Engine, GuestProfiler, Instance, InstanceAllocationStrategy,
    InstancePre, Linker, Module, PoolingAllocationConfig, Store, StoreContextMut, UpdateDeadline, component,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

struct Wasmtime(Engine);

impl bench_runner::Engine for Wasmtime {
    type Module = Module;

    fn new(cache: Option<PathBuf>) -> Result<Self> {
        Ok(Self(Engine::new(&config(cache)?)?))
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Ok(Module::from_binary(&self.0, wasm)?)
    }

    fn compile_component(&self, wasm: &[u8]) -> Result<()> {
        component::Component::from_binary(&self.0, wasm)?;
        Ok(())
    }

    #[allow(unsafe_code)]
    fn load(&self, compiled: &Path, wasm: &Path) -> Result<Module> {
        if !compiled.exists() {
            std::fs::write(compiled, Module::from_file(&self.0, wasm)?.serialize()?)?;
        }
        // SAFETY: this process or an earlier run of it made the file, and nothing changes it.
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

    fn component_call(&self, component: &[u8], call: ComponentCall, meter: &Meter) -> Result<f64> {
        match call {
            ComponentCall::Command => return Commands::new(None)?.measure(meter),
            ComponentCall::CleanCommand => return best_command(meter),
            _ => {}
        }
        let component = component::Component::from_binary(&self.0, component)?;
        let mut linker = component::Linker::new(&self.0);
        linker
            .root()
            .func_wrap(HOST_ADD, |_: StoreContextMut<'_, ()>, (a, b): (u32, u32)| Ok((a.wrapping_add(b),)))?;
        linker.root().func_wrap(HOST_TEXT, |_: StoreContextMut<'_, ()>, (text,): (String,)| {
            Ok((text.len() as u32,))
        })?;
        let mut store = Store::new(&self.0, ());
        let instance = linker.instantiate(&mut store, &component)?;
        if let Some(name) = call.repeated() {
            let repeat = instance.get_typed_func::<(u32,), (u32,)>(&mut store, name)?;
            return meter.measure(|count| {
                black_box(repeat.call(&mut store, (count,))?);
                Ok(())
            });
        }
        let text = "t".repeat(TEXT);
        let bytes = vec![7_u8; BYTES];
        let pairs: Vec<(u32, String)> = (0..PAIRS as u32).map(|i| (i, format!("{i:016}"))).collect();
        macro_rules! measure {
            ($name:literal, $params:ty, $result:ty, $given:expr) => {{
                let func = instance.get_typed_func::<$params, $result>(&mut store, $name)?;
                meter.measure(|count| {
                    for _ in 0..count {
                        black_box(func.call(&mut store, black_box($given))?);
                    }
                    Ok(())
                })
            }};
        }
        match call {
            ComponentCall::TakeText => measure!("take-text", (&str,), (u32,), (&text,)),
            ComponentCall::TakeBytes => measure!("take-bytes", (&[u8],), (u32,), (&bytes,)),
            ComponentCall::TakePairs => measure!("take-pairs", (&[(u32, String)],), (u32,), (&pairs,)),
            ComponentCall::GiveText => measure!("give-text", (), (String,), ()),
            ComponentCall::GiveBytes => measure!("give-bytes", (), (Vec<u8>,), ()),
            ComponentCall::GivePairs => measure!("give-pairs", (), (Vec<(u32, String)>,), ()),
            _ => measure!("add", (u32, u32), (u32,), (1, 2)),
        }
    }

    fn instantiate(guest: &Guest, meter: &Meter) -> Result<f64> {
        best(guest, 1, meter)
    }

    fn sandbox(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
        best(guest, threads, meter)
    }

    fn first_sessions(guest: &Guest, calls: u32, meter: &Meter) -> Result<f64> {
        let first = |pool: &Pool, meter: &Meter| {
            meter.measure_fresh(|| Instances::new(pool, guest), |instances| instances.call(calls))
        };
        best_of(guest, meter, first)
    }

    /// Epochs are Wasmtime's inexpensive way to stop guests.
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

/// The settings of a pool.
#[derive(Clone, Copy)]
struct Pool {
    /// Bytes of a memory that are kept and reset by copying, instead of being returned to the kernel.
    kept: usize,
    /// Whether the kernel is asked which pages were written.
    scan: Enabled,
    /// Whether a memory is initialized by mapping its contents or by copying them.
    maps: bool,
}

/// Candidate settings for a memory; the best one depends on the machine and on the guest.
fn pools(memory: usize) -> Vec<Pool> {
    // Keeping little of a large memory is not worth trying.
    const LARGE: usize = 32 << 20;
    let mut kept = vec![64 << 10, 2 << 20, memory];
    kept.retain(|&kept| kept == memory || kept < memory && memory < LARGE);
    kept.dedup();
    let pools = |maps: bool| {
        let scans = [Enabled::No, Enabled::Auto].into_iter();
        let keeping = scans.flat_map(|scan| kept.iter().map(move |&kept| Pool { kept, scan, maps }));
        // With nothing kept, nothing is scanned.
        keeping.chain([Pool { kept: 0, scan: Enabled::No, maps }]).collect::<Vec<_>>()
    };
    [pools(true), pools(false)].concat()
}

/// Returns the nanoseconds of a measurement with its best settings: all are tried, the best two are measured.
fn best_of(guest: &Guest, meter: &Meter, measure: impl Fn(&Pool, &Meter) -> Result<f64>) -> Result<f64> {
    let mut tried = Vec::new();
    for pool in pools(guest.memory) {
        tried.push((measure(&pool, &meter.rough())?, pool));
    }
    tried.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let measured = tried.iter().take(2).map(|(_, pool)| measure(pool, meter));
    measured.collect::<Result<Vec<_>>>().map(|figures| figures.into_iter().fold(f64::INFINITY, f64::min))
}

/// Returns the nanoseconds of a call of a new instance from the best pool, which is Wasmtime's clean instance.
fn best(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
    best_of(guest, meter, |pool, meter| {
        let instances = Instances::new(pool, guest)?;
        meter.measure_on(threads, |count| instances.call(count))
    })
}

/// A guest's instances, from a pool of their own.
struct Instances<'a> {
    engine: Engine,
    pre: InstancePre<()>,
    guest: &'a Guest,
}

impl<'a> Instances<'a> {
    fn new(settings: &Pool, guest: &'a Guest) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(16).total_memories(16).total_tables(16).max_memory_size(guest.memory);
        pool.linear_memory_keep_resident(settings.kept).table_keep_resident(settings.kept.min(64 << 10));
        pool.pagemap_scan(settings.scan);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
        config.memory_init_cow(settings.maps);
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, &guest.wasm)?;
        let pre = Linker::new(&engine).instantiate_pre(&module)?;
        Ok(Self { engine, pre, guest })
    }

    /// Makes a number of calls, each of a new instance.
    fn call(&self, count: u32) -> Result<()> {
        for _ in 0..count {
            let mut store = Store::new(&self.engine, ());
            let instance = self.pre.instantiate(&mut store)?;
            let export = instance.get_typed_func::<(), i32>(&mut store, self.guest.export)?;
            self.guest.check(export.call(&mut store, ())?)?;
        }
        Ok(())
    }
}

/// The store of a program of WASI 0.2.
struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// Instances of a program of WASI 0.2.
struct Commands {
    engine: Engine,
    pre: component::InstancePre<Host>,
    run: component::ComponentExportIndex,
}

impl Commands {
    /// From a pool, or each with memories of its own.
    fn new(settings: Option<&Pool>) -> Result<Self> {
        let mut config = Config::new();
        if let Some(settings) = settings {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(4).total_core_instances(32).total_memories(32).total_tables(32);
            pool.max_memory_size(COMMAND_MEMORY);
            pool.linear_memory_keep_resident(settings.kept).table_keep_resident(settings.kept.min(64 << 10));
            pool.pagemap_scan(settings.scan);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
            config.memory_init_cow(settings.maps);
        }
        config.concurrency_support(false);
        let engine = Engine::new(&config)?;
        let component = component::Component::from_binary(&engine, COMMAND)?;
        let mut linker = component::Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        let found = component.get_export_index(None, COMMAND_RUN[0]);
        let found = found.and_then(|run| component.get_export_index(Some(&run), COMMAND_RUN[1]));
        let run = found.ok_or_else(|| anyhow::anyhow!("it is no program"))?;
        Ok(Self { pre: linker.instantiate_pre(&component)?, engine, run })
    }

    fn measure(&self, meter: &Meter) -> Result<f64> {
        meter.measure(|count| {
            for _ in 0..count {
                let ctx = WasiCtxBuilder::new().args(&COMMAND_ARGS).build();
                let mut store = Store::new(&self.engine, Host { ctx, table: ResourceTable::new() });
                let instance = self.pre.instantiate(&mut store)?;
                let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut store, &self.run)?;
                let (result,) = run.call(&mut store, ())?;
                result.map_err(|()| anyhow::anyhow!("the program failed"))?;
            }
            Ok(())
        })
    }
}

/// At least as much as the program's memory.
const COMMAND_MEMORY: usize = 4 << 20;

/// Measures the program with the best two settings.
fn best_command(meter: &Meter) -> Result<f64> {
    let mut tried = Vec::new();
    for pool in pools(COMMAND_MEMORY) {
        tried.push((Commands::new(Some(&pool))?.measure(&meter.rough())?, pool));
    }
    tried.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let measured = tried.iter().take(2).map(|(_, pool)| Commands::new(Some(pool))?.measure(meter));
    measured.collect::<Result<Vec<_>>>().map(|figures| figures.into_iter().fold(f64::INFINITY, f64::min))
}

/// A thousand times a second.
const INTERVAL: Duration = Duration::from_millis(1);

/// The data of a sampled store.
struct Sampled {
    wasi: WasiP1Ctx,
    profiler: Option<GuestProfiler>,
    last: Instant,
    samples: usize,
}

/// A program that runs repeatedly, with or without an engine that can sample.
struct SampledGuest<'a> {
    engine: Engine,
    module: Module,
    linker: Linker<Sampled>,
    program: &'a Program,
}

impl<'a> SampledGuest<'a> {
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

    /// Runs it to its end. Returns the CPU time of the run, without instantiation.
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

    /// Works like its manual and its own program: a thread ends epochs, and code that notices the end takes a sample.
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
    let guests = [SampledGuest::new(program, false)?, SampledGuest::new(program, true)?];
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
