//! What a store keeps of the components that were instantiated in it.

use super::code::Component;
use super::handles::{Handles, Room};
use super::lifted::{Lifted, Parts};
use super::resource::{Kind, ResourceAny, ResourceType};
use crate::store_extension::{Extension, Slot, StorePart, part, part_in, part_mut};
use crate::{Limit, Module, Result};
use belljar_component::typed::HostTypes;
use belljar_component::types::{FuncType, ResourceIndex};
use belljar_component::{FuncIndex, InstanceIndex};
use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{Context, Counted, FuncRefId, InstanceId, bail, ensure};
use belljar_vm::{Quota, StoreCore, StoreId};
use std::collections::VecDeque;
use std::sync::Arc;

/// The components of a store. A reset clears it.
#[derive(Default)]
pub(crate) struct StoreComponents {
    /// The store, since anything was done with its components.
    pub(super) store: Option<StoreId>,
    /// The instances of components, with their inner instances.
    pub(crate) instances: Vec<Instantiated>,
    /// The resource types that they define or import.
    pub(crate) resource_types: Vec<ResourceTypeState>,
    /// The handles that the host holds.
    pub(crate) host: Handles,
    /// How many handles there may be.
    pub(super) room: Room,
    /// The calls that run, outermost first.
    pub(super) calls: Vec<Call>,
    /// The handles that are lent to calls of adapters, those of the outermost first.
    pub(crate) lends: Vec<(InnerId, u32)>,
    /// The resources that an adapter has lifted and not lowered yet.
    pub(crate) passing: VecDeque<Passed>,
    /// What adapters transcode text in.
    pub(crate) buffer: Vec<u8>,
    /// The number of calls so far.
    pub(super) call_count: u64,
}

/// An instance of a component.
pub(crate) struct Instantiated {
    pub(crate) component: Component,
    /// The core instances, in the order of the plan.
    pub(crate) core: Vec<InstanceId>,
    /// The functions that the runtime provides, once what they need is there.
    pub(crate) builtins: Vec<Option<FuncRefId>>,
    /// What those were made with that lower functions.
    pub(super) lowered: Vec<Arc<Parts>>,
    /// What was looked up for functions of the plan that were called. A call takes it out, and puts it back at its end.
    pub(super) lifted: Vec<Option<Box<Lifted>>>,
    /// The store's resource type of each one of the plan.
    pub(crate) resources: Vec<ResourceTypeId>,
    /// The core modules that it imports.
    pub(crate) modules: Arc<[ImportedModule]>,
    /// What it imports, as [`super::linked`] keeps it: a type that knows the store's data.
    pub(crate) linked: Arc<dyn std::any::Any + Send + Sync>,
    /// What each inner instance has of its own.
    pub(crate) inner: Vec<Inner>,
    /// Why it cannot be entered any more.
    pub(crate) closed: Option<Arc<str>>,
}

/// What an inner instance has of its own.
pub(crate) struct Inner {
    pub(crate) handles: Handles,
    /// The number of the global with its flags.
    pub(crate) flags: usize,
    /// How many reasons there are for calls to wait before they begin.
    pub(crate) backpressure: u16,
}

impl Inner {
    pub(crate) fn new(flags: usize) -> Self {
        Self { handles: Handles::default(), flags, backpressure: 0 }
    }
}

/// An inner instance of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InnerId {
    pub(crate) instance: u32,
    pub(crate) inner: InstanceIndex,
}

/// A function of a component's instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FuncId {
    pub(crate) store: StoreId,
    pub(crate) instance: u32,
    pub(crate) func: FuncIndex,
}

/// A call of a component's function that runs.
pub(super) struct Call {
    number: u64,
    /// The handles that were borrowed for it and not dropped yet.
    borrows: u32,
    /// The number of handles that were lent to calls of adapters before it.
    lends: usize,
    /// What the guest keeps with it.
    context: [u32; 2],
    /// The host's handles that are lent to it.
    lent: Vec<u32>,
    /// The handles that the host was given for it, with their generations.
    given: Vec<(u32, u32)>,
}

