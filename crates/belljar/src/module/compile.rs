//! Compiling modules.

use super::{Inner, Module};
#[cfg(feature = "component-model")]
use crate::artifact::deserialize;
use crate::artifact::{LoadedArtifact, cache};
use crate::artifact_info::ArtifactInfo;
use crate::build::{self, BuildOptions};
use crate::start_problem::{self, StartProblem};
use crate::text::{locate_in_text, to_binary};
use crate::{Engine, Result, load, refusal};
use belljar_compile::{Budget, CompileCancel, CompileLimit, MemoryAccess, Tunables};
use belljar_core::{Context, OutsideText};
use belljar_vm::LoadedModule;
#[cfg(feature = "component-model")]
use belljar_vm::PrivateCopy;
use bytes::Bytes;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Functions of the feature `compiler`.
impl Module {
    /// Compiles a module from its binary, or from its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has a syntax error (with line and column), if the binary is malformed or invalid
    /// (with the position), or if a limit of the compiler is exceeded.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        match to_binary(bytes, None)? {
            Cow::Borrowed(binary) => Self::from_binary(engine, binary),
            Cow::Owned(binary) => Self::of_binary(engine, binary.into(), &BuildOptions::of(engine))
                .map_err(|error| locate_in_text(error, bytes, None)),
        }
    }

    /// Compiles a module from its binary.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] does.
    pub fn from_binary(engine: &Engine, binary: &[u8]) -> Result<Self> {
        Self::of_binary(engine, Bytes::copy_from_slice(binary), &BuildOptions::of(engine))
    }

    pub(crate) fn of_binary(engine: &Engine, binary: Bytes, options: &BuildOptions) -> Result<Self> {
        Self::of(engine, cache::load_or_compile(engine, engine.code().compiler(), binary, options)?)
    }

    /// Compiles a module that belljar itself has made, with features that modules of the engine may not have.
    #[cfg(feature = "component-model")]
    pub(crate) fn of_own(engine: &Engine, binary: Bytes, features: crate::WasmFeatures) -> Result<Self> {
        let features = engine.config().features | features;
        let compiler = engine.code().compiler().with_features(features);
        let loaded = cache::load_or_compile(engine, &compiler, binary, &BuildOptions::of(engine))?;
        Self::with_features(engine, loaded, Some(features))
    }

    /// Loads an artifact of a module that belljar itself has made.
    #[cfg(feature = "component-model")]
    pub(crate) fn deserialize_own(
        engine: &Engine,
        bytes: &[u8],
        features: crate::WasmFeatures,
    ) -> Result<Self> {
        let features = engine.config().features | features;
        let compiler = engine.code().compiler().with_features(features);
        let copy = PrivateCopy::of(bytes).context("not enough memory for the compiled module")?;
        let loaded = deserialize::deserialize_as(engine, compiler.settings(), copy)?;
        Self::with_features(engine, loaded, Some(features))
    }

    /// Compiles a module from its binary, without copying it.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] does.
    pub fn from_bytes(engine: &Engine, binary: impl Into<Bytes>) -> Result<Self> {
        Self::of_binary(engine, binary.into(), &BuildOptions::of(engine))
    }

    /// Compiles a module from a file in binary or text format, or loads an artifact of [`Module::serialize`].
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] and [`Module::deserialize`] do, or if the file cannot be read.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let cannot_read = || format!("could not read {}", OutsideText::new(path));
        let file = File::open(path).with_context(cannot_read)?;
        if ArtifactInfo::is_artifact(&file).with_context(cannot_read)? {
            return Self::deserialize_open_file(engine, &file)
                .with_context(|| format!("could not load {}", OutsideText::new(path)));
        }
        let bytes = Self::read_file(&file).with_context(cannot_read)?;
        let options = BuildOptions::of(engine);
        let compiled = match to_binary(&bytes, Some(path))? {
            Cow::Owned(binary) => Self::of_binary(engine, binary.into(), &options)
                .map_err(|error| locate_in_text(error, &bytes, Some(path))),
            Cow::Borrowed(_) => Self::of_binary(engine, bytes, &options),
        };
        compiled.with_context(|| format!("could not compile {}", OutsideText::new(path)))
    }

    /// Checks a binary without compiling it.
    ///
    /// # Errors
    ///
    /// Returns an error if the binary is malformed or invalid.
    pub fn validate(engine: &Engine, binary: &[u8]) -> Result<()> {
        validate(engine, binary).map(|_| ())
    }

    /// Checks a binary as [`Module::validate`] does, and returns the problems that make every instantiation fail.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::validate`] does.
    pub fn validate_to_start(engine: &Engine, binary: &[u8]) -> Result<Vec<StartProblem>> {
        validate(engine, binary).map(|module| start_problem::of(&module))
    }

    /// Compiles the module with explicit bounds checks.
    pub(super) fn compile_checked(&self) -> Result<Arc<LoadedModule>> {
        let Inner { engine, described, code, features, .. } = &*self.inner;
        let binary = described.binary().whole().context(
            "this process cannot reserve memories of full size, and the compiled module does not contain the wasm to compile \
             it with checks: allow the process more address space, or compile it with its source embedded",
        )?;
        // The binary may not have been read from its file yet: damaged bytes must not be compiled.
        code.code_image().load_part(binary)?;
        let compiler = engine.code().compiler();
        let tunables = Tunables { memory_access: MemoryAccess::Checked, ..compiler.settings().tunables };
        let compiler = compiler.with_tunables(tunables);
        let compiler = features.map_or(compiler.clone(), |features| compiler.with_features(features));
        let LoadedArtifact { module, image, .. } =
            cache::load_or_compile(engine, &compiler, binary.clone(), &BuildOptions::of(engine))?;
        load::load_module(engine, module, image, false)
    }
}

fn validate(engine: &Engine, binary: &[u8]) -> Result<belljar_module::Module> {
    let features = engine.config().features;
    let binary = Bytes::copy_from_slice(binary);
    let budget =
        Budget::new(engine.config().compile_limits.clone(), CompileCancel::new(), binary.len() as u64);
    build::limited(budget.check(CompileLimit::ModuleSize, binary.len() as u64, None))?;
    belljar_module::validate_until_stopped(binary.clone(), features, &budget).or_else(|error| {
        build::limited(budget.end().map_or(Ok(()), Err))?;
        Err(refusal::explain(error, &binary, features, &budget))
    })
}
