//! Data borrowed from a `Caller` cannot be held while the guest is called again.
use belljar::{Caller, Engine, Extern, Func, Store};

fn main() {
    let mut store = Store::new(&Engine::default(), vec![0]);
    Func::wrap(&mut store, |mut caller: Caller<'_, Vec<i32>>| {
        let func = caller.get_export("f").and_then(Extern::into_func).unwrap();
        let data = caller.data_mut();
        func.call(&mut caller, &[], &mut []).unwrap();
        data.push(1);
    });
}
