//! The guest owns its memory: the host uses the guest's allocator, or an error tells what it would have overwritten.

use belljar::{
    Caller, Config, Engine, Error, GuestAlloc, GuestBuf, Instance, Linker, Memory, MemoryAccessError,
    MemoryFault, MemoryType, Module, Result, SandboxTemplate, Store, StoreLimits, StoreLimitsBuilder, Trap,
    Trust, UserKey, WasmParams, WasmResults,
};

const KB: usize = 1024;
const GB: usize = 1 << 30;

/// Laid out as linkers do: stack, static data, heap. It sums up what the host writes, and counts through a pointer in
/// static data, at 1032 KB.
const GUEST: &str = r#"(module
    (import "host" "fill" (func $fill (param i32 i32)))
    (memory (export "memory") 17)
    (global $__stack_pointer (mut i32) (i32.const 0x100000))
    (global $last (mut i32) (i32.const 0))
    (global $top (mut i32) (i32.const 0x102400))
    (global (export "__data_end") i32 (i32.const 0x102400))
    (global (export "__heap_base") i32 (i32.const 0x102400))
    (global $frees (mut i32) (i32.const 0))
    (data (i32.const 0x100000) "settings")
    (data (i32.const 0x102000) "\00\01\10\00")

    (func $malloc (export "malloc") (param $size i32) (result i32) (local $at i32) (local $end i64)
        (local.set $at (i32.add (global.get $top) (i32.const 16)))
        (local.set $end (i64.and (i64.const -16) (i64.add (i64.const 15)
            (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $size))))))
        (if (i64.gt_u (local.get $end) (i64.const 0xffff0000)) (then (return (i32.const 0))))
        (if (i64.gt_u (local.get $end) (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16))) (then
            (if (i32.eq (i32.const -1) (memory.grow (i32.sub
                    (i32.wrap_i64 (i64.shr_u (i64.add (local.get $end) (i64.const 0xffff)) (i64.const 16)))
                    (memory.size))))
                (then (return (i32.const 0))))))
        (i32.store (i32.sub (local.get $at) (i32.const 16)) (global.get $last))
        (global.set $last (local.get $at))
        (global.set $top (i32.wrap_i64 (local.get $end)))
        (local.get $at))
    ;; The last one is used again.
    (func $free (export "free") (param $at i32)
        (global.set $frees (i32.add (global.get $frees) (i32.const 1)))
        (if (i32.eq (local.get $at) (global.get $last)) (then
            (global.set $top (i32.sub (local.get $at) (i32.const 16)))
            (global.set $last (i32.load (global.get $top))))))
    (func (export "frees") (result i32) (global.get $frees))

    (func (export "sum") (param $at i32) (param $length i32) (result i64) (local $sum i64) (local $end i32)
        (local $calls i32)
        (local.set $calls (i32.load (i32.const 0x102000)))
        (i32.store (local.get $calls) (i32.add (i32.load (local.get $calls)) (i32.const 1)))
        (local.set $end (i32.add (local.get $at) (local.get $length)))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br $next)))
        (local.get $sum))
    (func (export "greeting") (result i32 i32) (local $at i32)
        (local.set $at (call $malloc (i32.const 5)))
        (i64.store (local.get $at) (i64.const 0x6f6c6c6568))
        (local.get $at) (i32.const 5))
    (func $recurse (export "recurse")
        (global.set $__stack_pointer (i32.sub (global.get $__stack_pointer) (i32.const 4096)))
        (i32.store offset=8 (global.get $__stack_pointer) (i32.const 1))
        (call $recurse)
        (global.set $__stack_pointer (i32.add (global.get $__stack_pointer) (i32.const 4096))))
    ;; Has the host write where it says, with a frame of 256 bytes.
    (func (export "have_filled") (param $at i32) (param $length i32)
        (global.set $__stack_pointer (i32.sub (global.get $__stack_pointer) (i32.const 256)))
        (call $fill (local.get $at) (local.get $length))
        (global.set $__stack_pointer (i32.add (global.get $__stack_pointer) (i32.const 256)))))"#;

struct Host {
    limits: StoreLimits,
}

struct Guest {
    store: Store<Host>,
    instance: Instance,
    memory: Memory,
}

fn fill(mut caller: Caller<'_, Host>, at: u32, length: u32) -> Result<()> {
    let memory = caller.get_export("memory").and_then(belljar::Extern::into_memory).expect("a memory");
    memory.write(&mut caller, at as usize, &vec![1; length as usize])?;
    Ok(())
}

fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "fill", fill)?;
    Ok(linker)
}

fn host() -> Host {
    Host { limits: StoreLimitsBuilder::new().memory_size(GB).build() }
}

