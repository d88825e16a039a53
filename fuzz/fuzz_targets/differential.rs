//! The same calls here and in wasmi: the same results, the same traps, the same memory and globals after.
#![no_main]

use arbitrary::Unstructured;
use belljar::{Extern, Module, Trap, Val};
use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let reserved = u.arbitrary().unwrap_or(true);
    let Ok(wasm) = belljar_fuzz::module(&mut u, true) else { return };
    let mut ours = Ours::new(&wasm, reserved);
    let mut theirs = Theirs::new(&wasm);
    let (Some(ours), Some(theirs)) = (&mut ours, &mut theirs) else {
        // A start function or segment that fails in one, fails in the other.
        assert_eq!(ours.is_some(), theirs.is_some(), "only one engine could instantiate");
        return;
    };
    for name in ours.functions() {
        let seed = u.arbitrary().unwrap_or(0);
        let (a, b) = (ours.call(&name, seed), theirs.call(&name, seed));
        match (a, b) {
            // What fuel and stack amount to differs from engine to engine; what follows means nothing.
            (Outcome::Exhausted, _) | (_, Outcome::Exhausted) => return,
            (a, b) => assert_eq!(a, b, "{name}"),
        }
        assert_eq!(ours.state(), theirs.state(), "state after {name}");
    }
});

#[derive(Debug, PartialEq)]
enum Outcome {
    Returned(Vec<Plain>),
    Trapped(&'static str),
    Exhausted,
}

/// A value as both engines can tell it.
#[derive(Debug, PartialEq)]
enum Plain {
    Bits32(u32),
    Bits64(u64),
    Bits128(u128),
    Reference { null: bool },
}

/// A memory's or global's contents, by export name.
type State = Vec<(String, Vec<u8>)>;

/// Some argument of each type, the same for both engines.
fn bits(seed: u64, i: usize) -> u64 {
    const INTERESTING: [u64; 8] =
        [0, 1, u64::MAX, 0x8000_0000, 0x7fff_ffff, 1 << 63, 65535, 0x3ff0_0000_0000_0000];
    INTERESTING[(seed as usize).wrapping_add(i * 3) % INTERESTING.len()] ^ (seed >> 32)
}

struct Ours {
    store: belljar::Store<belljar::StoreLimits>,
    instance: belljar::Instance,
}

impl Ours {
    fn new(wasm: &[u8], reserved: bool) -> Option<Self> {
        let engine = belljar_fuzz::engine(reserved);
        let module = Module::new(engine, wasm).expect("a valid module compiles");
        let mut store = belljar_fuzz::store(engine);
        let instance = belljar::Instance::new(&mut store, &module, &[]).ok()?;
        Some(Self { store, instance })
    }

    fn exports(&self) -> Vec<(String, Extern)> {
        self.instance.exports(&self.store).map(|e| (e.name().to_string(), e.into_extern())).collect()
    }

    fn functions(&self) -> Vec<String> {
        self.exports().into_iter().filter(|(_, e)| matches!(e, Extern::Func(_))).map(|(n, _)| n).collect()
    }

    fn call(&mut self, name: &str, seed: u64) -> Outcome {
        let func = self.instance.get_func(&mut self.store, name).expect("an exported function");
        let ty = func.ty(&self.store);
        let params: Vec<Val> = ty
            .params()
            .enumerate()
            .filter_map(|(i, ty)| {
                let bits = bits(seed, i);
                Some(match ty {
                    belljar::ValType::I32 => Val::I32(bits as i32),
                    belljar::ValType::I64 => Val::I64(bits as i64),
                    belljar::ValType::F32 => Val::F32(bits as u32),
                    belljar::ValType::F64 => Val::F64(bits),
                    belljar::ValType::V128 => Val::V128(u128::from(bits).into()),
                    other => Val::default_for_ty(&other)?,
                })
            })
            .collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        self.store.set_fuel(belljar_fuzz::FUEL).expect("fuel is counted");
        match func.call(&mut self.store, &params, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(plain).collect()),
            Err(error) => match error.downcast_ref::<Trap>() {
                Some(Trap::OutOfFuel | Trap::StackOverflow) => Outcome::Exhausted,
                // wasmi does not tell these two apart.
                Some(Trap::UndefinedElement) => Outcome::Trapped(Trap::TableOutOfBounds.row().spec),
                Some(trap) => Outcome::Trapped(trap.row().spec),
                None => panic!("{error:?}"),
            },
        }
    }

