//! A run from options to exit code: read, compile, link, call.

use super::entry::{self, Entry};
use super::memory_budget::MemoryBudget;
use super::options::RunOptions;
use super::outcome::{self, Outcome};
use super::preload::Preload;
use super::stop::StopNames;
use super::threads::{self, CommonMemory, Spawner};
use super::{argument, end, limits, outside, profile, stop};
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, OrFail};
use crate::missing_imports::{ImportProblem, MissingImports, Provided};
use crate::module_file::ModuleFile;
use crate::output::{complain, print};
use crate::output_file::{cannot_write, check};
use crate::profile::format_of;
use crate::progress::{Meter, with_progress};
use crate::snapshot::SnapshotNote;
use crate::user_cache;
use anyhow::{Context, Error};
use belljar::{
    Config, Engine, Instance, Killed, Limit, LimitExceeded, LimitGroup, Linker, Module, Origin, OutsideText,
    Store, UnknownImportError, Val,
};
use belljar_wasi::threads::Threads;
use belljar_wasi::{WasiCtx, WasiCtxBuilder};
use std::sync::Arc;

/// What a store of ours holds.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    memory: MemoryBudget,
    /// What all threads have in common; only with `--threads`.
    pub(super) common: Option<Common>,
}

/// What all threads of a program have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) threads: Threads<Guest>,
    pub(super) memories: Arc<[CommonMemory]>,
    /// What their stores are limited in together.
    limits: LimitGroup,
}

impl Guest {
    /// The same for another thread.
    pub(super) fn share(&self) -> Self {
        Self { wasi: self.wasi.share(), memory: self.memory.clone(), common: self.common.clone() }
    }
}

/// Everything that is ready before the guest's first instruction.
pub(super) struct Program {
    pub(super) engine: Engine,
    pub(super) module: Module,
    /// How the snapshot was taken, if it is one.
    note: Option<SnapshotNote>,
    /// What is called before the entry.
    initialization: Option<&'static str>,
    entry: Entry,
    /// The arguments of `--invoke`.
    arguments: Vec<Val>,
    pub(super) preloads: Vec<(String, Module)>,
    /// What the host provides.
    linker: Linker<Guest>,
}

