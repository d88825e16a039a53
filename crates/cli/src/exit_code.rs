//! The exit codes of the program: one table, which the help texts and docs/cli.md are held against.

/// How the program ends when it is not the guest that decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// All is well.
    Success = 0,
    /// `belljar wast`: a directive failed.
    ScriptFailed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A file is no valid module: empty, truncated, corrupted, a syntax error, a component, too new.
    BadModule = 65,
    /// A file or directory cannot be read, or a process not be looked at.
    Unreadable = 66,
    /// A valid module cannot be started: imports missing, no such export, an export of another type, a memory
    /// or table over its limit.
    CannotStart = 69,
    /// A bug in belljar.
    Bug = 70,
    /// Our own output cannot be written.
    Unwritable = 74,
    /// The time that `--timeout` or `--cpu-timeout` gave is over. As `timeout` of the GNU coreutils.
    Timeout = 124,
    /// Ctrl-C stopped the guest. 128 + 2, as a shell reports SIGINT.
    Interrupted = 130,
    /// `belljar kill` stopped the guest. 128 + 9, as a shell reports SIGKILL.
    Killed = 137,
    /// The guest trapped, or a host function failed under it. 128 + 6, as a shell reports SIGABRT.
    Trap = 134,
    /// The reader of our output went away. 128 + 13, as a shell reports SIGPIPE.
    BrokenPipe = 141,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
