//! The command line of a measured engine.

use crate::{BYTES, ComponentCall, Effort, Engine, Figure, Guest, Meter, Pairs, Program, components, probe};
use anyhow::{Context, Result};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Exit code if the engine fails, not the guest.
const FAILED: i32 = 125;

const USAGE: &str = "run [--dir HOST::GUEST] [--env K=V] [--argv0 NAME] FILE ARGS… | compile FILE [ROUNDS] \
                     | calls [FIGURE] | instantiate [FIGURE] | sandbox [FIGURE | facts] | deadline [FIGURE] \
                     | components [FIGURE] | watch WHAT …";

/// The main function of an engine's program. It ends the process.
pub fn main<E: Engine>() -> ! {
    let code = command::<E>(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        FAILED
    });
    // Like the engines' own programs, this skips freeing memory piece by piece at the end.
    std::process::exit(code)
}

fn command<E: Engine>(mut words: impl Iterator<Item = String>) -> Result<i32> {
    let effort = if set("BENCH_QUICK") { Effort::Quick } else { Effort::Full };
    let meter = Meter::new(effort);
    match words.next().as_deref() {
        Some("run") => return run::<E>(&Program::parse(words)?),
        Some("compile") => {
            let file = PathBuf::from(words.next().context("which FILE?")?);
            let rounds = words.next().map_or(Ok(1), |n| n.parse())?;
            compile::<E>(&file, rounds)?;
        }
        Some("calls") => calls::<E>(&meter, words.next().as_deref())?,
        Some("instantiate") => instantiate::<E>(&meter, words.next().as_deref())?,
        Some("sandbox") => sandbox::<E>(&meter, words.next().as_deref())?,
        Some("deadline") => deadline::<E>(&meter, words.next().as_deref())?,
        Some("components") => components::<E>(&meter, words.next().as_deref())?,
        Some("watch") => E::watch(&words.next().context("WHAT?")?, words, &Pairs::new(effort))?,
        _ => anyhow::bail!("usage: {USAGE}"),
    }
    Ok(0)
}

fn set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|v| v == "1")
}

fn run<E: Engine>(program: &Program) -> Result<i32> {
    let engine = E::new(directory("BENCH_CACHE"))?;
    let (module, compiled) = module(&engine, &program.file)?;
    let ended = engine.run(&module, program)?;
    if set("BENCH_TIMES") {
        eprintln!("{}", Figure::Compile.line(compiled.as_nanos() as f64));
        eprintln!("{}", Figure::Run.line(ended.took.as_nanos() as f64));
    }
    Ok(ended.exit)
}

fn directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// Loads a file's module. Returns it and how long that took, from bytes or from the ahead-of-time artifact.
fn module<E: Engine>(engine: &E, file: &Path) -> Result<(E::Module, Duration)> {
    if let Some(directory) = directory("BENCH_AHEAD") {
        let compiled = directory.join(file.with_extension("compiled").file_name().context("which FILE?")?);
        let start = Instant::now();
        return Ok((engine.load(&compiled, file)?, start.elapsed()));
    }
    let wasm = std::fs::read(file).with_context(|| file.display().to_string())?;
    let start = Instant::now();
    Ok((engine.compile(black_box(&wasm))?, start.elapsed()))
}

fn compile<E: Engine>(file: &Path, rounds: u32) -> Result<()> {
    let engine = E::new(directory("BENCH_CACHE"))?;
    for _ in 0..rounds {
        let took = match is_component(file)? {
            true => {
                let component = std::fs::read(file)?;
                let start = Instant::now();
                engine.compile_component(black_box(&component))?;
                start.elapsed()
            }
            false => {
                let (module, took) = module(&engine, file)?;
                black_box(module);
                took
            }
        };
        println!("{}", Figure::Compile.line(took.as_nanos() as f64));
    }
    if let Some(bytes) = peak() {
        println!("{}", Figure::Peak.line(bytes));
    }
    Ok(())
}

