//! Functions for stores with one kind of data cannot be used with another.
use belljar::{Caller, Engine, Linker, Module, Store};

fn main() {
    let engine = Engine::default();
    let mut linker: Linker<String> = Linker::new(&engine);
    linker.func_wrap("a", "b", |caller: Caller<'_, String>| println!("{}", caller.data())).unwrap();
    let module = Module::new(&engine, "(module)").unwrap();
    let mut store = Store::new(&engine, 5_u32);
    linker.instantiate(&mut store, &module).unwrap();
}
