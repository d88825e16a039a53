//! A host that passes data to a guest and gets data back, in memory from the guest's own allocator; and the error
//! for a host that writes to address 0 instead.
//!
//! `cargo run -p belljar-examples --example guest_buffers`

use belljar::{Config, Engine, GuestAlloc, Instance, Module, Result, Store};

/// What a compiler makes of a small library in C or Rust: a stack, static data, an allocator, and `shout`, which returns a new
/// string for the caller to free.
const GUEST: &str = r#"(module
    (memory (export "memory") 2)
    (global $__stack_pointer (mut i32) (i32.const 65536))
    (data (i32.const 65536) "tables, strings, variables")
    (global (export "__heap_base") i32 (i32.const 66000))
    (global $top (mut i32) (i32.const 66000))
    (func $malloc (export "malloc") (param $size i32) (result i32)
        (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get $size))))
    (func (export "free") (param i32))
    (func (export "shout") (param $text i32) (param $length i32) (result i32 i32) (local $at i32) (local $i i32)
        (local.set $at (call $malloc (local.get $length)))
        (loop $next
            (i32.store8 (i32.add (local.get $at) (local.get $i))
                (i32.and (i32.const 0xdf) (i32.load8_u (i32.add (local.get $text) (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
        (local.get $at) (local.get $length)))"#;

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().host_write_check(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let shout = instance.get_typed_func::<(u32, u32), (u32, u32)>(&mut store, "shout")?;

    // The wrong way: the memory at address 0 belongs to the guest.
    let memory = instance.get_memory(&mut store, "memory").expect("a memory");
    let error = memory.write(&mut store, 0, b"hello").expect_err("the guest's stack is there");
    println!("{error}");

    // The right way: the guest allocates, the host writes, the guest reads.
    let alloc = GuestAlloc::find(&mut store, instance)?;
    let text = alloc.alloc_bytes(&mut store, b"hello")?;
    let (at, length) = shout.call(&mut store, text.as_params()?)?;
    // The host now owns what the guest returned.
    let reply = alloc.adopt(&mut store, at, length)?;
    println!("the guest says {}", String::from_utf8_lossy(reply.bytes(&store)?));
    text.free(&mut store)?;
    reply.free(&mut store)?;
    Ok(())
}
