//! The options of `belljar run`.

use super::backtrace::Backtrace;
use super::core_dump::CoreDumpFile;
use super::dir_grant::DirGrant;
use super::env_var::EnvVar;
use super::http_grant::HttpGrant;
use super::network_grant::NetworkGrant;
use super::preload::Preload;
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::limit_list::LimitList;
use crate::perf::Perf;
use crate::proposals::Proposals;
use crate::time_span::TimeSpan;
use belljar::{OutsideText, similar_name};
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
  belljar run --limits untrusted tool.wasm         sets all limits; `--limits help` shows them
  belljar run --threads --max-threads 8 tool.wasm  may start eight threads
  belljar run --backtrace full tool.wasm           shows more of a deep stack if it traps
  belljar run --coredump core.%p tool.wasm         writes a file for debuggers if it traps
  belljar run --profile flame.svg tool.wasm        shows where its time went
  perf record belljar run --perf map tool.wasm     and `perf report` names the guest's functions

Exit codes:
  the guest's own, if it ends by itself (its low eight bits; 1 if they are 0 and it is not)
  134  it trapped or used up its fuel, or a host function failed (128 + SIGABRT)
  124  it was stopped by --timeout, --cpu-timeout, or a time limit of --limits (as timeout(1))
  130  it was stopped by Ctrl-C          137  it was killed by `belljar kill`
  2    the command line is invalid
  65   a file is not a valid module      66  a file or directory cannot be read
  69   the module cannot be started: missing imports, no `_start`, over a limit
  74   the FILE of --coredump or --profile could not be written";

/// Run a program
///
/// FILE is a module in binary (.wasm) or text format (.wat), or an artifact of `belljar compile` or
/// `belljar snapshot`. A program made for WASI 0.1 gets its arguments and the three standard streams;
/// it has access to nothing else unless an option grants it. Options stand before FILE: everything after
/// it is passed to the program.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "belljar run [OPTIONS] <FILE> [ARGS]...")]
pub(crate) struct RunOptions {
    /// Let the guest use the directory HOST under the name GUEST [default: no directory]
    ///
    /// GUEST defaults to HOST as written. The guest can read and write everything below HOST, but
    /// nothing outside of it. Append `:ro` for read-only access, which is enough for input files.
    /// Can be given several times.
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    pub(super) dir: Vec<DirGrant>,

    /// Set an environment variable of the guest [default: none are set]
    ///
    /// Without a value, passes on the variable of that name from belljar's own environment. Do not
    /// pass on variables with secrets to programs that you do not trust. Can be given several times.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<EnvVar>,

    /// Let the guest use the network as this program may [default: no address]
    ///
    /// Components can open sockets, listen, look names up, and send HTTP requests. Prefer --allow-tcp,
    /// --allow-udp and --allow-http, which grant single addresses.
    #[arg(long)]
    pub(super) inherit_network: bool,

    /// Let the guest connect to HOST:PORT with TCP, or listen there [default: no address]
    ///
    /// HOST is a name, an address (IPv6 in brackets), a network such as 10.0.0.0/8, or `*`. PORT is a
    /// number, a range such as 8000-8999, or `*`. A name is looked up at the start, and the guest may
    /// look it up too. Can be given several times.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "inherit_network")]
    pub(super) allow_tcp: Vec<NetworkGrant>,

    /// Let the guest exchange UDP datagrams with HOST:PORT, or receive them there [default: no address]
    ///
    /// As --allow-tcp.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "inherit_network")]
    pub(super) allow_udp: Vec<NetworkGrant>,

    /// Let the guest send HTTP requests to HOST [default: to no host]
    ///
    /// With HTTP or HTTPS. HOST is as for --allow-tcp, and is compared with the host in the request's
    /// URI. Without PORT, all ports. Can be given several times.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "inherit_network")]
    pub(super) allow_http: Vec<HttpGrant>,

    /// Set the program's own name, its first argument [default: the name of FILE]
    ///
    /// Useful for programs that behave differently under different names.
    #[arg(long, value_name = "NAME")]
    pub(super) argv0: Option<String>,

