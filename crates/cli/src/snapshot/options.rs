//! The options of `belljar snapshot`, and what snapshots of modules and components have in common.

use super::note::SnapshotNote;
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::complain;
use crate::output_file::{Readers, cannot_write, write};
use crate::progress::Meter;
use crate::proposals::Proposals;
use crate::run::{DirGrant, EnvVar, MemoryBudget, outcome_of};
use crate::user_cache;
use belljar::error::Context;
use belljar::{ArtifactOptions, Config, Engine, Error, OutsideText, SigningKey, Store};
use belljar_wasi::{WasiCtx, WasiCtxBuilder};
use clap::Args;
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
    pub(super) file: PathBuf,

    /// Where to write the snapshot [default: FILE with the extension .snapshot]
    #[arg(short, long, value_name = "OUT", value_hint = clap::ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,

    /// Call this exported function, which has no parameters [default: only instantiate it]
    ///
    /// A module's `_initialize` is called before it, if exported. Functions of a component are named as for
    /// `belljar run --invoke`.
    #[arg(long, value_name = "FUNC")]
    pub(super) invoke: Option<String>,

    /// Let the initialization use the directory HOST under the name GUEST [default: no directory]
    ///
    /// GUEST defaults to HOST as written; append `:ro` for read-only access. Runs of the snapshot must
    /// grant directories with the same names, in the same order. Can be given several times.
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    pub(super) dir: Vec<DirGrant>,

    /// Set an environment variable of the initialization [default: none are set]
    ///
    /// Without a value, passes on the variable of that name from belljar's own environment. The guest
    /// may store values in the snapshot: do not pass secrets. Can be given several times.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<EnvVar>,

    /// Limit all memories together to SIZE bytes: 65536, 64K, 16M, 2G [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(super) max_memory: Option<ByteSize>,

    /// List all missing imports, instead of the first 20
    #[arg(long)]
    pub(super) all_imports: bool,

    /// Sign the snapshot with a key that `belljar key new` made [default: not signed]
    ///
    /// Without a signature, a snapshot is trusted only by the user who made it, on this machine.
    #[arg(long, value_name = "KEY", value_hint = clap::ValueHint::FilePath)]
    pub(super) sign: Option<PathBuf>,

    /// Make it possible to run the snapshot with --fuel
    ///
    /// Counting slows the code down, whether or not --fuel is used.
    #[arg(long)]
    pub(super) with_fuel: bool,

    /// Make it possible to run the snapshot with --deterministic
    ///
    /// Slows float arithmetic down.
    #[arg(long)]
    pub(super) deterministic: bool,

    #[command(flatten)]
    pub(super) proposals: Proposals,
}

impl SnapshotOptions {
    pub(super) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn wasi(&self) -> Result<WasiCtx, Failure> {
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

    pub(super) fn engine(&self) -> Result<(Engine, Meter), Failure> {
        let mut config = Config::new();
        self.proposals.apply(&mut config);
        config.consume_fuel(self.with_fuel).deterministic(self.deterministic).cache(user_cache::open());
        let meter = Meter::of(&mut config);
        Ok((Engine::new(&config).with_exit_code(ExitCode::CannotStart)?, meter))
    }

    /// Reports why the initialization did not return. Returns the exit code.
    pub(super) fn report(&self, error: &Error, memory: &MemoryBudget) -> u8 {
        let (code, message) = outcome_of(error);
        complain(&format!(
            "error: the initialization of {} did not return: {message}",
            OutsideText::new(&self.file)
        ));
        if let Some(refusal) = memory.refusal() {
            complain(&format!("note: {refusal}"));
        }
        code
    }

    /// Writes a snapshot to its file.
    pub(super) fn write(&self, output: &Path, snapshot: &[u8]) -> Result<u8, Failure> {
        write(output, Readers::Usual, |out| out.write_all(snapshot))
            .with_context(|| cannot_write(output))
            .with_exit_code(ExitCode::Unwritable)?;
        if self.output.is_none() {
            complain(&format!("wrote {} ({})", OutsideText::new(output), ByteSize(snapshot.len() as u64)));
        }
        Ok(ExitCode::Success as u8)
    }

    /// Returns the guest's names of the directories that it was given.
    pub(super) fn guest_dirs(&self) -> Vec<String> {
        self.dir.iter().map(|dir| dir.guest().into()).collect()
    }

    /// Saves the state of a store with a note.
    pub(super) fn save<T: 'static>(
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
}