impl Guest {
    fn new(config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let module = Module::new(&engine, GUEST)?;
        Self::of(&engine, &module)
    }

    fn of(engine: &Engine, module: &Module) -> Result<Self> {
        let mut store = Store::new(engine, host());
        store.limiter(|host| &mut host.limits);
        let instance = linker(engine)?.instantiate(&mut store, module)?;
        let memory = instance.get_memory(&mut store, "memory").expect("a memory");
        Ok(Self { store, instance, memory })
    }

    fn checked() -> Result<Self> {
        Self::new(Config::new().host_write_check(true))
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }

    fn alloc(&mut self) -> Result<GuestAlloc> {
        GuestAlloc::find(&mut self.store, self.instance)
    }
}

/// Instantiates a module without imports that exports an allocator.
fn instance(store: &mut Store<()>, wat: &str) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, &[])
}

fn message(error: impl Into<Error>) -> String {
    format!("{:#}", error.into())
}

#[test]
fn a_write_at_zero_breaks_where_the_guest_has_its_data() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let mut sum = |size: usize| -> Result<i64> {
        guest.memory.write(&mut guest.store, 0, &vec![b'A'; size])?;
        guest.call("sum", (0, size as u32))
    };
    let of_as = |size: usize| (size as i64 / 8).wrapping_mul(0x4141_4141_4141_4141);
    for size in [1, 500, 1024] {
        assert_eq!(sum(size * KB)?, of_as(size * KB), "{size} KB");
    }
    // The guest counts in memory that it assumes to be its own.
    assert_eq!(sum(1032 * KB)?, of_as(1032 * KB) + 1);
    let error = sum(1033 * KB).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
    let fault = error.downcast_ref::<MemoryFault>().expect("a fault").to_string();
    let expected = "4 bytes at 0x41414141, memory 0 is 17 pages (1088 KiB); \
        the address reads as the text \"AAAA\": was text written over a pointer?";
    assert_eq!(fault, expected);
    Ok(())
}

#[test]
fn the_check_says_what_a_write_would_overwrite() -> Result<()> {
    let mut guest = Guest::checked()?;
    let Guest { store, memory, .. } = &mut guest;
    let mut refusal = |at: usize, length: usize| -> String {
        let before = memory.data(&*store).to_vec();
        let error = memory.write(&mut *store, at, &vec![b'A'; length]).unwrap_err();
        assert!(!error.is_out_of_bounds());
        assert!(memory.data(&*store) == before, "something was written");
        error.to_string()
    };
    let expected = "a host write of 1033 KiB at 0x0 was refused: at 0x0 is the guest's stack: 0x0..0x100000, because \
        __stack_pointer starts at 0x100000. Request memory from the guest's allocator and write there \
        (GuestAlloc), or declare that the guest expects the write (Memory::declare)";
    assert_eq!(refusal(0, 1033 * KB), expected);
    let places = [
        (0xffff0, "at 0xffff0 is the guest's stack: 0x0..0x100000,"),
        (0x100007, "at 0x100007 is the guest's static data: data segment 0, 0x100000..0x100008."),
        (
            0x100008,
            "at 0x100008 is the guest's static data, initially zero: it ends at 0x102400, according to __data_end.",
        ),
        (0x102003, "at 0x102003 is the guest's static data: data segment 1, 0x102000..0x102004."),
        (
            0x102400,
            "at 0x102400 is the guest's heap, which begins at 0x102400, and not memory that was allocated for the host.",
        ),
    ];
    for (at, expected) in places {
        let said = refusal(at, 1);
        assert!(said.contains(expected), "{said}");
    }
    let error = memory.write(&mut *store, 17 << 16, b"!").unwrap_err();
    assert!(error.is_out_of_bounds());
    memory.write(&mut *store, 17 << 16, b"")?;
    Ok(())
}

#[test]
fn the_right_way_works_up_to_the_limit() -> Result<()> {
    for checked in [false, true] {
        let mut guest = Guest::new(Config::new().host_write_check(checked))?;
        let alloc = guest.alloc()?;
        let (heap, header) = (0x102400, 16);
        let all = GB - heap - header;
        for size in [1, 500, 1032, 1033, 1100, 5000, 100_000].map(|kb| kb * KB).into_iter().chain([all]) {
            let buffer = alloc.alloc(&mut guest.store, size, 8)?;
            // Not every page, so that the test does not need all that memory.
            let places: Vec<usize> = (0..size - 8).step_by(MB).chain([size - 8]).collect();
            for at in &places {
                buffer.write(&mut guest.store, *at, &1_u64.to_le_bytes())?;
            }
            let (at, length) = buffer.as_params::<u32>()?;
            assert_eq!(guest.call::<_, i64>("sum", (at, length))?, places.len() as i64, "{size} bytes");
            for at in &places {
                buffer.write(&mut guest.store, *at, &[0; 8])?;
            }
            buffer.free(&mut guest.store)?;
        }
        assert_eq!(guest.memory.data_size(&guest.store), GB);
        let said = message(alloc.alloc(&mut guest.store, all + 16, 8).unwrap_err());
        let expected = "the guest's `malloc` was asked for 1047543 KiB and returned 0x0: that is null: the guest has no memory left \
            for it; the memory has 16384 pages (1 GiB)";
        assert_eq!(said, expected);
        assert_eq!(guest.call::<_, i32>("frees", ())?, 8);
    }
    Ok(())
}

