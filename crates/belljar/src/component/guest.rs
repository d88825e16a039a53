//! An inner instance as values are lifted from it and lowered into it.

use super::handles::Handles;
use super::instance_flags::{confine, set_flags};
use super::lifted::Parts;
use super::state::{InnerId, StoreComponents};
use crate::run_error::from_exit;
use crate::store_extension::Extension;
use crate::{Error, Func, Limit, LimitExceeded, Memory, Result, StoreContextMut};
use belljar_component::abi::{LiftContext, LiftHandles, LowerContext, LowerTarget};
use belljar_component::types::{AddressType, ResourceIndex};
use belljar_component::{CoreExport, CoreFunc, Options};
use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{Context, OutsideText, bail, ensure};
use belljar_vm::{NumberFunc, StoreId};
use std::any::Any;

/// The largest number of bytes that the host takes for the values of one call, if no limit is set.
const MAX_LIFTED: u64 = 1 << 30;

impl Parts {
    /// Looks the parts up in an instance.
    pub(super) fn of<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        at: InnerId,
        options: &Options,
    ) -> Result<Self> {
        ensure!(
            !options.is_async,
            "the component uses the asynchronous ABI, which belljar does not have yet"
        );
        let instance = at.instance;
        let memory = options.memory.as_ref().map(|export| memory_at(store, instance, export)).transpose()?;
        let mut func = |func: &Option<CoreFunc>| {
            func.as_ref().map(|func| number_func(store, instance, func)).transpose()
        };
        let (realloc, post_return) = (func(&options.realloc)?, func(&options.post_return)?);
        let is_64 = memory.is_some_and(|memory| memory.ty(&*store).is_64());
        let address = if is_64 { AddressType::I64 } else { AddressType::I32 };
        let components = StoreComponents::of_mut(store.0.core_mut());
        let keeps = components.instances[instance as usize].component.keeps(at.inner);
        let flags = components.inner(at).flags;
        let memory = memory.map(|memory| memory.id());
        Ok(Self { memory, flags, realloc, post_return, address, encoding: options.encoding, keeps })
    }
}

/// Returns the core instance that has an export.
pub(super) fn core_instance<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    export: &CoreExport,
) -> Result<crate::Instance> {
    let id = store.0.core().id();
    let components = StoreComponents::of_mut(store.0.core_mut());
    let core = components.instances[instance as usize].core.get(export.instance.index());
    let core = core.context("belljar bug: a core instance is used before it is made")?;
    Ok(crate::Instance::from_id(id, *core))
}

pub(super) fn memory_at<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    export: &CoreExport,
) -> Result<Memory> {
    let core = core_instance(store, instance, export)?;
    core.get_memory(&*store, &export.name)
        .with_context(|| format!("belljar bug: no memory {}", OutsideText::new(&*export.name)))
}

/// Returns a core function of an instance.
pub(super) fn core_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: &CoreFunc,
) -> Result<Func> {
    match func {
        CoreFunc::Export(export) => {
            let core = core_instance(store, instance, export)?;
            core.get_func(&*store, &export.name)
                .with_context(|| format!("belljar bug: no function {}", OutsideText::new(&*export.name)))
        }
        CoreFunc::Builtin(index) => {
            let id = store.0.core().id();
            let components = StoreComponents::of_mut(store.0.core_mut());
            let builtin = components.instances[instance as usize].builtins.get(index.index());
            let func =
                builtin.copied().flatten().context("belljar bug: a builtin is used before it is made")?;
            Ok(Func::from_id(id, func))
        }
    }
}

/// Returns a core function of an instance, for calls.
pub(super) fn number_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: &CoreFunc,
) -> Result<NumberFunc> {
    let func = core_func(store, instance, func)?;
    let func = NumberFunc::new(store.0.core(), func.id());
    func.context("belljar bug: a component passes a core value that is no number")
}

/// Calls a core function. Arguments and results are bits.
#[inline]
pub(super) fn call_core<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    func: &NumberFunc,
    arguments: &[u64],
) -> Result<u64> {
    func.call(&mut *store.0, arguments).map_err(|exit| from_exit(exit, store.0.core()))
}

/// An inner instance during a call.
pub(super) struct Guest<'a, 'b, T: 'static> {
    pub(super) store: &'a mut StoreContextMut<'b, T>,
    pub(super) at: InnerId,
    pub(super) parts: &'a Parts,
    /// The call that handles are borrowed for which the instance gets.
    pub(super) call: u64,
    /// The handles that the instance has lent.
    pub(super) lent: Vec<u32>,
    /// The flags that the instance had before its allocator was called, while values are lowered.
    before: Option<u32>,
}

