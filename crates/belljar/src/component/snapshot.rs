//! What an artifact of a component keeps of a state that its instances start in.

use super::checkpoint::ComponentsCheckpoint;
use crate::Result;
use belljar_core::Context;

/// The state that instances of a component start in.
pub(super) struct Snapshot {
    /// What the component model keeps: handles.
    pub(super) state: ComponentsCheckpoint,
    /// What the runtime keeps: memories, tables, globals, objects.
    pub(super) values: Box<[u8]>,
}

pub(super) const DAMAGED: &str = "the snapshot is damaged, or was made by another release";

impl Snapshot {
    /// Returns the bytes that an artifact keeps.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let words = self.state.to_words();
        let mut bytes = (words.len() as u64).to_le_bytes().to_vec();
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend_from_slice(&self.values);
        bytes
    }

    /// Reads the bytes that an artifact keeps, whose seal was checked.
    ///
    /// # Errors
    ///
    /// Returns an error if another release wrote them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (count, rest) = bytes.split_first_chunk().context(DAMAGED)?;
        let size = usize::try_from(u64::from_le_bytes(*count))?.checked_mul(8).context(DAMAGED)?;
        let (words, values) = rest.split_at_checked(size).context(DAMAGED)?;
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let state = ComponentsCheckpoint::from_words(words).context(DAMAGED)?;
        Ok(Self { state, values: values.into() })
    }

    /// Returns the note that it was taken with.
    pub(super) fn note(&self) -> Result<Vec<u8>> {
        belljar_vm::stored_note(&self.values)
    }
}
