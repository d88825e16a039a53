//! What a run has to know of a snapshot.

use crate::run::DirGrant;
use belljar::component::Component;
use belljar::error::Context;
use belljar::{Error, Module, OutsideText};
use belljar_wasi::{SavedDescriptors, WasiCtx};
use serde::{Deserialize, Serialize};

/// The metadata that a run needs of a snapshot.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotNote {
    /// The function that was called, if any.
    pub(super) invoked: Option<String>,
    /// The guest's names of the directories that it was given, in order. The guest may have stored them.
    pub(super) dirs: Vec<String>,
    /// The guest's open descriptors, if they differ from those it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) descriptors: Option<SavedDescriptors>,
}

impl SnapshotNote {
    /// Reads the metadata of a module's snapshot, if it is a snapshot.
    ///
    /// # Errors
    ///
    /// Returns an error if the metadata is damaged, or was not written by this program.
    pub(crate) fn of(module: &Module) -> Result<Option<Self>, Error> {
        Self::read(module.snapshot_note()?)
    }

    /// Reads the metadata of a component's snapshot, if it is a snapshot.
    ///
    /// # Errors
    ///
    /// Returns an error as [`SnapshotNote::of`] does.
    pub(crate) fn of_component(component: &Component) -> Result<Option<Self>, Error> {
        Self::read(component.snapshot_note()?)
    }

    fn read(note: Option<Vec<u8>>) -> Result<Option<Self>, Error> {
        let Some(note) = note else { return Ok(None) };
        let note = serde_json::from_slice(&note);
        note.map(Some)
            .context("the snapshot was not made by `belljar snapshot`: it does not say how it is to be run")
    }

    /// Returns whether code of the guest has run.
    pub(crate) fn has_run(&self) -> bool {
        self.invoked.is_some()
    }

    /// Restores the descriptors that the initialization left open.
    ///
    /// # Errors
    ///
    /// Returns an error that names a file that no longer exists, or that this run may not open.
    pub(crate) fn restore_descriptors(&self, wasi: &WasiCtx) -> Result<(), Error> {
        let Some(descriptors) = &self.descriptors else { return Ok(()) };
        let restored = wasi.restore_descriptors(descriptors);
        restored.context("the snapshot has files open that this run cannot give it")
    }

    /// Refuses directories that differ from those that the guest may have stored.
    ///
    /// # Errors
    ///
    /// Returns an error that says which directories the guest was given.
    pub(crate) fn check_dirs(&self, granted: &[DirGrant]) -> Result<(), String> {
        let granted: Vec<&str> = granted.iter().map(DirGrant::guest).collect();
        let Some(invoked) = self.invoked.as_ref().filter(|_| granted != self.dirs) else { return Ok(()) };
        let wanted = match &*self.dirs {
            [] => "none".into(),
            dirs => {
                let dirs = dirs.iter().map(|dir| format!("--dir HOST::{}", OutsideText::new(dir)));
                dirs.collect::<Vec<_>>().join(" ")
            }
        };
        let invoked = OutsideText::new(invoked);
        Err(format!(
            "the snapshot was taken after `{invoked}` with other directories, which the guest may remember: expected {wanted}, found {}",
            if granted.is_empty() {
                "none".into()
            } else {
                OutsideText::new(&granted.join(", ")).to_string()
            }
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_compared_by_the_guests_names() {
        let note =
            SnapshotNote { invoked: Some("load".into()), dirs: vec!["/lib".into()], descriptors: None };
        let grants = |all: &[&str]| all.iter().map(|grant| grant.parse().unwrap()).collect::<Vec<DirGrant>>();
        note.check_dirs(&grants(&["elsewhere::/lib:ro"])).unwrap();
        let error = note.check_dirs(&grants(&["a", "b"])).unwrap_err();
        assert!(error.ends_with("expected --dir HOST::/lib, found a, b"), "{error}");
        assert!(note.check_dirs(&[]).unwrap_err().ends_with("found none"));
        // No guest code has run that could have stored them.
        SnapshotNote { invoked: None, dirs: Vec::new(), descriptors: None }
            .check_dirs(&grants(&["a"]))
            .unwrap();
    }
}
