//! Modules whose code was made before: files that somebody compiled, and entries of the cache.
//!
//! Code is believed if its seal is right: made by this user, or by the holder of a trusted key, for what is looked for. It is
//! looked at, checked and run in one private copy, so that it makes no difference what happens to the file meanwhile.
//!
//! **Invariant:** what a file is taken for is what it was sealed as ([`Identity`]): the cache's entry under the key that it was
//! found by; a module or a snapshot as its contents are.

use crate::build::{BuildOptions, build};
use crate::{Engine, Result};
use belljar_abi::{Image, ImageError, Part};
use belljar_cache::{
    ArtifactKind, BLOCK_BYTES, Entry, Identity, Key, SEAL_BYTES, SealError, SealedBlocks, SigningKey,
    TrustedBy, check, seal_bytes, seal_native_code, seal_of,
};
use belljar_compile::{Compiler, Keep, object_file};
use belljar_module::{Binary, Module};
use belljar_vm::{CodeImage, LeasedFile, OnDemand, PrivateCopy};
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where a module's code came from.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// It was compiled.
    Compiled,
    /// It was in the cache.
    Cache,
    /// It was deserialized; this user or that key vouched for it.
    Artifact(TrustedBy),
    /// It was to be deserialized, could not be used for the reason given, and was compiled again from the wasm that the
    /// artifact holds.
    CompiledAgain(ArtifactError),
}

/// Why compiled code was not used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It is no compiled module, or one for another release.
    Image(ImageError),
    /// Nobody who is trusted vouches for these bytes.
    Seal(SealError),
    /// It was made with other settings, or for another processor; which is said.
    Settings(String),
    /// It does not say what it is the code of: it is an entry of a cache.
    NoModule,
    /// It is under the name of an entry of the cache, and is another entry, or none.
    OtherKey,
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Settings(what) => write!(f, "the compiled module cannot be used here: {what}"),
            Self::NoModule => f.write_str(
                "the compiled module is an entry of a cache, which is of use only together with its wasm: make one that \
                 stands alone with `belljar compile`",
            ),
            Self::OtherKey => f.write_str("the entry of the cache is something else"),
        }
    }
}

impl std::error::Error for ArtifactError {}

impl From<ImageError> for ArtifactError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<SealError> for ArtifactError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// How [`crate::Module::serialize_with`] makes an artifact.
#[derive(Clone, Copy, Default, Debug)]
pub struct ArtifactOptions<'a> {
    embed_source: bool,
    signing_key: Option<&'a SigningKey>,
}

impl<'a> ArtifactOptions<'a> {
    /// The defaults, which each method below states.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the artifact holds all of the module's wasm, so that it is compiled again where its code cannot be used.
    /// Default: no.
    pub fn embed_source(mut self, embed: bool) -> Self {
        self.embed_source = embed;
        self
    }

    /// Who signs it, so that it is believed by other users and on other machines that trust this key. Default: nobody.
    pub fn sign(mut self, key: &'a SigningKey) -> Self {
        self.signing_key = Some(key);
        self
    }
}

/// A module with its code in memory.
pub(crate) struct LoadedArtifact {
    pub(crate) module: Arc<Module>,
    pub(crate) image: Arc<CodeImage>,
    pub(crate) origin: Origin,
}

/// The module of a binary: out of the engine's cache if it is there, otherwise compiled, and put there.
pub(crate) fn load_or_compile(
    engine: &Engine,
    compiler: &Compiler,
    wasm: Bytes,
    options: &BuildOptions,
) -> Result<LoadedArtifact> {
    let Some(cache) = engine.cache() else { return build(engine, compiler, wasm, options) };
    let key = Key(compiler.key(&wasm));
    if let Some(entry) = cache.find(&key) {
        match cached(engine, compiler, &entry, wasm.clone()) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                engine.warn(format!("the cache's entry {key} was not used, and is replaced: {error:#}"))
            }
        }
    }
    let loaded = build(engine, compiler, wasm, options)?;
    if let Err(error) = keep(engine, &loaded, key) {
        engine.warn(format!("the compiled module could not be kept in the cache: {error:#}"));
    }
    Ok(loaded)
}

/// The module of a cache's entry and of the binary that it is the code of.
fn cached(engine: &Engine, compiler: &Compiler, entry: &Entry, wasm: Bytes) -> Result<LoadedArtifact> {
    check_seal_alone(engine, entry)?;
    let copy = PrivateCopy::read(&entry.file, entry.length)?;
    let image = Image::new(&copy).map_err(ArtifactError::from)?;
    if identity_of(image) != entry.identity() {
        return Err(ArtifactError::OtherKey.into());
    }
    check(&copy, entry.identity(), engine.trust()).map_err(ArtifactError::from)?;
    let image = load(engine, compiler, copy)?;
    let module = describe(compiler, &image, Binary::new(wasm))?;
    Ok(LoadedArtifact { module, image, origin: Origin::Cache })
}

