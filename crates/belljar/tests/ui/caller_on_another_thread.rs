//! A guest that waits for a host function is not entered on another thread.
use belljar::{Caller, Engine, Extern, Linker};

fn main() {
    let mut linker: Linker<()> = Linker::new(&Engine::default());
    let call = |mut caller: Caller<'_, ()>| {
        let run = caller.get_export("run").and_then(Extern::into_func).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| run.call(&mut caller, &[], &mut []).unwrap());
        });
    };
    linker.func_wrap("", "call", call).unwrap();
}
