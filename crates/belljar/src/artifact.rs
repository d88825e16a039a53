//! Modules whose code was made before: files that somebody compiled, and entries of the cache.
//!
//! Code is believed if its seal is right: made by this user, or by the holder of a trusted key, for what is looked for. It is
//! looked at, checked and run in one private copy, so that it makes no difference what happens to the file meanwhile.
//!
//! **Invariant:** what a file is taken for is what it was sealed as ([`Identity`]): the cache's entry under the key that it was
//! found by; a module or a snapshot as its contents are.

pub(crate) mod cache;
pub(crate) mod deserialize;
pub(crate) mod serialize;

use crate::{Engine, Result};
use belljar_abi::{Image, ImageError, Part};
use belljar_cache::{
    ArtifactKind, Identity, Key, SEAL_BYTES, SealError, SealedBlocks, SigningKey, TrustedBy,
};
use belljar_compile::Compiler;
use belljar_module::{Binary, Module};
use belljar_vm::CodeImage;
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

/// The seal of a file of more than one block, of which nothing else is read. Its end is looked at first: what is no seal there says
/// how many digests come before it.
pub(crate) fn trusted_seal(engine: &Engine, file: &File, length: u64) -> Result<SealedBlocks> {
    let length = usize::try_from(length)?;
    let contents = SealedBlocks::contents_of(length).ok_or(ArtifactError::Seal(SealError::Damaged))?;
    let mut end = [0; SEAL_BYTES];
    file.read_exact_at(&mut end, (length - SEAL_BYTES) as u64)?;
    SealedBlocks::check_end(&end, engine.trust()).map_err(ArtifactError::from)?;
    let mut seal = vec![0; length - contents];
    file.read_exact_at(&mut seal, contents as u64)?;
    Ok(SealedBlocks::check(&seal, contents, engine.trust()).map_err(ArtifactError::from)?)
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

pub(crate) fn describe(compiler: &Compiler, image: &Arc<CodeImage>, binary: Binary) -> Result<Arc<Module>> {
    let view = Image::new(image.bytes())?;
    let part = |part| image.share(view.range(part));
    let (metadata, memory) = (part(Part::Metadata), part(Part::Memory));
    Ok(Arc::new(Module::from_metadata(binary, compiler.features, metadata, memory)?))
}
