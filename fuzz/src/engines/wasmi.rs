//! wasmi: an interpreter, to compare with something that shares nothing with compilers.

use super::for_wasmi::for_wasmi;
use crate::compare::{ELEMENTS, Ended, Plain, Runner, bits};
use crate::generate::{Mode, STEPS_PER_CALL};
use crate::generated::{Generated, STEPS};
use belljar::Trap;
use std::sync::OnceLock;
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Config, Engine, Error, ExternRef, F32, F64, Instance, Linker, Module, Nullable, Store, StoreLimits,
    StoreLimitsBuilder, TrapCode, V128, Val, ValType,
};

/// A store with one instance.
pub struct Wasmi {
    store: Store<StoreLimits>,
    instance: Instance,
    counts_steps: bool,
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::default();
        config.consume_fuel(true);
        Engine::new(&config)
    })
}

impl Runner for Wasmi {
    fn new(module: &Generated, mode: Mode) -> Result<Self, Ended> {
        let module =
            Module::new(engine(), for_wasmi(&module.wasm)).expect("a valid module compiles in wasmi");
        let limits = StoreLimitsBuilder::new()
            .memory_size(crate::MEMORY_LIMIT)
            .table_elements(crate::TABLE_LIMIT)
            .build();
        let mut store = Store::new(engine(), limits);
        store.limiter(|limits| limits);
        store.set_fuel(crate::FUEL * 10).expect("fuel is counted");
        let instance = Linker::new(engine()).instantiate_and_start(&mut store, &module).map_err(ended)?;
        Ok(Self { store, instance, counts_steps: mode.counts_steps })
    }

    fn call(&mut self, function: u32, seed: u64) -> Option<Ended> {
        if self.counts_steps {
            let steps = self.instance.get_global(&self.store, STEPS).expect("it is exported");
            steps.set(&mut self.store, Val::I32(STEPS_PER_CALL)).expect("it can be set");
        }
        self.store.set_fuel(crate::FUEL * 10).expect("fuel is counted");
        let func = self.instance.get_func(&self.store, &format!("f{function}"))?;
        let ty = func.ty(&self.store);
        let params = ty.params().iter().enumerate();
        let params: Vec<Val> = params.map(|(i, ty)| argument(&mut self.store, *ty, bits(seed, i))).collect();
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default_for_ty(*ty)).collect();
        Some(match func.call(&mut self.store, &params, &mut results) {
            Ok(()) => Ended::Returned(results.iter().map(|value| plain(&self.store, value)).collect()),
            Err(error) => ended(error),
        })
    }

    fn global(&mut self, global: u32) -> Plain {
        let global = self.instance.get_global(&self.store, &format!("g{global}")).expect("it is exported");
        plain(&self.store, &global.get(&self.store))
    }

    fn table(&mut self, table: u32) -> (u64, Vec<Plain>) {
        let table = self.instance.get_table(&self.store, &format!("t{table}")).expect("it is exported");
        let size = table.size(&self.store);
        let elements = (0..size.min(ELEMENTS)).map(|i| {
            let element = table.get(&self.store, i).expect("it is inside");
            plain(&self.store, &element.into())
        });
        (size, elements.collect())
    }

    fn memory<R>(&mut self, memory: u32, look: impl FnOnce(&[u8]) -> R) -> R {
        let memory = self.instance.get_memory(&self.store, &format!("m{memory}")).expect("it is exported");
        look(memory.data(&self.store))
    }
}

/// Like those of `embedding.rs`, but null for types that are not created here.
fn argument(store: &mut Store<StoreLimits>, ty: ValType, seed: u64) -> Val {
    match ty {
        ValType::I32 => Val::I32(seed as i32),
        ValType::I64 => Val::I64(seed as i64),
        ValType::F32 => Val::F32(F32::from_bits(seed as u32)),
        ValType::F64 => Val::F64(F64::from_bits(seed)),
        ValType::V128 => Val::V128(V128::from(u128::from(seed) << 64 | u128::from(!seed))),
        ValType::ExternRef if seed % 4 != 0 => {
            Val::ExternRef(Nullable::Val(ExternRef::new(store, seed as u32)))
        }
        null => Val::default_for_ty(null),
    }
}

fn plain(store: &Store<StoreLimits>, value: &Val) -> Plain {
    match value {
        Val::I32(v) => Plain::Bits32(*v as u32),
        Val::I64(v) => Plain::Bits64(*v as u64),
        Val::F32(v) => Plain::Bits32(v.to_bits()),
        Val::F64(v) => Plain::Bits64(v.to_bits()),
        Val::V128(v) => Plain::Bits128(v.as_u128()),
        Val::FuncRef(Nullable::Val(_)) => Plain::Func,
        Val::ExternRef(Nullable::Val(value)) => {
            Plain::Host(*value.data(store).downcast_ref().expect("the host makes numbers"))
        }
        Val::FuncRef(Nullable::Null) | Val::ExternRef(Nullable::Null) => Plain::Null,
    }
}

fn ended(error: Error) -> Ended {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return Ended::trapped(Trap::TableOutOfBounds);
    }
    let Some(code) = error.as_trap_code() else { panic!("{error:?}") };
    Ended::trapped(match code {
        TrapCode::UnreachableCodeReached => Trap::UnreachableCodeReached,
        TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => Trap::TableOutOfBounds,
        TrapCode::IndirectCallToNull => Trap::IndirectCallToNull,
        TrapCode::IntegerDivisionByZero => Trap::IntegerDivisionByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::BadConversionToInteger,
        TrapCode::BadSignature => Trap::BadSignature,
        _ => return Ended::Exhausted,
    })
}
