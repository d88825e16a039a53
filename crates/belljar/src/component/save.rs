//! Saves a component with its state, and restores it: a component whose instances continue in the state that another one had.

use super::code::Component;
use super::instance::instantiate;
use super::linked::Linked;
use super::snapshot::{DAMAGED, Snapshot};
use super::start::Start;
use super::state::StoreComponents;
use crate::{ArtifactOptions, AsContextMut, Result, Store, StoreContextMut};
use belljar_core::{Context, Counted, bail, ensure};
use belljar_vm::StoreCore;
use std::sync::Arc;

impl Snapshot {
    /// Restores the state of an instance that has just been linked.
    pub(super) fn restore<T: 'static>(&self, store: &mut StoreContextMut<'_, T>) -> Result<()> {
        belljar_vm::restore_store(store.0, &self.values)?;
        let restored = StoreComponents::of_mut(store.0.core_mut()).restore(&self.state);
        ensure!(restored, DAMAGED);
        Ok(())
    }
}

/// Checks that a component with a snapshot can be instantiated in a store.
///
/// # Errors
///
/// Returns an error if the store has instances.
pub(super) fn check_first(core: &StoreCore) -> Result<()> {
    ensure!(
        core.instance_count() == 0 && StoreComponents::of(core).is_none_or(|all| all.instances.is_empty()),
        "a component with a snapshot must be the first of its store, and this store has instances already"
    );
    Ok(())
}

/// Saves the store's only instance of a component as an artifact: see [`Store::snapshot`]. Returns `None` if the store has none.
pub(crate) fn of_store<T: 'static>(
    store: &mut Store<T>,
    note: &[u8],
    options: ArtifactOptions<'_>,
) -> Result<Option<Vec<u8>>> {
    let Some(components) = StoreComponents::of(store.core()) else { return Ok(None) };
    let instance = match &*components.instances {
        [] => return Ok(None),
        [instance] => instance,
        all => {
            let count = Counted::of(all.len(), "instance");
            bail!("a snapshot needs a store with one instance of a component, and this one has {count}")
        }
    };
    if let Some(why) = &instance.closed {
        bail!("the instance cannot be entered any more, since an earlier call ended with: {why}");
    }
    let types = components.host_types_in_use();
    ensure!(
        types.is_empty(),
        "the guest holds resources of the host, which a snapshot cannot contain: {}",
        types.join(", ")
    );
    let state = components.checkpoint();
    let component = instance.component.clone();
    let linked: Arc<Linked<T>> =
        instance.linked.clone().downcast().ok().context("belljar bug: imports for another store")?;
    // What else is in the store could not be there when the snapshot is restored.
    let mut other = Store::with_data(component.engine(), None)?;
    instantiate(&mut other.as_context_mut(), &component, &linked, Start::Restore)?;
    ensure!(
        store.core().is_linked_like(other.core()),
        "the host has created entities in the store, which a snapshot cannot contain"
    );
    let values = store.inner.erased().serialize_store(note)?.into();
    component.serialize_snapshot(&Snapshot { state, values }, options).map(Some)
}

impl Component {
    /// Returns whether the component is a snapshot ([`Store::snapshot`]). An instance of it starts in the state of the
    /// snapshot instead of a fresh one. It must be the first instance of its store, and nothing of it runs when it is
    /// instantiated.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot().is_some()
    }

    /// Returns the note of the component's snapshot, if it has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the snapshot is damaged.
    pub fn snapshot_note(&self) -> Result<Option<Vec<u8>>> {
        self.snapshot().map(Snapshot::note).transpose()
    }
}
