//! The bench program of belljar: see the library.

mod command;
mod sandbox;
mod watch;

use anyhow::{Context, Result};
use belljar::{
    Cache, CacheConfig, Caller, Config, Engine, Instance, Linker, Module, Store, StoreContextMut, component,
};
use belljar_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder, p1};
use bench_runner::{
    BYTES, CALL_HOST, ComponentCall, Ended, GUEST_ADD, Guest, HOST_ADD, HOST_TEXT, Meter, PAIRS, Pairs,
    Program, TEXT,
};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

struct Belljar(Engine);

impl bench_runner::Engine for Belljar {
    type Module = Module;

    fn new(cache: Option<PathBuf>) -> Result<Self> {
        let cache = cache.map(|directory| Cache::open(CacheConfig::at(directory))).transpose()?;
        Ok(Self(Engine::new(Config::new().cache(cache))?))
    }

    fn load(&self, compiled: &Path, wasm: &Path) -> Result<Module> {
        // An artifact of another build is useless.
        if let Ok(module) = Module::deserialize_file(&self.0, compiled) {
            return Ok(module);
        }
        std::fs::write(compiled, Module::from_file(&self.0, wasm)?.serialize()?)?;
        Ok(Module::deserialize_file(&self.0, compiled)?)
    }

    fn compile(&self, wasm: &[u8]) -> Result<Module> {
        Ok(Module::from_binary(&self.0, wasm)?)
    }

    fn compile_component(&self, wasm: &[u8]) -> Result<()> {
        component::Component::from_binary(&self.0, wasm)?;
        Ok(())
    }

