//! Exceptions between host and guest: the host catches a guest's exception, and throws one that the guest catches.
//!
//! `cargo run -p belljar-examples --example exceptions`

use belljar::{
    Caller, Config, Engine, ExnRef, ExnRefPre, ExnType, Linker, Module, Result, Store, Tag, ThrownException,
    Val, ValType,
};

const GUEST: &str = r#"(module
    (import "shop" "sold_out" (tag $sold_out (param i32)))
    (import "shop" "buy" (func $buy (param i32)))
    (tag $no_money (export "no_money") (param i32 i32))

    ;; Buys what is there, and counts what is not.
    (func (export "shopping") (param $wanted i32) (result i32)
        (local $missing i32)
        (loop $next
            (block $sold_out (result i32)
                (try_table (catch $sold_out $sold_out) (call $buy (local.get $wanted)))
                (i32.const 0))
            (local.set $missing (i32.add (local.get $missing)))
            (br_if $next (local.tee $wanted (i32.sub (local.get $wanted) (i32.const 1)))))
        (local.get $missing))

    (func (export "pay") (param $price i32)
        (throw $no_money (local.get $price) (i32.const 3))))"#;

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_exceptions(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let carries = ExnType::new(&engine, [ValType::I32])?;
    let sold_out = Tag::new(&mut store, &carries.tag_type())?;
    let allocator = ExnRefPre::new(&mut store, carries);

    let mut linker = Linker::new(&engine);
    linker.define(&mut store, "shop", "sold_out", sold_out)?;
    linker.func_wrap("shop", "buy", move |mut caller: Caller<'_, ()>, article: i32| -> Result<()> {
        if article % 3 == 0 {
            // The guest gets this as an exception. Any other error would end its run.
            let exception = ExnRef::new(&mut caller, &allocator, &sold_out, &[Val::I32(1)])?;
            return caller.throw(exception);
        }
        Ok(())
    })?;
    let instance = linker.instantiate(&mut store, &module)?;

    let shopping = instance.get_typed_func::<i32, i32>(&mut store, "shopping")?;
    println!("of ten articles, {} were sold out", shopping.call(&mut store, 10)?);

    // An exception that no guest catches is an error here, with its tag and payload.
    let pay = instance.get_typed_func::<i32, ()>(&mut store, "pay")?;
    let error = pay.call(&mut store, 20).expect_err("it throws");
    let thrown = error.downcast_ref::<ThrownException>().expect("it throws an exception");
    if Some(thrown.tag(&mut store)?) == instance.get_tag(&mut store, "no_money") {
        let fields = thrown.fields(&mut store)?;
        println!("the guest has {} and needs {}", fields[1].unwrap_i32(), fields[0].unwrap_i32());
    }
    Ok(())
}