impl<'a, 'b, T: 'static> Guest<'a, 'b, T> {
    #[inline]
    pub(super) fn new(
        store: &'a mut StoreContextMut<'b, T>,
        at: InnerId,
        parts: &'a Parts,
        call: u64,
    ) -> Self {
        Self { store, at, parts, call, lent: Vec::new(), before: None }
    }

    fn components(&mut self) -> &mut StoreComponents {
        StoreComponents::of_mut(self.store.0.core_mut())
    }

    fn type_of(&mut self, resource: ResourceIndex) -> ResourceTypeId {
        let instance = self.at.instance as usize;
        self.components().instances[instance].resources[resource.0 as usize]
    }

    /// Lifts values from it.
    #[inline]
    pub(super) fn lifting<R>(&mut self, lift: impl FnOnce(&mut LiftContext<'_>) -> R) -> R {
        let core = self.store.0.core_mut();
        let id = core.id();
        let limit = core.quota().and_then(|quota| quota.get(Limit::BytesLifted)).unwrap_or(MAX_LIFTED);
        let (memory, extension) = match self.parts.memory {
            Some(memory) => {
                let (memory, extension) = core.memory_and_extension(memory);
                (Some(memory), extension)
            }
            None => (None, core.extension_mut()),
        };
        let mut handles = GuestHandles { extension, store: id, at: self.at, lent: &mut self.lent };
        let Parts { address, encoding, .. } = *self.parts;
        lift(&mut LiftContext::new(address, encoding, memory, limit, &mut handles))
    }

    /// Lowers values into it. Its allocator must not call the runtime, and nothing else of it runs meanwhile.
    #[inline]
    pub(super) fn lowering<R>(&mut self, lower: impl FnOnce(&mut LowerContext<'_>) -> R) -> R {
        let lowered = lower(&mut LowerContext::new(self.parts.address, self.parts.encoding, self));
        if let Some(before) = self.before.take() {
            set_flags(self.store.0.core_mut(), self.parts.flags, before);
        }
        lowered
    }

    /// Calls a function of the instance that must not call the runtime.
    #[inline]
    pub(super) fn call_confined(&mut self, func: &NumberFunc, arguments: &[u64]) -> Result<u64> {
        let before = confine(self.store.0.core_mut(), self.parts.flags);
        let called = call_core(self.store, func, arguments);
        set_flags(self.store.0.core_mut(), self.parts.flags, before);
        called
    }

    /// Takes back what the instance has lent to the call that has ended.
    #[inline]
    pub(super) fn give_back(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        let (at, lent) = (self.at, std::mem::take(&mut self.lent));
        let handles = &mut self.components().inner(at).handles;
        lent.into_iter().for_each(|number| handles.give_back(number));
    }
}

/// The handles of an inner instance that values are lifted from.
struct GuestHandles<'a> {
    extension: &'a mut Extension,
    store: StoreId,
    at: InnerId,
    lent: &'a mut Vec<u32>,
}

impl GuestHandles<'_> {
    fn get(&mut self, resource: ResourceIndex) -> (&mut Handles, ResourceTypeId) {
        let components = StoreComponents::in_extension(self.extension, self.store);
        let ty = components.instances[self.at.instance as usize].resources[resource.0 as usize];
        (&mut components.inner(self.at).handles, ty)
    }
}

impl LiftHandles for GuestHandles<'_> {
    fn lift_own(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed> {
        let (handles, ty) = self.get(resource);
        handles.take_own(handle, ty)
    }

    fn lift_borrow(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed> {
        let (handles, ty) = self.get(resource);
        let passed = handles.lend(handle, ty)?;
        self.lent.push(handle);
        Ok(passed)
    }

    fn host(&mut self) -> &mut dyn Any {
        StoreComponents::in_extension(self.extension, self.store)
    }

    #[cold]
    fn too_much(&self, wanted: u64, limit: u64) -> Error {
        LimitExceeded::new(Limit::BytesLifted, Some(wanted), limit).into()
    }
}

impl<T: 'static> LowerTarget for Guest<'_, '_, T> {
    #[inline]
    fn memory(&mut self) -> Option<&mut [u8]> {
        // What is lowered is copied: no part is passed to the kernel.
        Some(self.store.0.core_mut().memory_copy_mut(self.parts.memory?))
    }

    fn realloc(&mut self, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64> {
        let parts = self.parts;
        let Some(func) = &parts.realloc else {
            bail!("belljar bug: a value needs an allocator, and there is none")
        };
        let arguments = [old, old_size, u64::from(align), size];
        if self.before.is_none() {
            self.before = Some(confine(self.store.0.core_mut(), parts.flags));
        }
        if !parts.keeps {
            return call_core(self.store, func, &arguments);
        }
        // The allocator does not see what the call keeps.
        let call = self.components().begin_call();
        let called = call_core(self.store, func, &arguments);
        self.components().end_call(call);
        called
    }

    fn resource_type(&mut self, resource: ResourceIndex) -> Result<ResourceTypeId> {
        Ok(self.type_of(resource))
    }

    fn lower_own(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32> {
        let (at, ty) = (self.at, self.type_of(resource));
        ensure!(passed.ty == ty, "a resource of another type was passed");
        self.components().add_handle(at, Passed { owned: true, ..passed }, None)
    }

    fn lower_borrow(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32> {
        let (at, ty, call) = (self.at, self.type_of(resource), self.call);
        ensure!(passed.ty == ty, "a resource of another type was passed");
        self.components().lower_borrow(at, passed, Some(call))
    }

    fn host(&mut self) -> &mut dyn Any {
        self.components()
    }
}
