//! Modules: validated, compiled, shareable.

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

/// A compiled module. Cheap to clone; any number of stores and threads may instantiate it.
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
    /// The same module compiled with explicit checks, made when a memory demands it.
    checked: OnceLock<Arc<LoadedModule>>,
}

impl Module {
    /// Compiles a module from its binary, or from its text.
    ///
    /// # Errors
    ///
    /// Where the text has a syntax error (with line and column), the binary is malformed or invalid (with the
    /// position), or a limit of the compiler is exceeded.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = to_binary(bytes.as_ref(), None, false)?;
        Self::from_binary(engine, &bytes)
    }

    /// Compiles a module from its binary.
    ///
    /// # Errors
    ///
    /// As [`Module::new`].
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

    /// As [`Module::from_binary`], without a copy of the binary.
    ///
    /// # Errors
    ///
    /// As [`Module::new`].
    pub fn from_bytes(engine: &Engine, binary: impl Into<Bytes>) -> Result<Self> {
        Self::of_binary(engine, binary.into(), &BuildOptions::of(engine))
    }

    /// Reads a file whole, as [`Module::from_bytes`] takes it. Of a large file this is faster than [`std::fs::read`], as it
    /// asks the system for large pages.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, and where it has more than 1 GiB, the limit of the web: files may claim any length, and
    /// devices never end.
    pub fn read_file(file: &File) -> std::io::Result<Bytes> {
        let too_large = || {
            let why = "a module may have at most 1 GiB, and the file has more";
            std::io::Error::new(std::io::ErrorKind::FileTooLarge, why)
        };
        let meta = file.metadata()?;
        if meta.is_file() && meta.len() > LARGEST_FILE {
            return Err(too_large());
        }
        if meta.is_file() && meta.len() >= LARGE_FILE {
            return Ok(PrivateCopy::read(file, meta.len())?.into_bytes());
        }
        // With room for a byte more, which is not there: that is how its end is found.
        let expected = if meta.is_file() { meta.len() as usize + 1 } else { 0 };
        let mut bytes = Vec::with_capacity(expected);
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(too_large());
        }
        Ok(bytes.into())
    }

    /// Compiles a module from a file in binary or text format, or loads one that [`Module::serialize`] made.
    ///
    /// # Errors
    ///
    /// As [`Module::new`] and [`Module::deserialize`], and where the file cannot be read.
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

    /// The module as an artifact: an ELF file with its code, which [`Module::deserialize`] loads without compiling, sealed
    /// for this user on this machine.
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
    /// Where this user has no key and none can be made.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.serialize_with(ArtifactOptions::new())
    }

    /// As [`Module::serialize`], with options.
    ///
    /// # Errors
    ///
    /// As there, unless a key is given to sign with; and where the module's wasm is to be embedded and is not known.
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

    /// Loads a module that [`Module::serialize`] made. This is safe whatever the bytes are: code is used only if this user
    /// made it, or the holder of a key that is trusted ([`crate::Config::trust`]), and nothing was changed since.
    ///
    /// An artifact that is whole but cannot be used is compiled again if it holds its wasm; [`Module::origin`] says so.
    ///
    /// # Errors
    ///
    /// Where the artifact cannot be used, as an [`crate::ArtifactError`] that says why.
    pub fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let copy = PrivateCopy::of(bytes.as_ref()).context("there is no memory for the compiled module")?;
        Self::of(engine, deserialize::deserialize(engine, copy)?)
    }

    /// As [`Module::deserialize`], from a file. Once this has returned, whatever happens to the file makes no difference.
    ///
    /// # Errors
    ///
    /// As there, and where the file cannot be read.
    pub fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).with_context(|| format!("could not read {}", OutsideText::new(path)))?;
        Self::deserialize_open_file(engine, &file)
            .with_context(|| format!("could not load {}", OutsideText::new(path)))
    }

    /// As [`Module::deserialize_file`], from a file that is open.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn deserialize_open_file(engine: &Engine, file: &File) -> Result<Self> {
        Self::of(engine, deserialize::deserialize_file(engine, file)?)
    }

    /// Whether it was loaded from a snapshot ([`crate::Store::snapshot`]): then an instance does not begin anew, but where the one was
    /// that the snapshot was taken of. It is the first of its store, and its start function does not run again.
    pub fn has_snapshot(&self) -> bool {
        self.inner.code.code_image().snapshot().is_some()
    }

    /// The note that its snapshot was taken with, if it has one.
    ///
    /// # Errors
    ///
    /// Where the snapshot is damaged.
    pub fn snapshot_note(&self) -> Result<Option<Vec<u8>>> {
        belljar_vm::snapshot_note(self.inner.code.code_image())
    }

    /// Whether instantiation calls a start function.
    pub fn has_start_function(&self) -> bool {
        self.inner.described.start().is_some()
    }

    /// Where the code came from.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// Checks a binary without compiling it.
    ///
    /// # Errors
    ///
    /// Where it is malformed or invalid.
    pub fn validate(engine: &Engine, binary: &[u8]) -> Result<()> {
        validate(engine, binary).map(|_| ())
    }

    /// Checks a binary without compiling it, as [`Module::validate`], and tells what in it makes every instantiation fail.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn validate_to_start(engine: &Engine, binary: &[u8]) -> Result<Vec<StartProblem>> {
        validate(engine, binary).map(|module| start_problem::of(&module))
    }

    /// What in the module makes every instantiation fail, whatever its imports are. Most modules have nothing of the kind.
    pub fn start_problems(&self) -> Vec<StartProblem> {
        start_problem::of(&self.inner.described)
    }

    /// The name that the name section gives the module.
    pub fn name(&self) -> Option<&str> {
        self.inner.described.names().module()
    }

    /// The imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.imports().iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: shown(code.entity_type(import.entity), engine.runtime()),
        })
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.exports().iter().map(|export| ExportType {
            name: &export.name,
            ty: shown(code.entity_type(export.entity), engine.runtime()),
        })
    }

    /// The type of the export of this name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let Inner { engine, described, code, .. } = &*self.inner;
        described.export(name).map(|export| shown(code.entity_type(export.entity), engine.runtime()))
    }

    /// The contents of the custom sections of this name, in order. Of a module out of an artifact's file, those that turn out
    /// to be damaged are missing.
    pub fn custom_sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let Inner { described, code, .. } = &*self.inner;
        described
            .custom_sections()
            .iter()
            .filter(move |(n, _)| &**n == name)
            .map(|(_, range)| described.custom_section_bytes(range))
            .filter(|bytes| code.code_image().load_part(bytes).is_ok())
    }

    /// The names of its custom sections, in order.
    pub(crate) fn custom_section_names(&self) -> impl Iterator<Item = &str> {
        self.inner.described.custom_sections().iter().map(|(name, _)| &**name)
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn code(&self) -> &Arc<LoadedModule> {
        &self.inner.code
    }

    /// The module compiled with explicit memory checks.
    pub(crate) fn checked_code(&self) -> Result<Arc<LoadedModule>> {
        if let Some(code) = self.inner.checked.get() {
            return Ok(code.clone());
        }
        let Inner { engine, described, code, .. } = &*self.inner;
        let binary = described.binary().whole().context(
            "memories of full size cannot be had here, and the compiled module does not hold the wasm from which it could \
             be compiled anew: allow the process more address space, or compile it with its source embedded",
        )?;
        // Out of a file, it may not have been read yet: what is damaged must not be compiled.
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

/// The largest file that is read. The same limit as the web's.
const LARGEST_FILE: u64 = 1 << 30;

/// Bytes from which on large pages are worth asking for.
const LARGE_FILE: u64 = 1 << 20;