const MB: usize = 1 << 20;

#[test]
fn what_the_guest_handed_out_may_be_written() -> Result<()> {
    let mut guest = Guest::checked()?;
    let alloc = guest.alloc()?;
    let Guest { store, memory, .. } = &mut guest;
    let first = alloc.alloc(&mut *store, 16, 1)?;
    let at = first.ptr() as usize;
    memory.write(&mut *store, at, &[1; 16])?;
    assert!(memory.write(&mut *store, at, &[1; 17]).is_err());
    assert!(memory.write(&mut *store, at - 1, &[1; 2]).is_err());
    // It is not freed until the guest is called.
    drop(first);
    memory.write(&mut *store, at, &[2; 16])?;
    alloc.release(&mut *store)?;
    assert!(memory.write(&mut *store, at, &[2; 16]).is_err());

    let kept = alloc.alloc(&mut *store, 16, 1)?;
    assert_eq!(kept.ptr() as usize, at);
    assert_eq!(kept.give_to_guest::<i32>(&mut *store)?, (at as i32, 16));
    assert!(memory.write(&mut *store, at, &[2; 16]).is_err(), "it is the guest's now");

    memory.declare(&mut *store, 0x100000..0x100008);
    memory.write(&mut *store, 0x100000, b"mailbox!")?;
    memory.undeclare(&mut *store, 0x100004..0x100006);
    memory.write(&mut *store, 0x100000, b"mail")?;
    assert!(memory.write(&mut *store, 0x100000, b"mailbox!").is_err());

    // Pages that the host adds belong to the host.
    let added = memory.grow(&mut *store, 1)? as usize * 65536;
    memory.write(&mut *store, added, &[1; 65536])?;
    assert!(memory.write(&mut *store, added - 1, &[1; 2]).is_err());

    // Writes through the slice cannot be checked.
    memory.data_mut(&mut *store)[0] = 1;

    // A memory that belongs to the host.
    let own = Memory::new(&mut *store, MemoryType::new(1, None))?;
    own.write(&mut *store, 0, b"anything")?;
    Ok(())
}

#[test]
fn a_running_guest_is_believed_but_for_its_dead_stack() -> Result<()> {
    let mut guest = Guest::checked()?;
    // Its frame, static data, and heap.
    for at in [0x100000 - 256, 0x100000, 0x102000, 0x102400] {
        guest.call::<_, ()>("have_filled", (at, 4))?;
    }
    guest.call::<_, ()>("have_filled", (0xff000, 0))?;
    let error = guest.call::<_, ()>("have_filled", (0xfff00 - 4, 8)).unwrap_err();
    let said = error.downcast_ref::<MemoryAccessError>().expect("the host's error").to_string();
    let expected = "a host write of 8 bytes at 0xffefc was refused: at 0xffefc is the unused part of the guest's stack, \
        0x0..0xfff00, because __stack_pointer is 0xfff00: the guest's next call overwrites it. Write to an address that the guest \
        passed, or request memory from its allocator (GuestAlloc)";
    assert_eq!(said, expected);
    guest.memory.declare(&mut guest.store, 0..0xf00000);
    guest.call::<_, ()>("have_filled", (0, 8))?;
    Ok(())
}

#[test]
fn a_stack_above_zeroed_data_may_begin_anywhere() -> Result<()> {
    let engine = Engine::new(Config::new().host_write_check(true))?;
    let wat = |symbols: &str| {
        format!(
            r#"(module (import "" "write" (func $write (param i32))) (memory (export "memory") 2)
                (global $__stack_pointer (mut i32) (i32.const 0x10000)) {symbols}
                (data (i32.const 1024) "data")
                (func (export "run") (param i32) (call $write (local.get 0))))"#
        )
    };
    let run = |symbols: &str, at: i32| -> Result<()> {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.func_wrap("", "write", |mut caller: Caller<'_, ()>, at: i32| -> Result<()> {
            let memory =
                caller.get_export("memory").and_then(belljar::Extern::into_memory).expect("a memory");
            Ok(memory.write(&mut caller, at as usize, b"!")?)
        })?;
        let instance = linker.instantiate(&mut store, &Module::new(&engine, wat(symbols))?)?;
        instance.get_typed_func::<i32, ()>(&mut store, "run")?.call(&mut store, at)
    };
    // Zeroed data may lie there, and the guest may have passed its address.
    run("", 0x2000)?;
    let data_end = r#"(global (export "__data_end") i32 (i32.const 0x2000))"#;
    run(data_end, 0x1fff)?;
    assert!(run(data_end, 0x2000).is_err());
    Ok(())
}

