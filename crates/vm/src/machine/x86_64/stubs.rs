//! The only ways into and out of guest code, in assembly (x86-64, System V).
//!
//! | stub | called by | does |
//! |---|---|---|
//! | `enter` | the host | saves the registers that the compiler cannot save, leaves an activation record, calls the guest |
//! | `enter_nested` | the host, in a host function of the store | the same, and records the activation that waits |
//! | `returned` | falls through from both; jumped to by `leave` | removes the record, returns to the host |
//! | `leave` | the host, when what the guest called has failed | cuts the stack back to the entry frame, jumps to `returned` |
//! | `exit` | guest code calling a host function | notes the caller, continues in the native function |
//! | `builtin_*` | guest code calling the runtime | the same for a builtin |
//! | `resume` | the host, when a guest's frame catches an exception | cuts the stack back to that frame, continues in it |
//! | `fault` | the signal handler, by changing where the thread continues | records the trap, leaves |
//!
//! Every end of a guest run, whatever its cause, passes `returned`. Only [`enter`] calls the entry stubs; it states
//! which value is in which register. Results pass through untouched: `returned` uses only `r10`, `r11` and the
//! registers that it restores.

use super::ProgramState;
use belljar_abi::{Builtin, CONTEXT_DISTANCE, ConstHeader, FuncObject, StoreContext, activation};
use std::mem::{MaybeUninit, offset_of};
use std::sync::atomic::AtomicUsize;

/// Names a symbol. It contains the crate's version, so that two versions can be linked into one program.
macro_rules! symbol {
    ($name:literal) => {
        concat!(
            "belljar_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
            "_",
            $name
        )
    };
}

/// What the `fault` stub calls: [`Handlers::on_fault`](crate::machine::Handlers). It is set before any guest code runs.
pub(in crate::machine) static ON_FAULT: AtomicUsize = AtomicUsize::new(0);

pub(crate) const STORE_CONTEXT: isize =
    offset_of!(ConstHeader, store_context) as isize - CONTEXT_DISTANCE as isize;

