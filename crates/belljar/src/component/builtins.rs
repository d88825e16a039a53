//! The core functions that the runtime provides to components: lowered functions, and functions for resources.

use super::code::Component;
use super::destructor::destroy;
use super::func::{call_func, host_func};
use super::guest::Guest;
use super::instance_flags::check_flags;
use super::lifted::Parts;
use super::state::{InnerId, StoreComponents};
use crate::{Error, Func, FuncType, Result, StoreContextMut, ThrownException, ValType};
use belljar_component::abi::invalid::exception_left_component;
use belljar_component::abi::{FlatSink, lift_params, lower_result};
use belljar_component::adapters::lowered_type;
use belljar_component::types::{FlatType, ResourceIndex};
use belljar_component::{
    BuiltinIndex, BuiltinKind, CoreFunc, Func as Function, FuncIndex, FuncOrigin, Options, Passed,
    ResourceTypeId,
};
use belljar_core::{Context, bail};
use belljar_vm::StoreInner;
use std::sync::Arc;

/// Returns the builtins of a component that are created without adapters.
pub(super) fn all(component: &Component) -> Vec<BuiltinIndex> {
    let builtins = component.plan().builtins.iter().enumerate();
    builtins.filter(|(_, builtin)| !builtin.is_adapted).map(|(i, _)| BuiltinIndex(i as u32)).collect()
}

/// Creates those of some functions whose memories are there. The others are left.
pub(super) fn create_ready<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    left: &mut Vec<BuiltinIndex>,
) -> Result<()> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let component = components.instances[instance as usize].component.clone();
    let mut later = Vec::new();
    for index in left.drain(..) {
        let state = &StoreComponents::of_mut(store.0.core_mut()).instances[instance as usize];
        let made = state.core.len();
        let is_made = |func: &CoreFunc| match func {
            CoreFunc::Export(export) => export.instance.index() < made,
            CoreFunc::Builtin(index) => state.builtins[index.index()].is_some(),
        };
        let is_ready = match &component.plan().builtins[index.index()].kind {
            BuiltinKind::Lower { options, .. } => {
                let Options { memory, realloc, post_return, callback, .. } = options;
                memory.as_ref().is_none_or(|memory| memory.instance.index() < made)
                    && [realloc, post_return, callback].into_iter().flatten().all(is_made)
            }
            _ => true,
        };
        if !is_ready {
            later.push(index);
            continue;
        }
        let func = create(store, instance, index)?;
        StoreComponents::of_mut(store.0.core_mut()).instances[instance as usize].builtins[index.index()] =
            Some(func.id());
    }
    *left = later;
    Ok(())
}

fn core_type(flat: FlatType) -> ValType {
    match flat {
        FlatType::I32 => ValType::I32,
        FlatType::I64 => ValType::I64,
        FlatType::F32 => ValType::F32,
        FlatType::F64 => ValType::F64,
    }
}

/// Creates the core function of a builtin. What it needs is looked up now.
pub(super) fn create<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    index: BuiltinIndex,
) -> Result<Func> {
    use FlatType::I32;
    let components = StoreComponents::of_mut(store.0.core_mut());
    let component = components.instances[instance as usize].component.clone();
    let builtin = &component.plan().builtins[index.index()];
    let at = InnerId { instance, inner: builtin.instance };
    let flags = components.inner(at).flags;
    let resource_type = |components: &StoreComponents, resource: ResourceIndex| {
        components.instances[instance as usize].resources[resource.0 as usize]
    };
    match &builtin.kind {
        BuiltinKind::Lower { func, options } => lower(store, &component, at, *func, options),
        BuiltinKind::ResourceNew(resource) => {
            let ty = resource_type(components, *resource);
            numeric(store, (CANONICAL, "resource.new"), &[I32], Some(I32), move |store, params| {
                check_flags(store.core(), flags)?;
                let passed = Passed { ty, rep: params[0] as u32, owned: true };
                let components = StoreComponents::of_mut(store.core_mut());
                components.add_handle(at, passed, None).map(u64::from)
            })
        }
        BuiltinKind::ResourceRep(resource) => {
            let ty = resource_type(components, *resource);
            numeric(store, (CANONICAL, "resource.rep"), &[I32], Some(I32), move |store, params| {
                let handles = &mut StoreComponents::of_mut(store.core_mut()).inner(at).handles;
                handles.rep(params[0] as u32, ty).map(u64::from)
            })
        }
        BuiltinKind::ResourceDrop(resource) => {
            let ty = resource_type(components, *resource);
            numeric(store, (CANONICAL, "resource.drop"), &[I32], None, move |store, params| {
                check_flags(store.core(), flags)?;
                resource_drop(&mut StoreContextMut::new(store), at, ty, params[0] as u32)
            })
        }
        BuiltinKind::ContextGet(slot) => {
            let slot = *slot;
            numeric(store, (CANONICAL, "context.get"), &[], Some(I32), move |store, _| {
                Ok(u64::from(*context(store, slot)?))
            })
        }
        BuiltinKind::ContextSet(slot) => {
            let slot = *slot;
            numeric(store, (CANONICAL, "context.set"), &[I32], None, move |store, params| {
                *context(store, slot)? = params[0] as u32;
                Ok(0)
            })
        }
        BuiltinKind::BackpressureInc => {
            numeric(store, (CANONICAL, "backpressure.inc"), &[], None, move |store, _| {
                backpressure(store, at, 1)
            })
        }
        BuiltinKind::BackpressureDec => {
            numeric(store, (CANONICAL, "backpressure.dec"), &[], None, move |store, _| {
                backpressure(store, at, -1)
            })
        }
        BuiltinKind::Unsupported { name, params, result } => {
            let name = *name;
            numeric(store, (CANONICAL, name), params, *result, move |store, _| {
                check_flags(store.core(), flags)?;
                bail!("the component calls `{name}`, which belljar does not have yet")
            })
        }
    }
}