/// A resource type of a store.
#[derive(Clone)]
pub(crate) struct ResourceTypeState {
    pub(crate) ty: ResourceType,
    /// The inner instance that implements it; `None` for the host's.
    pub(crate) of: Option<InnerId>,
    /// What drops a resource.
    pub(crate) destructor: Destructor,
}

/// A core module that a component imports.
pub(crate) struct ImportedModule {
    /// The names on the way to it, as in the plan.
    pub(crate) path: Arc<[Arc<str>]>,
    pub(crate) module: Module,
}

/// What happens when a resource is dropped.
#[derive(Clone)]
pub(crate) enum Destructor {
    None,
    Guest(belljar_component::CoreFunc),
    /// A function of the host, as [`super::linked`] keeps it.
    Host(Arc<dyn std::any::Any + Send + Sync>),
}

impl StorePart for StoreComponents {
    const SLOT: Slot = Slot::Components;

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn set_limits(&mut self, quota: Option<&Quota>) {
        self.room.limit = quota.and_then(|quota| quota.get(Limit::Handles));
    }
}

impl StoreComponents {
    /// Returns the components of a store, if it ever had any.
    pub(super) fn of(core: &StoreCore) -> Option<&Self> {
        part(core)
    }

    /// Returns the components in the extension of a store with this id.
    pub(super) fn in_extension(extension: &mut Extension, store: StoreId) -> &mut Self {
        part_in(extension, store)
    }

    /// Returns the components of a store.
    #[inline]
    pub(super) fn of_mut(core: &mut StoreCore) -> &mut Self {
        let id = core.id();
        let components: &mut Self = part_mut(core);
        components.store = Some(id);
        components
    }

    /// Begins a call of the host. Returns how many calls run, and takes out what is kept for the function.
    ///
    /// # Errors
    ///
    /// Returns an error if the instance is closed.
    #[inline]
    pub(super) fn begin(&mut self, func: FuncId) -> Result<(usize, Option<Box<Lifted>>)> {
        let instance = &mut self.instances[func.instance as usize];
        let kept = instance.lifted.get_mut(func.func.index()).and_then(Option::take);
        if instance.closed.is_some() {
            self.check_open(func.instance)?;
        }
        Ok((self.calls.len(), kept))
    }

    /// Keeps what was looked up for a function.
    #[inline]
    pub(super) fn keep(&mut self, func: FuncIndex, lifted: Box<Lifted>) {
        let kept = &mut self.instances[lifted.instance as usize].lifted;
        match kept.get_mut(func.index()) {
            Some(place) => *place = Some(lifted),
            None => {
                kept.resize_with(func.index(), || None);
                kept.push(Some(lifted));
            }
        }
    }

    pub(crate) fn inner(&mut self, id: InnerId) -> &mut Inner {
        &mut self.instances[id.instance as usize].inner[id.inner.index()]
    }

    /// Returns a function's type, and the resource types of its instance.
    ///
    /// # Panics
    ///
    /// Panics if the function does not belong to the store with this id.
    pub(crate) fn type_of(&self, func: FuncId, store: StoreId) -> (&FuncType, &[ResourceTypeId]) {
        assert!(store == func.store, "a component::Func was used with a store that it does not belong to");
        let instance = &self.instances[func.instance as usize];
        (&instance.component.plan().funcs[func.func.index()].ty, &instance.resources)
    }

    /// Returns the store's type for a resource type of a host.
    pub(crate) fn host_type(&self, ty: ResourceType) -> Option<ResourceTypeId> {
        let place = self.resource_types.iter().position(|state| state.ty == ty)?;
        Some(ResourceTypeId(place as u32))
    }

    pub(crate) fn add_type(&mut self, state: ResourceTypeState) -> ResourceTypeId {
        self.resource_types.push(state);
        ResourceTypeId(self.resource_types.len() as u32 - 1)
    }

    /// Returns the type of a resource type that an inner instance is about to define.
    pub(crate) fn next_guest_type(&self, store: StoreId) -> ResourceType {
        guest_type(store, self.resource_types.len())
    }

    /// Checks that an instance can be entered.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if it cannot.
    pub(crate) fn check_open(&self, instance: u32) -> Result<()> {
        match &self.instances[instance as usize].closed {
            None => Ok(()),
            Some(why) => bail!("cannot enter component instance: an earlier call ended with: {why}"),
        }
    }

