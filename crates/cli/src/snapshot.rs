//! `belljar snapshot`: runs a program's initialization, and keeps what it leaves behind as an artifact that begins there.

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
use anyhow::{Context, Error};
use belljar::{
    ArtifactOptions, Config, Engine, ExternType, Instance, Linker, Module, OutsideText, SigningKey, Store,
    UnknownImportError,
};
use belljar_wasi::{SavedDescriptors, WasiCtx, WasiCtxBuilder};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar snapshot tool.wasm                          makes tool.snapshot, in which the module is instantiated already
  belljar snapshot --invoke warm_up -o warm tool.wasm calls warm_up; `belljar run warm` begins after it
  belljar snapshot --dir lib --invoke load tool.wasm  the initialization may read this directory; the run needs it, too

A snapshot is believed like an artifact of `belljar compile`: only by the user who made it, unless it is signed.
Exit codes: 0; 65 if the module is not valid, 66 if something cannot be read, 69 if the module cannot be started, or its state cannot
be kept, 74 if the snapshot cannot be written; 134 if the initialization trapped.";

/// Run a program's initialization once, and keep what it leaves behind.
///
/// The result is an artifact: `belljar run` starts it where the initialization ended, with all memories, globals, tables and objects.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotOptions {
    /// The module, in binary (.wasm) or text format (.wat), or an artifact of it
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// Where to write the snapshot [default: FILE with the ending .snapshot]
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Call this exported function, which has no parameters; `_initialize` before it, if there is one
    #[arg(long, value_name = "FUNC")]
    invoke: Option<String>,

    /// Let the initialization use the directory HOST, under the name GUEST (default: the same); `:ro` to read only
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    dir: Vec<DirGrant>,

    /// Set an environment variable; without a value, pass on the one that is set here
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvVar>,

    /// All memories together may have SIZE bytes: 65536, 64K, 16M, 2G
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,

    /// If imports are missing, list all of them, and not just 20
    #[arg(long)]
    all_imports: bool,

    /// Sign the snapshot with a key that `belljar key new` made
    #[arg(long, value_name = "KEY", value_hint = clap::ValueHint::FilePath)]
    sign: Option<PathBuf>,

    /// Let the snapshot be run with --fuel
    #[arg(long)]
    with_fuel: bool,

    /// Let the snapshot be run with --deterministic
    #[arg(long)]
    deterministic: bool,

    #[command(flatten)]
    proposals: Proposals,
}

/// What is to be known of a snapshot when it is run.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotNote {
    /// What was called, if anything was.
    invoked: Option<String>,
    /// The guest's names of the directories that it was given, in their order: it may remember them.
    dirs: Vec<String>,
    /// What it has open, if that is not what it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descriptors: Option<SavedDescriptors>,
}

impl SnapshotNote {
    /// The note of a module's snapshot, if it has one.
    ///
    /// # Errors
    ///
    /// Where it is damaged, or was not made by this program.
    pub(crate) fn of(module: &Module) -> Result<Option<Self>, Error> {
        let Some(note) = module.snapshot_note()? else { return Ok(None) };
        let note = serde_json::from_slice(&note);
        note.map(Some)
            .context("the snapshot was not made by `belljar snapshot`: it does not say how it is to be run")
    }

    /// Whether the guest's code has run.
    pub(crate) fn has_run(&self) -> bool {
        self.invoked.is_some()
    }

    /// Gives a guest the descriptors that its initialization left open.
    ///
    /// # Errors
    ///
    /// What is no longer there, or may not be opened in this run.
    pub(crate) fn restore_descriptors(&self, wasi: &WasiCtx) -> Result<(), Error> {
        let Some(descriptors) = &self.descriptors else { return Ok(()) };
        let restored = wasi.restore_descriptors(descriptors);
        restored.context("the snapshot has files open that this run cannot give it")
    }

    /// Refuses directories that are not those that the guest may remember.
    ///
    /// # Errors
    ///
    /// What the guest was given.
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
    /// Makes the snapshot. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where the file is no valid module, cannot be started, or its state cannot be kept or written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let output = self.output.clone().unwrap_or_else(|| self.file.with_extension("snapshot"));
        let key =
            self.sign.as_deref().map(SigningKey::read).transpose().with_exit_code(ExitCode::Unreadable)?;
        let wasi = self.wasi()?;
        let (engine, meter) = self.engine()?;
        let file = ModuleFile::read(&self.file)?.into_binary_with_lines()?;
        check_other_than(&output, &self.file)
            .and_then(|()| check(&output))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
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
            kept.with_context(|| format!("could not keep the state of {}", OutsideText::new(&self.file)));
        let snapshot = kept.with_exit_code(ExitCode::CannotStart)?;
        write(&output, Readers::Usual, |out| out.write_all(&snapshot))
            .with_context(|| cannot_write(&output))
            .with_exit_code(ExitCode::Unwritable)?;
        if self.output.is_none() {
            complain(&format!("wrote {} ({})", OutsideText::new(&output), ByteSize(snapshot.len() as u64)));
        }
        Ok(ExitCode::Success as u8)
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

    /// Refuses what cannot be called before anything is.
    fn check_invoke(&self, module: &Module) -> Result<(), Failure> {
        let Some(name) = &self.invoke else { return Ok(()) };
        let shown = OutsideText::new(name);
        let problem = match module.get_export(name) {
            Some(ExternType::Func(ty)) if ty.params().len() + ty.results().len() == 0 => return Ok(()),
            Some(ExternType::Func(ty)) => {
                format!("`{shown}` is a function {ty}, and an initialization has no parameters and results")
            }
            Some(_) => format!("`{shown}` is no function"),
            None => format!("nothing named `{shown}` is exported: `belljar inspect` lists what is"),
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
        let descriptors =
            descriptors.context("the initialization leaves something open that a later run cannot have")?;
        let descriptors = Some(descriptors).filter(|descriptors| !descriptors.are_as_given());
        let dirs = self.dir.iter().map(|dir| dir.guest().into()).collect();
        let note = SnapshotNote { invoked: self.invoke.clone(), dirs, descriptors };
        let mut options = ArtifactOptions::new();
        if let Some(key) = key {
            options = options.sign(key);
        }
        store.snapshot(&serde_json::to_vec(&note)?, options)
    }

    /// The refusal of a module for what it imports.
    fn refuse(&self, problem: ImportProblem) -> Failure {
        let error = match problem {
            ImportProblem::Missing(missing) => Error::msg(format!(
                "a snapshot is of one module with functions of WASI alone, and this one wants:{}{}",
                missing.list(self.all_imports),
                missing.made_for().map_or_else(String::new, |hint| format!("\nHint: {hint}."))
            )),
            ImportProblem::Incompatible(error) => error,
        };
        let error = error.context(format!("could not start {}", OutsideText::new(&self.file)));
        Failure::new(ExitCode::CannotStart, error)
    }

    /// Tells why the initialization did not return.
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

/// What the host provides.
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
        let told = note.check_dirs(&grants(&["a", "b"])).unwrap_err();
        assert!(told.ends_with("expected --dir HOST::/lib, found a, b"), "{told}");
        assert!(note.check_dirs(&[]).unwrap_err().ends_with("found none"));
        // Nothing has run that could remember them.
        SnapshotNote { invoked: None, dirs: Vec::new(), descriptors: None }
            .check_dirs(&grants(&["a"]))
            .unwrap();
    }
}
