//! A `Caller` cannot be kept beyond the call.
use belljar::{Caller, Engine, Func, Store};
use std::sync::Mutex;

static KEPT: Mutex<Option<Caller<'static, ()>>> = Mutex::new(None);

fn main() {
    let mut store = Store::new(&Engine::default(), ());
    Func::wrap(&mut store, |caller: Caller<'_, ()>| {
        *KEPT.lock().unwrap() = Some(caller);
    });
}
