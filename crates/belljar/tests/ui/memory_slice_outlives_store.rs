//! A slice of a memory cannot outlive the store.
use belljar::{Engine, Memory, MemoryType, Store};

fn main() {
    let slice;
    {
        let mut store = Store::new(&Engine::default(), ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        slice = memory.data(&store);
    }
    println!("{}", slice.len());
}