#[test]
fn of_a_loaded_module_the_check_knows_where_data_lies() -> Result<()> {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    let engine = Engine::new(config.host_write_check(true))?;
    let data = "x".repeat(40_000);
    let wat = format!(r#"(module (memory (export "memory") 1) (data (i32.const 5000) "{data}"))"#);
    let artifact = Module::new(&engine, wat)?.serialize()?;
    let module = Module::deserialize(&engine, &artifact)?;
    let mut store = Store::new(&engine, ());
    let memory = Instance::new(&mut store, &module, &[])?.get_memory(&mut store, "memory").expect("a memory");
    let said = memory.write(&mut store, 6000, b"!").unwrap_err().to_string();
    assert!(said.contains("the guest's static data: data segments within 0x1388..0xafc8"), "{said}");
    let said = memory.write(&mut store, 0, b"!").unwrap_err().to_string();
    assert!(said.contains("at 0x0 is memory of the guest that it has not handed out"), "{said}");
    Ok(())
}

/// The allocating function returns the value of a global, or traps.
const HOSTILE: &str = r#"(module (memory (export "memory") 1)
    (global (export "answer") (mut i32) (i32.const 0))
    (func (export "malloc") (param i32) (result i32)
        (if (i32.eq (global.get 0) (i32.const -1)) (then unreachable)) (global.get 0))
    (func (export "free") (param i32) (if (i32.eq (global.get 0) (i32.const -1)) (then unreachable))))"#;

#[test]
fn the_guest_s_allocator_is_not_believed() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let instance = instance(&mut store, HOSTILE)?;
    let alloc = GuestAlloc::find(&mut store, instance)?;
    let answer = instance.get_global(&mut store, "answer").expect("a global");
    let ask = |store: &mut Store<()>, returned: i32, len: usize, align: usize| -> Result<GuestBuf> {
        answer.set(&mut *store, belljar::Val::I32(returned))?;
        alloc.alloc(store, len, align)
    };
    let cases = [
        (
            0,
            8,
            8,
            "returned 0x0: that is null: the guest has no memory left for it; the memory has 1 page (64 KiB)",
        ),
        (65536, 8, 8, "returned 0x10000: that is out of bounds: the memory has 1 page (64 KiB)"),
        (65530, 8, 1, "returned 0xfffa: that is out of bounds: the memory has 1 page (64 KiB)"),
        (-8, 8, 8, "returned 0xfffffff8: that is out of bounds: the memory has 1 page (64 KiB)"),
        (1001, 8, 4, "returned 0x3e9: that is not aligned to 4 bytes"),
        (
            1000,
            1 << 20,
            8,
            "asked for 1 MiB and returned 0x3e8: that is out of bounds: the memory has 1 page (64 KiB)",
        ),
        (-16, 8, 4096, "asked for 4104 bytes and returned 0xfffffff0: that is out of bounds"),
    ];
    for (returned, len, align, expected) in cases {
        let said = message(ask(&mut store, returned, len, align).unwrap_err());
        assert!(said.contains(expected), "{said}");
    }
    for (len, align) in [(8, 0), (8, 3), (5 << 30, 8), (usize::MAX, 8), (usize::MAX, 64)] {
        assert!(ask(&mut store, 1000, len, align).is_err());
    }
    let error = ask(&mut store, -1, 8, 8).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    assert!(message(error).contains("the guest's `malloc` did not return memory"));

    let first = ask(&mut store, 1000, 100, 8)?;
    for returned in [1000, 960, 1096, 1048] {
        let said = message(ask(&mut store, returned, 64, 8).unwrap_err());
        assert!(said.contains("that overlaps 0x3e8..0x44c, which the host owns and has not freed"), "{said}");
    }
    let beside = [ask(&mut store, 936, 64, 8)?, ask(&mut store, 1104, 64, 8)?];
    beside[0].write(&mut store, 0, &[1; 64])?;
    first.write(&mut store, 0, &[2; 100])?;
    assert_eq!(beside[0].bytes(&store)?, [1; 64]);

    // The freeing function traps: it is called only once.
    answer.set(&mut store, belljar::Val::I32(-1))?;
    let said = message(first.free(&mut store).unwrap_err());
    assert!(said.contains("the guest's `free` failed to free 100 bytes at 0x3e8"), "{said}");
    drop(beside);
    assert!(alloc.release(&mut store).is_err());
    assert!(alloc.release(&mut store).is_err());
    alloc.release(&mut store)?;
    Ok(())
}

