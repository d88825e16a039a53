//! Two threads cannot use one store at once.
use belljar::{Engine, Func, Store};

fn main() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, || {});
    std::thread::scope(|scope| {
        scope.spawn(|| func.call(&mut store, &[], &mut []).unwrap());
        scope.spawn(|| func.call(&mut store, &[], &mut []).unwrap());
    });
}
