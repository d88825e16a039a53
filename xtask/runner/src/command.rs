//! The command line of an engine under measurement.

use crate::{Effort, Engine, Figure, Meter, Program, probe};
use anyhow::{Context, Result};
use std::hint::black_box;
use std::time::Instant;

/// Exit code when the engine, not the guest, has failed.
const FAILED: i32 = 125;

const USAGE: &str = "run [--dir HOST::GUEST] [--env K=V] [--argv0 NAME] FILE ARGS… | compile FILE [ROUNDS] \
                     | calls [FIGURE] | instantiate [FIGURE]";

/// The main function of an engine's program. Ends the process.
pub fn main<E: Engine>() -> ! {
    let code = command::<E>(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        FAILED
    });
    // As the engines' own programs do: memory is not given back piece by piece before the end.
    std::process::exit(code)
}

fn command<E: Engine>(mut words: impl Iterator<Item = String>) -> Result<i32> {
    let meter = Meter::new(if set("BENCH_QUICK") { Effort::Quick } else { Effort::Full });
    match words.next().as_deref() {
        Some("run") => return run::<E>(&Program::parse(words)?),
        Some("compile") => {
            let wasm = std::fs::read(words.next().context("which FILE?")?)?;
            let rounds = words.next().map_or(Ok(1), |n| n.parse())?;
            compile::<E>(&wasm, rounds)?;
        }
        Some("calls") => calls::<E>(&meter, words.next().as_deref())?,
        Some("instantiate") => instantiate::<E>(&meter, words.next().as_deref())?,
        _ => anyhow::bail!("usage: {USAGE}"),
    }
    Ok(0)
}

fn set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|v| v == "1")
}

fn run<E: Engine>(program: &Program) -> Result<i32> {
    let wasm = std::fs::read(&program.file).with_context(|| program.file.display().to_string())?;
    let engine = E::new()?;
    let start = Instant::now();
    let module = engine.compile(&wasm)?;
    let compiled = start.elapsed();
    let ended = engine.run(&module, program)?;
    if set("BENCH_TIMES") {
        eprintln!("{}", Figure::Compile.line(compiled.as_nanos() as f64));
        eprintln!("{}", Figure::Run.line(ended.took.as_nanos() as f64));
    }
    Ok(ended.exit)
}

fn compile<E: Engine>(wasm: &[u8], rounds: u32) -> Result<()> {
    let engine = E::new()?;
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(engine.compile(black_box(wasm))?);
        println!("{}", Figure::Compile.line(start.elapsed().as_nanos() as f64));
    }
    if let Some(bytes) = peak() {
        println!("{}", Figure::Peak.line(bytes));
    }
    Ok(())
}

/// The most memory that this process had resident so far, in bytes, where the system tells.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Measures and prints a figure, unless only another was asked for.
fn print(only: Option<&str>, figure: Figure, measure: impl FnOnce() -> Result<f64>) -> Result<()> {
    if only.is_none_or(|name| name == figure.name()) {
        println!("{}", figure.line(measure()?));
    }
    Ok(())
}

fn calls<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let engine = E::new()?;
    let module = engine.compile(&probe::calls())?;
    print(only, Figure::HostToGuest, || engine.host_to_guest(&module, meter))?;
    print(only, Figure::GuestToHost, || engine.guest_to_host(&module, meter))
}

fn instantiate<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let wasm = probe::image();
    print(only, Figure::Instantiate, || E::instantiate(&wasm, probe::CONSTANT, meter))?;
    print(only, Figure::InstantiateWrite, || E::instantiate(&wasm, probe::COUNT, meter))
}
