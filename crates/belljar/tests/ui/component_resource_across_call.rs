//! A resource of the host's table cannot be used while the guest runs, nor after its store is gone.

use belljar::component::{Resource, ResourceTable, TypedFunc};
use belljar::{Engine, Store};

fn across_a_call(store: &mut Store<ResourceTable>, resource: &Resource<String>, func: TypedFunc<(), ()>) {
    let text: &String = store.data().get(resource).unwrap();
    func.call(&mut *store, ()).unwrap();
    println!("{text}");
}

fn after_the_store(resource: &Resource<String>) {
    let text = {
        let store = Store::new(&Engine::default(), ResourceTable::new());
        store.data().get(resource).unwrap()
    };
    println!("{text}");
}

fn main() {}