std::arch::global_asm!(
    ".text",
    ".balign 16",
    concat!(".globl ", symbol!("enter")),
    concat!(".globl ", symbol!("enter_nested")),
    concat!(".globl ", symbol!("returned")),
    concat!(".globl ", symbol!("returned_nested")),
    concat!(".globl ", symbol!("left_nested")),
    concat!(".globl ", symbol!("leave")),
    concat!(".globl ", symbol!("exit")),
    concat!(".globl ", symbol!("resume")),
    concat!(".globl ", symbol!("fault")),
    concat!(".globl ", symbol!("entered")),
    concat!(".globl ", symbol!("left")),
    concat!(".globl ", symbol!("leave_end")),
    concat!(".globl ", symbol!("resumed")),
    concat!(".globl ", symbol!("resume_end")),
    concat!(".globl ", symbol!("exit_end")),
    // rdi: the context, r10: the code, rax: the store context; arguments as the guest convention requires.
    concat!(symbol!("enter"), ":"),
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "push rax",
    "cmp rsp, [rax + {entry_sp}]",
    "jne 2f",
    "4:",
    // From here on this is the innermost activation. It has no frame yet.
    "mov [rax + {entry_fp}], rbp",
    concat!(symbol!("entered"), ":"),
    // The activation has not called the host yet.
    "mov qword ptr [rax + {exit_fp}], 0",
    "call r10",
    concat!(symbol!("returned"), ":"),
    "mov r11, [rbp + {record_context}]",
    "test r11b, {nested}",
    "jnz 3f",
    // From here on there is no activation.
    "mov qword ptr [r11 + {entry_fp}], 0",
    concat!(symbol!("left"), ":"),
    "mov rbx, [rbp - 8]",
    "leave",
    "ret",
    // The guest may use `stack_size` bytes from here, but nothing below the floor.
    "2:",
    "mov [rax + {entry_sp}], rsp",
    "mov r11, rsp",
    "sub r11, [rax + {stack_size}]",
    // The size exceeds the address: use all of the thread's stack.
    "cmovb r11, [rax + {stack_floor}]",
    "cmp r11, [rax + {stack_floor}]",
    "cmovb r11, [rax + {stack_floor}]",
    "mov [rax + {stack_limit}], r11",
    "jmp 4b",
    // Like `enter`, within another activation of the store.
    ".balign 16",
    concat!(symbol!("enter_nested"), ":"),
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "lea r11, [rax + {nested}]",
    "push r11",
    "push qword ptr [rax + {entry_fp}]",
    "push qword ptr [rax + {exit_fp}]",
    "push qword ptr [rax + {exit_pc}]",
    "push qword ptr [rax + {exit_callee}]",
    "jmp 4b",
    concat!(symbol!("returned_nested"), ":"),
    "3:",
    "sub r11, {nested}",
    "mov r10, [rbp + {record_exit}]",
    "mov [r11 + {exit_fp}], r10",
    "mov r10, [rbp + {record_pc}]",
    "mov [r11 + {exit_pc}], r10",
    "mov r10, [rbp + {record_callee}]",
    "mov [r11 + {exit_callee}], r10",
    "mov r10, [rbp + {record_entry}]",
    // From here on the innermost activation is the one before.
    "mov [r11 + {entry_fp}], r10",
    concat!(symbol!("left_nested"), ":"),
    concat!("jmp ", symbol!("left")),
    // rdi: the store context, with an exit pending.
    ".balign 16",
    concat!(symbol!("leave"), ":"),
    "mov rbp, [rdi + {entry_fp}]",
    concat!("jmp ", symbol!("returned")),
    concat!(symbol!("leave_end"), ":"),
    // rdi: the stack pointer, rsi: the frame pointer, edx: the payload, rcx: the code.
    ".balign 16",
    concat!(symbol!("resume"), ":"),
    "mov rsp, rdi",
    concat!(symbol!("resumed"), ":"),
    "mov rbp, rsi",
    "mov eax, edx",
    "jmp rcx",
    concat!(symbol!("resume_end"), ":"),
    // rdi: the function object; arguments as the native function expects them.
    ".balign 16",
    concat!(symbol!("exit"), ":"),
    "mov r11, [rdi + {object_context}]",
    "mov rax, [rsp]",
    "mov [r11 + {exit_fp}], rbp",
    "mov [r11 + {exit_pc}], rax",
    "mov [r11 + {exit_callee}], rdi",
    "jmp qword ptr [rdi + {object_native}]",
    concat!(symbol!("exit_end"), ":"),
    // rdi: the store context, whose trap fields the signal handler has filled in; rsp: aligned to 16.
    ".balign 16",
    concat!(symbol!("fault"), ":"),
    "mov r12, rdi",
    "call qword ptr [rip + {on_fault}]",
    "mov rdi, r12",
    concat!("jmp ", symbol!("leave")),
    entry_fp = const offset_of!(StoreContext, entry_fp),
    exit_fp = const offset_of!(StoreContext, exit_fp),
    exit_pc = const offset_of!(StoreContext, exit_pc),
    exit_callee = const offset_of!(StoreContext, exit_callee),
    entry_sp = const offset_of!(StoreContext, entry_sp),
    stack_size = const offset_of!(StoreContext, stack_size),
    stack_floor = const offset_of!(StoreContext, stack_floor),
    stack_limit = const offset_of!(StoreContext, stack_limit),
    nested = const activation::NESTED,
    record_context = const activation::STORE_CONTEXT,
    record_entry = const activation::PREVIOUS_ENTRY_FP,
    record_exit = const activation::PREVIOUS_EXIT_FP,
    record_pc = const activation::PREVIOUS_EXIT_PC,
    record_callee = const activation::PREVIOUS_EXIT_CALLEE,
    object_context = const offset_of!(FuncObject, store_context),
    object_native = const offset_of!(FuncObject, native),
    on_fault = sym ON_FAULT,
);

unsafe extern "C" {
    #[link_name = symbol!("enter")]
    fn enter_outermost();
    #[link_name = symbol!("enter_nested")]
    fn enter_nested();
    #[link_name = symbol!("returned_nested")]
    fn returned_nested();
    #[link_name = symbol!("left_nested")]
    fn left_nested();
    #[link_name = symbol!("entered")]
    fn entered();
    #[link_name = symbol!("returned")]
    fn returned();
    #[link_name = symbol!("left")]
    fn left();
    #[link_name = symbol!("leave_end")]
    fn leave_end();
    #[link_name = symbol!("resumed")]
    fn resumed();
    #[link_name = symbol!("resume_end")]
    fn resume_end();
    #[link_name = symbol!("exit_end")]
    fn exit_end();
    #[link_name = symbol!("leave")]
    fn leave(context: *mut StoreContext) -> !;
    #[link_name = symbol!("resume")]
    fn resume_in(sp: usize, fp: usize, payload: u32, code: usize) -> !;
    #[link_name = symbol!("exit")]
    fn exit();
    #[link_name = symbol!("fault")]
    fn fault();
}

