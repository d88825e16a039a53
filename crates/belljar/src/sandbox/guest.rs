//! What sandboxes are made of.

use crate::{Engine, Result, Store};
use belljar_vm::{Checkpoint, StoreId};

/// What a [`SandboxTemplate`](crate::SandboxTemplate) is made of: a module ([`InstancePre`](crate::InstancePre)) or a component
/// (`component::InstancePre`) with its imports.
///
/// No other types implement it.
#[expect(private_bounds, reason = "other crates cannot implement it")]
pub trait SandboxGuest<T: 'static>: Guest<T> {}

impl<T: 'static, G: Guest<T>> SandboxGuest<T> for G {}

/// What the sandbox does with a guest.
pub(crate) trait Guest<T: 'static>: Clone + Send + Sync + 'static {
    /// What a checkpoint keeps of the guest beside what the runtime does.
    type State: Send + Sync + 'static;

    /// What is kept with an instance, so that it need not be looked up for each call.
    type Kept: Default + Send + Sync + 'static;

    fn engine(&self) -> &Engine;

    /// Checks that stores other than those of the linker's items can have instances.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot.
    fn check(&self) -> Result<()>;

    /// Creates an instance. Returns its number in the store.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created.
    fn instantiate(&self, store: &mut Store<T>) -> Result<u32>;

    /// Calls an export without parameters and results.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or it does not return.
    fn initialize(store: &mut Store<T>, instance: u32, export: &str) -> Result<()>;

    /// Creates an instance that will adopt the values of a checkpoint, without running code. Returns its number in the store.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created.
    fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<u32>;

    /// Returns what a checkpoint of the store keeps. `keeps_host_resources`: see
    /// [`SandboxTemplate::keep_host_resources`](crate::SandboxTemplate::keep_host_resources).
    ///
    /// # Errors
    ///
    /// Returns an error if sessions cannot start from the store's state.
    fn state(store: &Store<T>, keeps_host_resources: bool) -> Result<Self::State>;

    /// Restores what a checkpoint has kept, in a store that was rewound to it, or adopted it, and had the id `before` until then.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be restored. Then the store must not be used any more.
    fn restore(store: &mut Store<T>, before: StoreId, state: &Self::State, at: &Checkpoint) -> Result<()>;

    /// Returns whether the store has this state.
    fn has_state(store: &Store<T>, state: &Self::State) -> bool;
}