#[test]
fn a_large_alignment_is_made_by_asking_for_more() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let alloc = guest.alloc()?;
    let buffer = alloc.alloc(&mut guest.store, 100, 4096)?;
    assert_eq!((buffer.ptr() % 4096, buffer.len()), (0, 100));
    buffer.bytes_mut(&mut guest.store)?.fill(7);
    let said = message(buffer.give_to_guest::<u32>(&mut guest.store).unwrap_err());
    assert!(said.contains("the guest could not free it"), "{said}");
    alloc.release(&mut guest.store)?;
    // The whole allocation was freed.
    assert_eq!(alloc.alloc(&mut guest.store, 8, 8)?.ptr(), 0x102410);
    Ok(())
}

#[test]
fn what_is_dropped_is_freed_at_the_next_use() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let alloc = guest.alloc()?;
    let buffers: Vec<GuestBuf> =
        (0..5).map(|i| alloc.alloc(&mut guest.store, 1 + i, 1)).collect::<Result<_>>()?;
    drop(buffers);
    assert_eq!(guest.call::<_, i32>("frees", ())?, 0, "nothing is called by a drop");
    let next = alloc.alloc(&mut guest.store, 10, 1)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 5);
    let copy = next.allocator();
    std::thread::spawn(move || drop(next)).join().expect("a drop on another thread");
    copy.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 6);
    alloc.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 6, "once each");
    Ok(())
}

/// In any order, buffers keep their contents, and each is freed once.
#[test]
fn buffers_come_and_go_in_any_order() -> Result<()> {
    let mut guest = Guest::checked()?;
    let alloc = guest.alloc()?;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut live: Vec<(GuestBuf, u8)> = Vec::new();
    let mut made = 0;
    for round in 0..2000_u32 {
        if random(2) == 0 || live.is_empty() {
            let buffer = alloc.alloc(&mut guest.store, random(3000) + 1, 1 << random(7))?;
            guest.memory.write(&mut guest.store, buffer.ptr() as usize, &vec![round as u8; buffer.len()])?;
            live.push((buffer, round as u8));
            made += 1;
            continue;
        }
        let (buffer, byte) = live.swap_remove(random(live.len()));
        assert!(buffer.bytes(&guest.store)?.iter().all(|it| *it == byte), "round {round}");
        match random(2) {
            0 => buffer.free(&mut guest.store)?,
            _ => drop(buffer),
        }
    }
    drop(live);
    alloc.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, made);
    Ok(())
}

#[test]
fn buffers_go_to_other_threads() {
    fn is_plain<T: Send + Sync>() {}
    is_plain::<GuestAlloc>();
    is_plain::<GuestBuf>();
}

#[test]
fn nothing_of_before_survives_a_wipe() -> Result<()> {
    let engine = Engine::new(Config::new().host_write_check(true))?;
    let pre = linker(&engine)?.instantiate_pre(&Module::new(&engine, GUEST)?)?;
    let mut sandbox = SandboxTemplate::new(pre, || Ok(host())).build()?;
    let (alloc, kept, dropped);
    {
        let mut session = sandbox.session()?;
        let instance = session.instance();
        alloc = GuestAlloc::find(session.store(), instance)?;
        kept = alloc.alloc_bytes(session.store(), b"secret")?;
        dropped = alloc.alloc_bytes(session.store(), b"secret")?;
        assert_eq!(kept.bytes(&*session.store())?, b"secret");
        assert_eq!(kept.ptr(), 0x102410);
    }
    let mut session = sandbox.session()?;
    let wiped = "created before the sandbox was reset";
    assert!(message(kept.bytes(&*session.store()).unwrap_err()).contains(wiped));
    assert!(message(kept.write(session.store(), 0, b"x").unwrap_err()).contains(wiped));
    assert!(message(kept.memory(session.store()).unwrap_err()).contains(wiped));
    assert!(message(alloc.alloc(session.store(), 1, 1).unwrap_err()).contains(wiped));
    assert!(message(alloc.adopt(session.store(), 1, 1).unwrap_err()).contains(wiped));
    drop(dropped);
    assert!(message(alloc.release(session.store()).unwrap_err()).contains(wiped));
    assert!(message(kept.free(session.store()).unwrap_err()).contains(wiped));

    let instance = session.instance();
    let memory = instance.get_memory(session.store(), "memory").expect("a memory");
    assert!(memory.write(session.store(), 0x102410, b"secret").is_err(), "nobody has handed that out now");
    let anew = GuestAlloc::find(session.store(), instance)?.alloc_bytes(session.store(), b"public")?;
    assert_eq!(anew.ptr(), 0x102410);
    assert_eq!(session.call::<_, i32>("frees", ())?, 0);

    let mut other = Store::new(&engine, host());
    let said = message(anew.write(&mut other, 0, b"x").unwrap_err());
    assert!(said.contains("a GuestBuf was used with a store that it does not belong to"), "{said}");
    Ok(())
}

