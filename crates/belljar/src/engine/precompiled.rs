//! Compiling modules ahead of time, and recognizing the results.

#[cfg(feature = "compiler")]
use crate::Module;
use crate::artifact_info::ArtifactInfo;
use crate::{Engine, OutsideText, Result};
use belljar_core::Context;
use std::fs::File;
use std::hash::Hash;
use std::path::Path;

/// What a compiled artifact holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Precompiled {
    /// A module: see [`Module::deserialize`](crate::Module::deserialize).
    Module,
    /// A component: see `component::Component::deserialize`.
    #[cfg(feature = "component-model")]
    Component,
}

impl Engine {
    #[cfg(feature = "compiler")]
    /// Compiles a module, from its binary or text, to an artifact for [`Module::deserialize`](crate::Module::deserialize). With
    /// [`Config::target_processor`](crate::Config::target_processor), the artifact may be for another processor.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] and [`Module::serialize`] do.
    pub fn precompile_module(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Module::new(self, bytes)?.serialize()
    }

    #[cfg(feature = "component-model")]
    /// Compiles a component, from its binary or text, to an artifact for
    /// [`Component::deserialize`](crate::component::Component::deserialize).
    ///
    /// # Errors
    ///
    /// Returns an error as [`Component::new`](crate::component::Component::new) and
    /// [`Component::serialize`](crate::component::Component::serialize) do.
    pub fn precompile_component(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        crate::component::Component::new(self, bytes)?.serialize()
    }

    /// Returns what kind of artifact bytes are, or `None` if they are none. Only their beginning is read: whether they are
    /// intact, trusted, and fit an engine is checked when they are loaded.
    ///
    /// ```
    /// use belljar::{Engine, Precompiled};
    /// let engine = Engine::default();
    /// let artifact = engine.precompile_module(b"(module)")?;
    /// assert_eq!(Engine::detect_precompiled(&artifact), Some(Precompiled::Module));
    /// assert_eq!(Engine::detect_precompiled(b"(module)"), None);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn detect_precompiled(bytes: &[u8]) -> Option<Precompiled> {
        #[cfg(feature = "component-model")]
        if crate::component::artifact::begins(bytes) {
            return Some(Precompiled::Component);
        }
        ArtifactInfo::begins(bytes).then_some(Precompiled::Module)
    }

    /// Returns what kind of artifact a file is, or `None` if it is none, as [`Engine::detect_precompiled`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn detect_precompiled_file(path: impl AsRef<Path>) -> Result<Option<Precompiled>> {
        let path = path.as_ref();
        let cannot_read = || format!("could not read {}", OutsideText::new(path));
        let file = File::open(path).with_context(cannot_read)?;
        let start = ArtifactInfo::read_start(&file).with_context(cannot_read)?;
        Ok(Self::detect_precompiled(&start))
    }

    /// Returns a value whose hash tells whether an artifact of another engine can be loaded: engines with equal hashes load
    /// each other's artifacts, if they trust who sealed them. It covers all settings that code depends on, and the build
    /// of belljar. The hash differs between builds, so use it to group artifacts and not to recognize one.
    ///
    /// ```
    /// use belljar::{Config, Engine};
    /// use std::hash::{DefaultHasher, Hash, Hasher};
    /// let hash = |config: &Config| {
    ///     let mut hasher = DefaultHasher::new();
    ///     Engine::new(config)?.precompile_compatibility_hash().hash(&mut hasher);
    ///     Ok::<_, belljar::Error>(hasher.finish())
    /// };
    /// assert_eq!(hash(&Config::new())?, hash(Config::new().max_wasm_stack(1 << 16))?);
    /// assert_ne!(hash(&Config::new())?, hash(Config::new().consume_fuel(true))?);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn precompile_compatibility_hash(&self) -> impl Hash + '_ {
        (belljar_abi::IMAGE_FORMAT, belljar_abi::FINGERPRINT, self.settings().to_text())
    }
}