    /// Closes an instance, in which a call has failed. Returns whether it was open. The first reason is kept.
    pub(crate) fn close(&mut self, instance: u32, why: &str) -> bool {
        let closed = &mut self.instances[instance as usize].closed;
        let was_open = closed.is_none();
        closed.get_or_insert_with(|| why.into());
        was_open
    }

    /// Returns how many calls run.
    pub(crate) fn running(&self) -> usize {
        self.calls.len()
    }

    /// Ends all calls but the first ones. If there are any, they belong to an instance that is about to be closed: nothing
    /// that was lent for them, or lifted, is needed again.
    #[inline]
    pub(crate) fn end_calls_after(&mut self, running: usize) {
        if self.calls.len() > running || !self.passing.is_empty() {
            self.forget_calls(running);
        }
    }

    #[cold]
    fn forget_calls(&mut self, running: usize) {
        if let Some(first) = self.calls.get(running) {
            self.lends.truncate(first.lends);
        }
        self.pop_calls(running);
        self.passing.clear();
    }

    /// Ends all calls but the first ones, with what the host has lent to them and was given for them.
    fn pop_calls(&mut self, running: usize) {
        while self.calls.len() > running {
            let Some(Call { lent, given, .. }) = self.calls.pop() else { return };
            lent.into_iter().for_each(|number| self.host.give_back(number));
            given.into_iter().for_each(|(number, generation)| self.host.forget(number, generation));
        }
    }

    /// Begins a call. Returns its number.
    pub(crate) fn begin_call(&mut self) -> u64 {
        self.call_count += 1;
        let (number, lends) = (self.call_count, self.lends.len());
        let (lent, given) = (Vec::new(), Vec::new());
        self.calls.push(Call { number, borrows: 0, lends, context: [0; 2], lent, given });
        number
    }

    /// Ends the call that was begun last, and gives back what adapters have lent to it.
    pub(crate) fn end_last_call(&mut self) {
        let Some(call) = self.calls.pop() else { return };
        for (at, handle) in self.lends.split_off(call.lends) {
            self.inner(at).handles.give_back(handle);
        }
    }

    /// Checks that no handle is left that was borrowed for the call that was begun last.
    ///
    /// # Errors
    ///
    /// Returns an error if there is one.
    pub(crate) fn check_borrows_of_last(&self) -> Result<()> {
        check_borrows(self.calls.last().map_or(0, |call| call.borrows))
    }

    /// Lends an instance a handle for a call: the one that was begun last, unless it is named.
    ///
    /// # Errors
    ///
    /// Returns an error if its table is full.
    pub(crate) fn lower_borrow(&mut self, at: InnerId, passed: Passed, call: Option<u64>) -> Result<u32> {
        // Who implements the resource gets what stands for it.
        if self.resource_types[passed.ty.0 as usize].of == Some(at) {
            return Ok(passed.rep);
        }
        let call = call.or_else(|| Some(self.calls.last()?.number)).unwrap_or_default();
        let handle = self.add_handle(at, Passed { owned: false, ..passed }, Some(call))?;
        self.borrowed(call);
        Ok(handle)
    }

    /// Gives an inner instance a handle, owned or borrowed for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    #[inline]
    pub(super) fn add_handle(
        &mut self,
        at: InnerId,
        passed: Passed,
        borrowed_for: Option<u64>,
    ) -> Result<u32> {
        let inner = &mut self.instances[at.instance as usize].inner[at.inner.index()];
        inner.handles.add(passed, borrowed_for, &mut self.room)
    }