#[test]
fn what_the_guest_returned_is_taken_over() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let alloc = guest.alloc()?;
    let (at, length) = guest.call::<_, (i32, i32)>("greeting", ())?;
    let greeting = alloc.adopt(&mut guest.store, at, length)?;
    assert_eq!(greeting.bytes(&guest.store)?, b"hello");
    let said = message(alloc.adopt(&mut guest.store, at + 4, 10).unwrap_err());
    assert!(
        said.contains(
            "the host cannot take ownership of 10 bytes at 0x102414: that overlaps 0x102410..0x102415"
        ),
        "{said}"
    );
    assert!(alloc.adopt(&mut guest.store, 0, 5).is_err());
    assert!(alloc.adopt(&mut guest.store, -4, 8).is_err());
    assert!(alloc.adopt_aligned(&mut guest.store, at + 9, 4, 4).is_err());
    assert!(alloc.adopt_aligned(&mut guest.store, at + 9, 4, 0).is_err());
    greeting.free(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 1);
    // The address of an empty allocation is meaningless.
    let nothing = alloc.adopt(&mut guest.store, 1, 0)?;
    assert!(nothing.is_empty() && nothing.bytes(&guest.store)?.is_empty());
    drop((nothing, alloc.alloc(&mut guest.store, 0, 64)?));
    alloc.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 1);
    Ok(())
}

#[test]
fn slices_have_types() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let alloc = guest.alloc()?;
    let store = &mut guest.store;
    let numbers = alloc.alloc_slice(&mut *store, &[1_u16, 2, 0x0403])?;
    assert_eq!(numbers.bytes(&*store)?, [1, 0, 2, 0, 3, 4]);
    assert_eq!(numbers.to_vec::<u16>(&*store)?, [1, 2, 0x0403]);
    assert_eq!(numbers.to_vec::<[u8; 3]>(&*store)?, [[1, 0, 2], [0, 3, 4]]);
    assert!(numbers.to_vec::<u32>(&*store).is_err());
    assert!(numbers.to_vec::<()>(&*store).is_err());
    numbers.write_slice(&mut *store, 1, &[0x0807_u16, 0x0a09])?;
    let mut two = [0_u16; 2];
    numbers.read_slice(&*store, 1, &mut two)?;
    assert_eq!(two, [0x0807, 0x0a09]);
    for (offset, length) in [(5, 2), (7, 0), (usize::MAX, 2), (0, 7)] {
        let error = numbers.write(&mut *store, offset, &vec![0; length]).unwrap_err();
        assert!(error.downcast_ref::<MemoryAccessError>().expect("a range").is_out_of_bounds());
        assert!(numbers.read(&*store, offset, &mut vec![0; length]).is_err());
    }
    assert_eq!(numbers.bytes(&*store)?, [1, 7, 8, 9, 10, 4]);
    numbers.write(&mut *store, 6, b"")?;
    Ok(())
}

