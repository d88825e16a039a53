//! Writing artifacts.

use crate::artifact::ArtifactOptions;
use crate::{Engine, Result};
use belljar_abi::Image;
use belljar_cache::{ArtifactKind, Identity, Key, seal_bytes, seal_native_code};
use belljar_compile::{FileContents, Keep, object_file};
use belljar_module::Module;
use belljar_vm::CodeImage;

/// Returns a module's artifact, with a snapshot of an instance if there is one.
pub(crate) fn serialize(
    engine: &Engine,
    module: &Module,
    image: &CodeImage,
    snapshot: &[u8],
    options: ArtifactOptions<'_>,
) -> Result<Vec<u8>> {
    let keep = if options.embed_source { Keep::All } else { Keep::WithoutCode };
    let whole = module.binary().whole();
    belljar_core::ensure!(
        whole.is_some() || !options.embed_source,
        "the module was deserialized from an artifact without its wasm, so there is none to embed"
    );
    image.load(0..image.bytes().len())?;
    let view = Image::new(image.bytes())?;
    // Loaded code keeps its key, because another compiler than this engine's may have made it.
    let key = match (view.header().key, whole) {
        (NO_KEY, Some(wasm)) => engine.settings().key(wasm),
        (key, _) => key,
    };
    let symbols = engine.config().compiler.debug_symbols;
    let trampolines = engine.code().trampolines_of(view, module)?;
    let contents = FileContents { keep, snapshot, trampolines: &trampolines, symbols };
    let mut file = object_file(view, module, key, contents, seal_bytes);
    let kind = if snapshot.is_empty() { ArtifactKind::Module } else { ArtifactKind::Snapshot };
    let identity = Identity { kind, key: Key(key) };
    seal_native_code(&mut file, identity, engine.trust().user.as_ref(), options.signing_key)?;
    Ok(file)
}

/// The key of an image that was never in a file.
const NO_KEY: [u8; 32] = [0; 32];