    fn state(&mut self) -> State {
        let mut state = Vec::new();
        for (name, export) in self.exports() {
            match export {
                Extern::Memory(memory) => state.push((name, memory.data(&self.store).to_vec())),
                Extern::Global(global) => match plain(&global.get(&mut self.store)) {
                    Plain::Bits32(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Bits64(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Bits128(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Reference { null } => state.push((name, vec![u8::from(null)])),
                },
                _ => {}
            }
        }
        state.sort();
        state
    }
}

fn plain(value: &Val) -> Plain {
    match *value {
        Val::I32(v) => Plain::Bits32(v as u32),
        Val::I64(v) => Plain::Bits64(v as u64),
        Val::F32(v) => Plain::Bits32(v),
        Val::F64(v) => Plain::Bits64(v),
        Val::V128(v) => Plain::Bits128(v.as_u128()),
        other => Plain::Reference { null: other.as_ref().is_none_or(|r| r.is_null()) },
    }
}

struct Theirs {
    store: wasmi::Store<wasmi::StoreLimits>,
    instance: wasmi::Instance,
}

impl Theirs {
    fn new(wasm: &[u8]) -> Option<Self> {
        static ENGINE: OnceLock<wasmi::Engine> = OnceLock::new();
        let engine = ENGINE.get_or_init(|| {
            let mut config = wasmi::Config::default();
            config.consume_fuel(true);
            wasmi::Engine::new(&config)
        });
        let module = wasmi::Module::new(engine, belljar_fuzz::for_wasmi(wasm))
            .expect("a valid module compiles in wasmi");
        let limits = wasmi::StoreLimitsBuilder::new().memory_size(16 << 20).table_elements(100_000).build();
        let mut store = wasmi::Store::new(engine, limits);
        store.limiter(|limits| limits);
        store.set_fuel(belljar_fuzz::FUEL * 10).expect("fuel is counted");
        let instance = wasmi::Linker::new(engine).instantiate_and_start(&mut store, &module).ok()?;
        Some(Self { store, instance })
    }

    fn call(&mut self, name: &str, seed: u64) -> Outcome {
        let func = self.instance.get_func(&self.store, name).expect("an exported function");
        let ty = func.ty(&self.store);
        let params: Vec<wasmi::Val> = ty
            .params()
            .iter()
            .enumerate()
            .map(|(i, ty)| {
                let bits = bits(seed, i);
                match ty {
                    wasmi::ValType::I32 => wasmi::Val::I32(bits as i32),
                    wasmi::ValType::I64 => wasmi::Val::I64(bits as i64),
                    wasmi::ValType::F32 => wasmi::Val::F32(wasmi::F32::from_bits(bits as u32)),
                    wasmi::ValType::F64 => wasmi::Val::F64(wasmi::F64::from_bits(bits)),
                    wasmi::ValType::V128 => wasmi::Val::V128(wasmi::V128::from(u128::from(bits))),
                    other => wasmi::Val::default_for_ty(*other),
                }
            })
            .collect();
        let mut results: Vec<wasmi::Val> =
            ty.results().iter().map(|ty| wasmi::Val::default_for_ty(*ty)).collect();
        self.store.set_fuel(belljar_fuzz::FUEL * 10).expect("fuel is counted");
        match func.call(&mut self.store, &params, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(their_plain).collect()),
            Err(error) => match error.as_trap_code() {
                Some(code) => trapped(code),
                None => panic!("{error:?}"),
            },
        }
    }

    fn state(&mut self) -> State {
        let mut state = Vec::new();
        for export in self.instance.exports(&self.store) {
            let name = export.name().to_string();
            match export.into_extern() {
                wasmi::Extern::Memory(memory) => state.push((name, memory.data(&self.store).to_vec())),
                wasmi::Extern::Global(global) => match their_plain(&global.get(&self.store)) {
                    Plain::Bits32(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Bits64(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Bits128(b) => state.push((name, b.to_le_bytes().to_vec())),
                    Plain::Reference { null } => state.push((name, vec![u8::from(null)])),
                },
                _ => {}
            }
        }
        state.sort();
        state
    }
}

fn their_plain(value: &wasmi::Val) -> Plain {
    match value {
        wasmi::Val::I32(v) => Plain::Bits32(*v as u32),
        wasmi::Val::I64(v) => Plain::Bits64(*v as u64),
        wasmi::Val::F32(v) => Plain::Bits32(v.to_bits()),
        wasmi::Val::F64(v) => Plain::Bits64(v.to_bits()),
        wasmi::Val::V128(v) => Plain::Bits128(v.as_u128()),
        wasmi::Val::FuncRef(r) => Plain::Reference { null: r.is_null() },
        wasmi::Val::ExternRef(r) => Plain::Reference { null: r.is_null() },
    }
}

fn trapped(code: wasmi::TrapCode) -> Outcome {
    let trap = match code {
        wasmi::TrapCode::UnreachableCodeReached => Trap::UnreachableCodeReached,
        wasmi::TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        wasmi::TrapCode::TableOutOfBounds => Trap::TableOutOfBounds,
        wasmi::TrapCode::IndirectCallToNull => Trap::IndirectCallToNull,
        wasmi::TrapCode::IntegerDivisionByZero => Trap::IntegerDivisionByZero,
        wasmi::TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        wasmi::TrapCode::BadConversionToInteger => Trap::BadConversionToInteger,
        wasmi::TrapCode::BadSignature => Trap::BadSignature,
        _ => return Outcome::Exhausted,
    };
    Outcome::Trapped(trap.row().spec)
}