/// The values with which guest code is entered, in the registers of the calling convention that guest and host share.
/// Each kind fills its registers from the first one; the contents of the others do not matter.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    /// The integers that follow the context.
    pub(crate) ints: [MaybeUninit<u64>; 5],
    pub(crate) floats: [MaybeUninit<f64>; 8],
}

impl Arguments {
    pub(crate) const NONE: Self =
        Self { ints: [MaybeUninit::uninit(); 5], floats: [MaybeUninit::uninit(); 8] };
}

/// The contents of the result registers when guest code returns. A function has a result in at most one of them.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    pub(crate) int: u64,
    pub(crate) float: f64,
}

/// The code to enter, with its contexts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Address of the code.
    pub(crate) code: usize,
    /// The code's context.
    pub(crate) context: usize,
    /// Address of the store's context.
    pub(crate) store_context: usize,
}

/// Calls guest code through an entry stub.
///
/// Guest functions preserve none of the host's registers. The compiler of the call decides which of them to save; the
/// stub saves the two that cannot be declared as clobbered.
///
/// # Safety
///
/// Code and context belong to an instance of the store, with parameters of the types of the arguments. The store's
/// context is prepared: it is held exclusively (STORE-EXCLUSIVE); for `NESTED` one of its activations waits for the
/// caller, otherwise there is none.
#[inline(always)]
pub(crate) unsafe fn enter<const NESTED: bool>(entry: Entry, arguments: Arguments) -> Returned {
    let Entry { code, context, store_context } = entry;
    let Arguments { ints: [i1, i2, i3, i4, i5], floats: [f1, f2, f3, f4, f5, f6, f7, f8] } = arguments;
    let (int, float);
    macro_rules! call {
        ($stub:path) => {
            // SAFETY: the caller's promise; everything that guest code changes is an output or clobbered, except `rbp`
            // and `rbx`, which the stub restores (ACTIVATION-RECORD).
            unsafe {
                std::arch::asm!(
                    "call {stub}",
                    stub = sym $stub,
                    inlateout("rdi") context => _,
                    inlateout("rsi") i1 => _,
                    inlateout("rdx") i2 => _,
                    inlateout("rcx") i3 => _,
                    inlateout("r8") i4 => _,
                    inlateout("r9") i5 => _,
                    inlateout("r10") code => _,
                    inlateout("rax") store_context => int,
                    inlateout("xmm0") f1 => float,
                    inlateout("xmm1") f2 => _,
                    inlateout("xmm2") f3 => _,
                    inlateout("xmm3") f4 => _,
                    inlateout("xmm4") f5 => _,
                    inlateout("xmm5") f6 => _,
                    inlateout("xmm6") f7 => _,
                    inlateout("xmm7") f8 => _,
                    out("r12") _,
                    out("r13") _,
                    out("r14") _,
                    out("r15") _,
                    clobber_abi("C"),
                )
            }
        };
    }
    if NESTED {
        call!(enter_nested)
    } else {
        call!(enter_outermost)
    }
    Returned { int, float }
}

/// Returns the return address of every entry stub's callee: it marks the end of a run of guest frames.
pub(crate) fn returned_address() -> usize {
    returned as *const () as usize
}

/// Returns the address of the exit stub.
pub(crate) fn exit_address() -> usize {
    exit as *const () as usize
}

/// Leaves the innermost activation of a store, which has an exit pending.
///
/// # Safety
///
/// A guest of the store called the caller on this thread, through `exit` or a builtin stub, and no frame between here
/// and the guest's has anything left to drop: those frames are cut off.
pub(crate) unsafe fn leave_activation(context: *mut StoreContext) -> ! {
    // SAFETY: the caller's promise; ACTIVATION-RECORD: the entry frame is alive and `returned` restores what the host
    // expects.
    unsafe { leave(context) }
}

