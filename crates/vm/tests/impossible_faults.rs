//! Faults that guest code must never cause, and signals that a process sent while a guest ran: none of them becomes a
//! trap. Each case runs in its own process.
//!
//! The machine code is written by hand, as a faulty compiler might emit it.

use belljar_abi::{CompiledFunction, FuncRange, ImageWriter, LinkedCode, TrapSite};
use belljar_core::{CodeOffset, FuncType, Trap};
use belljar_module::{WasmFeatures, validate};
use belljar_vm::{
    CodeImage, Entity, Exit, LoadedModule, PrivateCopy, Runtime, RuntimeSettings, StoreInner, TrampolineKind,
    TrampolineSource, TypedFunc, instantiate,
};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

struct NoTrampolines;

impl TrampolineSource for NoTrampolines {
    fn trampoline(&self, _: TrampolineKind, _: &FuncType) -> belljar_core::Result<CompiledFunction> {
        belljar_core::bail!("no compiler here")
    }
}

/// `push rbp; mov rbp, rsp`, and at its end `mov rsp, rbp; pop rbp; ret`.
const PROLOGUE: &[u8] = &[0x55, 0x48, 0x89, 0xe5];
const EPILOGUE: &[u8] = &[0x48, 0x89, 0xec, 0x5d, 0xc3];
/// The offset of the instruction that distinguishes a function.
const PLACE: u32 = PROLOGUE.len() as u32;

/// Functions with one parameter, an address: name, instruction, and the trap in its table row.
const FUNCTIONS: [(&str, &[u8], Trap); 5] = [
    // mov al, [rsi]
    ("read", &[0x8a, 0x06], Trap::MemoryOutOfBounds),
    ("field", &[0x8a, 0x06], Trap::NullReference),
    // ud2
    ("check", &[0x0f, 0x0b], Trap::MemoryOutOfBounds),
    // Not an instruction of this processor.
    ("unknown", &[0x06, 0x90], Trap::MemoryOutOfBounds),
    // jmp to itself
    ("spin", &[0xeb, 0xfe], Trap::MemoryOutOfBounds),
];

fn artifact() -> LinkedCode {
    let mut artifact = LinkedCode::default();
    for (_, instruction, trap) in FUNCTIONS {
        artifact.text.resize(artifact.text.len().next_multiple_of(16), 0xcc);
        let start = artifact.text.len() as u32;
        artifact.text.extend([PROLOGUE, instruction, EPILOGUE].concat());
        let length = artifact.text.len() as u32 - start;
        let positions = artifact.positions.len() as u32;
        belljar_abi::write_positions(&[], &mut artifact.positions);
        artifact.funcs.push(FuncRange { start: CodeOffset(start), length, inlined: 0, positions });
        let place = start + PLACE;
        if trap == Trap::MemoryOutOfBounds {
            artifact.accesses.resize(artifact.text.len() / 8 + 1, 0);
            artifact.accesses[place as usize / 8] |= 1 << (place % 8);
        } else {
            artifact.traps.push(TrapSite::new(CodeOffset(place), trap));
        }
    }
    artifact
}

struct Guest {
    store: Box<StoreInner<()>>,
    instance: belljar_core::InstanceId,
}

impl Guest {
    fn new() -> Self {
        let runtime = Runtime::new(RuntimeSettings::default(), Box::new(NoTrampolines));
        let runtime = runtime.expect("a runtime");
        let functions: String =
            FUNCTIONS.iter().map(|(name, ..)| format!("(func (export \"{name}\") (param i64))\n")).collect();
        let wasm = wat::parse_str(format!("(module (memory (export \"memory\") 1) {functions})")).unwrap();
        let module = Arc::new(validate(wasm.into(), WasmFeatures::default()).unwrap());
        let image = ImageWriter::new(&artifact(), "").finish();
        let image = CodeImage::new(PrivateCopy::of(&image).unwrap()).unwrap();
        let loaded = LoadedModule::new(&runtime, module, image, true).unwrap();
        let mut store = StoreInner::new(&runtime, Some(())).unwrap();
        let instance = instantiate(&mut store, &loaded, &[]).unwrap();
        Self { store, instance }
    }

    fn memory(&mut self) -> usize {
        let Some(Entity::Memory(memory)) = self.store.core().instance_export(self.instance, "memory") else {
            panic!("the memory is exported");
        };
        self.store.core().memory_data(memory).as_ptr().addr()
    }

    fn call(&mut self, name: &str, address: usize) -> Result<(), Exit> {
        let Some(Entity::Func(func)) = self.store.core().instance_export(self.instance, name) else {
            panic!("{name} is exported");
        };
        let func = TypedFunc::<(i64,), ()>::new(self.store.core(), func).unwrap();
        func.call(&mut self.store, (address as i64,))
    }
}

/// Runs this test binary again with only `test`, as the child process for this case.
fn child(test: &str, case: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test's own path"))
        .args(["--exact", test, "--nocapture"])
        .env("BELLJAR_TEST_CASE", case)
        .stdin(Stdio::null())
        .output()
        .expect("the child runs")
}

