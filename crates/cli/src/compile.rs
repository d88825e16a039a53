//! `belljar compile`: compiles a module to an artifact.

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
use belljar::error::Context;
use belljar::{
    ArtifactInfo, ArtifactOptions, CompileStage, Config, Engine, Error, OutsideText, Precompiled, SigningKey,
};
use clap::Args;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  belljar compile tool.wasm                     creates tool.elf: `belljar run tool.elf` starts it
  belljar compile --target x86-64-v3 tool.wasm  for other machines as well
  belljar compile --sign release.key tool.wasm  for users who trust this key: `belljar help key`
  belljar compile --embed-source tool.wasm      can be recompiled where its code cannot be used

An artifact is trusted only by the user who made it, on this machine, unless it is signed.

Exit codes: 0, or 65 if the module is not valid, 66 if it cannot be read, 69 if there is no key, 74 if the artifact \
cannot be written, 124 if a time limit of --limits was reached.";

/// Compile a module ahead of time
///
/// The artifact is an ELF file, which objdump and readelf understand as well. Not needed just to
/// start a module quickly on this machine: `belljar run` caches what it compiles.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompileOptions {
    /// The module, in binary (.wasm) or text format (.wat)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Where to write the artifact [default: FILE with the extension .elf]
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Compile for this processor [default: that of this machine]
    ///
    /// CPU is x86-64, x86-64-v2, x86-64-v3, or the name of a model. Code for an older processor runs
    /// on more machines, but may be slower. Needed only if the artifact is to run on other machines.
    #[arg(long, value_name = "CPU")]
    target: Option<String>,

    /// Sign the artifact with a key that `belljar key new` made [default: not signed]
    ///
    /// Without a signature, an artifact is trusted only by the user who made it, on this machine. Users
    /// who trust the key can run a signed one.
    #[arg(long, value_name = "KEY", value_hint = clap::ValueHint::FilePath)]
    sign: Option<PathBuf>,

    /// Include the complete wasm binary in the artifact
    ///
    /// It is then recompiled where its code cannot be used, for example by another version of belljar.
    /// Makes the artifact larger; leave it out if you do not want to distribute the wasm.
    #[arg(long)]
    embed_source: bool,

    /// Make it possible to run the artifact with --fuel
    ///
    /// Counting slows the code down, whether or not --fuel is used.
    #[arg(long)]
    with_fuel: bool,

    /// Let hosts interrupt the artifact's code by epochs (`Config::epoch_interruption`)
    ///
    /// Slows the code down. Not needed for --timeout, which stops any code.
    #[arg(long)]
    with_epochs: bool,

    /// Make it possible to run the artifact with --deterministic
    ///
    /// Slows float arithmetic down.
    #[arg(long)]
    deterministic: bool,

    /// Limit the compilation [default: no limits]
    ///
    /// `help` lists the keys; those that begin with compile- have an effect here. `untrusted` sets a
    /// default for each, suitable for untrusted modules. Can be given several times.
    #[arg(long, value_name = "KEY=VALUE,...")]
    limits: Vec<LimitList>,

    /// Print the number of functions, the sizes of sections, and the time of each phase
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
    /// Returns an error if the file is not a valid module, or if the artifact cannot be created or written.
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
        if file.artifact().is_some() || file.is_compiled_component() {
            return Err(Failure::usage(format!("{} is compiled already", OutsideText::new(&self.file))));
        }
        check_other_than(&output, &self.file)
            .and_then(|()| check(&output))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
        timer.record("reading");
        let mut options = ArtifactOptions::new().embed_source(self.embed_source);
        if let Some(key) = &key {
            options = options.sign(key);
        }
        let explain_limit = |failure| limit_list::explain(failure, &self.file, limit_list::option_of_compile);
        let artifact = if file.is_component() {
            let component =
                with_progress(|| file.describe_work(), &meter, || file.compile_component(&engine));
            let component = component.map_err(explain_limit)?;
            timer.record("compilation");
            component.serialize_with(options)
        } else {
            let module = with_progress(|| file.describe_work(), &meter, || file.compile(&engine));
            let module = module.map_err(explain_limit)?;
            file.report_start_problems(&module.start_problems());
            timer.record_stages(&meter.read());
            timer.record("loading");
            module.serialize_with(options)
        };
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

    /// Returns whether the user gave the artifact's name.
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
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<28}{value:>12}");
    let mut written = Ok(());
    if Engine::detect_precompiled(artifact) == Some(Precompiled::Component) {
        written = line("artifact", ByteSize(artifact.len() as u64).to_string());
    } else {
        let info = describe(artifact).with_exit_code(ExitCode::Unwritable)?;
        written = written.and(line("functions", info.functions().unwrap_or_default().to_string()));
        written = written.and(line("artifact", ByteSize(info.size()).to_string()));
        for (name, size) in info.sections() {
            written = written.and(line(&format!("  {name}"), ByteSize(size).to_string()));
        }
    }
    for (phase, time) in &timer.phases {
        written = written.and(line(phase, milliseconds(*time)));
    }
    written = written.and(line("total", milliseconds(timer.last - timer.start)));
    written.with_exit_code(ExitCode::Bug)?;
    Ok(text)
}

/// Reads the properties of an artifact. The output file may not be readable, so this uses a copy in memory.
fn describe(artifact: &[u8]) -> Result<ArtifactInfo, Error> {
    let mut file = File::from(memfd_create("artifact", MemfdFlags::CLOEXEC)?);
    file.write_all(artifact)?;
    ArtifactInfo::read(&file)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Measures the time of each phase. Together, the phases are the whole time from the start to the last record.
struct PhaseTimer {
    start: Instant,
    last: Instant,
    /// A name that begins with a space is a part of the phase before, summed over threads.
    phases: Vec<(&'static str, Duration)>,
}

impl PhaseTimer {
    fn start() -> Self {
        let now = Instant::now();
        Self { start: now, last: now, phases: Vec::new() }
    }

    /// Records a phase that ends now.
    fn record(&mut self, phase: &'static str) {
        self.record_until(phase, Instant::now());
    }

    fn record_until(&mut self, phase: &'static str, end: Instant) {
        self.phases.push((phase, end - self.last));
        self.last = end;
    }

    /// Records the phases of a compilation from the times when its stages began.
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
