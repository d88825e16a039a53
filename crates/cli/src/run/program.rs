//! Prepares a [`Program`] from options: reads files, checks imports, compiles modules.

use super::argument;
use super::entry::{self, Entry};
use super::guest::Guest;
use super::options::RunOptions;
use super::preload::Preload;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::missing_imports::{AvailableImports, ImportProblem};
use crate::module_file::ModuleFile;
use crate::output::complain;
use crate::progress::{Meter, with_progress};
use crate::snapshot::SnapshotNote;
use crate::user_cache;
use belljar::error::Context;
use belljar::{Config, Engine, Error, Instance, Limit, Linker, Module, Origin, OutsideText, Store, Val};

/// A program that is ready to be started.
pub(super) struct Program {
    pub(super) engine: Engine,
    pub(super) module: Module,
    /// How the snapshot was taken, if it is a snapshot.
    pub(super) note: Option<SnapshotNote>,
    /// The function to call before the entry.
    initialization: Option<&'static str>,
    entry: Entry,
    /// The arguments of `--invoke`.
    arguments: Vec<Val>,
    pub(super) preloads: Vec<(String, Module)>,
    /// The host functions.
    pub(super) linker: Linker<Guest>,
}

impl RunOptions {
    /// Compiles a module, and finds what it imports and what to call.
    ///
    /// # Errors
    ///
    /// Returns an error if it is invalid, lacks an import, or has no such function.
    pub(super) fn prepare_module(
        &self,
        engine: Engine,
        file: &ModuleFile,
        meter: &Meter,
    ) -> Result<Program, Failure> {
        let preloads: Vec<_> = self.preload.iter().map(Preload::read).collect::<Result<_, _>>()?;
        let linker = self.linker(&engine)?;
        self.check_imports(&linker, &preloads, file)?;
        self.check_entry(&engine, file)?;
        let module = self.compile(&engine, file, meter)?;
        let note = SnapshotNote::of(&module).map_err(|error| self.cannot_start(error))?;
        if let Some(note) = &note {
            note.check_dirs(&self.dir).map_err(|why| self.cannot_start(Error::msg(why)))?;
        }
        let entry = entry::find(&module, self.invoke.as_deref()).map_err(|why| self.no_entry(why))?;
        let arguments = match &entry {
            Entry::Invoke(name) => self.arguments(&module, name)?,
            _ => Vec::new(),
        };
        let initialization = match &note {
            Some(note) if note.has_run() => None,
            _ => entry::initialization(&module, &entry).map_err(|why| self.cannot_start(Error::msg(why)))?,
        };
        let compiled =
            |(name, file): &(&str, ModuleFile)| Ok((name.to_string(), self.compile(&engine, file, meter)?));
        let preloads = preloads.iter().map(compiled).collect::<Result<_, Failure>>()?;
        user_cache::report_problems(&engine);
        Ok(Program { engine, module, note, initialization, entry, arguments, preloads, linker })
    }

    /// Defines the host functions, which are the same for all threads.
    fn linker(&self, engine: &Engine) -> Result<Linker<Guest>, Failure> {
        let mut linker = Linker::new(engine);
        belljar_wasi::p1::add_to_linker(&mut linker, |guest: &mut Guest| &mut guest.wasi)
            .with_exit_code(ExitCode::Bug)?;
        if self.threads {
            belljar_wasi::threads::add_to_linker(&mut linker, |guest: &mut Guest| {
                Some(&guest.thread_group.as_ref()?.threads)
            })
            .with_exit_code(ExitCode::Bug)?;
        }
        Ok(linker)
    }

    /// Checks the imports of the program, and of the modules to be linked with it, before compiling anything.
    fn check_imports(
        &self,
        linker: &Linker<Guest>,
        preloads: &[(&str, ModuleFile)],
        file: &ModuleFile,
    ) -> Result<(), Failure> {
        let mut provided = AvailableImports::new(linker, self.threads);
        for (name, preload) in preloads {
            provided.check(preload).map_err(|problem| {
                let error = Error::msg(problem.describe(self.all_imports));
                self.cannot_start(
                    error.context(format!("the module of --preload {}", OutsideText::new(name))),
                )
            })?;
            provided.add_exports(name, preload);
        }
        let cannot_start =
            |problem: ImportProblem| self.cannot_start(Error::msg(problem.describe(self.all_imports)));
        provided.check(file).map_err(cannot_start)
    }

    /// Checks that the function to call exists, before compiling anything.
    fn check_entry(&self, engine: &Engine, file: &ModuleFile) -> Result<(), Failure> {
        if file.artifact().is_some() {
            return Ok(());
        }
        entry::check_binary(file.bytes(), self.invoke.as_deref()).or_else(|why| {
            // If the module is invalid, report that instead.
            file.validate(engine)?;
            Err(self.no_entry(why))
        })
    }

    fn compile(&self, engine: &Engine, file: &ModuleFile, meter: &Meter) -> Result<Module, Failure> {
        compile(engine, file, meter).map_err(|failure| self.explain_limit(failure))
    }

    pub(super) fn engine(&self) -> Result<(Engine, Meter), Failure> {
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
        Ok((Engine::new(&config).with_exit_code(ExitCode::CannotStart)?, meter))
    }

    fn arguments(&self, module: &Module, name: &str) -> Result<Vec<Val>, Failure> {
        let ty = module.get_export(name);
        let ty = ty
            .as_ref()
            .and_then(|ty| ty.func())
            .context("the entry is a function")
            .with_exit_code(ExitCode::Bug)?;
        argument::parse_all(name, ty, &self.args()?).map_err(|why| Failure::usage(self.with_hint(why)))
    }

    fn no_entry(&self, why: String) -> Failure {
        self.cannot_start(Error::msg(self.with_hint(why)))
    }

    /// Adds a hint if an option among the program's arguments may be the reason.
    pub(super) fn with_hint(&self, why: String) -> String {
        match self.misplaced_option() {
            Some(note) => format!("{why}\nHint: {note}."),
            None => why,
        }
    }

    pub(super) fn cannot_start(&self, error: Error) -> Failure {
        let error = error.context(format!("could not start {}", OutsideText::new(self.file())));
        Failure::new(ExitCode::CannotStart, error)
    }
}

impl Program {
    /// Calls the initialization and the entry. Returns the results to print.
    pub(super) fn call(&self, store: &mut Store<Guest>, instance: Instance) -> Result<Vec<Val>, Error> {
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
        complain(&format!("note: {} was recompiled: {why}", OutsideText::new(file.path())));
    }
    Ok(module)
}
