//! The `spectest` module that scripts import: the reference interpreter's values and functions.

use belljar::{
    Engine, Global, GlobalType, Linker, Memory, MemoryType, Mutability, Ref, RefType, Result, SharedMemory,
    Store, Table, TableType, Val, ValType,
};

const MODULE: &str = "spectest";

/// Creates a linker that defines `spectest`. Its functions take their arguments and print nothing.
pub(super) fn linker(engine: &Engine, store: &mut Store<()>) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    linker.func_wrap(MODULE, "print", || {})?;
    linker.func_wrap(MODULE, "print_i32", |_: i32| {})?;
    linker.func_wrap(MODULE, "print_i64", |_: i64| {})?;
    linker.func_wrap(MODULE, "print_f32", |_: f32| {})?;
    linker.func_wrap(MODULE, "print_f64", |_: f64| {})?;
    linker.func_wrap(MODULE, "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap(MODULE, "print_f64_f64", |_: f64, _: f64| {})?;
    for (name, ty, value) in [
        ("global_i32", ValType::I32, Val::from(666_i32)),
        ("global_i64", ValType::I64, Val::from(666_i64)),
        ("global_f32", ValType::F32, Val::from(666.6_f32)),
        ("global_f64", ValType::F64, Val::from(666.6_f64)),
    ] {
        let global = Global::new(&mut *store, GlobalType::new(ty, Mutability::Const), value)?;
        linker.define(&mut *store, MODULE, name, global)?;
    }
    let table = Table::new(&mut *store, TableType::new(RefType::FUNCREF, 10, Some(20)), Ref::Func(None))?;
    linker.define(&mut *store, MODULE, "table", table)?;
    let table = Table::new(&mut *store, TableType::new64(RefType::FUNCREF, 10, Some(20)), Ref::Func(None))?;
    linker.define(&mut *store, MODULE, "table64", table)?;
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(2)))?;
    linker.define(&mut *store, MODULE, "memory", memory)?;
    let memory = SharedMemory::new(engine, MemoryType::shared(1, 2))?;
    linker.define(&mut *store, MODULE, "shared_memory", memory)?;
    Ok(linker)
}
