//! `belljar compile`: a module's file in, an artifact out.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::limit_list::{self, LimitList};
use crate::module_file::ModuleFile;
use crate::output::{complain, print};
use crate::output_file::{Readers, cannot_write, check, check_other_than, write};
use crate::progress::{Meter, MeterReading, with_progress};
use crate::proposals::Proposals;
use crate::user_cache;
use anyhow::{Context, Error};
use belljar::{ArtifactInfo, ArtifactOptions, CompileStage, Config, Engine, OutsideText, SigningKey};
use clap::Args;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  belljar compile tool.wasm                       makes tool.elf, which `belljar run tool.elf` starts at once
  belljar compile --target x86-64-v3 tool.wasm    for other machines, too
  belljar compile --sign release.key tool.wasm    for whoever trusts this key: see `belljar help key`
  belljar compile --embed-source tool.wasm        can be compiled again where its code cannot be used

An artifact is believed only by the user who made it, on this machine, unless it is signed.
Exit codes: 0, or 65 if the module is not valid, 66 if it cannot be read, 69 if there is no key, 74 if the artifact
cannot be written, 124 if it took longer than --limits says.";

/// Compile a module ahead of time.
///
/// The artifact is an ELF file, which objdump and readelf understand, too.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompileOptions {
    /// The module, in binary (.wasm) or text format (.wat)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Where to write the artifact [default: FILE with the ending .elf]
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Compile for this processor: x86-64, x86-64-v2, x86-64-v3, or a model [default: that of this machine]
    #[arg(long, value_name = "CPU")]
    target: Option<String>,

    /// Sign the artifact with a key that `belljar key new` made
    #[arg(long, value_name = "KEY", value_hint = clap::ValueHint::FilePath)]
    sign: Option<PathBuf>,

    /// Put all of the wasm into the artifact
    #[arg(long)]
    embed_source: bool,

    /// Let the artifact be run with --fuel
    #[arg(long)]
    with_fuel: bool,

    /// Let hosts interrupt the artifact's code by epochs (`Config::epoch_interruption`); --timeout needs nothing
    #[arg(long)]
    with_epochs: bool,

    /// Let the artifact be run with --deterministic
    #[arg(long)]
    deterministic: bool,

    /// Limit what the compilation may take: `help` lists the keys, of which those that begin with compile- count; `untrusted` takes
    /// a default for each
    #[arg(long, value_name = "KEY=VALUE,...")]
    limits: Vec<LimitList>,

    /// Print how many functions there are, the sizes of sections, and what took how long
    #[arg(long)]
    explain: bool,

    #[command(flatten)]
    proposals: Proposals,
}

impl CompileOptions {
    /// Compiles the file. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where it is no valid module, or the artifact cannot be made or written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        if limit_list::print_keys(&self.limits)? {
            return Ok(ExitCode::Success as u8);
        }
        let mut timer = PhaseTimer::start();
        let output = self.output.clone().unwrap_or_else(|| self.file.with_extension("elf"));
        let key =
            self.sign.as_deref().map(SigningKey::read).transpose().with_exit_code(ExitCode::Unreadable)?;
        let (engine, meter) = self.engine()?;
        timer.record("preparation");
        let file = ModuleFile::read(&self.file)?.into_binary_with_lines()?;
        if file.artifact().is_some() {
            return Err(Failure::usage(format!("{} is compiled already", OutsideText::new(&self.file))));
        }
        check_other_than(&output, &self.file)
            .and_then(|()| check(&output))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
        timer.record("reading");
        let module = with_progress(|| file.describe_work(), &meter, || file.compile(&engine))
            .map_err(|failure| limit_list::explain(failure, &self.file, limit_list::option_of_compile))?;
        file.report_start_problems(&module.start_problems());
        timer.record_stages(&meter.read());
        timer.record("loading");
        let mut options = ArtifactOptions::new().embed_source(self.embed_source);
        if let Some(key) = &key {
            options = options.sign(key);
        }
        let artifact = module.serialize_with(options);
        user_cache::report_problems(&engine);
        let artifact = artifact.with_exit_code(ExitCode::CannotStart)?;
        timer.record("assembly and sealing");
        write(&output, Readers::Usual, |out| out.write_all(&artifact))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
        timer.record("writing");
        if self.explain {
            print(&explain(&artifact, &timer)?)?;
        } else if !self.is_named(&output) {
            complain(&format!("wrote {} ({})", OutsideText::new(&output), ByteSize(artifact.len() as u64)));
        }
        Ok(ExitCode::Success as u8)
    }

    /// Whether the user knows the artifact's name, having given it.
    fn is_named(&self, output: &Path) -> bool {
        self.output.as_deref() == Some(output)
    }

    fn engine(&self) -> Result<(Engine, Meter), Failure> {
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        config.consume_fuel(self.with_fuel).epoch_interruption(self.with_epochs);
        config.deterministic(self.deterministic).compile_limits(limit_list::compile_limits(&self.limits));
        if let Some(target) = &self.target {
            config.target_processor(target);
        }
        let meter = Meter::of(&mut config);
        Ok((Engine::new(&config).with_exit_code(ExitCode::Usage)?, meter))
    }
}

fn explain(artifact: &[u8], timer: &PhaseTimer) -> Result<String, Failure> {
    let info = describe(artifact).with_exit_code(ExitCode::Unwritable)?;
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<28}{value:>12}");
    let mut told = line("functions", info.functions().unwrap_or_default().to_string());
    told = told.and(line("artifact", ByteSize(info.size()).to_string()));
    for (name, size) in info.sections() {
        told = told.and(line(&format!("  {name}"), ByteSize(size).to_string()));
    }
    for (phase, time) in &timer.phases {
        told = told.and(line(phase, milliseconds(*time)));
    }
    told = told.and(line("total", milliseconds(timer.last - timer.start)));
    told.with_exit_code(ExitCode::Bug)?;
    Ok(text)
}

/// What is to be known of an artifact. The file that it was written to may be one that cannot be read.
fn describe(artifact: &[u8]) -> Result<ArtifactInfo, Error> {
    let mut file = File::from(memfd_create("artifact", MemfdFlags::CLOEXEC)?);
    file.write_all(artifact)?;
    ArtifactInfo::read(&file)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// How long each phase took. Together they are all the time from the start to the last note.
struct PhaseTimer {
    start: Instant,
    last: Instant,
    /// Those whose names begin with a space are parts of the one before, summed over threads.
    phases: Vec<(&'static str, Duration)>,
}

impl PhaseTimer {
    fn start() -> Self {
        let now = Instant::now();
        Self { start: now, last: now, phases: Vec::new() }
    }

    /// What was done since the last note.
    fn record(&mut self, phase: &'static str) {
        self.record_until(phase, Instant::now());
    }

    fn record_until(&mut self, phase: &'static str, end: Instant) {
        self.phases.push((phase, end - self.last));
        self.last = end;
    }

    /// What was done up to the beginning of the last stage of a compilation.
    fn record_stages(&mut self, reading: &MeterReading) {
        for (stage, begin) in &reading.stages {
            match stage {
                CompileStage::Compilation => self.record_until("validation", *begin),
                CompileStage::Linking => {
                    self.record_until("compilation", *begin);
                    let times = reading.times;
                    self.phases.push(("  translation, all threads", times.translation));
                    self.phases.push(("  optimization, all threads", times.optimization));
                    self.phases.push(("  generation, all threads", times.generation));
                }
                CompileStage::Finished => self.record_until("linking", *begin),
                _ => {}
            }
        }
    }
}
