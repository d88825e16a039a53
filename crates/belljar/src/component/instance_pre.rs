//! Components with what a linker has found for them.

use super::code::Component;
use super::instance::{Instance, instantiate};
use super::linked::Linked;
use super::save::check_first;
use super::start::Start;
use crate::{AsContext, AsContextMut, Engine, Result, Store};
use belljar_vm::Checkpoint;
use std::fmt;
use std::sync::Arc;

/// A component with everything that it imports, so that instantiation needs no lookup by name.
///
/// It belongs to no store, except for functions of other instances ([`LinkerInstance::exports_of`]): it can then be
/// instantiated in their store only.
///
/// ```
/// use belljar::component::{Component, Linker};
/// use belljar::{Engine, Store};
///
/// let engine = Engine::default();
/// let component = Component::new(&engine, r#"(component (import "log" (func)))"#)?;
/// let mut linker = Linker::<u32>::new(&engine);
/// linker.root().func_wrap("log", |_, (): ()| Ok(()))?;
/// let pre = linker.instantiate_pre(&component)?;
/// for number in 0..3 {
///     let mut store = Store::new(&engine, number);
///     let instance = pre.instantiate(&mut store)?;
///     assert!(instance.get_func(&store, "missing").is_none());
/// }
/// # Ok::<(), belljar::Error>(())
/// ```
///
/// [`LinkerInstance::exports_of`]: super::LinkerInstance::exports_of
pub struct InstancePre<T: 'static> {
    component: Component,
    linked: Arc<Linked<T>>,
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self { component: self.component.clone(), linked: self.linked.clone() }
    }
}

impl<T: 'static> fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("component::InstancePre").field("component", &self.component).finish_non_exhaustive()
    }
}

impl<T: 'static> InstancePre<T> {
    pub(super) fn new(component: Component, linked: Arc<Linked<T>>) -> Self {
        Self { component, linked }
    }

    /// Returns the component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Returns the component's engine.
    pub fn engine(&self) -> &Engine {
        self.component.engine()
    }

    /// Creates an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if a definition has another type than the import, if the instance does not fit into the store, or
    /// if a start function does not return.
    ///
    /// # Panics
    ///
    /// Panics if an import is defined as a function of another store.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let mut store = store.as_context_mut();
        let Some(snapshot) = self.component.snapshot() else {
            return instantiate(&mut store, &self.component, &self.linked, Start::Run);
        };
        check_first(store.0.core())?;
        let instance = instantiate(&mut store, &self.component, &self.linked, Start::Restore)?;
        snapshot.restore(&mut store)?;
        Ok(instance)
    }

    /// Creates an instance that will adopt the values of a checkpoint. Runs no code.
    pub(super) fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<Instance> {
        instantiate(&mut store.as_context_mut(), &self.component, &self.linked, Start::Adopt(like))
    }

    /// Returns whether it imports functions of other components, which belong to a store.
    pub(super) fn is_of_a_store(&self) -> bool {
        !self.linked.guests.is_empty()
    }
}

impl Instance {
    /// Returns the component that it is an instance of, with what it was instantiated with.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn instance_pre<T: 'static>(&self, store: impl AsContext<Data = T>) -> InstancePre<T> {
        let (_, state) = self.state(store.as_context().0.core()).expect("the store has the instance");
        let linked = state.linked.clone().downcast().expect("the store's data is of one type");
        InstancePre::new(state.component.clone(), linked)
    }
}
