//! Components whose code was compiled earlier.
//!
//! An artifact of a component has a head, with a seal of its own, and the artifacts of its modules. The head has the skeleton of
//! the component, of which its plan is made again, and says which artifacts belong to it: by their digests, which their seals
//! have too. So nothing is used that was not sealed, and nothing is read twice.
//!
//! ```text
//! magic │ length of the head │ key │ entries: place, length and digest of each module's artifact │ skeleton │ snapshot │ seal │
//! artifacts
//! ```

use super::code::{Component, Parts, adapter_features};
use super::snapshot::Snapshot;
use crate::artifact::{ArtifactError, ArtifactOptions};
use crate::{Engine, Module, Result};
use belljar_cache::{
    ArtifactKind, Identity, Key, SealError, check, recorded_digest, seal_bytes, seal_native_code,
};
use belljar_core::{Context, OutsideText};
use std::path::Path;

/// The first bytes of an artifact of a component. The last one is the version of the format.
const MAGIC: [u8; 8] = *b"\x7fBJCOMP\x02";

/// The bytes before the entries: magic, length of the head, key, number of modules, number of adapters, how many bytes of adapters
/// the component may have, lengths of the skeleton and of the snapshot.
const FIXED: usize = 8 + 8 + 32 + 4 + 4 + 8 + 8 + 8;
/// The bytes of an entry.
const ENTRY: usize = 8 + 8 + 32;
/// What the places of artifacts are multiples of.
const ALIGNMENT: usize = 4096;

/// Returns whether bytes begin as artifacts of components do.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..7])
}

/// Where the artifact of a module is, and its digest.
struct Entry {
    at: u64,
    length: u64,
    digest: [u8; 32],
}

impl Component {
    /// Serializes the component as an artifact with its code, which [`Component::deserialize`] loads without compiling. It is
    /// sealed for this user on this machine.
    ///
    /// ```
    /// use belljar::component::{Component, Linker};
    /// use belljar::{Config, Engine, Store, Trust, UserKey};
    /// # fn main() -> Result<(), belljar::Error> {
    /// let mut config = Config::new();
    /// // By default the key is in the user's state directory.
    /// config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    /// let engine = Engine::new(&config)?;
    /// let component = Component::new(&engine, r#"(component
    ///     (core module $m (func (export "six") (result i32) i32.const 6))
    ///     (core instance $m (instantiate $m))
    ///     (func (export "six") (result u32) (canon lift (core func $m "six"))))"#)?;
    /// let artifact = component.serialize()?;
    ///
    /// let again = Component::deserialize(&engine, &artifact)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Linker::new(&engine).instantiate(&mut store, &again)?;
    /// let six = instance.get_func(&store, "six").unwrap().typed::<(), (u32,)>(&store)?;
    /// assert_eq!(six.call(&mut store, ())?, (6,));
    ///
    /// let mut changed = artifact;
    /// changed[100] ^= 1;
    /// assert!(Component::deserialize(&engine, &changed).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if this user has no key and none can be created.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.serialize_with(ArtifactOptions::new())
    }

    /// Serializes the component as an artifact, with options.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Component::serialize`] does, unless the options have a key to sign with. Also returns an error
    /// if the wasm of a module is to be embedded but is not available.
    pub fn serialize_with(&self, options: ArtifactOptions<'_>) -> Result<Vec<u8>> {
        self.serialize_as(self.snapshot(), options)
    }

    /// Serializes the component with a state that its instances start in.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Component::serialize_with`] does.
    pub(super) fn serialize_snapshot(
        &self,
        snapshot: &Snapshot,
        options: ArtifactOptions<'_>,
    ) -> Result<Vec<u8>> {
        self.serialize_as(Some(snapshot), options)
    }

    fn serialize_as(&self, snapshot: Option<&Snapshot>, options: ArtifactOptions<'_>) -> Result<Vec<u8>> {
        let Parts { modules, adapter_modules, skeleton, key, limit } = self.parts();
        let all = modules.iter().chain(adapter_modules);
        let artifacts = all.map(|module| module.serialize_with(options)).collect::<Result<Vec<_>>>()?;
        let snapshot = snapshot.map(Snapshot::to_bytes).unwrap_or_default();
        let contents = FIXED + artifacts.len() * ENTRY + skeleton.len() + snapshot.len();
        let head = contents + seal_bytes(contents);
        let mut entries = Vec::new();
        let mut end = head;
        for artifact in &artifacts {
            let at = end.next_multiple_of(ALIGNMENT);
            let digest = recorded_digest(artifact).map_err(ArtifactError::from)?;
            entries.push(Entry { at: at as u64, length: artifact.len() as u64, digest });
            end = at + artifact.len();
        }
        let mut file = Vec::with_capacity(end);
        file.extend(MAGIC);
        file.extend((head as u64).to_le_bytes());
        file.extend(key);
        file.extend((modules.len() as u32).to_le_bytes());
        file.extend((adapter_modules.len() as u32).to_le_bytes());
        file.extend((limit as u64).to_le_bytes());
        file.extend((skeleton.len() as u64).to_le_bytes());
        file.extend((snapshot.len() as u64).to_le_bytes());
        for Entry { at, length, digest } in &entries {
            file.extend(at.to_le_bytes());
            file.extend(length.to_le_bytes());
            file.extend(digest);
        }
        file.extend(skeleton);
        file.extend(snapshot);
        file.resize(head, 0);
        let identity = Identity { kind: ArtifactKind::Component, key: Key(*key) };
        seal_native_code(&mut file, identity, self.engine().trust().user.as_ref(), options.signing_key())?;
        for (artifact, entry) in artifacts.iter().zip(&entries) {
            file.resize(entry.at as usize, 0);
            file.extend(artifact);
        }
        Ok(file)
    }

    /// Loads an artifact of [`Component::serialize`]. This is safe for any bytes: code is used only if this user or the holder
    /// of a trusted key ([`crate::Config::trust`]) sealed it, and if it was not changed since.
    ///
    /// # Errors
    ///
    /// Returns an [`ArtifactError`] that tells why the artifact cannot be used.
    pub fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        let head = Head::read(engine, bytes)?;
        let artifact = |entry: &Entry| head.artifact(bytes, entry);
        let modules = head.modules.iter().map(|entry| Module::deserialize(engine, artifact(entry)?));
        let modules = modules.collect::<Result<Vec<_>>>()?;
        let load_adapter = |index: usize| {
            let entry = head.adapters.get(index).ok_or(ArtifactError::Settings(
                "it was made by another version of belljar, with other adapters between its parts".into(),
            ))?;
            Module::deserialize_own(engine, artifact(entry)?, adapter_features())
        };
        let snapshot =
            (!head.snapshot.is_empty()).then(|| Snapshot::from_bytes(head.snapshot)).transpose()?;
        let skeleton = head.skeleton.into();
        Self::of_parts(engine, skeleton, (head.key, head.limit), modules, snapshot, load_adapter)
    }

    /// Loads an artifact from a file, as [`Component::deserialize`] does. Later changes of the file have no effect.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Component::deserialize`] does, or if the file cannot be read.
    pub fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).with_context(|| format!("could not read {}", OutsideText::new(path)))?;
        Self::deserialize(engine, bytes).with_context(|| format!("could not load {}", OutsideText::new(path)))
    }
}

