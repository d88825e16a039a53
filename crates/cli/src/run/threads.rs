//! `--threads`: more stores for one guest, each on a thread of its own.

use super::end;
use super::limits;
use super::options::RunOptions;
use super::outcome::Outcome;
use super::program::{Guest, HOST_STACK, Program, Stop};
use crate::byte_size::ByteSize;
use crate::output::complain;
use anyhow::{Error, Result};
use belljar::{
    ExternType, Instance, Killed, Limit, Linker, OutsideText, ResourceLimiter, SharedMemory, Store,
};
use belljar_wasi::threads::{ThreadHost, ThreadLimits, Threads};
use std::sync::Arc;

/// A memory that the program imports, and all its threads with it.
pub(super) struct CommonMemory {
    module: String,
    name: String,
    memory: SharedMemory,
}

/// Makes the shared memories that a program imports, but for those of a module that `--preload` names.
///
/// # Errors
///
/// Where the budget or the machine says no.
pub(super) fn common_memories(
    program: &Program,
    budget: &mut impl ResourceLimiter,
) -> Result<Vec<CommonMemory>> {
    let mut memories: Vec<CommonMemory> = Vec::new();
    for import in program.module.imports() {
        let ExternType::Memory(ty) = import.ty() else { continue };
        let (module, name) = (import.module(), import.name());
        let is_known = program.preloads.iter().any(|(preload, _)| preload == module)
            || memories.iter().any(|m| m.module == module && m.name == name);
        if !ty.is_shared() || is_known {
            continue;
        }
        let bytes = ty.minimum_bytes().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        anyhow::ensure!(
            budget.memory_growing(0, bytes, None)?,
            "the memory `{}::{}` ({}) exceeds --max-memory",
            OutsideText::new(module),
            OutsideText::new(name),
            ByteSize(bytes as u64)
        );
        let memory = SharedMemory::new(&program.engine, ty)?;
        memories.push(CommonMemory { module: module.into(), name: name.into(), memory });
    }
    Ok(memories)
}

/// Starts the threads of a run.
pub(super) struct Spawner {
    options: RunOptions,
    program: Arc<Program>,
}

impl Spawner {
    /// The threads of a program: none yet.
    pub(super) fn threads(options: &RunOptions, program: &Arc<Program>) -> Threads<Guest> {
        let default = ThreadLimits::default();
        let wanted =
            options.max_threads.map_or(default.threads, |n| usize::try_from(n).unwrap_or(usize::MAX));
        // As many as have instances, so that the guest is told of one that cannot be had, instead of being ended by its start.
        let each = 1 + program.preloads.len() as u64;
        let most = options.limit(Limit::Instances).map_or(u64::MAX, |all| (all / each).saturating_sub(1));
        let threads = wanted.min(usize::try_from(most).unwrap_or(usize::MAX));
        let stack = options.limit(Limit::Stack).map(|bytes| bytes.saturating_add(HOST_STACK));
        let stack_size =
            stack.map_or(default.stack_size, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let spawner = Self { options: options.clone(), program: program.clone() };
        Threads::new(spawner, ThreadLimits { threads, stack_size })
    }
}

impl ThreadHost for Spawner {
    type Data = Guest;

    fn store(&self, spawner: &mut Guest) -> Result<Store<Guest>> {
        self.options.store(&self.program, spawner.share()).map_err(|failure| failure.error)
    }

    fn instantiate(&self, store: &mut Store<Guest>) -> Result<Instance> {
        self.options.instantiate(&self.program, store).map_err(|stop| match stop {
            Stop::Refused(failure) => failure.error,
            Stop::Guest(error) => error,
        })
    }

    fn failed(&self, _thread: u32, store: &mut Store<Guest>, error: &Error) {
        end_process(&self.options, error, store);
    }

    fn ended(&self, _thread: u32, _outcome: Result<()>) {}
}

/// Adds `thread-spawn` to a linker.
///
/// # Errors
///
/// Where the name is defined already.
pub(super) fn add_spawn(linker: &mut Linker<Guest>) -> Result<()> {
    belljar_wasi::threads::add_to_linker(linker, |guest| Some(&guest.common.as_ref()?.threads))
}

/// Adds the memories of all threads to a linker.
///
/// # Errors
///
/// Where a name is defined already.
pub(super) fn link(linker: &mut Linker<Guest>, store: &Store<Guest>) -> Result<()> {
    let Some(common) = &store.data().common else { return Ok(()) };
    for CommonMemory { module, name, memory } in &*common.memories {
        linker.define(store, module, name, memory.clone())?;
    }
    Ok(())
}

/// What a thread's end that is no return means for the program.
fn end_process(options: &RunOptions, error: &Error, store: &Store<Guest>) -> ! {
    end::begin_exit();
    let outcome = Outcome::of_error(error, options);
    if error.is::<Killed>() {
        end::insist(outcome.code);
    }
    if let Some(message) = &outcome.message {
        complain(&format!("error: {message}"));
    }
    limits::refused_growth(store).iter().for_each(|refusal| complain(&format!("note: {refusal}")));
    limits::tell_wasi(&store.data().wasi);
    options.dump_core(error, store);
    end::finish();
    std::process::exit(outcome.code.into())
}
