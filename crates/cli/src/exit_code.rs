//! The exit codes of the program: one table, against which tests compare the help texts and docs/cli.md.

/// The exit code of the program unless it is the guest's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// Success.
    Success = 0,
    /// `belljar wast`: a directive failed.
    ScriptFailed = 1,
    /// The command line is invalid.
    Usage = 2,
    /// A file is not a valid module: empty, truncated, corrupted, a syntax error, a component, or too new.
    BadModule = 65,
    /// A file or directory cannot be read, or a process cannot be inspected.
    Unreadable = 66,
    /// A valid module cannot be started: imports are missing, the export does not exist or has another type, or a
    /// memory or table exceeds its limit.
    CannotStart = 69,
    /// A bug in belljar.
    Bug = 70,
    /// An output of belljar cannot be written.
    Unwritable = 74,
    /// The time limit of `--timeout` or `--cpu-timeout` was reached. As `timeout` of the GNU coreutils.
    Timeout = 124,
    /// Ctrl-C stopped the guest. 128 + 2, as a shell reports SIGINT.
    Interrupted = 130,
    /// `belljar kill` stopped the guest. 128 + 9, as a shell reports SIGKILL.
    Killed = 137,
    /// The guest trapped, or a host function that it called failed. 128 + 6, as a shell reports SIGABRT.
    Trap = 134,
    /// The reader of an output closed it. 128 + 13, as a shell reports SIGPIPE.
    BrokenPipe = 141,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