/// What stacks call the interface of what the component model provides.
const CANONICAL: &str = "canon";

/// Creates a function that takes and returns numbers. `name` is what stacks show.
fn numeric<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    name: (&str, &str),
    params: &[FlatType],
    result: Option<FlatType>,
    func: impl Fn(&mut StoreInner<T>, &[u64]) -> Result<u64> + Send + Sync + 'static,
) -> Result<Func> {
    let params = params.iter().map(|ty| core_type(*ty)).collect::<Vec<_>>();
    let ty = FuncType::new(store.engine(), params, result.map(core_type));
    Func::numeric(store, name, ty, func)
}

/// Creates a lowered function that has no adapter: one of the host, or one of another component.
fn lower<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    at: InnerId,
    func: FuncIndex,
    options: &Options,
) -> Result<Func> {
    let parts = Arc::new(Parts::of(store, at, options)?);
    let components = StoreComponents::of_mut(store.0.core_mut());
    components.instances[at.instance as usize].lowered.push(parts.clone());
    let flags = parts.flags;
    let function = &component.plan().funcs[func.index()];
    let (params, results) = lowered_type(&function.ty, parts.address);
    let (result, ty) = (results.first().copied(), function.ty.clone());
    let (interface, name) = shown_name(function);
    if let FuncOrigin::Imported(_) = &function.origin {
        let host = host_func(store, at.instance, func)?;
        let lends = ty.params().iter().any(|(_, ty)| ty.has_borrow());
        return numeric(store, (&interface, &name), &params, result, move |store, passed| {
            check_flags(store.core(), flags)?;
            let mut store = StoreContextMut::new(store);
            // For the handles that the host gets.
            let call = lends.then(|| StoreComponents::of_mut(store.0.core_mut()).begin_call());
            let mut guest = Guest::new(&mut store, at, &parts, 0);
            let mut flat = FlatSink::default();
            host.call(&mut guest, &ty, passed, &mut flat)?;
            guest.give_back();
            if let Some(call) = call {
                StoreComponents::of_mut(store.0.core_mut()).end_call(call);
            }
            Ok(flat.bits().first().copied().unwrap_or_default())
        });
    }
    numeric(store, (&interface, &name), &params, result, move |store, passed| {
        check_flags(store.core(), flags)?;
        let mut store = StoreContextMut::new(store);
        let mut guest = Guest::new(&mut store, at, &parts, 0);
        let mut flat = FlatSink::default();
        let params = guest.lifting(|cx| lift_params(cx, &ty, passed))?;
        let result = call_func(guest.store, at.instance, func, params).map_err(contained)?;
        guest.lowering(|cx| lower_result(cx, &ty, result.as_ref(), passed, &mut flat))?;
        guest.give_back();
        Ok(flat.bits().first().copied().unwrap_or_default())
    })
}

/// Returns what stacks call a function: its interface, and its name there.
fn shown_name(func: &Function) -> (String, String) {
    let path = match &func.origin {
        FuncOrigin::Imported(path) => path.join("#"),
        FuncOrigin::Lifted { .. } => {
            func.name.as_deref().unwrap_or("function of another component").to_string()
        }
    };
    match path.rsplit_once('#') {
        Some((interface, name)) => (interface.to_string(), name.to_string()),
        // What toolchains call the interface of functions that a world imports itself.
        None => ("$root".to_string(), path),
    }
}

/// Returns the error of a call of another component. An exception does not go on in the caller.
fn contained(error: Error) -> Error {
    if error.is::<ThrownException>() { exception_left_component() } else { error }
}

/// Returns a place that the call which runs keeps.
fn context<T: 'static>(store: &mut StoreInner<T>, slot: u32) -> Result<&mut u32> {
    let components = StoreComponents::of_mut(store.core_mut());
    components.context(slot).context("there is no call that could keep a value")
}

fn backpressure<T: 'static>(store: &mut StoreInner<T>, at: InnerId, by: i32) -> Result<u64> {
    let inner = StoreComponents::of_mut(store.core_mut()).inner(at);
    let sum = i32::from(inner.backpressure) + by;
    inner.backpressure = u16::try_from(sum)
        .map_err(|_| belljar_core::format_err!("backpressure counter overflow: it is between 0 and 65535"))?;
    Ok(0)
}

fn resource_drop<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    at: InnerId,
    ty: ResourceTypeId,
    handle: u32,
) -> Result<u64> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let (passed, borrowed_for) = components.inner(at).handles.drop_handle(handle, ty)?;
    match borrowed_for {
        Some(call) => components.dropped_borrow(call),
        None => destroy(store, passed, Some(at)).map_err(contained)?,
    }
    Ok(0)
}
