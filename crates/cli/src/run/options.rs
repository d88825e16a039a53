//! The options of `belljar run`.

use super::backtrace::Backtrace;
use super::core_dump::CoreDumpFile;
use super::dir_grant::DirGrant;
use super::env_var::EnvVar;
use super::preload::Preload;
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::limit_list::LimitList;
use crate::perf::Perf;
use crate::proposals::Proposals;
use crate::time_span::TimeSpan;
use belljar::OutsideText;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  belljar run hello.wasm
  belljar hello.wasm one two                       the same, with two arguments
  belljar run --dir . tool.wasm input.txt          may read and write this directory
  belljar run --dir ~/data::/data:ro tool.wasm     may read ~/data, as /data
  belljar run --env LANG=C --env HOME tool.wasm    LANG as given, HOME as it is here
  belljar run --invoke add math.wat 2 0x28         calls one function, prints 42
  belljar run --max-memory 64M --timeout 10s tool.wasm
  belljar run --limits untrusted tool.wasm         limits all; `--limits help` says to what
  belljar run --threads --max-threads 8 tool.wasm  may start eight threads
  belljar run --backtrace full tool.wasm           shows more of a deep stack if it traps
  belljar run --coredump core.%p tool.wasm         leaves a file for debuggers if it traps
  belljar run --profile flame.svg tool.wasm        shows where its time went
  perf record belljar run --perf map tool.wasm     and `perf report` names the guest's functions

Exit codes:
  the guest's own, if it ends by itself (its low eight bits; 1 where these are 0 and the code is not)
  134  it trapped, used up its fuel, or a host function failed (128 + SIGABRT)
  124  it was stopped by --timeout, --cpu-timeout, or the like of --limits (as timeout(1))
  130  it was stopped by Ctrl-C          137  it was killed by `belljar kill`
  2    the command line makes no sense
  65   a file is no valid module      66  a file or directory cannot be read
  69   the module cannot be started: missing imports, no `_start`, over a limit
  74   the FILE of --coredump or --profile could not be written";