/// Returns whether a file contains a component, by its first bytes.
fn is_component(file: &Path) -> Result<bool> {
    let mut first = [0; 8];
    let read =
        std::fs::File::open(file).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut first));
    read.with_context(|| file.display().to_string())?;
    // A version, and the layer: 0 for modules.
    Ok(first[6..] == [1, 0])
}

/// Returns the peak resident memory of this process in bytes, if the system reports it.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Measures and prints a figure, unless another one was requested.
fn print(only: Option<&str>, figure: Figure, measure: impl FnOnce() -> Result<f64>) -> Result<()> {
    if only.is_none_or(|name| name == figure.name()) {
        println!("{}", figure.line(measure()?));
    }
    Ok(())
}

fn calls<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let engine = E::new(None)?;
    let module = engine.compile(&probe::calls())?;
    print(only, Figure::HostToGuest, || engine.host_to_guest(&module, meter))?;
    print(only, Figure::GuestToHost, || engine.guest_to_host(&module, meter))
}

fn components<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let engine = E::new(None)?;
    let component = components::component();
    for (call, _, figure) in ComponentCall::ALL {
        print(only, figure, || engine.component_call(&component, call, meter))?;
    }
    let (bytes, mut copy) = (vec![1_u8; BYTES], vec![0_u8; BYTES]);
    print(only, Figure::CopyBytes, || {
        meter.measure(|count| {
            for _ in 0..count {
                black_box(&mut copy).copy_from_slice(black_box(&bytes));
            }
            Ok(())
        })
    })?;
    print(only, Figure::CopyNewBytes, || {
        meter.measure(|count| {
            for _ in 0..count {
                drop(black_box(black_box(&bytes).to_vec()));
            }
            Ok(())
        })
    })
}

fn instantiate<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let guest =
        |export, returns| Guest { wasm: probe::image(), memory: probe::IMAGE_MEMORY, export, returns };
    let figures = [
        (Figure::Instantiate, guest(probe::CONSTANT, 42)),
        (Figure::InstantiateWrite, guest(probe::COUNT, probe::COUNTED)),
    ];
    figures.iter().try_for_each(|(figure, guest)| print(only, *figure, || E::instantiate(guest, meter)))
}

/// The number of first calls of an engine whose mean is taken: fewer than engines need to learn a guest's behaviour.
const FIRST: u32 = 8;

fn sandbox<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    if only == Some("facts") {
        return E::sandbox_facts();
    }
    let steady = [
        (Figure::SandboxCall, Guest::small()),
        (Figure::SandboxDirty, Guest::scattered()),
        (Figure::Sandbox1, Guest::dirty(1, 2)),
        (Figure::Sandbox4, Guest::dirty(4, 6)),
        (Figure::Sandbox12, Guest::dirty(12, 16)),
        (Figure::Sandbox64, Guest::dirty(64, 80)),
        (Figure::Sandbox256, Guest::dirty(256, 320)),
    ];
    for (figure, guest) in &steady {
        print(only, *figure, || E::sandbox(guest, 1, meter))?;
    }
    let first = [
        (Figure::SandboxFirst, Guest::scattered()),
        (Figure::SandboxFirst4, Guest::dirty(4, 6)),
        (Figure::SandboxFirst64, Guest::dirty(64, 80)),
    ];
    for (figure, guest) in &first {
        print(only, *figure, || Ok(E::first_sessions(guest, FIRST, meter)? / f64::from(FIRST)))?;
    }
    print(only, Figure::SandboxThreads, || E::sandbox(&Guest::small(), 2, meter))
}

fn deadline<E: Engine>(meter: &Meter, only: Option<&str>) -> Result<()> {
    let wasm = probe::sandbox();
    print(only, Figure::Endless, || E::stoppable(&wasm, probe::SUM, false, meter))?;
    print(only, Figure::Stoppable, || E::stoppable(&wasm, probe::SUM, true, meter))
}
