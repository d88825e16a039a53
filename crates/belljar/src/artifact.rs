//! Modules whose code was compiled earlier: artifact files, and entries of the cache.
//!
//! Code is trusted if its seal is valid: made by this user or by the holder of a trusted key, for the expected
//! identity. The same private copy is described, checked and run, so that later changes of the file have no effect.
//!
//! **Invariant:** a file is used only as what it was sealed as ([`Identity`]): an entry of the cache under the key that
//! it was found by; a module or a snapshot according to its contents.

#[cfg(feature = "compiler")]
mod again;
#[cfg(feature = "compiler")]
pub(crate) mod cache;
pub(crate) mod deserialize;
pub(crate) mod serialize;

use crate::{Engine, Result};
use belljar_abi::{Image, ImageError, Part};
use belljar_cache::{
    ArtifactKind, Identity, Key, SEAL_BYTES, SealError, SealedBlocks, SigningKey, TrustedBy,
};
use belljar_compile::CodeSettings;
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
    /// It came from the cache.
    Cache,
    /// It was deserialized, and is trusted because of this user or this key.
    Artifact(TrustedBy),
    /// It was deserialized but could not be used, for this reason, and was compiled again from the wasm in the
    /// artifact.
    CompiledAgain(ArtifactError),
}

/// Why compiled code was not used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It is not a compiled module, or is one of another release.
    Image(ImageError),
    /// It has no valid seal of a trusted key.
    Seal(SealError),
    /// It was made with other settings or for another processor. The text describes the difference.
    Settings(String),
    /// It does not contain its module, because it is an entry of a cache.
    NoModule,
    /// It is stored under the name of an entry of the cache, but is not that entry.
    OtherKey,
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Settings(what) => write!(f, "the compiled module cannot be used here: {what}"),
            Self::NoModule => f.write_str(
                "the compiled module is an entry of a cache, which can be used only together with its wasm: make one that \
                 stands alone with `belljar compile`",
            ),
            Self::OtherKey => f.write_str("the entry of the cache belongs to a different module or compiler"),
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

/// Options of [`crate::Module::serialize_with`].
#[derive(Clone, Copy, Default, Debug)]
pub struct ArtifactOptions<'a> {
    embed_source: bool,
    signing_key: Option<&'a SigningKey>,
}

impl<'a> ArtifactOptions<'a> {
    /// Creates the default options. Each method below states its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the artifact contains all of the module's wasm, so that the module can be compiled again where its
    /// code cannot be used. Default: no.
    pub fn embed_source(mut self, embed: bool) -> Self {
        self.embed_source = embed;
        self
    }

    /// Sets the key that signs the artifact, so that other users and machines that trust the key accept it. Default:
    /// none.
    pub fn sign(mut self, key: &'a SigningKey) -> Self {
        self.signing_key = Some(key);
        self
    }

    #[cfg(feature = "component-model")]
    pub(crate) fn signing_key(self) -> Option<&'a SigningKey> {
        self.signing_key
    }
}

/// A module with its code in memory.
pub(crate) struct LoadedArtifact {
    pub(crate) module: Arc<Module>,
    pub(crate) image: Arc<CodeImage>,
    pub(crate) origin: Origin,
}

/// Reads and checks the seal of a file of more than one block, and nothing else of it. The end of the
/// seal is checked first, because a file without a valid seal can claim any number of digests before it.
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

/// Returns the identity of an image according to its contents, to be compared with what it was sealed as.
pub(crate) fn identity_of(image: Image<'_>) -> Identity {
    let has = |part| !image.part(part).is_empty();
    let kind = match (has(Part::Snapshot), has(Part::Binary)) {
        (true, _) => ArtifactKind::Snapshot,
        (false, true) => ArtifactKind::Module,
        (false, false) => ArtifactKind::CacheEntry,
    };
    Identity { kind, key: Key(image.header().key) }
}

pub(crate) fn describe(
    settings: &CodeSettings,
    image: &Arc<CodeImage>,
    binary: Binary,
) -> Result<Arc<Module>> {
    let view = Image::new(image.bytes())?;
    let part = |part| image.share(view.range(part));
    let (metadata, memory) = (part(Part::Metadata), part(Part::Memory));
    Ok(Arc::new(Module::from_metadata(binary, settings.features, metadata, memory)?))
}