/// Run a program.
///
/// FILE is a module in binary (.wasm) or text format (.wat). A program made for WASI 0.1 gets its arguments
/// and the three standard streams, and nothing else unless an option grants it.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "belljar run [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct RunOptions {
    /// Let the guest use the directory HOST, under the name GUEST (default: the same); `:ro` to read only
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    pub(super) dir: Vec<DirGrant>,

    /// Set an environment variable; without a value, pass on the one that is set here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<EnvVar>,

    /// The program's own name, its first argument [default: the name of FILE]
    #[arg(long, value_name = "NAME")]
    pub(super) argv0: Option<String>,

    /// Call this exported function instead of `_start`; ARGS are its arguments, and results are printed
    #[arg(long, value_name = "FUNC")]
    pub(super) invoke: Option<String>,

    /// All memories together may have SIZE bytes: 65536, 64K, 16M, 2G
    #[arg(long, value_name = "SIZE")]
    pub(super) max_memory: Option<ByteSize>,

    /// The guest's calls may take SIZE bytes of stack [default: 1M]
    #[arg(long, value_name = "SIZE")]
    pub(super) max_stack: Option<ByteSize>,

    /// Stop the guest after about N instructions: it is looked at when a loop begins a round or a function is called, so it may
    /// overshoot by what is left of the functions that it is in, without loops and calls. Any instruction counts 1, memory.fill too
    #[arg(long, value_name = "N", value_parser = whole_number)]
    pub(super) fuel: Option<u64>,

    /// Stop the guest after this time, compilation not counted: 250ms, 10s, 2m
    #[arg(long, value_name = "TIME")]
    pub(super) timeout: Option<TimeSpan>,

    /// Stop the guest when all its threads together have used this much CPU time
    #[arg(long, value_name = "TIME")]
    pub(super) cpu_timeout: Option<TimeSpan>,

    /// Limit what the guest may have: `help` lists the keys, `untrusted` takes a default for each
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(super) limits: Vec<LimitList>,

    /// Let the program start threads (wasi-threads)
    #[arg(long)]
    pub(super) threads: bool,

    /// The program may have N threads at once beside its first [default: 256]
    #[arg(long, value_name = "N", value_parser = whole_number, requires = "threads")]
    pub(super) max_threads: Option<u64>,

    /// Compute the same on every machine: canonical NaNs, relaxed vector instructions with one result
    #[arg(long)]
    pub(super) deterministic: bool,

    /// Let the module import the exports of the module in FILE, as from the module NAME
    #[arg(long, value_name = "NAME=FILE")]
    pub(super) preload: Vec<Preload>,

    /// If imports are missing, list all of them, and not just 20
    #[arg(long)]
    pub(super) all_imports: bool,

    /// Tell perf the names of the guest's functions
    #[arg(long, value_name = "HOW")]
    pub(super) perf: Option<Perf>,

    /// Record where the guest spends CPU time, and write that to FILE when it ends: .svg (flame graph), .json (Firefox
    /// Profiler), .pb.gz (pprof), .txt (collapsed stacks)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) profile: Option<PathBuf>,

    /// Take HZ samples a second for --profile. Above 1000 they are exact, and cost more
    #[arg(long, value_name = "HZ", default_value_t = 1000, requires = "profile")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) profile_frequency: u32,

    /// If the guest fails, show this much of its stack
    #[arg(long, value_name = "HOW", default_value = "short")]
    pub(super) backtrace: Backtrace,

    /// If the guest fails, write a core dump to FILE; `%p` in it becomes the process id
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(CoreDumpFile::from))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub(super) coredump: Option<CoreDumpFile>,

    #[command(flatten)]
    pub(super) proposals: Proposals,

    /// The module, and what the program gets as arguments
    #[arg(value_names = ["FILE", "ARGS"], required_unless_present = "limits", num_args = 1..)]
    #[arg(trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true, value_hint = clap::ValueHint::FilePath)]
    file_and_args: Vec<OsString>,
}

fn whole_number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number up to 2^64 - 1, found `{}`", OutsideText::new(text)))
}

impl RunOptions {
    /// The module's file.
    pub(super) fn file(&self) -> &Path {
        Path::new(self.file_and_args.first().map_or(OsStr::new(""), |f| f))
    }

    /// Refuses what stands where the file should and cannot be meant as one.
    ///
    /// # Errors
    ///
    /// What it was taken for.
    pub(super) fn check_file(&self) -> Result<(), Failure> {
        let file = self.file();
        if self.file_and_args.is_empty() {
            return Err(Failure::usage("there is no FILE to run: see `belljar help run`"));
        }
        let name = OutsideText::new(file);
        if file.as_os_str().as_encoded_bytes().starts_with(b"-") {
            return Err(Failure::usage(format!("there is no option `{name}`: `belljar help run` lists all")));
        }
        let is_word = file.components().count() == 1 && file.extension().is_none();
        if is_word && !file.exists() {
            let error =
                format!("there is neither a file nor a subcommand named `{name}`: see `belljar --help`");
            return Err(Failure::new(ExitCode::Unreadable, anyhow::Error::msg(error)));
        }
        Ok(())
    }

    /// What follows the file, as text.
    ///
    /// # Errors
    ///
    /// Where it is no UTF-8.
    pub(super) fn args(&self) -> Result<Vec<String>, Failure> {
        let texts = self.file_and_args.iter().skip(1).enumerate().map(|(i, arg)| match arg.to_str() {
            Some(text) => Ok(text.to_string()),
            None => Err(Failure::usage(format!(
                "argument {} of the program is not UTF-8: \"{}\"",
                i + 1,
                OutsideText::new(arg)
            ))),
        });
        texts.collect()
    }

    /// The program's name, as it sees it.
    pub(super) fn argv0(&self) -> String {
        let name = || self.file().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.argv0.clone().unwrap_or_else(name)
    }
}
