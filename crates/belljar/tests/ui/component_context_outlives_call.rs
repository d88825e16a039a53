//! A host function of a component cannot keep the store after its call.

use belljar::StoreContextMut;
use belljar::component::Linker;
use std::sync::Mutex;

fn keeps(linker: &mut Linker<()>) {
    let kept: Mutex<Option<StoreContextMut<'static, ()>>> = Mutex::new(None);
    linker
        .root()
        .func_wrap("keep", move |store: StoreContextMut<'_, ()>, (): ()| {
            *kept.lock().unwrap() = Some(store);
            Ok(())
        })
        .unwrap();
}

fn main() {}
