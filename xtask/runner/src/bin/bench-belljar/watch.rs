//! Measures what inspection costs a guest.

use crate::wasi;
use anyhow::{Context, Result, ensure};
use belljar::{
    Cache, CacheConfig, Caller, Config, Engine, GuestState, Inspector, Instance, Linker, Module, Profiler,
    Store, Watchdog, WatchdogAction,
};
use belljar_wasi::{I32Exit, WasiCtx, p1};
use bench_runner::{CALL_HOST, Clocks, Figure, GUEST_ADD, Pairs, Program, Turn, calls_module};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A thousand times a second.
const INTERVAL: Duration = Duration::from_millis(1);
/// A capture that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time limit of watchdogs that never fire.
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn watch(what: &str, mut words: impl Iterator<Item = String>, pairs: &Pairs) -> Result<()> {
    match what {
        "code" => code(&words.next().context("which FILE?")?),
        "sampled" => sampled(&Guest::new(words)?, pairs),
        "unseen" => unseen(&Guest::new(words)?, pairs),
        "paced" => captured(&Guest::new(words)?, Pace::Every(INTERVAL), pairs),
        "fast" => captured(&Guest::new(words)?, Pace::Fast, pairs),
        "host-to-guest" => calls(pairs, host_to_guest),
        "guest-to-host" => calls(pairs, guest_to_host),
        _ => anyhow::bail!("nobody knows what {what} is"),
    }
}

/// A program that runs repeatedly, each time in a new store.
struct Guest {
    engine: Engine,
    module: Module,
    linker: Linker<WasiCtx>,
    program: Program,
}

impl Guest {
    fn new(words: impl Iterator<Item = String>) -> Result<Self> {
        let program = Program::parse(words)?;
        let cache = std::env::var_os("BENCH_CACHE").map(|directory| Cache::open(CacheConfig::at(directory)));
        let engine = Engine::new(Config::new().cache(cache.transpose()?))?;
        let module = Module::from_file(&engine, &program.file)?;
        let mut linker = Linker::new(&engine);
        p1::add_to_linker(&mut linker, |ctx| ctx)?;
        Ok(Self { engine, module, linker, program })
    }

    fn store(&self) -> Result<Store<WasiCtx>> {
        Ok(Store::new(&self.engine, wasi(&self.program)?))
    }

    /// Runs it to its end. Returns the CPU time of the run, without instantiation.
    fn run(&self, store: &mut Store<WasiCtx>) -> Result<Duration> {
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
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Compiles a file for an unwatched and a watched engine, and compares the complete artifacts.
fn code(file: &str) -> Result<()> {
    let wasm = std::fs::read(file).with_context(|| file.to_string())?;
    let compiled = |engine: &Engine| Module::from_binary(engine, &wasm)?.serialize();
    let plain = compiled(&Engine::default())?;
    let engine = Engine::default();
    let store = Store::new(&engine, ());
    let _watchdog = Watchdog::cpu(store.inspector(), LONG, |_| WatchdogAction::Stop)?;
    let _inspection = engine.serve_inspection()?;
    let profiler = Profiler::start(&engine, file, INTERVAL)?;
    let watched = compiled(&engine)?;
    profiler.finish()?;
    ensure!(plain == watched, "code is not the same: {} and {} bytes", plain.len(), watched.len());
    println!("{}", Figure::Code.line(plain.len() as f64));
    Ok(())
}

/// Without and with a profile being recorded.
fn sampled(guest: &Guest, pairs: &Pairs) -> Result<()> {
    pairs.print(|with| {
        let mut store = guest.store()?;
        if !with {
            return Ok(Turn { ns: nanoseconds(guest.run(&mut store)?), ..Turn::default() });
        }
        let clocks = Clocks::now();
        let profiler = Profiler::start(&guest.engine, "a guest", INTERVAL)?;
        let took = guest.run(&mut store)?;
        let profile = profiler.finish()?;
        let looks = profile.sample_count() + profile.lost() as usize;
        Ok(Turn { ns: nanoseconds(took), looks, beside: clocks.beside() })
    })
}

/// Without and with all means of inspection, unused.
fn unseen(guest: &Guest, pairs: &Pairs) -> Result<()> {
    pairs.print(|with| {
        let mut store = guest.store()?;
        let mut watching = None;
        if with {
            let inspector = store.inspector();
            let watchdog = Watchdog::wall(inspector, LONG, |_| WatchdogAction::Stop)?;
            watching = Some((watchdog, guest.engine.serve_inspection()?));
        }
        let took = guest.run(&mut store)?;
        drop(watching);
        Ok(Turn { ns: nanoseconds(took), ..Turn::default() })
    })
}

/// How often another thread captures the stack.
#[derive(Clone, Copy)]
enum Pace {
    Every(Duration),
    Fast,
}

/// Without and with a thread that captures the stack. Without, it captures just as often from an idle store, which
/// sends no signal, because the cost of a busy neighbour is not the cost of inspection.
///
/// With two processors, each thread has its own. Otherwise the scheduler may put both on one: a capture is then a switch
/// of threads, and costs a tenth.
fn captured(guest: &Guest, pace: Pace, pairs: &Pairs) -> Result<()> {
    let mut seen = Seen::default();
    let idle = guest.store()?;
    let all = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|i| all.is_set(*i));
    let (own, other) = (processors.next(), processors.next());
    if other.is_some() {
        stay_on(own)?;
    }
    let outcome = pairs.print(|with| {
        let mut store = guest.store()?;
        let inspector = if with { store.inspector() } else { idle.inspector() };
        let (is_over, seen) = (AtomicBool::new(false), &mut seen);
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                stay_on(other)?;
                seen.look(&inspector, pace, &is_over)
            });
            let took = guest.run(&mut store);
            is_over.store(true, Relaxed);
            let looks = looks.join().map_err(|_| anyhow::anyhow!("the thread that looks has panicked"))??;
            Ok(Turn { ns: nanoseconds(took?), looks, ..Turn::default() })
        })
    });
    outcome?;
    seen.print();
    Ok(())
}

