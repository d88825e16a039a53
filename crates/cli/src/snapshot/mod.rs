//! `belljar snapshot`: runs a program's initialization and saves the resulting state as an artifact.

mod component;

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::missing_imports::{AvailableImports, ImportProblem};
use crate::module_file::ModuleFile;
use crate::output::complain;
use crate::output_file::{Readers, cannot_write, check, check_other_than, write};
use crate::progress::{Meter, with_progress};
use crate::proposals::Proposals;
use crate::run::{DirGrant, EnvVar, MemoryBudget, outcome_of};
use crate::user_cache;
use belljar::component::Component;
use belljar::error::Context;
use belljar::{
    ArtifactOptions, Config, Engine, Error, ExternType, Instance, Linker, Module, OutsideText, SigningKey,
    Store, UnknownImportError,
};
use belljar_wasi::{SavedDescriptors, WasiCtx, WasiCtxBuilder};
use clap::Args;
use component::Initialized;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  belljar snapshot tool.wasm                           creates tool.snapshot: the module instantiated
  belljar snapshot --invoke warm_up -o warm tool.wasm  `belljar run warm` continues after warm_up
  belljar snapshot --dir lib --invoke load tool.wasm   may read this directory; runs need it too

A snapshot is trusted like an artifact of `belljar compile`: only by the user who made it, unless it is \
signed.

Exit codes: 0; 65 if the module is not valid, 66 if something cannot be read, 69 if the module cannot be started or \
its state cannot be saved, 74 if the snapshot cannot be written; 134 if the initialization trapped.";

/// Run a program's initialization once, and save the resulting state
///
/// The result is an artifact: `belljar run` starts it where the initialization ended, with all
/// memories, globals, tables and objects. Worthwhile for programs with a slow initialization; to
/// avoid only the compilation, `belljar compile` is enough.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotOptions {
    /// The module or component, in binary (.wasm) or text format (.wat), or an artifact of it
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Where to write the snapshot [default: FILE with the extension .snapshot]
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Call this exported function, which has no parameters [default: only instantiate it]
    ///
    /// A module's `_initialize` is called before it, if exported. Functions of a component are named as for
    /// `belljar run --invoke`.
    #[arg(long, value_name = "FUNC")]
    invoke: Option<String>,

    /// Let the initialization use the directory HOST under the name GUEST [default: no directory]
    ///
    /// GUEST defaults to HOST as written; append `:ro` for read-only access. Runs of the snapshot must
    /// grant directories with the same names, in the same order. Can be given several times.
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    dir: Vec<DirGrant>,

    /// Set an environment variable of the initialization [default: none are set]
    ///
    /// Without a value, passes on the variable of that name from belljar's own environment. The guest
    /// may store values in the snapshot: do not pass secrets. Can be given several times.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvVar>,

    /// Limit all memories together to SIZE bytes: 65536, 64K, 16M, 2G [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,

    /// List all missing imports, instead of the first 20
    #[arg(long)]
    all_imports: bool,

    /// Sign the snapshot with a key that `belljar key new` made [default: not signed]
    ///
    /// Without a signature, a snapshot is trusted only by the user who made it, on this machine.
    #[arg(long, value_name = "KEY", value_hint = clap::ValueHint::FilePath)]
    sign: Option<PathBuf>,

    /// Make it possible to run the snapshot with --fuel
    ///
    /// Counting slows the code down, whether or not --fuel is used.
    #[arg(long)]
    with_fuel: bool,

    /// Make it possible to run the snapshot with --deterministic
    ///
    /// Slows float arithmetic down.
    #[arg(long)]
    deterministic: bool,

    #[command(flatten)]
    proposals: Proposals,
}

/// The metadata that a run needs of a snapshot.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotNote {
    /// The function that was called, if any.
    invoked: Option<String>,
    /// The guest's names of the directories that it was given, in order. The guest may have stored them.
    dirs: Vec<String>,
    /// The guest's open descriptors, if they differ from those it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descriptors: Option<SavedDescriptors>,
}

impl SnapshotNote {
    /// Reads the metadata of a module's snapshot, if it is a snapshot.
    ///
    /// # Errors
    ///
    /// Returns an error if the metadata is damaged, or was not written by this program.
    pub(crate) fn of(module: &Module) -> Result<Option<Self>, Error> {
        Self::read(module.snapshot_note()?)
    }

    /// Reads the metadata of a component's snapshot, if it is a snapshot.
    ///
    /// # Errors
    ///
    /// Returns an error as [`SnapshotNote::of`] does.
    pub(crate) fn of_component(component: &Component) -> Result<Option<Self>, Error> {
        Self::read(component.snapshot_note()?)
    }