    fn run(&self, module: &Module, program: &Program) -> Result<Ended> {
        let mut linker: Linker<WasiCtx> = Linker::new(&self.0);
        p1::add_to_linker(&mut linker, |ctx| ctx)?;
        let mut store = Store::new(&self.0, wasi(program)?);
        let instance = linker.instantiate(&mut store, module)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let began = Instant::now();
        let outcome = start.call(&mut store, ());
        let took = began.elapsed();
        let exit = match outcome {
            Ok(()) => 0,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => exit.0,
                None => return Err(error.into()),
            },
        };
        Ok(Ended { exit, took })
    }

    fn host_to_guest(&self, module: &Module, meter: &Meter) -> Result<f64> {
        let (mut store, instance) = self.calls(module)?;
        let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, GUEST_ADD)?;
        meter.measure(|count| {
            let mut sum = 0;
            for i in 0..count {
                sum = add.call(&mut store, (sum, i as i32))?;
            }
            black_box(sum);
            Ok(())
        })
    }

    fn guest_to_host(&self, module: &Module, meter: &Meter) -> Result<f64> {
        let (mut store, instance) = self.calls(module)?;
        let call_host = instance.get_typed_func::<i32, i32>(&mut store, CALL_HOST)?;
        meter.measure(|count| {
            black_box(call_host.call(&mut store, count as i32)?);
            Ok(())
        })
    }

    fn component_call(&self, component: &[u8], call: ComponentCall, meter: &Meter) -> Result<f64> {
        match call {
            ComponentCall::Command => return command::fresh(&self.0, meter),
            ComponentCall::CleanCommand => return command::clean(&self.0, meter),
            _ => {}
        }
        let component = component::Component::from_binary(&self.0, component)?;
        let mut linker = component::Linker::new(&self.0);
        linker
            .root()
            .func_wrap(HOST_ADD, |_: StoreContextMut<'_, ()>, (a, b): (u32, u32)| Ok((a.wrapping_add(b),)))?;
        linker.root().func_wrap(HOST_TEXT, |_: StoreContextMut<'_, ()>, (text,): (String,)| {
            Ok((text.len() as u32,))
        })?;
        let mut store = Store::new(&self.0, ());
        let instance = linker.instantiate(&mut store, &component)?;
        if let Some(name) = call.repeated() {
            let repeat = typed::<(u32,), (u32,)>(&mut store, instance, name)?;
            return meter.measure(|count| {
                black_box(repeat.call(&mut store, (count,))?);
                Ok(())
            });
        }
        let text = "t".repeat(TEXT);
        let bytes = vec![7_u8; BYTES];
        let pairs: Vec<(u32, String)> = (0..PAIRS as u32).map(|i| (i, format!("{i:016}"))).collect();
        macro_rules! measure {
            ($name:literal, $params:ty, $result:ty, $given:expr) => {{
                let func = typed::<$params, $result>(&mut store, instance, $name)?;
                meter.measure(|count| {
                    for _ in 0..count {
                        black_box(func.call(&mut store, black_box($given))?);
                    }
                    Ok(())
                })
            }};
        }
        match call {
            ComponentCall::TakeText => measure!("take-text", (&str,), (u32,), (&text,)),
            ComponentCall::TakeBytes => measure!("take-bytes", (&[u8],), (u32,), (&bytes,)),
            ComponentCall::TakePairs => measure!("take-pairs", (&[(u32, String)],), (u32,), (&pairs,)),
            ComponentCall::GiveText => measure!("give-text", (), (String,), ()),
            ComponentCall::GiveBytes => measure!("give-bytes", (), (Vec<u8>,), ()),
            ComponentCall::GivePairs => measure!("give-pairs", (), (Vec<(u32, String)>,), ()),
            _ => measure!("add", (u32, u32), (u32,), (1, 2)),
        }
    }

    fn instantiate(guest: &Guest, meter: &Meter) -> Result<f64> {
        let engine = Engine::default();
        let module = Module::from_binary(&engine, &guest.wasm)?;
        let pre = Linker::new(&engine).instantiate_pre(&module)?;
        meter.measure(|count| {
            for _ in 0..count {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate(&mut store)?;
                let export = instance.get_typed_func::<(), i32>(&mut store, guest.export)?;
                guest.check(export.call(&mut store, ())?)?;
            }
            Ok(())
        })
    }

    fn sandbox(guest: &Guest, threads: usize, meter: &Meter) -> Result<f64> {
        sandbox::call(guest, threads, meter)
    }

    fn first_sessions(guest: &Guest, calls: u32, meter: &Meter) -> Result<f64> {
        sandbox::first(guest, calls, meter)
    }

    fn stoppable(wasm: &[u8], export: &str, can_stop: bool, meter: &Meter) -> Result<f64> {
        sandbox::stoppable(wasm, export, can_stop, meter)
    }

    fn sandbox_facts() -> Result<()> {
        sandbox::facts()
    }

    fn watch(what: &str, words: impl Iterator<Item = String>, pairs: &Pairs) -> Result<()> {
        watch::watch(what, words, pairs)
    }
}

/// Returns an exported function of a component.
fn typed<P: component::LowerParams, R: component::LiftResults>(
    store: &mut Store<()>,
    instance: component::Instance,
    name: &str,
) -> Result<component::TypedFunc<P, R>> {
    Ok(instance.get_func(&mut *store, name).context("no such export")?.typed(&mut *store)?)
}

impl Belljar {
    fn calls(&self, module: &Module) -> Result<(Store<i32>, Instance)> {
        let mut linker = Linker::new(&self.0);
        linker.func_wrap("host", "add", |caller: Caller<'_, i32>, a: i32, b: i32| {
            a.wrapping_add(b) ^ *caller.data()
        })?;
        let mut store = Store::new(&self.0, 1);
        let instance = linker.instantiate(&mut store, module)?;
        Ok((store, instance))
    }
}

fn wasi(program: &Program) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().args(&program.args).envs(&program.env);
    for (host, guest) in &program.dirs {
        wasi.preopened_dir(host, guest, (DirPerms::all(), FilePerms::all()))?;
    }
    Ok(wasi.build())
}

fn main() {
    bench_runner::main::<Belljar>()
}
