//! What an instance of a component is made with: the functions, resource types and modules of the host.

use super::guest::Guest;
use super::resource::ResourceType;
use super::state::{Destructor, FuncId, ImportedModule};
use crate::{Result, StoreContextMut};
use belljar_component::abi::FlatSink;
use belljar_component::typed::HostTypes;
use belljar_component::types::FuncType;
use belljar_component::{FuncIndex, Passed, Val as AnyVal};
use std::collections::HashMap;
use std::sync::Arc;

/// A function of the host.
pub(super) trait HostFunction<T: 'static>: Send + Sync {
    /// Checks that it can be a function of a type. Functions whose types are known only at run time can be any.
    ///
    /// # Errors
    ///
    /// Returns an error that says what differs.
    fn check(&self, ty: &FuncType, types: &dyn HostTypes) -> Result<()>;

    /// Calls it from a guest, with core values. Adds core values to `flat`.
    ///
    /// # Errors
    ///
    /// Returns its own error, or an error if a value is invalid.
    fn call(
        &self,
        guest: &mut Guest<'_, '_, T>,
        ty: &Arc<FuncType>,
        passed: &[u64],
        flat: &mut FlatSink,
    ) -> Result<()>;

    /// Calls it with values.
    ///
    /// # Errors
    ///
    /// Returns its own error, or an error if a value is invalid.
    fn call_with(
        &self,
        store: &mut StoreContextMut<'_, T>,
        instance: u32,
        ty: &Arc<FuncType>,
        params: Vec<AnyVal<Passed>>,
    ) -> Result<Option<AnyVal<Passed>>>;
}

pub(super) type HostFunc<T> = Arc<dyn HostFunction<T>>;

type DropResource<T> = dyn Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync;

/// What drops a resource of the host, given what stands for it.
pub(super) struct HostDestructor<T: 'static>(pub(super) Box<DropResource<T>>);

/// What a linker has found for the imports of a component.
pub(super) struct Linked<T: 'static> {
    pub(super) funcs: HashMap<FuncIndex, HostFunc<T>>,
    /// Those of `funcs` that belong to other components.
    pub(super) guests: Vec<(FuncIndex, FuncId)>,
    /// For each resource type of the plan: the type of the host, if it is imported.
    pub(super) resources: Vec<Option<(ResourceType, Destructor)>>,
    pub(super) modules: Arc<[ImportedModule]>,
}
