//! Compiled modules in the engine's cache.

use crate::artifact::{ArtifactError, LoadedArtifact, Origin, describe, identity_of, trusted_seal};
use crate::build::{BuildOptions, build};
use crate::load::load_code;
use crate::{Engine, Result};
use belljar_abi::Image;
use belljar_cache::{BLOCK_BYTES, Entry, Identity, Key, check, seal_bytes, seal_native_code};
use belljar_compile::{Compiler, FileContents, Keep, StoredTrampolines, object_file};
use belljar_module::Binary;
use belljar_vm::PrivateCopy;
use bytes::Bytes;

/// Loads the module of a binary from the engine's cache, or compiles it and adds it to the cache.
pub(crate) fn load_or_compile(
    engine: &Engine,
    compiler: &Compiler,
    wasm: Bytes,
    options: &BuildOptions,
) -> Result<LoadedArtifact> {
    let Some(cache) = engine.config().cache.as_ref() else {
        return build(engine, compiler, wasm, options);
    };
    let key = Key(compiler.settings().key(&wasm));
    if let Some(entry) = cache.find(&key) {
        match cached(engine, compiler, &entry, wasm.clone()) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                engine.warn(format!("the cache's entry {key} could not be used and is replaced: {error:#}"))
            }
        }
    }
    let loaded = build(engine, compiler, wasm, options)?;
    if let Err(error) = keep(engine, &loaded, key) {
        engine.warn(format!("could not add the compiled module to the cache: {error:#}"));
    }
    Ok(loaded)
}

/// Loads the module of a cache entry and of the binary that the entry is the code of.
fn cached(engine: &Engine, compiler: &Compiler, entry: &Entry, wasm: Bytes) -> Result<LoadedArtifact> {
    check_seal_alone(engine, entry)?;
    let copy = PrivateCopy::read(&entry.file, entry.length)?;
    let image = Image::new(&copy).map_err(ArtifactError::from)?;
    if identity_of(image) != entry.identity() {
        return Err(ArtifactError::OtherKey.into());
    }
    check(&copy, entry.identity(), engine.trust()).map_err(ArtifactError::from)?;
    let image = load_code(engine, compiler.settings(), copy)?;
    let module = describe(compiler.settings(), &image, Binary::new(wasm))?;
    Ok(LoadedArtifact { module, image, origin: Origin::Cache })
}

/// Checks that a trusted key has sealed the entry's length and digests. A file can claim any length, and must not get
/// that much memory before this check. The contents are checked once they are read.
fn check_seal_alone(engine: &Engine, entry: &Entry) -> Result<()> {
    if entry.length <= BLOCK_BYTES as u64 {
        return Ok(());
    }
    match trusted_seal(engine, &entry.file, entry.length)?.identity() == entry.identity() {
        true => Ok(()),
        false => Err(ArtifactError::OtherKey.into()),
    }
}

/// Adds a compiled module to the cache.
fn keep(engine: &Engine, loaded: &LoadedArtifact, key: Key) -> Result<()> {
    let Some(cache) = engine.config().cache.as_ref() else { return Ok(()) };
    let image = Image::new(loaded.image.bytes())?;
    let symbols = engine.config().compiler.debug_symbols;
    let trampolines = &StoredTrampolines::default();
    let contents = FileContents { keep: Keep::Nothing, snapshot: &[], trampolines, symbols };
    let mut file = object_file(image, &loaded.module, key.0, contents, seal_bytes);
    seal_native_code(&mut file, Identity::entry(key), engine.trust().user.as_ref(), None)?;
    cache.insert(&key, &file)?;
    Ok(())
}
