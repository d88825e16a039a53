//! The text form in which an engine's process passes figures to the bench.

use std::fmt;

/// A measured value and its output line: `name: value`, in nanoseconds unless the name says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// A program from the call of `_start` to its end.
    Run,
    /// A module from bytes to something that can be instantiated.
    Compile,
    /// The peak resident memory of the process, in bytes.
    Peak,
    /// A call of a guest's function.
    HostToGuest,
    /// A call of a host function, made by the guest.
    GuestToHost,
    /// Store, instance, one call, drop.
    Instantiate,
    /// The same, with a call that writes to the memory's image.
    InstantiateWrite,
    /// A call in a clean instance, including the reset for the next one.
    SandboxCall,
    /// The same, with a call that writes to 32 pages of a memory of 4 MiB.
    SandboxDirty,
    /// The same, with a call that writes to 1 MiB of a memory of 2.
    Sandbox1,
    /// The same, with a call that writes to 4 MiB of a memory of 6.
    Sandbox4,
    /// The same, with a call that writes to 12 MiB of a memory of 16.
    Sandbox12,
    /// The same, with a call that writes to 64 MiB of a memory of 80.
    Sandbox64,
    /// The same, with a call that writes to 256 MiB of a memory of 320.
    Sandbox256,
    /// The mean of an engine's first calls, each writing to 32 pages of 4 MiB.
    SandboxFirst,
    /// The same, each writing to 4 MiB of 6.
    SandboxFirst4,
    /// The same, each writing to 64 MiB of 80.
    SandboxFirst64,
    /// The first of these on two threads at once: elapsed time for each call of both.
    SandboxThreads,
    /// A call of a function that sums up 64 KiB, byte by byte.
    Endless,
    /// The same, with a deadline that is far off.
    Stoppable,
    /// A call of a component's function with two numbers, which returns one: the host calls. The next ones are those of
    /// [`ComponentCall`](crate::ComponentCall), in its order.
    ComponentAdd,
    /// The guest calls the host with two numbers.
    ComponentHostAdd,
    /// The host passes a string.
    ComponentTakeText,
    /// The host gets a string.
    ComponentGiveText,
    /// The guest passes the host a string.
    ComponentHostText,
    /// The host passes bytes.
    ComponentTakeBytes,
    /// The host gets bytes.
    ComponentGiveBytes,
    /// The host passes pairs.
    ComponentTakePairs,
    /// The host gets pairs.
    ComponentGivePairs,
    /// A component calls another one.
    ComponentNop,
    /// A component passes another one a short string.
    ComponentText,
    /// A component passes another one bytes.
    ComponentBytes,
    /// A component passes another one pairs.
    ComponentPairs,
    /// A program of WASI 0.2 in a new store.
    ComponentCommand,
    /// A program of WASI 0.2 in a clean instance.
    ComponentCleanCommand,
    /// The copy of as many bytes, without any guest.
    CopyBytes,
    /// The same, into new memory.
    CopyNewBytes,
    /// Some work without inspection: CPU time of its thread.
    Without,
    /// The same work with inspection.
    With,
    /// How often it was inspected meanwhile: a number.
    Looks,
    /// CPU time that other threads used meanwhile.
    Beside,
    /// Frames of a captured stack: a number.
    Frames,
    /// A capture without names, as the requesting thread sees it: the median.
    Look,
    /// The same: the slowest of a hundred.
    LookTail,
    /// A capture with names.
    Capture,
    /// The same: the slowest of a hundred.
    CaptureTail,
    /// A capture with names, files and lines, printed.
    Print,
    /// The same: the slowest of a hundred.
    PrintTail,
    /// Compiled code, in bytes.
    Code,
}

impl Figure {
    /// Returns the name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run-ns",
            Self::Compile => "compile-ns",
            Self::Peak => "peak-bytes",
            Self::HostToGuest => "host-to-guest-ns",
            Self::GuestToHost => "guest-to-host-ns",
            Self::Instantiate => "instantiate-ns",
            Self::InstantiateWrite => "instantiate-write-ns",
            Self::SandboxCall => "sandbox-call-ns",
            Self::SandboxDirty => "sandbox-dirty-ns",
            Self::Sandbox1 => "sandbox-1-mib-ns",
            Self::Sandbox4 => "sandbox-4-mib-ns",
            Self::Sandbox12 => "sandbox-12-mib-ns",
            Self::Sandbox64 => "sandbox-64-mib-ns",
            Self::Sandbox256 => "sandbox-256-mib-ns",
            Self::SandboxFirst => "sandbox-first-ns",
            Self::SandboxFirst4 => "sandbox-first-4-mib-ns",
            Self::SandboxFirst64 => "sandbox-first-64-mib-ns",
            Self::SandboxThreads => "sandbox-threads-ns",
            Self::Endless => "endless-ns",
            Self::Stoppable => "stoppable-ns",
            Self::ComponentAdd => "component-add-ns",
            Self::ComponentHostAdd => "component-host-add-ns",
            Self::ComponentTakeText => "component-take-text-ns",
            Self::ComponentGiveText => "component-give-text-ns",
            Self::ComponentHostText => "component-host-text-ns",
            Self::ComponentTakeBytes => "component-take-bytes-ns",
            Self::ComponentGiveBytes => "component-give-bytes-ns",
            Self::ComponentTakePairs => "component-take-pairs-ns",
            Self::ComponentGivePairs => "component-give-pairs-ns",
            Self::ComponentNop => "component-nop-ns",
            Self::ComponentText => "component-text-ns",
            Self::ComponentBytes => "component-bytes-ns",
            Self::ComponentCommand => "component-command-ns",
            Self::ComponentCleanCommand => "component-clean-command-ns",
            Self::ComponentPairs => "component-pairs-ns",
            Self::CopyBytes => "copy-bytes-ns",
            Self::CopyNewBytes => "copy-new-bytes-ns",
            Self::Without => "without-ns",
            Self::With => "with-ns",
            Self::Looks => "looks",
            Self::Beside => "beside-ns",
            Self::Frames => "frames",
            Self::Look => "look-ns",
            Self::LookTail => "look-tail-ns",
            Self::Capture => "capture-ns",
            Self::CaptureTail => "capture-tail-ns",
            Self::Print => "print-ns",
            Self::PrintTail => "print-tail-ns",
            Self::Code => "code-bytes",
        }
    }

    /// Returns the line to print.
    pub fn line(self, value: f64) -> String {
        format!("{self}: {value:.2}")
    }

    /// Returns the value in the last such line of a process's output, which may follow output of the guest.
    ///
    /// ```
    /// use bench_runner::Figure;
    /// assert_eq!(Figure::Run.read("guest: hello\nrun-ns: 1200.50\n"), Some(1200.5));
    /// assert_eq!(Figure::Run.read("compile-ns: 3"), None);
    /// ```
    pub fn read(self, output: &str) -> Option<f64> {
        output.lines().rev().find_map(|line| self.value(line))
    }

    /// Returns the values in all such lines.
    ///
    /// ```
    /// use bench_runner::Figure;
    /// assert_eq!(Figure::With.read_all("with-ns: 3\nlooks: 2\nwith-ns: 4\n"), [3.0, 4.0]);
    /// ```
    pub fn read_all(self, output: &str) -> Vec<f64> {
        output.lines().filter_map(|line| self.value(line)).collect()
    }

    fn value(self, line: &str) -> Option<f64> {
        line.strip_prefix(self.name())?.strip_prefix(": ")?.trim().parse().ok()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