/// Why a run did not return.
pub(super) enum Stop {
    /// It never began.
    Refused(Failure),
    /// The guest ended it: an exit, a trap, an error of a host function.
    Guest(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

/// Native stack for the host functions under a guest, beside the guest's own.
pub(super) const HOST_STACK: u64 = 1 << 20;

impl RunOptions {
    /// Runs the program. Returns its exit code.
    ///
    /// # Errors
    ///
    /// Where it could not be started.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        if self.tell_limits()? {
            return Ok(ExitCode::Success as u8);
        }
        self.check_file()?;
        let wasi = self.wasi()?;
        if let Some(file) = &self.coredump {
            file.check()?;
        }
        if let Some(file) = &self.profile {
            format_of(file)?;
            let cannot = || format!("{} for --profile", cannot_write(file));
            check(file).with_context(cannot).or_fail(ExitCode::Unwritable)?;
        }
        let Some(stack) = self.limit(Limit::Stack).map(ByteSize) else { return self.run(wasi) };
        let option = self.option_of(Limit::Stack);
        let too_large = || Failure::usage(format!("{option} {stack} is more than this machine can give"));
        let size = usize::try_from(stack.0.saturating_add(HOST_STACK)).map_err(|_| too_large())?;
        std::thread::scope(|scope| {
            let guest = std::thread::Builder::new().name("guest".into()).stack_size(size);
            let guest = guest.spawn_scoped(scope, || self.run(wasi)).map_err(|_| too_large())?;
            // A panic goes on as if there were no thread.
            guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn wasi(&self) -> Result<WasiCtx, Failure> {
        let mut builder = WasiCtxBuilder::new();
        builder.limits(&self.wasi_limits());
        builder.inherit_stdio().arg(self.argv0()).args(&self.args()?);
        for var in &self.env {
            builder.env(&var.name, &var.value);
        }
        for dir in &self.dir {
            dir.grant(&mut builder)?;
        }
        Ok(builder.build())
    }

    fn run(&self, wasi: WasiCtx) -> Result<u8, Failure> {
        let program = Arc::new(self.prepare()?);
        if let Some(note) = &program.note {
            note.restore_descriptors(&wasi).map_err(|error| self.cannot_start(error))?;
        }
        let memory =
            MemoryBudget::new(self.limit(Limit::Memory).map(ByteSize), self.option_of(Limit::Memory));
        let common = self.common(&program, &memory)?;
        let mut store = self.store(&program, Guest { wasi, memory, common })?;
        outside::start_background_services(&program.engine);
        if let Some(file) = &self.profile {
            profile::start(&program.engine, self.file(), self.profile_frequency, file)?;
        }
        let names = StopNames::of(self);
        if let Some(time) = self.time_limit(Limit::Wall) {
            stop::after(&program.engine, time, names.clone()).or_fail(ExitCode::CannotStart)?;
        }
        if let Some(time) = self.time_limit(Limit::Cpu) {
            stop::after_cpu(&program.engine, time, names).or_fail(ExitCode::CannotStart)?;
        }
        let started = self.instantiate(&program, &mut store);
        let ended = started.and_then(|instance| Ok(program.call(&mut store, instance)?));
        end::begin_exit();
        let code = self.tell_end(ended, &store);
        end::finish();
        // The process ends now, and takes all this with it faster than it can be put away.
        std::mem::forget((store, program));
        code
    }

    /// Prints the results, or why there are none. Returns the exit code.
    fn tell_end(&self, ended: Result<Vec<Val>, Stop>, store: &Store<Guest>) -> Result<u8, Failure> {
        let (outcome, error) = match ended {
            Ok(results) => {
                print(&results.iter().map(|v| argument::show(v) + "\n").collect::<String>())?;
                (Outcome::RETURNED, None)
            }
            Err(Stop::Guest(error)) => (Outcome::of_error(&error, self), Some(error)),
            Err(Stop::Refused(failure)) => return Err(failure),
        };
        if error.as_ref().is_some_and(Error::is::<Killed>) {
            end::insist(outcome.code);
        }
        if let Some(message) = &outcome.message {
            complain(&format!("error: {message}"));
        }
        if outcome != Outcome::RETURNED {
            store.data().memory.refusal().iter().for_each(|refusal| complain(&format!("note: {refusal}")));
            limits::refused_growth(store).iter().for_each(|refusal| complain(&format!("note: {refusal}")));
        }
        limits::tell_wasi(&store.data().wasi);
        if let Some(error) = &error {
            self.dump_core(error, store);
        }
        Ok(outcome.code)
    }

    /// Writes a core dump of a guest that failed, if one is wanted.
    pub(super) fn dump_core(&self, error: &Error, store: &Store<Guest>) {
        if let Some(file) = &self.coredump {
            file.write_after(error, store, self.file());
        }
    }

    fn common(&self, program: &Arc<Program>, budget: &MemoryBudget) -> Result<Option<Common>, Failure> {
        if !self.threads {
            return Ok(None);
        }
        let memories = threads::common_memories(program, &mut budget.clone());
        let memories =
            memories.map_err(|error| self.cannot_start(budget.refusal().map_or(error, Error::msg)))?;
        let (threads, limits) = (Spawner::threads(self, program), LimitGroup::new());
        Ok(Some(Common { threads, memories: memories.into(), limits }))
    }

    /// A store for a thread of the guest, with its limits.
    ///
    /// # Errors
    ///
    /// Where the machine has no room for one.
    pub(super) fn store(&self, program: &Program, guest: Guest) -> Result<Store<Guest>, Failure> {
        let mut store = Store::try_new(&program.engine, guest).or_fail(ExitCode::CannotStart)?;
        store.limiter(|guest| &mut guest.memory);
        store.set_limits(self.store_limits()).or_fail(ExitCode::Bug)?;
        if let Some(limits) = store.data().common.as_ref().map(|common| common.limits.clone()) {
            store.set_limit_group(&limits);
        }
        store.set_label(&self.argv0());
        // Who looks later may want to know since when a call has been going on that begins now.
        drop(store.inspector());
        if let Some(fuel) = self.limit(Limit::Fuel) {
            store.set_fuel(fuel).or_fail(ExitCode::Bug)?;
        }
        Ok(store)
    }

    fn prepare(&self) -> Result<Program, Failure> {
        let (engine, meter) = self.engine()?;
        let file = ModuleFile::read(self.file())?.into_binary_with_lines()?;
        let preloads: Vec<_> = self.preload.iter().map(Preload::read).collect::<Result<_, _>>()?;
        let linker = self.linker(&engine)?;
        self.check_imports(&linker, &preloads, &file)?;
        self.check_entry(&engine, &file)?;
        let module = self.compile(&engine, &file, &meter)?;
        let note = SnapshotNote::of(&module).map_err(|error| self.cannot_start(error))?;
        if let Some(note) = &note {
            note.check_dirs(&self.dir).map_err(|why| self.cannot_start(Error::msg(why)))?;
        }
        let entry =
            entry::find(&module, self.invoke.as_deref()).map_err(|why| self.cannot_start(Error::msg(why)))?;
        let arguments = match &entry {
            Entry::Invoke(name) => self.arguments(&module, name)?,
            _ => Vec::new(),
        };
        let initialization = match &note {
            Some(note) if note.has_run() => None,
            _ => entry::initialization(&module, &entry).map_err(|why| self.cannot_start(Error::msg(why)))?,
        };
        let compiled =
            |(name, file): &(&str, ModuleFile)| Ok((name.to_string(), self.compile(&engine, file, &meter)?));
        let preloads = preloads.iter().map(compiled).collect::<Result<_, Failure>>()?;
        user_cache::tell_problems(&engine);
        Ok(Program { engine, module, note, initialization, entry, arguments, preloads, linker })
    }

    /// What the host provides to every thread alike.
    fn linker(&self, engine: &Engine) -> Result<Linker<Guest>, Failure> {
        let mut linker = Linker::new(engine);
        belljar_wasi::p1::add_to_linker(&mut linker, |guest: &mut Guest| &mut guest.wasi)
            .or_fail(ExitCode::Bug)?;
        if self.threads {
            threads::add_spawn(&mut linker).or_fail(ExitCode::Bug)?;
        }
        Ok(linker)
    }

    /// Looks for the imports of the program, and of the modules that it is linked with, before anything is compiled.
    fn check_imports(
        &self,
        linker: &Linker<Guest>,
        preloads: &[(&str, ModuleFile)],
        file: &ModuleFile,
    ) -> Result<(), Failure> {
        let mut provided = Provided::new(linker, self.threads);
        for (name, preload) in preloads {
            provided.check(preload).map_err(|problem| {
                let error = Error::msg(problem.describe(self.all_imports));
                self.cannot_start(
                    error.context(format!("the module of --preload {}", OutsideText::new(name))),
                )
            })?;
            provided.add_exports(name, preload);
        }
        let told = |problem: ImportProblem| self.cannot_start(Error::msg(problem.describe(self.all_imports)));
        provided.check(file).map_err(told)
    }

    /// Looks for what is to be called before anything is compiled.
    fn check_entry(&self, engine: &Engine, file: &ModuleFile) -> Result<(), Failure> {
        if file.artifact().is_some() {
            return Ok(());
        }
        entry::expect(file.bytes(), self.invoke.as_deref()).or_else(|why| {
            // What makes it invalid is told first.
            file.validate(engine)?;
            Err(self.cannot_start(Error::msg(why)))
        })
    }

    fn compile(&self, engine: &Engine, file: &ModuleFile, meter: &Meter) -> Result<Module, Failure> {
        compile(engine, file, meter).map_err(|failure| self.explain_limit(failure))
    }

    fn engine(&self) -> Result<(Engine, Meter), Failure> {
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        config.consume_fuel(self.limit(Limit::Fuel).is_some());
        config.deterministic(self.deterministic).cache(user_cache::open());
        if let Some(bytes) = self.limit(Limit::Stack) {
            config.max_wasm_stack(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        config.compile_limits(self.compile_limits()).coredump_on_trap(self.coredump.is_some());
        if let Some(perf) = self.perf {
            perf.apply(&mut config);
        }
        let meter = Meter::of(&mut config);
        Ok((Engine::new(&config).or_fail(ExitCode::CannotStart)?, meter))
    }

    fn arguments(&self, module: &Module, name: &str) -> Result<Vec<Val>, Failure> {
        let ty = module.get_export(name);
        let ty =
            ty.as_ref().and_then(|ty| ty.func()).context("the entry is a function").or_fail(ExitCode::Bug)?;
        argument::parse_all(name, ty, &self.args()?).map_err(Failure::usage)
    }

    /// Instantiates the program and what it is linked with.
    ///
    /// # Errors
    ///
    /// Where imports are missing or a limit is reached, and where a start function does not return.
    pub(super) fn instantiate(&self, program: &Program, store: &mut Store<Guest>) -> Result<Instance, Stop> {
        if program.preloads.is_empty() && store.data().common.is_none() {
            let instance = program.linker.instantiate(&mut *store, &program.module);
            return instance.map_err(|error| self.not_started(error, store));
        }
        let mut linker = program.linker.clone();
        threads::link(&mut linker, store).or_fail(ExitCode::Bug).map_err(Stop::Refused)?;
        for (name, module) in &program.preloads {
            linker.allow_shadowing(true);
            if let Err(error) = linker.module(&mut *store, name, module) {
                return Err(self.not_started(
                    error.context(format!(
                        "while the module of --preload {} was started",
                        OutsideText::new(name)
                    )),
                    store,
                ));
            }
        }
        linker.instantiate(&mut *store, &program.module).map_err(|error| self.not_started(error, store))
    }

    fn not_started(&self, error: Error, store: &Store<Guest>) -> Stop {
        if outcome::is_guests(&error) {
            return Stop::Guest(error);
        }
        let error = match (error.downcast_ref::<UnknownImportError>(), store.data().memory.refusal()) {
            (Some(missing), _) => Error::msg(MissingImports::from(missing).describe(self.all_imports)),
            (_, Some(refusal)) => Error::msg(refusal),
            _ if error.is::<LimitExceeded>() => {
                error.downcast_ref().map(limits::describe).map(Error::msg).unwrap_or(error)
            }
            _ => error,
        };
        Stop::Refused(self.cannot_start(error))
    }

    fn cannot_start(&self, error: Error) -> Failure {
        let error = error.context(format!("could not start {}", OutsideText::new(self.file())));
        Failure::new(ExitCode::CannotStart, error)
    }
}

impl Program {
    /// Calls what is to be called first, and the entry. Returns the results that are to be printed.
    fn call(&self, store: &mut Store<Guest>, instance: Instance) -> Result<Vec<Val>, Error> {
        if let Some(name) = self.initialization {
            call(store, instance, name, &[])?;
        }
        match &self.entry {
            Entry::StartFunction => Ok(Vec::new()),
            Entry::Program(name) => call(store, instance, name, &[]),
            Entry::Invoke(name) => call(store, instance, name, &self.arguments),
        }
    }
}

fn call(store: &mut Store<Guest>, instance: Instance, name: &str, args: &[Val]) -> Result<Vec<Val>, Error> {
    let func = instance.get_func(&mut *store, name);
    let func = func.with_context(|| format!("`{}` is no longer exported", OutsideText::new(name)))?;
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    func.call(store, args, &mut results)?;
    Ok(results)
}

fn compile(engine: &Engine, file: &ModuleFile, meter: &Meter) -> Result<Module, Failure> {
    let module = with_progress(|| file.describe_work(), meter, || file.compile(engine))?;
    if let Origin::CompiledAgain(why) = module.origin() {
        complain(&format!("note: {} was compiled again: {why}", OutsideText::new(file.path())));
    }
    Ok(module)
}
