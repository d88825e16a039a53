//! Reading artifacts, as a whole or block by block on demand.

#[cfg(feature = "compiler")]
use super::again::{compile_again, embedded};
use crate::artifact::{ArtifactError, LoadedArtifact, Origin, describe, identity_of, trusted_seal};
use crate::load::load_code;
use crate::{Engine, Result};
use belljar_abi::{Image, Part};
use belljar_cache::{ArtifactKind, BLOCK_BYTES, SealedBlocks, TrustedBy, check};
use belljar_compile::CodeSettings;
use belljar_module::Binary;
use belljar_vm::{CodeImage, LeasedFile, OnDemand, PrivateCopy};
use std::fs::File;

/// Loads the module of an artifact file.
pub(crate) fn deserialize_file(engine: &Engine, file: &File) -> Result<LoadedArtifact> {
    let length = file.metadata()?.len();
    if length > LONGEST_UNTRUSTED {
        trusted_seal(engine, file, length)?;
    }
    // Code that is loaded on demand is executable at once, so it must be for this processor.
    if length >= ON_DEMAND_BYTES
        && !engine.code().may_be_foreign()
        && let Some(loaded) = load_on_demand(engine, file)
    {
        return Ok(loaded);
    }
    deserialize(engine, PrivateCopy::read(file, length)?)
}

/// Files of more bytes are read only if a trusted key has sealed their length, because a file of a few bytes on the
/// disk can claim to have terabytes. Smaller files are read without that: they may contain wasm that is compiled again,
/// or may have to be told apart from artifacts.
pub(crate) const LONGEST_UNTRUSTED: u64 = 1 << 30;

/// Smaller files are read and checked as a whole, which takes no longer than preparing to load them on demand.
const ON_DEMAND_BYTES: u64 = 1 << 20;

/// Loads the module of an artifact, reading and checking no more than needed. Returns `None` if that is not possible;
/// reading the whole artifact then reports why.
fn load_on_demand(engine: &Engine, file: &File) -> Option<LoadedArtifact> {
    let file = LeasedFile::new(file).ok()?;
    let contents = SealedBlocks::contents_of(file.length())?;
    let seal = file.read(contents..file.length()).ok()?;
    let sealed = SealedBlocks::check(&seal, contents, engine.trust()).ok()?;
    let (by, identity) = (sealed.trusted_by(), sealed.identity());
    let holds = Box::new(move |index, block: &[u8]| sealed.holds(index, block));
    let source = OnDemand::new(file, contents, BLOCK_BYTES, holds, engine.runtime().signals()).ok()?;
    let image = CodeImage::on_demand(source).ok()?;
    let settings = engine.settings();
    let view = Image::new(image.bytes()).ok()?;
    if identity_of(view) != identity {
        return None;
    }
    if settings.refuses(&String::from_utf8_lossy(view.part(Part::Settings))).is_some() {
        return None;
    }
    let module =
        describe(settings, &image, Binary::from_bytes(&image.share(view.range(Part::Binary)))?).ok()?;
    let active = module.active_data().iter().map(|data| data.index);
    for segment in module.passive_data().chain(active) {
        image.load_part(module.data_bytes(segment)).ok()?;
    }
    // If a block is damaged, what was read of the binary may have been zeros.
    (!image.is_damaged()).then_some(LoadedArtifact { module, image, origin: Origin::Artifact(by) })
}

/// Loads the module of an artifact.
pub(crate) fn deserialize(engine: &Engine, copy: PrivateCopy) -> Result<LoadedArtifact> {
    let settings = engine.settings();
    match accept(engine, settings, &copy) {
        Ok(by) => load(engine, settings, copy, by),
        #[cfg(feature = "compiler")]
        Err(refusal) => match embedded(&copy) {
            Some(wasm) => compile_again(engine, refusal, wasm),
            None => Err(explain(refusal, &copy)),
        },
        #[cfg(not(feature = "compiler"))]
        Err(refusal) => Err(explain(refusal, &copy)),
    }
}

/// Loads the module of an artifact that was compiled with other settings than the engine's.
#[cfg(feature = "component-model")]
pub(crate) fn deserialize_as(
    engine: &Engine,
    settings: &CodeSettings,
    copy: PrivateCopy,
) -> Result<LoadedArtifact> {
    let by = accept(engine, settings, &copy)?;
    load(engine, settings, copy, by)
}

/// Loads the module of an artifact that was accepted.
fn load(
    engine: &Engine,
    settings: &CodeSettings,
    copy: PrivateCopy,
    by: TrustedBy,
) -> Result<LoadedArtifact> {
    let image = load_code(engine, settings, copy)?;
    let range = Image::new(image.bytes())?.range(Part::Binary);
    let binary = Binary::from_bytes(&image.share(range)).ok_or(ArtifactError::NoModule)?;
    let module = describe(settings, &image, binary)?;
    Ok(LoadedArtifact { module, image, origin: Origin::Artifact(by) })
}

/// Returns the error for bytes that are no artifact that can be used. If they are a module, the error says how to load it.
fn explain(refusal: ArtifactError, bytes: &[u8]) -> crate::Error {
    let error = crate::Error::from(refusal);
    let what = match bytes {
        [b'\0', b'a', b's', b'm', ..] => "a wasm binary",
        [b'(', ..] => "a module in text format",
        _ => return error,
    };
    error.context(format!("this is {what}, not a compiled module: Module::new and Module::from_file load it"))
}

/// Returns why the engine trusts an artifact's code, if the engine can use it.
pub(crate) fn accept(
    engine: &Engine,
    settings: &CodeSettings,
    artifact: &[u8],
) -> Result<TrustedBy, ArtifactError> {
    let image = Image::new(artifact)?;
    if let Some(difference) = settings.refuses(&String::from_utf8_lossy(image.part(Part::Settings))) {
        return Err(ArtifactError::Settings(difference));
    }
    let identity = identity_of(image);
    if identity.kind == ArtifactKind::CacheEntry {
        return Err(ArtifactError::NoModule);
    }
    Ok(check(artifact, identity, engine.trust())?)
}