    /// Call this exported function instead of the program's entry, and print its results
    ///
    /// ARGS are parsed as its arguments, by the types of its parameters. Without this option the
    /// default export or `_start` is called. `_initialize` is called first in any case, if exported.
    /// Of a component, arguments and results are WAVE: --invoke 'name(1, "two", {x: 3})', or each
    /// argument after FILE. NAME#FUNC is a function of the interface NAME.
    #[arg(long, value_name = "FUNC")]
    pub(super) invoke: Option<String>,

    /// Limit all memories together to SIZE bytes: 65536, 64K, 16M, 2G [default: no limit]
    ///
    /// Growth beyond it fails as the specification says: `memory.grow` returns -1. Without a limit, a
    /// guest can grow each of its memories to the maximum that it declares, if any.
    #[arg(long, value_name = "SIZE")]
    pub(super) max_memory: Option<ByteSize>,

    /// Limit the stack of the guest's calls to SIZE bytes [default: 1M]
    ///
    /// A deeper stack is a trap. Raise it for deeply recursive programs only: every thread of the
    /// guest reserves this much.
    #[arg(long, value_name = "SIZE")]
    pub(super) max_stack: Option<ByteSize>,

    /// Stop the guest after about N instructions [default: no limit]
    ///
    /// An instruction counts 1 whatever it does, even memory.fill; those that only structure the code
    /// are free. The count is checked when a function is called and at each iteration of a loop, so
    /// the guest may overshoot by what is left, without loops and calls, of the functions that it is
    /// in. Counting slows the guest down: if you only want to stop a guest that hangs, use --timeout.
    #[arg(long, value_name = "N", value_parser = whole_number)]
    pub(super) fuel: Option<u64>,

    /// Stop the guest after this time: 250ms, 10s, 2m [default: no limit]
    ///
    /// Counts elapsed time from instantiation on. The same limit applies separately to compilation.
    /// Stops the guest at any instruction, without slowing it down. For programs that wait for input,
    /// --cpu-timeout may be what you want.
    #[arg(long, value_name = "TIME")]
    pub(super) timeout: Option<TimeSpan>,

    /// Stop the guest when its threads have used this much CPU time together [default: no limit]
    ///
    /// A guest that waits uses none, so this alone does not stop a guest that waits forever.
    #[arg(long, value_name = "TIME")]
    pub(super) cpu_timeout: Option<TimeSpan>,

    /// Limit the guest's resources by name, see --limits help
    ///
    /// `help` lists the keys, `untrusted` sets a default for each that is suitable for untrusted code,
    /// `KEY=none` removes a limit. Dedicated options such as --max-memory take precedence.
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(super) limits: Vec<LimitList>,

    /// Let the program start threads (wasi-threads) [default: it cannot]
    ///
    /// Needed by programs that import `wasi::thread-spawn`. Their shared memories are created for them.
    #[arg(long)]
    pub(super) threads: bool,

    /// Limit the program to N threads at once beside its first [default: 256]
    ///
    /// Starting more fails with an error that the program can handle.
    #[arg(long, value_name = "N", value_parser = whole_number, requires = "threads")]
    pub(super) max_threads: Option<u64>,

    /// Make results the same on every machine
    ///
    /// NaNs are canonical, and relaxed vector instructions have a single result. Without this option
    /// these may differ between processors. Slows float arithmetic down.
    #[arg(long)]
    pub(super) deterministic: bool,

    /// Let the module import the exports of the module in FILE from the module name NAME
    ///
    /// Can be given several times: modules are linked in order, so later ones can import from earlier
    /// ones. Not needed for imports of WASI.
    #[arg(long, value_name = "NAME=FILE")]
    pub(super) preload: Vec<Preload>,

    /// List all missing imports, instead of the first 20
    #[arg(long)]
    pub(super) all_imports: bool,

    /// Let perf(1) see the names of the guest's functions [default: perf shows addresses]
    ///
    /// Needed only while recording with perf: it slows down loading of modules, and leaves files that you
    /// have to remove.
    #[arg(long, value_name = "HOW")]
    pub(super) perf: Option<Perf>,

    /// Record where the guest spends CPU time, and write it to FILE at exit
    ///
    /// The file name determines the format: .svg (flame graph), .json (Firefox Profiler), .pb.gz
    /// (pprof), .txt (collapsed stacks). The guest's code is the same with and without this option.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) profile: Option<PathBuf>,