/// Whether somebody who is trusted vouches for the entry's length and digests. A file can claim any length, and should not be given
/// that much memory before; the contents are checked when they are there.
fn check_seal_alone(engine: &Engine, entry: &Entry) -> Result<()> {
    if entry.length <= BLOCK_BYTES as u64 {
        return Ok(());
    }
    match trusted_seal(engine, &entry.file, entry.length)?.identity() == entry.identity() {
        true => Ok(()),
        false => Err(ArtifactError::OtherKey.into()),
    }
}

/// The seal of a file of more than one block, of which nothing else is read. Its end is looked at first: what is no seal there says
/// how many digests come before it.
fn trusted_seal(engine: &Engine, file: &File, length: u64) -> Result<SealedBlocks> {
    let length = usize::try_from(length)?;
    let contents = SealedBlocks::contents_of(length).ok_or(ArtifactError::Seal(SealError::Damaged))?;
    let mut end = [0; SEAL_BYTES];
    file.read_exact_at(&mut end, (length - SEAL_BYTES) as u64)?;
    SealedBlocks::check_end(&end, engine.trust()).map_err(ArtifactError::from)?;
    let mut seal = vec![0; length - contents];
    file.read_exact_at(&mut seal, contents as u64)?;
    Ok(SealedBlocks::check(&seal, contents, engine.trust()).map_err(ArtifactError::from)?)
}

/// Code as an image, which is executable where the processor has all that it needs. Only an engine that compiles for another
/// processor has code of which that is not known.
pub(crate) fn load(engine: &Engine, compiler: &Compiler, copy: PrivateCopy) -> Result<Arc<CodeImage>> {
    let lacking = match engine.config().processor {
        None => None,
        Some(_) => compiler.lacking(&String::from_utf8_lossy(Image::new(&copy)?.part(Part::Settings))),
    };
    match lacking {
        None => CodeImage::new(copy),
        Some(why) => CodeImage::for_another_processor(copy, &why),
    }
}

/// What an image's contents are, by themselves: to be compared with what they were sealed as.
pub(crate) fn identity_of(image: Image<'_>) -> Identity {
    let has = |part| !image.part(part).is_empty();
    let kind = match (has(Part::Snapshot), has(Part::Binary)) {
        (true, _) => ArtifactKind::Snapshot,
        (false, true) => ArtifactKind::Module,
        (false, false) => ArtifactKind::CacheEntry,
    };
    Identity { kind, key: Key(image.header().key) }
}

fn describe(compiler: &Compiler, image: &Arc<CodeImage>, binary: Binary) -> Result<Arc<Module>> {
    let view = Image::new(image.bytes())?;
    let part = |part| image.share(view.range(part));
    let (metadata, memory) = (part(Part::Metadata), part(Part::Memory));
    Ok(Arc::new(Module::from_metadata(binary, compiler.features, metadata, memory)?))
}

/// Puts a compiled module into the cache.
fn keep(engine: &Engine, loaded: &LoadedArtifact, key: Key) -> Result<()> {
    let Some(cache) = engine.cache() else { return Ok(()) };
    let image = Image::new(loaded.image.bytes())?;
    let mut file = object_file(image, &loaded.module, key.0, Keep::Nothing, &[], seal_bytes);
    seal_native_code(&mut file, Identity::entry(key), engine.trust().user.as_ref(), None)?;
    cache.insert(&key, &file)?;
    Ok(())
}

/// A module's artifact, with a snapshot of an instance if there is one.
pub(crate) fn serialize(
    engine: &Engine,
    module: &Module,
    image: &CodeImage,
    snapshot: &[u8],
    options: ArtifactOptions<'_>,
) -> Result<Vec<u8>> {
    let keep = if options.embed_source { Keep::All } else { Keep::WithoutCode };
    let whole = module.binary().whole();
    anyhow::ensure!(
        whole.is_some() || !options.embed_source,
        "the module was deserialized from an artifact without its wasm, so there is none to embed"
    );
    image.load(0..image.bytes().len())?;
    let view = Image::new(image.bytes())?;
    // Code that was loaded keeps its key: another compiler than this engine's may have made it.
    let key = match (view.header().key, whole) {
        (NO_KEY, Some(wasm)) => engine.compiler().key(wasm),
        (key, _) => key,
    };
    let mut file = object_file(view, module, key, keep, snapshot, seal_bytes);
    let kind = if snapshot.is_empty() { ArtifactKind::Module } else { ArtifactKind::Snapshot };
    let identity = Identity { kind, key: Key(key) };
    seal_native_code(&mut file, identity, engine.trust().user.as_ref(), options.signing_key)?;
    Ok(file)
}

