//! A slice of a memory cannot be held while the guest runs, which might grow the memory.
use belljar::{Engine, Instance, Memory, Module, Store};

fn run(store: &mut Store<()>, instance: Instance, memory: Memory) {
    let f = instance.get_typed_func::<(), ()>(&mut *store, "f").unwrap();
    let slice = memory.data(&*store);
    f.call(&mut *store, ()).unwrap();
    println!("{}", slice[0]);
}

fn main() {
    let engine = Engine::default();
    let module = Module::new(&engine, "(module (memory (export \"m\") 1) (func (export \"f\")))").unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let memory = instance.get_memory(&mut store, "m").unwrap();
    run(&mut store, instance, memory);
}
