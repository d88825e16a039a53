//! The smallest embedding: compile, instantiate, call.
//!
//! `cargo run -p belljar-examples --example hello`

use belljar::{Engine, Instance, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module
            (func (export "gcd") (param $a i32) (param $b i32) (result i32) (local $t i32)
                (block $done
                    (loop $next
                        (br_if $done (i32.eqz (local.get $b)))
                        (local.set $t (i32.rem_u (local.get $a) (local.get $b)))
                        (local.set $a (local.get $b))
                        (local.set $b (local.get $t))
                        (br $next)))
                (local.get $a)))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let gcd = instance.get_typed_func::<(u32, u32), u32>(&mut store, "gcd")?;
    println!("gcd(1071, 462) = {}", gcd.call(&mut store, (1071, 462))?);
    Ok(())
}