#[test]
fn allocators_are_found_by_their_types() -> Result<()> {
    let engine = Engine::default();
    let find = |wat: &str| -> Result<(Store<()>, Instance, GuestAlloc)> {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &format!("(module {wat})"))?;
        let alloc = GuestAlloc::find(&mut store, instance)?;
        Ok((store, instance, alloc))
    };
    // The parameters are stored from address 0 on.
    let wbindgen = r#"(memory 1)
        (func (export "__wbindgen_malloc") (param i32 i32) (result i32)
            (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 64))
        (func (export "__wbindgen_free") (param i32 i32 i32)
            (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (local.get 1))
            (i32.store (i32.const 16) (local.get 2)))"#;
    let (mut store, _, alloc) = find(wbindgen)?;
    let buffer = alloc.alloc(&mut store, 24, 32)?;
    let memory = buffer.memory(&store)?;
    buffer.free(&mut store)?;
    let words: Vec<u8> = memory.data(&store)[..20].iter().copied().step_by(4).collect();
    assert_eq!(words, [24, 32, 64, 24, 32]);

    let realloc = r#"(memory 1) (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (i32.store 1 (i32.const 0) (local.get 0)) (i32.store 1 (i32.const 4) (local.get 1))
            (i32.store 1 (i32.const 8) (local.get 2)) (i32.store 1 (i32.const 12) (local.get 3)) (i32.const 64))"#;
    let (mut store, _, alloc) = find(realloc)?;
    assert!(!alloc.can_free());
    let buffer = alloc.alloc(&mut store, 24, 32)?;
    let memory = buffer.memory(&store)?;
    let words: Vec<u8> = memory.data(&store)[..16].iter().copied().step_by(4).collect();
    assert_eq!(words, [0, 0, 32, 24]);
    buffer.free(&mut store)?;
    // The host does not own it any more.
    alloc.alloc(&mut store, 24, 32)?;

    let refused = [
        (
            r#"(memory 1) (func (export "run")) (func (export "stop"))"#,
            "looked for `malloc` with `free`, `__wbindgen_malloc` with `__wbindgen_free`, `allocate` with `deallocate`, \
             `cabi_realloc`; found only `run`, `stop`. Export one: from C with `-Wl,--export=malloc -Wl,--export=free`",
        ),
        (r#"(memory 1)"#, "found no exported function."),
        (
            r#"(memory 1) (func (export "malloc") (param i32) (result i32) (i32.const 8))"#,
            "found `malloc` without `free` (export it too",
        ),
        (
            r#"(memory 1) (func (export "malloc") (param i64) (result i64) (i64.const 8)) (func (export "free") (param i32))"#,
            "found `malloc` is a function of type (i64) -> i64, but an allocator has type (i32) -> i32",
        ),
        (
            r#"(memory 1) (func (export "malloc") (param i32) (result i32) (i32.const 8)) (func (export "free"))"#,
            "`free` is a function of type () -> (), but a freeing function takes an address",
        ),
        (
            r#"(memory 1) (global (export "malloc") i32 (i32.const 8)) (func (export "free"))"#,
            "the export `malloc` is not a function",
        ),
        (
            r#"(memory 1) (func (export "allocate") (param i32) (result i32) (i32.const 8))
                (func (export "deallocate") (param i32)) (func (export "interface_version_8"))"#,
            "`allocate` of a CosmWasm contract",
        ),
        (r#"(func (export "malloc"))"#, "the guest has no memory"),
        (r#"(memory 1) (memory 1)"#, "the guest has 2 memories, but exports none of them as `memory`"),
        (r#"(memory 1 1 shared)"#, "the guest's memory is shared with other threads"),
    ];
    for (wat, expected) in refused {
        let said = message(find(wat).map(|_| ()).unwrap_err());
        assert!(said.contains(expected), "{said}");
    }

    let own = r#"(memory 1) (func (export "malloc") (param i32) (result i32) (i32.const 8))
        (func (export "init") (param i32) (result i32) (i32.const 16))
        (func (export "deinit") (param i32 i32) (result i32) (i32.const 1))"#;
    let mut store = Store::new(&engine, ());
    let instance = instance(&mut store, &format!("(module {own})"))?;
    let alloc = GuestAlloc::named(&mut store, instance, "init", Some("deinit"))?;
    alloc.alloc_bytes(&mut store, b"jar")?.free(&mut store)?;
    assert!(!GuestAlloc::named(&mut store, instance, "malloc", None)?.can_free());
    for (names, expected) in [
        (
            ("init", Some("gone")),
            "the instance has no export named `gone`: found only `malloc`, `init`, `deinit`",
        ),
        (("deinit", None), ""),
        (("gone", None), "this cannot be the guest's allocator: the instance has no export named `gone`"),
    ] {
        // `deinit` has the type of an allocator that takes an alignment.
        let made = GuestAlloc::named(&mut store, instance, names.0, names.1);
        match expected {
            "" => assert!(made.is_ok()),
            expected => {
                let said = message(made.unwrap_err());
                assert!(said.contains(expected), "{said}");
            }
        }
    }
    Ok(())
}

#[test]
fn sixty_four_bits() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let instance = instance(
        &mut store,
        r#"(module (memory (export "memory") i64 1) (global $top (mut i64) (i64.const 1024))
            (global (export "answer") (mut i64) (i64.const 0))
            (func (export "malloc") (param i64) (result i64) (local i64)
                (if (i64.ne (global.get 1) (i64.const 0)) (then (return (global.get 1))))
                (local.set 1 (global.get $top)) (global.set $top (i64.add (local.get 1) (local.get 0))) (local.get 1))
            (func (export "free") (param i64))
            (func (export "first") (param i64 i64) (result i32) (i32.load8_u (local.get 0))))"#,
    )?;
    let alloc = GuestAlloc::find(&mut store, instance)?;
    let buffer = alloc.alloc_bytes(&mut store, b"jar")?;
    let first = instance.get_typed_func::<(u64, u64), i32>(&mut store, "first")?;
    assert_eq!(first.call(&mut store, buffer.as_params()?)?, i32::from(b'j'));
    assert_eq!(buffer.as_params::<i32>()?, (1024, 3));
    let answer = instance.get_global(&mut store, "answer").expect("a global");
    for returned in [-1, -8, i64::MIN, 1 << 32, 65536] {
        answer.set(&mut store, belljar::Val::I64(returned))?;
        for align in [1, 8, 64] {
            let said = message(alloc.alloc(&mut store, 16, align).unwrap_err());
            assert!(said.contains("that is out of bounds"), "{said}");
        }
    }
    assert!(alloc.adopt(&mut store, u64::MAX, 2).is_err());
    assert!(alloc.alloc(&mut store, usize::MAX, 64).is_err());
    Ok(())
}

#[test]
fn host_functions_ask_the_guest_that_called() -> Result<()> {
    let engine = Engine::new(Config::new().host_write_check(true))?;
    let module = Module::new(
        &engine,
        r#"(module (import "" "name" (func $name (result i32 i32)))
            (memory (export "memory") 1) (global $top (mut i32) (i32.const 1024))
            (func (export "malloc") (param i32) (result i32)
                (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
            (func (export "free") (param i32))
            (func (export "run") (result i32) (local i32)
                (call $name) (local.set 0) (i32.add (i32.load8_u) (local.get 0))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "name", |mut caller: Caller<'_, ()>| -> Result<(u32, u32)> {
        let buffer = GuestAlloc::of_caller(&mut caller)?.alloc_bytes(&mut caller, b"bell jar")?;
        buffer.give_to_guest(&mut caller)
    })?;
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, ())?, i32::from(b'b') + 8);
    Ok(())
}

/// Its functions call the host, which uses the allocator and drops the buffers.
#[test]
fn an_allocator_may_call_a_host_function_that_allocates() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(
        &engine,
        r#"(module (import "" "note" (func $note))
            (memory (export "memory") 1) (global $top (mut i32) (i32.const 1024)) (global $depth (mut i32) (i32.const 0))
            (global (export "frees") (mut i32) (i32.const 0))
            (func (export "malloc") (param i32) (result i32)
                (if (i32.eqz (global.get $depth)) (then
                    (global.set $depth (i32.const 1)) (call $note) (global.set $depth (i32.const 0))))
                (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
            (func (export "free") (param i32)
                (global.set 2 (i32.add (global.get 2) (i32.const 1)))
                (if (i32.eqz (global.get $depth)) (then
                    (global.set $depth (i32.const 1)) (call $note) (global.set $depth (i32.const 0))))))"#,
    )?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "note", |mut caller: Caller<'_, ()>| -> Result<()> {
        drop(GuestAlloc::of_caller(&mut caller)?.alloc(&mut caller, 8, 8)?);
        Ok(())
    })?;
    let instance = linker.instantiate(&mut store, &module)?;
    let alloc = GuestAlloc::find(&mut store, instance)?;
    let frees = instance.get_global(&mut store, "frees").expect("a global");
    // The buffer of the host function is dropped and not freed yet, like this one.
    drop(alloc.alloc(&mut store, 8, 8)?);
    // Two were dropped, and the host function drops another one each time; the last of these is left.
    alloc.release(&mut store)?;
    assert_eq!(frees.get(&mut store).i32(), Some(3));
    Ok(())
}

#[test]
fn whoever_finds_the_allocator_frees_what_was_dropped() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    drop(guest.alloc()?.alloc(&mut guest.store, 8, 8)?);
    guest.alloc()?.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 1);
    // Without a freeing function it is a different allocator.
    drop(guest.alloc()?.alloc(&mut guest.store, 8, 8)?);
    let other = GuestAlloc::named(&mut guest.store, guest.instance, "malloc", None)?;
    other.release(&mut guest.store)?;
    assert_eq!(guest.call::<_, i32>("frees", ())?, 1);
    Ok(())
}

#[test]
fn a_stack_that_is_used_up_is_told() -> Result<()> {
    let mut guest = Guest::new(&Config::new())?;
    let error = guest.call::<_, ()>("recurse", ()).unwrap_err();
    let fault = error.downcast_ref::<MemoryFault>().expect("a fault").to_string();
    let expected = "4 bytes at 0xfffff008, memory 0 is 17 pages (1088 KiB); \
        the guest's own stack is exhausted: __stack_pointer started at 0x100000 and is now -4096";
    assert_eq!(fault, expected);
    Ok(())
}
