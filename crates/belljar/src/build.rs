//! Compiling a module, within what it may take.
//!
//! In: a binary and [`BuildOptions`]. Out: the module with its code, or why it was ended. Never: a caller that waits long after the time is
//! over: where there is a limit of time or somebody who may cancel, the work is another thread's, and what is left of it when it is
//! given up ends by itself.

use crate::artifact::{LoadedArtifact, Origin};
use crate::load::load_code;
use crate::progress::Reporter;
use crate::{Engine, Result, refusal};
use anyhow::Context;
use belljar_compile::{
    Budget, BuildError, BuildObserver, CompileCancel, CompileError, CompileLimit, CompileLimits, Compiler,
};
use belljar_vm::PrivateCopy;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a compilation may take, and who may end it.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    pub(crate) limits: CompileLimits,
    pub(crate) cancel: Option<CompileCancel>,
}

impl BuildOptions {
    /// Those of an engine.
    pub(crate) fn of(engine: &Engine) -> Self {
        Self { limits: engine.config().compile_limits.clone(), cancel: None }
    }

    fn wall(&self) -> Option<Duration> {
        self.limits.get(CompileLimit::Wall).map(Duration::from_nanos)
    }
}

/// How often somebody who waits for another thread looks whether it is to be given up.
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
        // Nobody may be waiting any more.
        move || drop(send.send(build_here(&engine, &compiler, wasm, &budget)))
    };
    let thread = match std::thread::Builder::new().name("belljar-compile".into()).spawn(work) {
        Ok(thread) => thread,
        // No thread can be had: the budget is looked at on the way all the same.
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
    let (module, image) = compiler.build(wasm.clone(), observer, budget).map_err(|error| match error {
        BuildError::Module(error) => refusal::explain(error, &wasm, compiler.features, budget),
        BuildError::Compile(error) => unboxed(error),
    })?;
    let copy = PrivateCopy::of(&image).context("the machine has no room for the module's code")?;
    Ok(LoadedArtifact {
        module: Arc::new(module),
        image: load_code(engine, compiler, copy)?,
        origin: Origin::Compiled,
    })
}

/// What is found in an error as what it is.
fn unboxed(error: CompileError) -> crate::Error {
    match error {
        CompileError::Limit(exceeded) => (*exceeded).into(),
        error => error.into(),
    }
}

/// A result of the budget's as one for the embedder.
pub(crate) fn limited<T>(result: Result<T, CompileError>) -> Result<T> {
    result.map_err(unboxed)
}