    /// Gives the host a handle, owned or borrowed for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    pub(super) fn add_host_handle(&mut self, passed: Passed, borrowed_for: Option<u64>) -> Result<u32> {
        self.host.add(passed, borrowed_for, &mut self.room)
    }

    /// Returns a place that the call which runs keeps for its guest.
    pub(crate) fn context(&mut self, slot: u32) -> Option<&mut u32> {
        self.calls.last_mut()?.context.get_mut(slot as usize)
    }

    /// Gives the host a handle: an owned one, or one that is borrowed for the call which runs.
    pub(super) fn give_host(&mut self, passed: Passed) -> Result<ResourceAny> {
        let store = self.store.context("belljar bug: components without a store")?;
        // Calls are recorded where handles are borrowed for them.
        let call = match passed.owned {
            true => None,
            false => Some(self.calls.last_mut().context("belljar bug: a borrowed handle without a call")?),
        };
        let borrowed_for = call.as_ref().map(|call| call.number);
        let number = self.host.add(passed, borrowed_for, &mut self.room)?;
        let generation = self.host.generation(number).unwrap_or_default();
        if let Some(call) = call {
            call.given.push((number, generation));
        }
        let ty = self.resource_types[passed.ty.0 as usize].ty;
        Ok(ResourceAny { store, number, generation, ty, owned: passed.owned })
    }

    /// Takes a handle of the host's, which is of this type or an error, or lends it to the call which runs.
    ///
    /// # Panics
    ///
    /// Panics if the handle belongs to another store.
    pub(super) fn take_from_host(
        &mut self,
        handle: ResourceAny,
        wanted: ResourceTypeId,
        lend: bool,
    ) -> Result<Passed> {
        let of_store = self.store == Some(handle.store);
        assert!(of_store, "a ResourceAny was used with a store that it does not belong to");
        let found = self.type_of_host(handle)?;
        ensure!(
            found == wanted,
            "a resource of type {:?} was passed, and the function takes one of type {:?}",
            self.resource_types[found.0 as usize].ty,
            self.resource_types[wanted.0 as usize].ty
        );
        if !lend {
            return self.host.take_own(handle.number, wanted);
        }
        let passed = self.host.lend(handle.number, wanted)?;
        let call = self.calls.last_mut().context("belljar bug: a value without a call")?;
        call.lent.push(handle.number);
        Ok(passed)
    }

    /// Checks that a handle of the host's is still there. Returns its type.
    pub(super) fn type_of_host(&mut self, handle: ResourceAny) -> Result<ResourceTypeId> {
        ensure!(
            self.host.generation(handle.number) == Some(handle.generation),
            "the resource was passed on or dropped before, or its call has ended"
        );
        self.host.type_of(handle.number).map(|(ty, _)| ty)
    }

    /// Records that a handle was borrowed for a call.
    pub(crate) fn borrowed(&mut self, call: u64) {
        if let Some(call) = self.calls.iter_mut().rfind(|running| running.number == call) {
            call.borrows += 1;
        }
    }

    /// Records that a handle that was borrowed for a call was dropped.
    pub(crate) fn dropped_borrow(&mut self, call: u64) {
        if let Some(call) = self.calls.iter_mut().rfind(|running| running.number == call) {
            call.borrows = call.borrows.saturating_sub(1);
        }
    }

    /// Checks that no handle is left that was borrowed for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if there is one.
    pub(crate) fn check_borrows_of(&self, call: u64) -> Result<()> {
        let call = self.calls.iter().rfind(|running| running.number == call);
        check_borrows(call.map_or(0, |call| call.borrows))
    }

    /// Ends a call, and those that it began.
    pub(crate) fn end_call(&mut self, call: u64) {
        if let Some(place) = self.calls.iter().rposition(|running| running.number == call) {
            self.pop_calls(place);
        }
    }
}

/// Returns the type of resources that an inner instance defines, by its place among the types of the store.
pub(super) fn guest_type(store: StoreId, place: usize) -> ResourceType {
    ResourceType(Kind::Guest(store, ResourceTypeId(place as u32)))
}

fn check_borrows(left: u32) -> Result<()> {
    ensure!(
        left == 0,
        "borrow handles still remain at the end of the call: {}",
        Counted::of(left as usize, "handle")
    );
    Ok(())
}

/// The resource types of an instance, to compare Rust types with.
pub(super) struct HostTypesOf<'a> {
    pub(super) components: &'a StoreComponents,
    pub(super) resources: &'a [ResourceTypeId],
}

impl HostTypes for HostTypesOf<'_> {
    fn is_host(&self, resource: ResourceIndex, ty: std::any::TypeId) -> bool {
        let id = self.resources.get(resource.0 as usize);
        let state = id.and_then(|id| self.components.resource_types.get(id.0 as usize));
        state.is_some_and(|state| matches!(state.ty.0, Kind::Host(found, _) if found == ty))
    }
}
