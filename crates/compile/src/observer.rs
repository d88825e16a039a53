//! Who watches a build: how far it is, and what takes how long. Watching shapes no code.

use std::time::Duration;

/// What is being done to make a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CompileStage {
    /// The binary is read and checked. How much code there is shows at its end.
    Validation,
    /// Functions are compiled, on all threads.
    Compilation,
    /// Their code is put together.
    Linking,
    /// All is done.
    Finished,
}

/// Time spent on functions, summed over the threads that compile.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CompileTimes {
    /// From wasm to the compiler's own form; small functions are inlined here.
    pub translation: Duration,
    /// Passes over that form.
    pub optimization: Duration,
    /// From that form to machine code: instructions are selected, registers given out, bytes and tables written.
    pub generation: Duration,
}

/// Who is told of a build, on the threads that compile: what it does is time that compilation takes.
///
/// `()` is told and does nothing.
pub trait BuildObserver: Send + Sync {
    /// A stage begins; none goes on any more. `total`: bytes of all function bodies, zero while that is not known.
    fn begin(&self, stage: CompileStage, total: u64);

    /// A function whose body has this many bytes was compiled in these times.
    fn compiled(&self, bytes: u64, times: CompileTimes);
}

impl BuildObserver for () {
    fn begin(&self, _: CompileStage, _: u64) {}

    fn compiled(&self, _: u64, _: CompileTimes) {}
}
