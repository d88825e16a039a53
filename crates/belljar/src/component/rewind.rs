//! Returns the components of a store to their state at a checkpoint.
//!
//! Values of guests are restored by the runtime. Handles, closed instances and calls are here. What was looked up for calls
//! stays: it existed at the checkpoint.

use super::checkpoint::{ComponentsCheckpoint, InnerCheckpoint, InstanceCheckpoint};
use super::handles::Handles;
use super::lifted::Parts;
use super::state::{Instantiated, StoreComponents, guest_type};
use crate::Result;
use crate::store_extension::part_since;
use belljar_component::{Resource, ResourceTypeId};
use belljar_core::{Context, OutsideText, ensure};
use belljar_vm::{Checkpoint, NumberFunc, StoreCore, StoreId};

/// The bytes for transcoding that are kept when a store is rewound.
const KEPT_BUFFER: usize = 64 << 10;

impl StoreComponents {
    /// Returns the state while no call runs. The handles that the host holds are no part of it: a rewind refuses them.
    pub(super) fn checkpoint(&self) -> ComponentsCheckpoint {
        let instances = self.instances.iter().map(|instance| {
            let inner = instance.inner.iter().map(|inner| InnerCheckpoint {
                handles: inner.handles.clone(),
                backpressure: inner.backpressure,
            });
            InstanceCheckpoint { inner: inner.collect(), closed: instance.closed.clone() }
        });
        ComponentsCheckpoint {
            instances: instances.collect(),
            resource_types: self.resource_types.len(),
            room: self.room.without(&self.host),
            call_count: self.call_count,
        }
    }

    /// Returns the resource types of the host that guests have handles of, as components import them.
    pub(super) fn host_types_in_use(&self) -> Vec<String> {
        let inner = self.instances.iter().flat_map(|instance| &instance.inner);
        let mut types = inner.flat_map(|inner| inner.handles.types()).collect::<Vec<_>>();
        types.sort_unstable_by_key(|ty| ty.0);
        types.dedup();
        types.retain(|ty| self.resource_types[ty.0 as usize].of.is_none());
        types.into_iter().map(|ty| self.name_of(ty)).collect()
    }

    /// Returns what a component imports a resource type as.
    fn name_of(&self, ty: ResourceTypeId) -> String {
        let all = self
            .instances
            .iter()
            .flat_map(|instance| instance.component.plan().resources.iter().zip(&instance.resources));
        let path = all.into_iter().find_map(|(resource, found)| match resource {
            Resource::Imported(path) if *found == ty => Some(path.join("#")),
            _ => None,
        });
        match path {
            Some(path) => OutsideText::new(&path).to_string(),
            None => format!("{:?}", self.resource_types[ty.0 as usize].ty),
        }
    }

    /// Restores handles and counts, in a store with the same components. Returns whether it has these.
    pub(super) fn restore(&mut self, to: &ComponentsCheckpoint) -> bool {
        let Self { instances, resource_types, room, call_count, .. } = self;
        let shape = |inner: usize, to: &InstanceCheckpoint| inner == to.inner.len();
        let has_these = instances.len() == to.instances.len()
            && resource_types.len() == to.resource_types
            && instances.iter().zip(&to.instances).all(|(instance, to)| shape(instance.inner.len(), to));
        if !has_these {
            return false;
        }
        for (instance, to) in instances.iter_mut().zip(&to.instances) {
            instance.restore(to);
        }
        room.use_like(&to.room);
        *call_count = to.call_count;
        true
    }

    fn rewind(&mut self, core: &StoreCore, to: &ComponentsCheckpoint, at: &Checkpoint) -> Result<()> {
        let id = core.id();
        ensure!(
            self.instances.len() >= to.instances.len() && self.resource_types.len() >= to.resource_types,
            "belljar bug: components of another store"
        );
        let stays = |func: &NumberFunc| func.stay(core, at);
        let parts_stay = |parts: &Parts| parts.funcs().all(stays);
        self.store = Some(id);
        self.instances.truncate(to.instances.len());
        for (instance, to) in self.instances.iter_mut().zip(&to.instances) {
            instance.restore(to);
            let lowered = instance.lowered.iter().all(|parts| parts_stay(parts));
            let lifted = instance.lifted.iter().flatten();
            let lifted = lifted.into_iter().all(|lifted| stays(&lifted.core) && parts_stay(&lifted.parts));
            ensure!(lowered && lifted, "belljar bug: a function that is not there any more");
        }
        self.resource_types.truncate(to.resource_types);
        for (place, state) in self.resource_types.iter_mut().enumerate() {
            if state.of.is_some() {
                state.ty = guest_type(id, place);
            }
        }
        self.host = Handles::default();
        self.calls.clear();
        self.lends.clear();
        self.passing.clear();
        // Text of a guest.
        self.buffer.fill(0);
        self.buffer.truncate(KEPT_BUFFER);
        self.buffer.shrink_to(KEPT_BUFFER);
        self.room.clone_from(&to.room);
        self.call_count = to.call_count;
        Ok(())
    }
}

impl Instantiated {
    fn restore(&mut self, to: &InstanceCheckpoint) {
        for (inner, to) in self.inner.iter_mut().zip(&to.inner) {
            inner.handles.rewind(&to.handles);
            inner.backpressure = to.backpressure;
        }
        self.closed.clone_from(&to.closed);
    }
}

/// Returns the state of a store's components to that of a checkpoint, to which the store was rewound: it had the id `before`
/// until then.
///
/// # Errors
///
/// Returns an error if the store has other components. Then it must not be used any more.
pub(super) fn rewind(
    core: &mut StoreCore,
    before: StoreId,
    to: &ComponentsCheckpoint,
    at: &Checkpoint,
) -> Result<()> {
    let id = core.id();
    // What is kept with the store, and the store, at once.
    let mut extension = core.extension_mut().take();
    let components = part_since::<StoreComponents>(&mut extension, id, before);
    let rewound = components
        .context("belljar bug: a store without components")
        .and_then(|components| components.rewind(core, to, at));
    *core.extension_mut() = extension;
    rewound
}