    /// Take HZ samples a second for --profile
    ///
    /// Rates above 1000 are exact, but cost more.
    #[arg(long, value_name = "HZ", default_value_t = 1000, requires = "profile")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) profile_frequency: u32,

    /// How much of the guest's stack to show if it fails
    #[arg(long, value_name = "HOW", default_value = "short")]
    pub(super) backtrace: Backtrace,

    /// Write a core dump to FILE if the guest fails [default: no core dump]
    ///
    /// `%p` in FILE becomes the process id. The file is readable only by you, but contains all
    /// memories of the guest: do not share it if they may hold secrets.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(CoreDumpFile::from))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub(super) coredump: Option<CoreDumpFile>,

    #[command(flatten)]
    pub(super) proposals: Proposals,

    /// The module, and the arguments of the program
    #[arg(value_names = ["FILE", "ARGS"], required_unless_present = "limits", num_args = 1..)]
    #[arg(trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true, value_hint = clap::ValueHint::FilePath)]
    file_and_args: Vec<OsString>,
}

fn whole_number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number up to 2^64 - 1, found `{}`", OutsideText::new(text)))
}

/// Returns the long options of `run`, and those of the whole program.
fn longs() -> Vec<String> {
    let run = RunOptions::augment_args(clap::Command::new("run"));
    let own = run.get_arguments().filter_map(|argument| argument.get_long());
    own.chain(["help", "version"]).map(|long| format!("--{long}")).collect()
}

/// Returns the option of `--option=value`.
fn long_of(arg: &str) -> &str {
    arg.split_once('=').map_or(arg, |(option, _)| option)
}

/// Returns the message for an option that does not exist.
fn no_option(arg: &str) -> String {
    let (wanted, known) = (long_of(arg), longs());
    let advice = match similar_name(wanted, known.iter().map(|long| &**long)) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "`belljar help run` lists all".into(),
    };
    format!("there is no option `{}`: {advice}", OutsideText::new(wanted))
}

impl RunOptions {
    /// Returns the path of the module.
    pub(super) fn file(&self) -> &Path {
        Path::new(self.file_and_args.first().map_or(OsStr::new(""), |f| f))
    }

    /// Refuses a FILE that cannot be meant as one.
    ///
    /// # Errors
    ///
    /// Returns an error that says what it was taken for.
    pub(super) fn check_file(&self, subcommands: impl FnOnce() -> Vec<String>) -> Result<(), Failure> {
        let file = self.file();
        if self.file_and_args.is_empty() {
            return Err(Failure::usage("there is no FILE to run: see `belljar help run`"));
        }
        if file.as_os_str().as_encoded_bytes().starts_with(b"-") {
            return Err(Failure::usage(no_option(&file.to_string_lossy())));
        }
        let is_word = file.components().count() == 1 && file.extension().is_none();
        if is_word && !file.exists() {
            let (name, names) = (file.to_string_lossy(), subcommands());
            let advice = match similar_name(&name, names.iter().map(|name| &**name)) {
                Some(similar) => format!("did you mean `belljar {similar}`?"),
                None => "see `belljar help`".into(),
            };
            let name = OutsideText::new(file);
            let error = format!("there is neither a file nor a subcommand named `{name}`: {advice}");
            return Err(Failure::new(ExitCode::Unreadable, belljar::Error::msg(error)));
        }
        Ok(())
    }

    /// Returns a note about options of belljar among the program's arguments, where they have no effect.
    pub(super) fn misplaced_option(&self) -> Option<String> {
        let known = longs();
        let mut args = self.file_and_args.iter().skip(1).filter_map(|arg| arg.to_str());
        let arg = args.find(|arg| known.iter().any(|long| *long == long_of(arg)))?;
        let option = OutsideText::new(long_of(arg));
        Some(format!("`{option}` stands after FILE, so it is an argument of the program: put it before FILE"))
    }

    /// Returns the arguments after the file as text.
    ///
    /// # Errors
    ///
    /// Returns an error if one is not UTF-8.
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

    /// Returns the program's own name, its first argument.
    pub(super) fn argv0(&self) -> String {
        let name = || self.file().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.argv0.clone().unwrap_or_else(name)
    }
}
