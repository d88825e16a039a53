//! Modules: validated and compiled WebAssembly, shared by all threads.

mod code;
#[cfg(feature = "compiler")]
mod compile;
mod custom_sections;
mod exports;

pub use code::{FuncIndex, ModuleFunction, ResourcesRequired, StaticModuleIndex};
pub use custom_sections::{CustomSection, CustomSectionsIter};
pub use exports::{ModuleExport, ModuleExportsIter, ModuleImportsIter};

use crate::artifact::{ArtifactOptions, LoadedArtifact, Origin, deserialize, serialize};
use crate::start_problem::{self, StartProblem};
use crate::{Engine, Result, WasmFeatures, load};
use belljar_core::{Context, OutsideText};
use belljar_vm::{LoadedModule, PrivateCopy};
use bytes::Bytes;
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
    /// The features that it may use, if they are not the engine's: for compiling it again.
    #[cfg_attr(not(feature = "compiler"), expect(dead_code))]
    features: Option<WasmFeatures>,
    /// The same module compiled with explicit bounds checks, created when a memory needs it.
    checked: OnceLock<Arc<LoadedModule>>,
}

impl Module {
    fn of(engine: &Engine, loaded: LoadedArtifact) -> Result<Self> {
        Self::with_features(engine, loaded, None)
    }

    fn with_features(
        engine: &Engine,
        loaded: LoadedArtifact,
        features: Option<WasmFeatures>,
    ) -> Result<Self> {
        let LoadedArtifact { module, image, origin } = loaded;
        engine.config().check_module(&module)?;
        let code = load::load_module(engine, module.clone(), image, engine.reserves_memory())?;
        let (engine, checked) = (engine.clone(), OnceLock::new());
        let inner = Inner { engine, described: module, code, origin, features, checked };
        Ok(Self { inner: Arc::new(inner) })
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

    /// Returns the problems that make every instantiation of the module fail, whatever its imports are. Most modules
    /// have none.
    pub fn start_problems(&self) -> Vec<StartProblem> {
        start_problem::of(&self.inner.described)
    }

    /// Returns the module's name according to its name section.
    pub fn name(&self) -> Option<&str> {
        self.inner.described.names().module()
    }

    /// Returns the module's engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Returns whether two handles refer to the same module.
    pub fn same(a: &Module, b: &Module) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }

    /// Prepares the initial contents of the module's memories for being shared by its instances, which the second instance
    /// would do otherwise: see [`Config::memory_init_cow`](crate::Config::memory_init_cow).
    ///
    /// # Errors
    ///
    /// Returns an error if the contents of an artifact are damaged.
    pub fn initialize_copy_on_write_image(&self) -> Result<()> {
        self.inner.code.share_images()
    }

    pub(crate) fn described(&self) -> &belljar_module::Module {
        &self.inner.described
    }

    /// Returns whether this is the module's code.
    fn is_compiled_to(&self, code: &Arc<LoadedModule>) -> bool {
        let Inner { code: own, checked, .. } = &*self.inner;
        Arc::ptr_eq(own, code) || checked.get().is_some_and(|checked| Arc::ptr_eq(checked, code))
    }

    pub(crate) fn code(&self) -> &Arc<LoadedModule> {
        &self.inner.code
    }

    /// Returns the module compiled with explicit bounds checks.
    pub(crate) fn checked_code(&self) -> Result<Arc<LoadedModule>> {
        if let Some(code) = self.inner.checked.get() {
            return Ok(code.clone());
        }
        let code = self.compile_checked()?;
        Ok(self.inner.checked.get_or_init(|| code).clone())
    }

    #[cfg(not(feature = "compiler"))]
    fn compile_checked(&self) -> Result<Arc<LoadedModule>> {
        belljar_core::bail!(
            "this process cannot reserve memories of full size, and this build of belljar has no compiler to compile the \
             module with checks: allow the process more address space, or compile the artifact and create this engine \
             with Config::memory_reservation(false)"
        )
    }
}

/// The largest file that is read: the limit on the web.
const LARGEST_FILE: u64 = 1 << 30;

/// The size in bytes from which on huge pages are worth requesting.
const LARGE_FILE: u64 = 1 << 20;
