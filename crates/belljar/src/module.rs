//! Modules: validated and compiled WebAssembly, shared by all threads.

use crate::artifact::{ArtifactOptions, LoadedArtifact, Origin, cache, deserialize, serialize};
use crate::artifact_info::ArtifactInfo;
use crate::build::{self, BuildOptions};
use crate::start_problem::{self, StartProblem};
use crate::text::to_binary;
use crate::types::{ExportType, ExternType, ImportType, shown};
use crate::{Engine, Result, load, refusal};
use anyhow::Context;
use belljar_compile::{Budget, CompileCancel, CompileLimit, Compiler, MemoryAccess, Tunables};
use belljar_core::OutsideText;
use belljar_vm::{LoadedModule, PrivateCopy};
use bytes::Bytes;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A compiled module. It is cheap to clone, and any number of stores and threads may instantiate it.
///
/// ```
/// use belljar::{Engine, Module};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module $m (import "a" "b" (func)) (memory (export "mem") 1))"#)?;
/// assert_eq!(module.name(), Some("m"));
/// assert_eq!(module.imports().len(), 1);
/// assert_eq!(module.exports().next().unwrap().ty().to_string(), "memory 1");
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Module {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    described: Arc<belljar_module::Module>,
    code: Arc<LoadedModule>,
    origin: Origin,
    /// The same module compiled with explicit bounds checks, created when a memory needs it.
    checked: OnceLock<Arc<LoadedModule>>,
}