fn case() -> Option<String> {
    std::env::var("BELLJAR_TEST_CASE").ok()
}

/// Calls a function with an address. Prints how that ended, if the process survives.
fn poke(name: &str, address: impl FnOnce(usize) -> usize) {
    let mut guest = Guest::new();
    let address = address(guest.memory());
    match guest.call(name, address) {
        Ok(()) => eprintln!("it returned"),
        Err(Exit::Trap { trap, .. }) => eprintln!("it trapped: {trap}"),
        Err(_) => eprintln!("it ended otherwise"),
    }
}

const PAGE: usize = 64 << 10;

#[test]
fn an_access_traps_only_where_a_guest_may_go() {
    const NAME: &str = "an_access_traps_only_where_a_guest_may_go";
    match case().as_deref() {
        Some("inside") => return poke("read", |memory| memory + PAGE - 1),
        Some("behind") => return poke("read", |memory| memory + PAGE),
        Some("last") => return poke("read", |memory| memory + (4 << 30)),
        Some("checked") => return poke("check", |memory| memory),
        Some("elsewhere") => return poke("read", |_| 8),
        Some("no address") => return poke("read", |_| 1 << 63 | 1 << 20),
        Some("not null") => return poke("field", |memory| memory + PAGE),
        Some("no instruction") => return poke("unknown", |memory| memory),
        Some(other) => panic!("no such case: {other}"),
        None => {}
    }
    for (case, expected) in [
        ("inside", "it returned"),
        ("behind", "it trapped: memory access out of bounds"),
        ("last", "it trapped: memory access out of bounds"),
        ("checked", "it trapped: memory access out of bounds"),
    ] {
        let output = child(NAME, case);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains(expected), "{case}: {told}");
    }
    for (case, address) in [
        ("elsewhere", "accessed 0x8, which"),
        ("no address", "accessed 0x0, which"),
        ("not null", "accessed 0x"),
    ] {
        let output = child(NAME, case);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{case}: {told}");
        assert!(told.contains(address) && told.contains("is in no memory of its store"), "{case}: {told}");
        assert!(told.contains("please report this") && !told.contains("it trapped"), "{case}: {told}");
    }
    let output = child(NAME, "no instruction");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGILL), "{told}");
}

/// The signal may arrive at any instruction; this guest is always at one with a trap row.
#[test]
fn a_signal_that_was_sent_to_a_guest_is_no_trap() {
    const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
    if let Some(signal) = case() {
        let signal: libc::c_int = signal.parse().expect("a signal's number");
        // SAFETY: calls without arguments that always succeed.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        std::thread::spawn(move || {
            loop {
                // SAFETY: sends a thread of this process a signal.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        return poke("spin", |memory| memory);
    }
    for signal in SIGNALS {
        let output = child("a_signal_that_was_sent_to_a_guest_is_no_trap", &signal.to_string());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(signal), "{told}");
        assert!(!told.contains("it trapped"), "{told}");
    }
}

/// Makes the kernel refuse every change of memory protection by this thread from now on.
fn refuse_mprotect() {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let number = libc::SYS_mprotect as u32;
    let refused = libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32;
    let mut filter = [
        // The number of the system call is the first word of the filter's input.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        step(libc::BPF_RET | libc::BPF_K, refused, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives until the call is done; both requests concern only this thread.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

#[test]
fn memory_that_stays_protected_ends_the_process() {
    if !belljar_vm::tells_written_pages() {
        return println!("skipped: this kernel does not list written pages");
    }
    if case().is_some() {
        let engine = belljar::Engine::default();
        let wat = r#"(module (import "host" "before" (func $before (param i32))) (memory 16)
            (func (export "store") (param i32)
                (i32.store (i32.const 0) (i32.const 7))
                (call $before (local.get 0)) (i32.store (local.get 0) (i32.const 8))))"#;
        let module = belljar::Module::new(&engine, wat).unwrap();
        let mut linker = belljar::Linker::new(&engine);
        linker
            .func_wrap("host", "before", |at: i32| {
                if at != 0 {
                    refuse_mprotect();
                }
            })
            .unwrap();
        let template = belljar::SandboxTemplate::new(linker.instantiate_pre(&module).unwrap(), || Ok(()));
        let mut sandbox = template.build().unwrap();
        // Often enough that all pages except one are write-protected.
        for _ in 0..24 {
            sandbox.call::<(i32,), ()>("store", (0,)).unwrap();
        }
        match sandbox.call::<(i32,), ()>("store", (500_000,)) {
            Ok(()) => eprintln!("it returned"),
            Err(error) => eprintln!("it failed: {error:#}"),
        }
        return;
    }
    let output = child("memory_that_stays_protected_ends_the_process", "settled");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{told}");
    assert!(told.contains("refused to make write-protected memory") && told.contains("error 12"), "{told}");
}
