//! What an embedder is told while a module is compiled.
//!
//! In: what happens on the threads that compile. Out: calls of the embedder's function, for each compilation one at a time
//! and in order. Never: a thread that waits because another one is telling.

use belljar_compile::{BuildObserver, CompileStage, CompileTimes};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far the compilation of a module is: see [`crate::Config::compile_progress`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Tells compilations apart that go on at the same time: no two of a process have the same number.
    pub compilation: u64,
    /// What is being done.
    pub stage: CompileStage,
    /// Bytes of wasm function bodies that are compiled.
    pub done: u64,
    /// Bytes of all wasm function bodies of the module; zero during validation, which finds out.
    pub total: u64,
    /// What functions took up to now.
    pub times: CompileTimes,
}

impl Progress {
    /// How much of the code is compiled, from 0 to 1.
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

/// The embedder's function.
#[derive(Clone)]
pub(crate) struct ProgressHook(pub(crate) Arc<dyn Fn(Progress) + Send + Sync>);

impl fmt::Debug for ProgressHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressHook")
    }
}

/// One compilation that is told of.
pub(crate) struct Reporter<'a> {
    hook: &'a ProgressHook,
    /// What was told last. Held while the hook is called.
    told: Mutex<Progress>,
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
        Self { hook, told: Mutex::new(nothing), done: AtomicU64::new(0), times: Default::default() }
    }

    fn tell(&self, told: &mut Progress) {
        told.done = self.done.load(Relaxed);
        let [translation, optimization, generation] = &self.times;
        let time = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed));
        told.times.translation = time(translation);
        told.times.optimization = time(optimization);
        told.times.generation = time(generation);
        (self.hook.0)(*told);
    }
}

impl BuildObserver for Reporter<'_> {
    fn begin(&self, stage: CompileStage, total: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.stage, told.total) = (stage, total);
        self.tell(&mut told);
    }

    fn compiled(&self, bytes: u64, times: CompileTimes) {
        for (sum, time) in self.times.iter().zip([times.translation, times.optimization, times.generation]) {
            sum.fetch_add(time.as_nanos() as u64, Relaxed);
        }
        self.done.fetch_add(bytes, Relaxed);
        // What a thread finds nobody to tell is told with the next function, or with the next stage.
        if let Ok(mut told) = self.told.try_lock() {
            self.tell(&mut told);
        }
    }
}
