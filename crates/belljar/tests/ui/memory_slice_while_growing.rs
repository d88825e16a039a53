//! A mutable slice of a memory cannot be held while the host grows it.
use belljar::{Engine, Memory, MemoryType, Store};

fn main() {
    let mut store = Store::new(&Engine::default(), ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let slice = memory.data_mut(&mut store);
    memory.grow(&mut store, 1).unwrap();
    slice[0] = 1;
}