    fn read(note: Option<Vec<u8>>) -> Result<Option<Self>, Error> {
        let Some(note) = note else { return Ok(None) };
        let note = serde_json::from_slice(&note);
        note.map(Some)
            .context("the snapshot was not made by `belljar snapshot`: it does not say how it is to be run")
    }

    /// Returns whether code of the guest has run.
    pub(crate) fn has_run(&self) -> bool {
        self.invoked.is_some()
    }

    /// Restores the descriptors that the initialization left open.
    ///
    /// # Errors
    ///
    /// Returns an error that names a file that no longer exists, or that this run may not open.
    pub(crate) fn restore_descriptors(&self, wasi: &WasiCtx) -> Result<(), Error> {
        let Some(descriptors) = &self.descriptors else { return Ok(()) };
        let restored = wasi.restore_descriptors(descriptors);
        restored.context("the snapshot has files open that this run cannot give it")
    }

    /// Refuses directories that differ from those that the guest may have stored.
    ///
    /// # Errors
    ///
    /// Returns an error that says which directories the guest was given.
    pub(crate) fn check_dirs(&self, granted: &[DirGrant]) -> Result<(), String> {
        let granted: Vec<&str> = granted.iter().map(DirGrant::guest).collect();
        let Some(invoked) = self.invoked.as_ref().filter(|_| granted != self.dirs) else { return Ok(()) };
        let wanted = match &*self.dirs {
            [] => "none".into(),
            dirs => {
                let dirs = dirs.iter().map(|dir| format!("--dir HOST::{}", OutsideText::new(dir)));
                dirs.collect::<Vec<_>>().join(" ")
            }
        };
        let invoked = OutsideText::new(invoked);
        Err(format!(
            "the snapshot was taken after `{invoked}` with other directories, which the guest may remember: expected {wanted}, found {}",
            if granted.is_empty() {
                "none".into()
            } else {
                OutsideText::new(&granted.join(", ")).to_string()
            }
        ))
    }
}

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

    /// Writes a snapshot to its file.
    fn write(&self, output: &Path, snapshot: &[u8]) -> Result<u8, Failure> {
        write(output, Readers::Usual, |out| out.write_all(snapshot))
            .with_context(|| cannot_write(output))
            .with_exit_code(ExitCode::Unwritable)?;
        if self.output.is_none() {
            complain(&format!("wrote {} ({})", OutsideText::new(output), ByteSize(snapshot.len() as u64)));
        }
        Ok(ExitCode::Success as u8)
    }

    /// Returns the guest's names of the directories that it was given.
    fn guest_dirs(&self) -> Vec<String> {
        self.dir.iter().map(|dir| dir.guest().into()).collect()
    }

    fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn wasi(&self) -> Result<WasiCtx, Failure> {
        let mut builder = WasiCtxBuilder::new();
        builder.inherit_stdout().inherit_stderr().arg(self.name());
        for var in &self.env {
            builder.env(&var.name, &var.value);
        }
        for dir in &self.dir {
            dir.grant(&mut builder)?;
        }
        Ok(builder.build())
    }

    fn engine(&self) -> Result<(Engine, Meter), Failure> {
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        config.consume_fuel(self.with_fuel).deterministic(self.deterministic).cache(user_cache::open());
        let meter = Meter::of(&mut config);
        Ok((Engine::new(&config).with_exit_code(ExitCode::CannotStart)?, meter))
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

    /// Saves the state of a store with a note.
    fn save<T: 'static>(
        &self,
        store: &mut Store<T>,
        note: &SnapshotNote,
        key: Option<&SigningKey>,
    ) -> Result<Vec<u8>, Error> {
        let mut options = ArtifactOptions::new();
        if let Some(key) = key {
            options = options.sign(key);
        }
        store.snapshot(&serde_json::to_vec(note)?, options)
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
        let (code, message) = outcome_of(error);
        complain(&format!(
            "error: the initialization of {} did not return: {message}",
            OutsideText::new(&self.file)
        ));
        if let Some(refusal) = store.data().memory.refusal() {
            complain(&format!("note: {refusal}"));
        }
        Ok(code)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_compared_by_the_guests_names() {
        let note =
            SnapshotNote { invoked: Some("load".into()), dirs: vec!["/lib".into()], descriptors: None };
        let grants = |all: &[&str]| all.iter().map(|grant| grant.parse().unwrap()).collect::<Vec<DirGrant>>();
        note.check_dirs(&grants(&["elsewhere::/lib:ro"])).unwrap();
        let error = note.check_dirs(&grants(&["a", "b"])).unwrap_err();
        assert!(error.ends_with("expected --dir HOST::/lib, found a, b"), "{error}");
        assert!(note.check_dirs(&[]).unwrap_err().ends_with("found none"));
        // No guest code has run that could have stored them.
        SnapshotNote { invoked: None, dirs: Vec::new(), descriptors: None }
            .check_dirs(&grants(&["a"]))
            .unwrap();
    }
}
