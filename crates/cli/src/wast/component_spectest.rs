//! What component scripts of Wasmtime import as `host`: functions, a core module, and resources.

use belljar::component::{Linker, Resource, ResourceType, Val};
use belljar::{Engine, Module, Result, StoreContextMut, bail, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A resource that stands for its number.
struct Numbered;
/// Another one.
struct Other;

/// Defines `host`, and functions at the root.
pub(super) fn define(engine: &Engine, linker: &mut Linker<()>) -> Result<()> {
    let mut root = linker.root();
    root.func_new("host-return-two", |_, _, _, results| give(results, Val::U32(2)))?;
    let mut host = linker.instance("host")?;
    host.func_new("return-three", |_, _, _, results| give(results, Val::U32(3)))?;
    host.func_new("return-hi", |_, _, _, results| give(results, Val::String("hi".into())))?;
    host.instance("nested")?.func_new("return-four", |_, _, _, results| give(results, Val::U32(4)))?;
    let module = r#"(module
        (global (export "g") i32 (i32.const 100))
        (func (export "f") (result i32) (i32.const 101)))"#;
    host.module("simple-module", &Module::new(engine, module)?)?;

    let (drops, last_drop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (counted, noted) = (drops.clone(), last_drop.clone());
    host.resource("resource1", ResourceType::host::<Numbered>(), move |_, rep| {
        counted.fetch_add(1, Relaxed);
        noted.store(rep, Relaxed);
        Ok(())
    })?;
    host.resource("resource2", ResourceType::host::<Other>(), |_, _| Ok(()))?;
    host.resource("resource1-again", ResourceType::host::<Numbered>(), |_, _| Ok(()))?;
    host.func_new("[constructor]resource1", |mut store, _, params, results| {
        let resource = Resource::<Numbered>::new_own(number(&params[0])?);
        give(results, Val::Resource(resource.try_into_resource_any(&mut store)?))
    })?;
    host.func_new("[static]resource1.assert", |mut store, _, params, _| {
        let (rep, owned) = resource(&mut store, &params[0])?;
        ensure!(owned && rep == number(&params[1])?, "the resource is {rep}");
        Ok(())
    })?;
    host.func_new("[static]resource1.last-drop", move |_, _, _, results| {
        give(results, Val::U32(last_drop.load(Relaxed)))
    })?;
    host.func_new("[static]resource1.drops", move |_, _, _, results| {
        give(results, Val::U32(drops.load(Relaxed)))
    })?;
    host.func_new("[method]resource1.simple", |mut store, _, params, _| {
        let (rep, owned) = resource(&mut store, &params[0])?;
        ensure!(!owned && rep == number(&params[1])?, "the resource is {rep}");
        Ok(())
    })?;
    for (name, takes) in [("[method]resource1.take-borrow", false), ("[method]resource1.take-own", true)] {
        host.func_new(name, move |mut store, _, params, _| {
            let (_, first) = resource(&mut store, &params[0])?;
            let (_, second) = resource(&mut store, &params[1])?;
            ensure!(!first && second == takes, "the wrong one is owned");
            Ok(())
        })?;
    }
    Ok(())
}

fn give(results: &mut [Val], value: Val) -> Result<()> {
    results[0] = value;
    Ok(())
}

fn number(value: &Val) -> Result<u32> {
    match value {
        Val::U32(number) => Ok(*number),
        other => bail!("{other:?} is no number"),
    }
}

/// Returns what a resource stands for, and whether it is owned.
fn resource(store: &mut StoreContextMut<'_, ()>, value: &Val) -> Result<(u32, bool)> {
    let Val::Resource(any) = value else { bail!("{value:?} is no resource") };
    let resource = any.try_into_resource::<Numbered>(store)?;
    Ok((resource.rep(), resource.owned()))
}