/// A head whose seal is valid.
struct Head<'a> {
    key: [u8; 32],
    limit: usize,
    modules: Vec<Entry>,
    adapters: Vec<Entry>,
    skeleton: &'a [u8],
    snapshot: &'a [u8],
}

/// What is told of an artifact that is cut off or was changed.
fn damaged() -> ArtifactError {
    ArtifactError::Seal(SealError::Damaged)
}

impl<'a> Head<'a> {
    /// Reads the head of an artifact, after its seal was checked.
    fn read(engine: &Engine, bytes: &'a [u8]) -> Result<Self> {
        belljar_core::ensure!(
            begins(bytes),
            "this is not a compiled component: Component::new and Component::from_file load components, and \
             Module::deserialize compiled modules"
        );
        belljar_core::ensure!(
            bytes.starts_with(&MAGIC),
            "the compiled component is of another version of belljar: compile the component again"
        );
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or_else(damaged)
        };
        let head =
            usize::try_from(word(8)?).ok().and_then(|length| bytes.get(..length)).ok_or_else(damaged)?;
        let key: [u8; 32] = head.get(16..48).and_then(|key| key.try_into().ok()).ok_or_else(damaged)?;
        let identity = Identity { kind: ArtifactKind::Component, key: Key(key) };
        check(head, identity, engine.trust()).map_err(ArtifactError::from)?;
        // What follows was written as it is read here, by whoever is trusted.
        let count = word(48)?;
        let (modules, adapters) = (count as u32 as usize, (count >> 32) as usize);
        let limit = usize::try_from(word(56)?)?;
        let table = (modules + adapters).checked_mul(ENTRY).and_then(|size| head.get(FIXED..FIXED + size));
        let (table, _) = table.ok_or_else(damaged)?.as_chunks::<ENTRY>();
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|entry| {
                let [at, length] =
                    [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| entry[at + i])));
                Entry { at, length, digest: std::array::from_fn(|i| entry[16 + i]) }
            })
            .collect();
        let rest = &head[FIXED + entries.len() * ENTRY..];
        let (skeleton, rest) = rest.split_at_checked(usize::try_from(word(64)?)?).ok_or_else(damaged)?;
        let snapshot = rest.get(..usize::try_from(word(72)?)?).ok_or_else(damaged)?;
        let adapters = entries.split_off(modules);
        Ok(Self { key, limit, modules: entries, adapters, skeleton, snapshot })
    }

    /// Returns the artifact of a module, if it is the one that belongs here. Its own seal is checked when it is loaded.
    fn artifact(&self, bytes: &'a [u8], entry: &Entry) -> Result<&'a [u8]> {
        let range = usize::try_from(entry.at).ok().zip(usize::try_from(entry.length).ok());
        let range = range.and_then(|(at, length)| Some(at..at.checked_add(length)?));
        let artifact = range.and_then(|range| bytes.get(range)).ok_or_else(damaged)?;
        match recorded_digest(artifact).map_err(ArtifactError::from)? == entry.digest {
            true => Ok(artifact),
            false => Err(damaged().into()),
        }
    }
}
