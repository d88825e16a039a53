//! Observers of a build: progress, and the time that each stage takes. Observation does not affect code.

use std::time::Duration;

/// A stage of a build.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CompileStage {
    /// The binary is read and validated. The amount of code is known only at its end.
    Validation,
    /// Functions are compiled on all threads.
    Compilation,
    /// The code is linked.
    Linking,
    /// The build is finished.
    Finished,
}

/// Time spent on functions, summed over the compiling threads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CompileTimes {
    /// From wasm to the compiler's IR; small functions are inlined here.
    pub translation: Duration,
    /// Passes over the IR.
    pub optimization: Duration,
    /// From the IR to machine code: instruction selection, register allocation, emission of code and tables.
    pub generation: Duration,
}

/// Receives the progress of a build, on the compiling threads: time spent in its methods is added to the compilation.
///
/// `()` ignores all notifications.
pub trait BuildObserver: Send + Sync {
    /// A stage begins, and the previous one has ended. `total` is the size of all function bodies in bytes, or zero
    /// while that is unknown.
    fn begin(&self, stage: CompileStage, total: u64);

    /// A function with a body of this many bytes was compiled in these times.
    fn compiled(&self, bytes: u64, times: CompileTimes);
}

impl BuildObserver for () {
    fn begin(&self, _: CompileStage, _: u64) {}

    fn compiled(&self, _: u64, _: CompileTimes) {}
}