/// The key of an image that was never a file.
const NO_KEY: [u8; 32] = [0; 32];

/// The module of an artifact in a file.
pub(crate) fn deserialize_file(engine: &Engine, file: &File) -> Result<LoadedArtifact> {
    let length = file.metadata()?.len();
    if length > LONGEST_UNTRUSTED {
        trusted_seal(engine, file, length)?;
    }
    // What is loaded on demand is executable at once.
    if length >= ON_DEMAND_BYTES
        && engine.config().processor.is_none()
        && let Some(loaded) = load_on_demand(engine, file)
    {
        return Ok(loaded);
    }
    deserialize(engine, PrivateCopy::read(file, length)?)
}

/// A file of more bytes is read only if somebody who is trusted vouches for its length: it may be a few bytes on the disk that claim
/// to be terabytes. Of shorter ones nobody need be trusted, as they may hold wasm that is compiled again, or be told apart from
/// artifacts.
pub(crate) const LONGEST_UNTRUSTED: u64 = 1 << 30;

/// Files smaller than this are read and checked whole: that takes no longer than to prepare for less.
const ON_DEMAND_BYTES: u64 = 1 << 20;

/// The module of an artifact, of which no more is read and checked than is needed. `None` where that is not possible; why,
/// reading all of it tells.
fn load_on_demand(engine: &Engine, file: &File) -> Option<LoadedArtifact> {
    let file = LeasedFile::new(file).ok()?;
    let contents = SealedBlocks::contents_of(file.length())?;
    let seal = file.read(contents..file.length()).ok()?;
    let sealed = SealedBlocks::check(&seal, contents, engine.trust()).ok()?;
    let (by, identity) = (sealed.trusted_by(), sealed.identity());
    let holds = Box::new(move |index, block: &[u8]| sealed.holds(index, block));
    let source = OnDemand::new(file, contents, BLOCK_BYTES, holds, engine.runtime().signals()).ok()?;
    let image = CodeImage::on_demand(source).ok()?;
    let compiler = engine.compiler();
    let view = Image::new(image.bytes()).ok()?;
    if identity_of(view) != identity {
        return None;
    }
    if compiler.refuses(&String::from_utf8_lossy(view.part(Part::Settings))).is_some() {
        return None;
    }
    let module =
        describe(compiler, &image, Binary::from_bytes(&image.share(view.range(Part::Binary)))?).ok()?;
    let active = module.active_data().iter().map(|data| data.index);
    for segment in module.passive_data().chain(active) {
        image.load_part(module.data_bytes(segment)).ok()?;
    }
    // What was read of the binary just now may have been zeros.
    (!image.is_damaged()).then_some(LoadedArtifact { module, image, origin: Origin::Artifact(by) })
}

/// The module of an artifact.
pub(crate) fn deserialize(engine: &Engine, copy: PrivateCopy) -> Result<LoadedArtifact> {
    let compiler = engine.compiler();
    match accept(engine, compiler, &copy) {
        Ok(by) => {
            let image = load(engine, compiler, copy)?;
            let range = Image::new(image.bytes())?.range(Part::Binary);
            let binary = Binary::from_bytes(&image.share(range)).ok_or(ArtifactError::NoModule)?;
            let module = describe(compiler, &image, binary)?;
            Ok(LoadedArtifact { module, image, origin: Origin::Artifact(by) })
        }
        Err(refusal) => match embedded(&copy) {
            // A snapshot is of the code that it was taken with.
            None => Err(refusal.into()),
            Some(wasm) => {
                let loaded = load_or_compile(engine, compiler, wasm, &BuildOptions::of(engine))?;
                Ok(LoadedArtifact { origin: Origin::CompiledAgain(refusal), ..loaded })
            }
        },
    }
}

/// Whether the engine may use an artifact's code.
pub(crate) fn accept(
    engine: &Engine,
    compiler: &Compiler,
    artifact: &[u8],
) -> Result<TrustedBy, ArtifactError> {
    let image = Image::new(artifact)?;
    if let Some(difference) = compiler.refuses(&String::from_utf8_lossy(image.part(Part::Settings))) {
        return Err(ArtifactError::Settings(difference));
    }
    let identity = identity_of(image);
    if identity.kind == ArtifactKind::CacheEntry {
        return Err(ArtifactError::NoModule);
    }
    Ok(check(artifact, identity, engine.trust())?)
}

/// The wasm that an artifact holds, if the artifact is whole, whoever made it.
fn embedded(artifact: &[u8]) -> Option<Bytes> {
    let binary = Image::part_of_any(artifact, Part::Binary)?;
    if !Image::part_of_any(artifact, Part::Snapshot)?.is_empty() {
        return None;
    }
    seal_of(artifact).ok()?;
    Binary::from_bytes(&Bytes::copy_from_slice(binary))?.whole().cloned()
}