/// Pins this thread to a processor, if there is one.
fn stay_on(processor: Option<usize>) -> Result<()> {
    let Some(processor) = processor else { return Ok(()) };
    let mut only = CpuSet::new();
    only.set(processor);
    Ok(sched_setaffinity(None, &only)?)
}

/// What the requesting thread measures.
#[derive(Default)]
struct Seen {
    /// Nanoseconds of captures without names, with names, and with names, files and lines, printed.
    latencies: [Vec<f64>; 3],
    frames: usize,
}

impl Seen {
    /// Captures stacks until the time is over. Returns how often the guest was running.
    fn look(&mut self, inspector: &Inspector, pace: Pace, is_over: &AtomicBool) -> Result<usize> {
        let mut looks = 0;
        while !is_over.load(Relaxed) {
            if let Pace::Every(time) = pace {
                std::thread::sleep(time);
            }
            let kind = match pace {
                Pace::Every(_) => looks % 3,
                Pace::Fast => 1,
            };
            let start = Instant::now();
            let is_running = match kind {
                0 => {
                    let monitor = inspector.monitor();
                    monitor.look(monitor.store(), PATIENCE, |seen| seen.thread.is_some())?
                }
                _ => {
                    let stack = inspector.capture(PATIENCE)?;
                    if kind == 2 {
                        black_box(stack.to_string());
                    }
                    self.frames = self.frames.max(stack.backtrace().frames().len());
                    stack.state() != GuestState::Idle
                }
            };
            if is_running {
                self.latencies[kind].push(nanoseconds(start.elapsed()));
                looks += 1;
            }
        }
        Ok(looks)
    }

    fn print(&mut self) {
        use Figure::{Capture, CaptureTail, Look, LookTail, Print, PrintTail};
        println!("{}", Figure::Frames.line(self.frames as f64));
        let figures = [(Look, LookTail), (Capture, CaptureTail), (Print, PrintTail)];
        for (latencies, (middle, tail)) in self.latencies.iter_mut().zip(figures) {
            latencies.sort_by(f64::total_cmp);
            let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize);
            at(0.5).into_iter().for_each(|ns| println!("{}", middle.line(*ns)));
            at(0.99).into_iter().for_each(|ns| println!("{}", tail.line(*ns)));
        }
    }
}

/// Makes a number of calls in a store with `host.add`.
type Calls = fn(&mut Store<i32>, &Instance, count: i32) -> Result<()>;

/// Calls between host and guest, without and with an inspector of the store.
fn calls(pairs: &Pairs, calls: Calls) -> Result<()> {
    const COUNT: i32 = 2_000_000;
    let engine = Engine::default();
    let module = Module::from_binary(&engine, &calls_module())?;
    let mut linker: Linker<i32> = Linker::new(&engine);
    linker.func_wrap("host", "add", |caller: Caller<'_, i32>, a: i32, b: i32| {
        a.wrapping_add(b) ^ *caller.data()
    })?;
    pairs.print(|with| {
        let mut store = Store::new(&engine, 1);
        let _inspector = with.then(|| store.inspector());
        let instance = linker.instantiate(&mut store, &module)?;
        let clocks = Clocks::now();
        calls(&mut store, &instance, COUNT)?;
        Ok(Turn { ns: nanoseconds(clocks.own()) / f64::from(COUNT), ..Turn::default() })
    })
}

fn host_to_guest(store: &mut Store<i32>, instance: &Instance, count: i32) -> Result<()> {
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut *store, GUEST_ADD)?;
    let mut sum = 0;
    for i in 0..count {
        sum = add.call(&mut *store, (sum, i))?;
    }
    black_box(sum);
    Ok(())
}

fn guest_to_host(store: &mut Store<i32>, instance: &Instance, count: i32) -> Result<()> {
    let call_host = instance.get_typed_func::<i32, i32>(&mut *store, CALL_HOST)?;
    black_box(call_host.call(store, count)?);
    Ok(())
}