impl Module {
    /// Compiles a module from its binary, or from its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has a syntax error (with line and column), if the binary is malformed or invalid
    /// (with the position), or if a limit of the compiler is exceeded.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = to_binary(bytes.as_ref(), None, false)?;
        Self::from_binary(engine, &bytes)
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
        Self::of(engine, cache::load_or_compile(engine, engine.compiler(), binary, options)?)
    }

    fn of(engine: &Engine, loaded: LoadedArtifact) -> Result<Self> {
        let LoadedArtifact { module, image, origin } = loaded;
        let code = load::load_module(engine, module.clone(), image, engine.reserves_memory())?;
        let inner =
            Inner { engine: engine.clone(), described: module, code, origin, checked: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Compiles a module from its binary, without copying it.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] does.
    pub fn from_bytes(engine: &Engine, binary: impl Into<Bytes>) -> Result<Self> {
        Self::of_binary(engine, binary.into(), &BuildOptions::of(engine))
    }

    /// Reads a whole file, for [`Module::from_bytes`]. For a large file this is faster than [`std::fs::read`], because
    /// it requests huge pages.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or if it has more than 1 GiB, the limit on the web: files may claim
    /// any length, and devices may never end.
    pub fn read_file(file: &File) -> std::io::Result<Bytes> {
        let too_large = || {
            let why = "a module may have at most 1 GiB, but the file has more";
            std::io::Error::new(std::io::ErrorKind::FileTooLarge, why)
        };
        let meta = file.metadata()?;
        if meta.is_file() && meta.len() > LARGEST_FILE {
            return Err(too_large());
        }
        if meta.is_file() && meta.len() >= LARGE_FILE {
            return Ok(PrivateCopy::read(file, meta.len())?.into_bytes());
        }
        // Room for one more byte than expected, to detect the end of the file.
        let expected = if meta.is_file() { meta.len() as usize + 1 } else { 0 };
        let mut bytes = Vec::with_capacity(expected);
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(too_large());
        }
        Ok(bytes.into())
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
        let binary = match to_binary(&bytes, Some(path), false)? {
            Cow::Owned(binary) => binary.into(),
            Cow::Borrowed(_) => bytes,
        };
        Self::of_binary(engine, binary, &BuildOptions::of(engine))
            .with_context(|| format!("could not compile {}", OutsideText::new(path)))
    }

    /// Serializes the module as an artifact: an ELF file with its code, which [`Module::deserialize`] loads without
    /// compiling. It is sealed for this user on this machine.
    ///
    /// ```
    /// use belljar::{Config, Engine, Instance, Module, Origin, Store, Trust, UserKey};
    /// # fn main() -> Result<(), belljar::Error> {
    /// let mut config = Config::new();
    /// // By default the key is in the user's state directory.
    /// config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    /// let engine = Engine::new(&config)?;
    /// let module = Module::new(&engine, r#"(module (func (export "six") (result i32) i32.const 6))"#)?;
    /// let artifact = module.serialize()?;
    ///
    /// let again = Module::deserialize(&engine, &artifact)?;
    /// assert!(matches!(again.origin(), Origin::Artifact(_)));
    /// let mut store = Store::new(&engine, ());
    /// let six = Instance::new(&mut store, &again, &[])?.get_typed_func::<(), i32>(&mut store, "six")?;
    /// assert_eq!(six.call(&mut store, ())?, 6);
    ///
    /// let mut changed = artifact;
    /// changed[5000] ^= 1;
    /// assert!(Module::deserialize(&engine, &changed).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if this user has no key and none can be created.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.serialize_with(ArtifactOptions::new())
    }

    /// Serializes the module as an artifact, with options.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::serialize`] does, unless the options have a key to sign with. Also returns an
    /// error if the module's wasm is to be embedded but is not available.
    pub fn serialize_with(&self, options: ArtifactOptions<'_>) -> Result<Vec<u8>> {
        let Inner { engine, described, code, .. } = &*self.inner;
        serialize::serialize(
            engine,
            described,
            code.code_image(),
            code.code_image().snapshot().unwrap_or(&[]),
            options,
        )
    }

    /// Loads an artifact of [`Module::serialize`]. This is safe for any bytes: code is used only if this user or the
    /// holder of a trusted key ([`crate::Config::trust`]) sealed it, and if it was not changed since.
    ///
    /// If an artifact is intact but cannot be used, and holds its wasm, the module is compiled again;
    /// [`Module::origin`] tells.
    ///
    /// # Errors
    ///
    /// Returns an [`crate::ArtifactError`] that tells why the artifact cannot be used.
    pub fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let copy = PrivateCopy::of(bytes.as_ref()).context("not enough memory for the compiled module")?;
        Self::of(engine, deserialize::deserialize(engine, copy)?)
    }

    /// Loads an artifact from a file, as [`Module::deserialize`] does. Later changes of the file have no effect.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::deserialize`] does, or if the file cannot be read.
    pub fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).with_context(|| format!("could not read {}", OutsideText::new(path)))?;
        Self::deserialize_open_file(engine, &file)
            .with_context(|| format!("could not load {}", OutsideText::new(path)))
    }

    /// Loads an artifact from an open file, as [`Module::deserialize_file`] does.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::deserialize_file`] does.
    pub fn deserialize_open_file(engine: &Engine, file: &File) -> Result<Self> {
        Self::of(engine, deserialize::deserialize_file(engine, file)?)
    }

    /// Returns whether the module is a snapshot ([`crate::Store::snapshot`]). An instance of it starts in the state of
    /// the snapshot instead of a fresh one. It must be the first instance of its store, and its start function does not
    /// run again.
    pub fn has_snapshot(&self) -> bool {
        self.inner.code.code_image().snapshot().is_some()
    }

    /// Returns the note of the module's snapshot, if it has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the snapshot is damaged.
    pub fn snapshot_note(&self) -> Result<Option<Vec<u8>>> {
        belljar_vm::snapshot_note(self.inner.code.code_image())
    }

    /// Returns whether instantiation calls a start function.
    pub fn has_start_function(&self) -> bool {
        self.inner.described.start().is_some()
    }

    /// Returns where the code came from.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
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

    /// Returns the problems that make every instantiation of the module fail, whatever its imports are. Most modules
    /// have none.
    pub fn start_problems(&self) -> Vec<StartProblem> {
        start_problem::of(&self.inner.described)
    }

    /// Returns the module's name according to its name section.
    pub fn name(&self) -> Option<&str> {
        self.inner.described.names().module()
    }

    /// Returns the imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.imports().iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: shown(code.entity_type(import.entity), engine.runtime()),
        })
    }

    /// Returns the exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.exports().iter().map(|export| ExportType {
            name: &export.name,
            ty: shown(code.entity_type(export.entity), engine.runtime()),
        })
    }

    /// Returns the type of an export, by name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.export(name).map(|export| shown(code.entity_type(export.entity), engine.runtime()))
    }

    /// Returns the contents of the custom sections of this name, in order. For a module from an artifact file, damaged
    /// sections are omitted.
    pub fn custom_sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let Inner { described, code, .. } = &*self.inner;
        described
            .custom_sections()
            .iter()
            .filter(move |(n, _)| &**n == name)
            .map(|(_, range)| described.custom_section_bytes(range))
            .filter(|bytes| code.code_image().load_part(bytes).is_ok())
    }

    /// Returns the names of the module's custom sections, in order.
    pub(crate) fn custom_section_names(&self) -> impl Iterator<Item = &str> {
        self.inner.described.custom_sections().iter().map(|(name, _)| &**name)
    }

    /// Returns the module's engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn code(&self) -> &Arc<LoadedModule> {
        &self.inner.code
    }

    /// Returns the module compiled with explicit bounds checks.
    pub(crate) fn checked_code(&self) -> Result<Arc<LoadedModule>> {
        if let Some(code) = self.inner.checked.get() {
            return Ok(code.clone());
        }
        let Inner { engine, described, code, .. } = &*self.inner;
        let binary = described.binary().whole().context(
            "this process cannot reserve memories of full size, and the compiled module does not contain the wasm to compile \
             it with checks: allow the process more address space, or compile it with its source embedded",
        )?;
        // The binary may not have been read from its file yet: damaged bytes must not be compiled.
        code.code_image().load_part(binary)?;
        let compiler = engine.compiler();
        let tunables = Tunables { memory_access: MemoryAccess::Checked, ..compiler.tunables };
        let compiler = Compiler { tunables, ..compiler.clone() };
        let LoadedArtifact { module, image, .. } =
            cache::load_or_compile(engine, &compiler, binary.clone(), &BuildOptions::of(engine))?;
        let code = load::load_module(engine, module, image, false)?;
        Ok(self.inner.checked.get_or_init(|| code).clone())
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

/// The largest file that is read: the limit on the web.
const LARGEST_FILE: u64 = 1 << 30;

/// The size in bytes from which on huge pages are worth requesting.
const LARGE_FILE: u64 = 1 << 20;
