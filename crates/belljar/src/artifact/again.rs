//! Compiling the wasm that an artifact contains, where its code cannot be used.

use super::cache::load_or_compile;
use crate::artifact::{ArtifactError, LoadedArtifact, Origin};
use crate::build::BuildOptions;
use crate::{Engine, Result};
use belljar_abi::{Image, Part};
use belljar_cache::seal_of;
use belljar_module::Binary;
use bytes::Bytes;

/// Compiles the wasm in an artifact that was refused.
pub(super) fn compile_again(engine: &Engine, refusal: ArtifactError, wasm: Bytes) -> Result<LoadedArtifact> {
    let compiler = engine.code().compiler();
    let loaded = load_or_compile(engine, compiler, wasm, &BuildOptions::of(engine))?;
    Ok(LoadedArtifact { origin: Origin::CompiledAgain(refusal), ..loaded })
}

/// Returns the wasm in an artifact, if the artifact is intact, whoever sealed it.
pub(super) fn embedded(artifact: &[u8]) -> Option<Bytes> {
    let binary = Image::part_of_any(artifact, Part::Binary)?;
    // A snapshot is valid only with the code that it was taken with.
    if !Image::part_of_any(artifact, Part::Snapshot)?.is_empty() {
        return None;
    }
    seal_of(artifact).ok()?;
    Binary::from_bytes(&Bytes::copy_from_slice(binary))?.whole().cloned()
}
