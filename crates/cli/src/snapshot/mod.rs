//! `belljar snapshot`: runs a program's initialization and saves the resulting state as an artifact.

mod component;
mod note;
mod options;

pub(crate) use note::SnapshotNote;
pub(crate) use options::SnapshotOptions;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::missing_imports::{AvailableImports, ImportProblem};
use crate::module_file::ModuleFile;
use crate::output_file::{cannot_write, check, check_other_than};
use crate::progress::{Meter, with_progress};
use crate::run::{DirGrant, MemoryBudget};
use crate::user_cache;
use belljar::error::Context;
use belljar::{
    Engine, Error, ExternType, Instance, Linker, Module, OutsideText, SigningKey, Store, UnknownImportError,
};
use belljar_wasi::WasiCtx;
use component::Initialized;

struct Guest {
    wasi: WasiCtx,
    memory: MemoryBudget,
}

impl SnapshotOptions {
    /// Creates the snapshot. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the file is not a valid module or cannot be started, or if its state cannot be saved or
    /// written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let output = self.output.clone().unwrap_or_else(|| self.file.with_extension("snapshot"));
        let key =
            self.sign.as_deref().map(SigningKey::read).transpose().with_exit_code(ExitCode::Unreadable)?;
        DirGrant::check_names(&self.dir)?;
        let wasi = self.wasi()?;
        let (engine, meter) = self.engine()?;
        let file = ModuleFile::read(&self.file)?.into_binary_with_lines()?;
        check_other_than(&output, &self.file)
            .and_then(|()| check(&output))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
        if file.is_component() || file.is_compiled_component() {
            return match self.snapshot_component((&engine, &meter), &file, wasi, key.as_ref())? {
                Initialized::Snapshot(snapshot) => self.write(&output, &snapshot),
                Initialized::Failed(code) => Ok(code),
            };
        }
        AvailableImports::new(&linker(&engine).with_exit_code(ExitCode::Bug)?, false)
            .check(&file)
            .map_err(|problem| self.refuse(problem))?;
        let module = with_progress(|| file.describe_work(), &meter, || file.compile(&engine))?;
        user_cache::report_problems(&engine);
        if module.has_snapshot() {
            return Err(Failure::usage(format!("{} is a snapshot already", OutsideText::new(&self.file))));
        }
        self.check_invoke(&module)?;
        let guest = Guest { wasi, memory: MemoryBudget::new(self.max_memory, "--max-memory".into()) };
        let mut store = Store::try_new(&engine, guest).with_exit_code(ExitCode::CannotStart)?;
        let store = &mut store;
        store.limiter(|guest| &mut guest.memory);
        let work = || format!("initializing {}", OutsideText::new(&self.name()));
        let started = with_progress(work, &Meter::default(), || self.initialize(store, &module));
        if let Err(error) = started {
            return self.report_failure(&error, store);
        }
        let kept = self.serialize_state(store, key.as_ref());
        let kept =
            kept.with_context(|| format!("could not save the state of {}", OutsideText::new(&self.file)));
        let snapshot = kept.with_exit_code(ExitCode::CannotStart)?;
        self.write(&output, &snapshot)
    }

    /// Checks the function to call before anything is called.
    fn check_invoke(&self, module: &Module) -> Result<(), Failure> {
        let Some(name) = &self.invoke else { return Ok(()) };
        let shown = OutsideText::new(name);
        let problem = match module.get_export(name) {
            Some(ExternType::Func(ty)) if ty.params().len() + ty.results().len() == 0 => return Ok(()),
            Some(ExternType::Func(ty)) => {
                format!("`{shown}` is a function {ty}, but an initialization has no parameters or results")
            }
            Some(_) => format!("`{shown}` is not a function"),
            None => format!("nothing named `{shown}` is exported: `belljar inspect` lists the exports"),
        };
        let problem =
            Error::msg(problem).context(format!("could not start {}", OutsideText::new(&self.file)));
        Err(Failure::new(ExitCode::CannotStart, problem))
    }

    fn initialize(&self, store: &mut Store<Guest>, module: &Module) -> Result<(), Error> {
        let linker = linker(store.engine())?;
        if self.with_fuel {
            store.set_fuel(u64::MAX)?;
        }
        let instance = linker.instantiate(&mut *store, module)?;
        if let Some(name) = &self.invoke {
            if name != "_initialize" && instance.get_func(&mut *store, "_initialize").is_some() {
                call(store, instance, "_initialize")?;
            }
            call(store, instance, name)?;
        }
        Ok(())
    }

    fn serialize_state(&self, store: &mut Store<Guest>, key: Option<&SigningKey>) -> Result<Vec<u8>, Error> {
        let descriptors = store.data().wasi.save_descriptors();
        let descriptors = descriptors
            .context("the initialization leaves something open that a later run cannot restore")?;
        let descriptors = Some(descriptors).filter(|descriptors| !descriptors.are_as_given());
        let note = SnapshotNote { invoked: self.invoke.clone(), dirs: self.guest_dirs(), descriptors };
        self.save(store, &note, key)
    }

    /// Returns the failure for a module with unsuitable imports.
    fn refuse(&self, problem: ImportProblem) -> Failure {
        let error = match problem {
            ImportProblem::Missing(missing) => Error::msg(format!(
                "a snapshot supports a single module that imports only WASI functions, but this one imports:{}{}",
                missing.list(self.all_imports),
                missing.made_for().map_or_else(String::new, |hint| format!("\nHint: {hint}."))
            )),
            ImportProblem::Incompatible(error) => error,
        };
        let error = error.context(format!("could not start {}", OutsideText::new(&self.file)));
        Failure::new(ExitCode::CannotStart, error)
    }

    /// Reports why the initialization did not return.
    fn report_failure(&self, error: &Error, store: &Store<Guest>) -> Result<u8, Failure> {
        if let Some(missing) = error.downcast_ref::<UnknownImportError>() {
            return Err(self.refuse(ImportProblem::Missing(missing.into())));
        }
        Ok(self.report(error, &store.data().memory))
    }
}

/// Defines the host functions.
fn linker(engine: &Engine) -> Result<Linker<Guest>, Error> {
    let mut linker = Linker::new(engine);
    belljar_wasi::p1::add_to_linker(&mut linker, |guest: &mut Guest| &mut guest.wasi)?;
    Ok(linker)
}

fn call(store: &mut Store<Guest>, instance: Instance, name: &str) -> Result<(), Error> {
    instance.get_typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}
