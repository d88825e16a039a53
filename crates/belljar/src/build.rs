//! Compiling a module within limits.
//!
//! In: a binary and [`BuildOptions`]. Out: the module with its code, or why the compilation was stopped. Never: a
//! caller that waits long after the time limit. If there is a time limit or a way to cancel, another thread compiles,
//! and an abandoned compilation ends by itself.

use crate::artifact::{LoadedArtifact, Origin};
use crate::load::load_code;
use crate::progress::Reporter;
use crate::{Engine, Result, refusal};
use belljar_compile::{
    Budget, BuildError, BuildObserver, CompileCancel, CompileError, CompileLimit, CompileLimits, Compiler,
};
use belljar_core::Context;
use belljar_vm::PrivateCopy;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The limits of a compilation, and how to cancel it.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    pub(crate) limits: CompileLimits,
    pub(crate) cancel: Option<CompileCancel>,
}

impl BuildOptions {
    /// Returns the options of an engine.
    pub(crate) fn of(engine: &Engine) -> Self {
        Self { limits: engine.config().compile_limits.clone(), cancel: None }
    }

    fn wall(&self) -> Option<Duration> {
        self.limits.get(CompileLimit::Wall).map(Duration::from_nanos)
    }
}

/// How often a thread that waits for the compilation checks whether it was cancelled.
const STEP: Duration = Duration::from_millis(10);

/// Compiles a binary.
pub(crate) fn build(
    engine: &Engine,
    compiler: &Compiler,
    wasm: Bytes,
    options: &BuildOptions,
) -> Result<LoadedArtifact> {
    let cancel = options.cancel.clone().unwrap_or_default();
    let budget = Arc::new(Budget::new(options.limits.clone(), cancel, wasm.len() as u64));
    if options.cancel.is_none() && options.wall().is_none() {
        return build_here(engine, compiler, wasm, &budget);
    }
    let (send, receive) = channel();
    let work = {
        let (engine, compiler) = (engine.clone(), compiler.clone());
        let (wasm, budget) = (wasm.clone(), budget.clone());
        // The receiver may be gone.
        move || drop(send.send(build_here(&engine, &compiler, wasm, &budget)))
    };
    let thread = match std::thread::Builder::new().name("belljar-compile".into()).spawn(work) {
        Ok(thread) => thread,
        // No thread can be started: the compilation checks its budget itself nevertheless.
        Err(_) => return build_here(engine, compiler, wasm, &budget),
    };
    let end = options.wall().and_then(|time| Instant::now().checked_add(time));
    loop {
        let left = end.map_or(STEP, |end| end.saturating_duration_since(Instant::now()));
        match receive.recv_timeout(left.min(STEP)) {
            Ok(built) => return built,
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(CompileError::Cancelled.into()),
            },
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(unboxed(budget.time_is_over())),
            Err(RecvTimeoutError::Timeout) => {
                if options.cancel.as_ref().is_some_and(CompileCancel::is_cancelled) {
                    return Err(unboxed(budget.end().unwrap_or(CompileError::Cancelled)));
                }
            }
        }
    }
}

fn build_here(engine: &Engine, compiler: &Compiler, wasm: Bytes, budget: &Budget) -> Result<LoadedArtifact> {
    let reporter = engine.config().compile_progress.as_ref().map(Reporter::new);
    let observer = reporter.as_ref().map_or(&() as &dyn BuildObserver, |reporter| reporter);
    belljar_core::ensure!(
        engine.config().compiler.enabled,
        "the engine has no compiler, because Config::enable_compiler turned it off: load compiled modules instead, or turn it on"
    );
    let check = |module: &belljar_module::Module| engine.config().check_module(module);
    let built = compiler.build(wasm.clone(), &check, observer, budget);
    let (module, image) = built.map_err(|error| match error {
        BuildError::Module(error) => refusal::explain(error, &wasm, compiler.settings().features, budget),
        BuildError::Compile(error) => unboxed(error),
        BuildError::Refused(error) => error,
    })?;
    let copy = PrivateCopy::of(&image).context("not enough memory for the module's code")?;
    Ok(LoadedArtifact {
        module: Arc::new(module),
        image: load_code(engine, compiler.settings(), copy)?,
        origin: Origin::Compiled,
    })
}

/// Returns the error of an exceeded limit by its own type.
fn unboxed(error: CompileError) -> crate::Error {
    match error {
        CompileError::Limit(exceeded) => (*exceeded).into(),
        error => error.into(),
    }
}

/// Converts a result of the budget for the embedder.
pub(crate) fn limited<T>(result: Result<T, CompileError>) -> Result<T> {
    result.map_err(unboxed)
}