/// Continues in a frame of guest code that waits for a call, at the call's handler.
///
/// # Safety
///
/// A guest called the caller on this thread, through `exit` or a builtin stub. The frame belongs to that activation,
/// its call has a handler at `code`, and `sp` and `fp` are what the handler expects (HANDLERS). No frame between here
/// and that one has anything left to drop: those frames are cut off.
pub(crate) unsafe fn resume(sp: usize, fp: usize, payload: u32, code: usize) -> ! {
    // SAFETY: the caller's promise.
    unsafe { resume_in(sp, fp, payload, code) }
}

/// What a thread in a stub is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InStub {
    /// The activation whose entry stub has this frame has no guest frame yet, or none any more.
    NoFrame { entry: usize },
    /// The innermost activation of the store whose context is at this address has no guest frame any more.
    Leaving { store_context: usize },
    /// A guest function has called the host, with the callee as in [`StoreContext::exit_callee`]. It continues at
    /// [`ProgramState::return_address`], with the current frame pointer.
    Exit { callee: usize },
    /// A guest function continues at a handler, with this frame pointer.
    Resumed { pc: usize, fp: usize },
}

/// The largest size of a builtin's stub in bytes.
const BUILTIN_STUB: usize = 32;

impl InStub {
    /// Returns the stub that a thread is in, or `None` if at this instruction the thread counts as being in the host.
    /// Async-signal-safe.
    pub(crate) fn of(state: &ProgramState, builtins: &[BuiltinStub]) -> Option<Self> {
        let pc = state.pc;
        let address = |label: unsafe extern "C" fn()| label as *const () as usize;
        let leave = leave as *const () as usize;
        let within = |start: usize, end: usize| (start..end).contains(&pc);
        if within(address(entered), address(left)) || within(address(returned_nested), address(left_nested)) {
            Some(Self::NoFrame { entry: state.fp })
        } else if within(leave, address(leave_end)) {
            Some(Self::Leaving { store_context: state.rdi })
        } else if within(address(exit), address(exit_end)) {
            Some(Self::Exit { callee: state.rdi })
        } else if let Some(i) =
            builtins.iter().position(|stub| within(address(*stub), address(*stub) + BUILTIN_STUB))
        {
            Some(Self::Exit { callee: Builtin::ROWS[i].builtin.exit_callee() })
        } else if within(address(resumed), address(resume_end)) {
            Some(Self::Resumed { pc: state.rcx, fp: state.rsi })
        } else {
            None
        }
    }
}

/// Returns the address where the signal handler makes a thread continue whose guest faulted.
pub(in crate::machine) fn fault_address() -> usize {
    fault as *const () as usize
}

/// A builtin's stub. Guest code calls it with the guest calling convention.
pub(crate) type BuiltinStub = unsafe extern "C" fn();

/// Defines the stub of one builtin, which notes its caller and continues in the native function.
macro_rules! builtin_stub {
    ($variant:ident $name:ident $native:path) => {
        std::arch::global_asm!(
            ".balign 16",
            concat!(".globl ", $crate::machine::builtin_symbol!($name)),
            concat!($crate::machine::builtin_symbol!($name), ":"),
            "mov r11, [rdi + {store_context}]",
            "mov rax, [rsp]",
            "mov [r11 + {exit_fp}], rbp",
            "mov [r11 + {exit_pc}], rax",
            "mov qword ptr [r11 + {exit_callee}], {callee}",
            "jmp {native}",
            store_context = const $crate::machine::STORE_CONTEXT,
            exit_fp = const std::mem::offset_of!(belljar_abi::StoreContext, exit_fp),
            exit_pc = const std::mem::offset_of!(belljar_abi::StoreContext, exit_pc),
            exit_callee = const std::mem::offset_of!(belljar_abi::StoreContext, exit_callee),
            callee = const belljar_abi::Builtin::$variant.exit_callee(),
            native = sym $native,
        );
    };
}
pub(crate) use builtin_stub;

/// The symbol of a builtin's stub.
macro_rules! builtin_symbol {
    ($name:ident) => {
        concat!(
            "belljar_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH"),
            "_builtin_",
            stringify!($name)
        )
    };
}
pub(crate) use builtin_symbol;
