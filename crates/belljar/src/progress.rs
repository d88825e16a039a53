//! Reporting the progress of compilations to the embedder.
//!
//! In: events on the compiling threads. Out: calls of the embedder's callback, for each compilation one at a time and
//! in order. Never: a thread that waits for another one's call to end.

use belljar_compile::{BuildObserver, CompileStage, CompileTimes};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The progress of the compilation of a module: see [`crate::Config::compile_progress`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Identifies the compilation. It is unique in the process.
    pub compilation: u64,
    /// The current stage.
    pub stage: CompileStage,
    /// Bytes of wasm function bodies that are compiled.
    pub done: u64,
    /// Bytes of all wasm function bodies of the module. It is zero during validation, which determines it.
    pub total: u64,
    /// The time that the functions took so far.
    pub times: CompileTimes,
}

impl Progress {
    /// Returns which part of the code is compiled, from 0 to 1.
    ///
    /// ```
    /// # let mut config = belljar::Config::new();
    /// config.compile_progress(|progress| eprint!("\r{:3.0} %", 100.0 * progress.fraction()));
    /// ```
    pub fn fraction(&self) -> f64 {
        match (self.stage, self.total) {
            (CompileStage::Finished, 0) => 1.0,
            (_, 0) => 0.0,
            (_, total) => self.done as f64 / total as f64,
        }
    }
}

/// The embedder's callback.
#[derive(Clone)]
pub(crate) struct ProgressHook(pub(crate) Arc<dyn Fn(Progress) + Send + Sync>);

impl fmt::Debug for ProgressHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressHook")
    }
}

/// Reports the progress of one compilation.
pub(crate) struct Reporter<'a> {
    hook: &'a ProgressHook,
    /// The progress of the last call. The lock is held during the callback.
    last: Mutex<Progress>,
    done: AtomicU64,
    /// Nanoseconds of each of [`CompileTimes`].
    times: [AtomicU64; 3],
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(hook: &'a ProgressHook) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let nothing = Progress {
            compilation: NUMBER.fetch_add(1, Relaxed),
            stage: CompileStage::Validation,
            done: 0,
            total: 0,
            times: CompileTimes::default(),
        };
        Self { hook, last: Mutex::new(nothing), done: AtomicU64::new(0), times: Default::default() }
    }

    fn call_hook(&self, progress: &mut Progress) {
        progress.done = self.done.load(Relaxed);
        let [translation, optimization, generation] = &self.times;
        let time = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed));
        progress.times.translation = time(translation);
        progress.times.optimization = time(optimization);
        progress.times.generation = time(generation);
        (self.hook.0)(*progress);
    }
}

impl BuildObserver for Reporter<'_> {
    fn begin(&self, stage: CompileStage, total: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.stage, last.total) = (stage, total);
        self.call_hook(&mut last);
    }

    fn compiled(&self, bytes: u64, times: CompileTimes) {
        for (sum, time) in self.times.iter().zip([times.translation, times.optimization, times.generation]) {
            sum.fetch_add(time.as_nanos() as u64, Relaxed);
        }
        self.done.fetch_add(bytes, Relaxed);
        // If another thread is in the callback, the next function or the next stage reports this progress.
        if let Ok(mut last) = self.last.try_lock() {
            self.call_hook(&mut last);
        }
    }
}
