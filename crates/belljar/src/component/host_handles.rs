//! Handles that the host holds: entering resources into a store, taking them out, and dropping them.

use super::destructor::destroy;
use super::resource::{Resource, ResourceAny, ResourceType};
use super::state::StoreComponents;
use crate::context::check_store;
use crate::{AsContextMut, Result, StoreContextMut};
use belljar_component::abi::{FlatSink, FlatValues, LiftContext, LowerContext};
use belljar_component::typed::{ComponentType, HostTypes, Lift, Lower};
use belljar_component::types::Type;
use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{Context, bail, ensure};
use belljar_vm::StoreCore;
use std::any::Any;

impl<T: 'static> Resource<T> {
    /// Takes a resource out of a store. If the handle is borrowed, it stays valid until its call ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the resource is of another type, was passed on or dropped before, or is lent.
    ///
    /// # Panics
    ///
    /// Panics if the handle belongs to another store.
    pub fn try_from_resource_any(resource: ResourceAny, mut store: impl AsContextMut) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        let ty = resource.type_id(core)?;
        ensure!(
            resource.ty == ResourceType::host::<T>(),
            "the resource is of type {:?}, and not of {:?}",
            resource.ty,
            ResourceType::host::<T>()
        );
        let components = StoreComponents::of_mut(core);
        let rep = match resource.owned {
            true => components.host.take_own(resource.number, ty)?.rep,
            false => components.host.rep(resource.number, ty)?,
        };
        Ok(Self::new(rep, resource.owned))
    }

    /// Enters the resource into a store, so that it can be passed to guests.
    ///
    /// # Errors
    ///
    /// Returns an error if no component of the store imports a resource type that is defined as `T`'s, or the table is full.
    pub fn try_into_resource_any(self, mut store: impl AsContextMut) -> Result<ResourceAny> {
        let core = store.as_context_mut().0.core_mut();
        let id = core.id();
        let components = StoreComponents::of_mut(core);
        let ty = ResourceType::host::<T>();
        let found = components.host_type(ty);
        let found =
            found.with_context(|| format!("no component of the store uses the resource type {ty:?}"))?;
        let passed = Passed { ty: found, rep: self.rep(), owned: self.owned() };
        let number = components.add_host_handle(passed, (!self.owned()).then_some(NO_CALL))?;
        let generation = components.host.generation(number).unwrap_or_default();
        Ok(ResourceAny { store: id, number, generation, ty, owned: self.owned() })
    }
}

impl ResourceAny {
    /// Takes the resource out of a store: see [`Resource::try_from_resource_any`].
    ///
    /// # Errors
    ///
    /// Returns an error as [`Resource::try_from_resource_any`] does.
    ///
    /// # Panics
    ///
    /// Panics as [`Resource::try_from_resource_any`] does.
    pub fn try_into_resource<T: 'static>(self, store: impl AsContextMut) -> Result<Resource<T>> {
        Resource::try_from_resource_any(self, store)
    }

    /// Drops the handle. If it owns the resource, its destructor runs.
    ///
    /// # Errors
    ///
    /// Returns an error if the handle was passed on or dropped before, if it is lent, or if the destructor fails.
    ///
    /// # Panics
    ///
    /// Panics if the handle belongs to another store.
    pub fn resource_drop(self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        let core = store.0.core_mut();
        let ty = self.type_id(core)?;
        let components = StoreComponents::of_mut(core);
        let (passed, _) = components.host.drop_handle(self.number, ty)?;
        match passed.owned {
            true => destroy(&mut store, passed, None),
            false => Ok(()),
        }
    }

    /// Checks that the handle is still there. Returns its type in the store.
    pub(crate) fn type_id(&self, core: &mut StoreCore) -> Result<ResourceTypeId> {
        check_store(self.store, core, "ResourceAny");
        StoreComponents::of_mut(core).type_of_host(*self)
    }
}

/// Returns what the store keeps of its components, during a call.
fn components(host: &mut dyn Any) -> Result<&mut StoreComponents> {
    host.downcast_mut().context("belljar bug: a resource in a call without a store")
}

impl ComponentType for ResourceAny {
    fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
        match ty {
            Type::Own(_) | Type::Borrow(_) => Ok(()),
            _ => bail!("expected a resource, found {ty}"),
        }
    }
}

impl ResourceAny {
    fn lift_handle(cx: &mut LiftContext<'_>, ty: &Type, handle: u32) -> Result<Self> {
        let passed = match ty {
            Type::Own(resource) => cx.lift_own(*resource, handle)?,
            Type::Borrow(resource) => cx.lift_borrow(*resource, handle)?,
            _ => bail!("expected a resource, found {ty}"),
        };
        components(cx.host())?.give_host(passed)
    }

    fn lower_handle(self, cx: &mut LowerContext<'_>, ty: &Type) -> Result<u32> {
        let (Type::Own(resource) | Type::Borrow(resource)) = ty else {
            bail!("expected a resource, found {ty}")
        };
        let wanted = cx.resource_type(*resource)?;
        let lend = matches!(ty, Type::Borrow(_));
        let passed = components(cx.host())?.take_from_host(self, wanted, lend)?;
        match lend {
            true => cx.lower_borrow(*resource, passed),
            false => cx.lower_own(*resource, passed),
        }
    }
}

impl Lift for ResourceAny {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        Self::lift_handle(cx, ty, flat.next()? as u32)
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        let handle = u32::load(cx, ty, at)?;
        Self::lift_handle(cx, ty, handle)
    }
}

impl Lower for ResourceAny {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        flat.push(u64::from(self.lower_handle(cx, ty)?))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        self.lower_handle(cx, ty)?.store(cx, ty, at)
    }
}

/// The number of no call: handles that are borrowed for it stay until they are dropped.
const NO_CALL: u64 = 0;

/// Takes a resource that the host passes to an instance. A handle that is only lent is added to `lent`.
pub(super) fn take<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    ty: &Type,
    handle: ResourceAny,
    lent: &mut Vec<u32>,
) -> Result<Passed> {
    let core = store.0.core_mut();
    let found = handle.type_id(core)?;
    let components = StoreComponents::of_mut(core);
    let (Type::Own(resource) | Type::Borrow(resource)) = ty else {
        bail!("belljar bug: a handle of a type without handles")
    };
    let wanted = components.instances[instance as usize].resources[resource.0 as usize];
    ensure!(
        found == wanted,
        "a resource of type {:?} was passed, and the function takes one of type {:?}",
        components.resource_types[found.0 as usize].ty,
        components.resource_types[wanted.0 as usize].ty
    );
    match ty {
        Type::Own(_) => components.host.take_own(handle.number, wanted),
        _ => {
            lent.push(handle.number);
            components.host.lend(handle.number, wanted)
        }
    }
}

/// Gives the host a resource, borrowed for a call or owned.
pub(super) fn give<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    passed: Passed,
    call: Option<u64>,
) -> Result<ResourceAny> {
    let core = store.0.core_mut();
    let id = core.id();
    let components = StoreComponents::of_mut(core);
    let number = components.add_host_handle(passed, call)?;
    let generation = components.host.generation(number).unwrap_or_default();
    let ty = components.resource_types[passed.ty.0 as usize].ty;
    Ok(ResourceAny { store: id, number, generation, ty, owned: passed.owned })
}
