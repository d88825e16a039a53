//! The only ways into and out of guest code, in assembly (x86-64, System V).
//!
//! | stub | called by | does |
//! |---|---|---|
//! | `enter` | the host | saves the registers that the compiler cannot save, leaves an activation record, calls the guest |
//! | `enter_nested` | the host, in a host function of the store | the same, and records the activation that waits |
//! | `enter_apart` | the host | the same, and continues on another stack |
//! | `continue_apart` | the host | continues a guest on another stack, as if the host had returned to it |
//! | `returned` | falls through from both; jumped to by `leave` | removes the record, returns to the host |
//! | `leave` | the host, when what the guest called has failed | cuts the stack back to the entry frame, jumps to `returned` |
//! | `exit` | guest code calling a host function | notes the caller, continues in the native function |
//! | `saving_*` | the stub of a builtin after which guests can continue | notes the caller's registers, continues in the native function |
//! | `builtin_*` | guest code calling the runtime | the same for a builtin |
//! | `resume` | the host, when a guest's frame catches an exception | cuts the stack back to that frame, continues in it |
//! | `fault` | the signal handler, by changing where the thread continues | records the trap, leaves |
//!
//! Every end of a guest run, whatever its cause, passes `returned`. Only [`enter`], [`enter_apart`] and
//! [`continue_apart`] call the entry stubs; they state which value is in which register. Results pass through untouched:
//! `returned` uses only `r10`, `r11` and the registers that it restores. It leaves the stack of an activation that is
//! apart in one step: nothing is written to that stack, and no signal handler runs there, once the stack pointer is above
//! frames of the guest.

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
    concat!(".globl ", symbol!("enter_apart")),
    concat!(".globl ", symbol!("continue_apart")),
    concat!(".globl ", symbol!("continuing")),
    concat!(".globl ", symbol!("continue_end")),
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
    "test r11b, {flags}",
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
    "and r11, ~{flags}",
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
    "test byte ptr [rbp + {record_context}], {apart}",
    concat!("jz ", symbol!("left")),
    "mov rbx, [rbp - 8]",
    "mov rsp, [rbp + {record_host_sp}]",
    "pop rbp",
    "ret",
    // Like `enter_nested`, on another stack. r8: the frame pointer there, r9: the first word of the record.
    ".balign 16",
    concat!(symbol!("enter_apart"), ":"),
    "push rbp",
    "mov [r8 + {record_host_sp}], rsp",
    "mov r11, [rsp + 8]",
    "mov [r8 + 8], r11",
    "mov [r8], rbp",
    "mov [r8 - 8], rbx",
    "mov [r8 + {record_context}], r9",
    "mov r11, [rax + {entry_fp}]",
    "mov [r8 + {record_entry}], r11",
    "mov r11, [rax + {exit_fp}]",
    "mov [r8 + {record_exit}], r11",
    "mov r11, [rax + {exit_pc}]",
    "mov [r8 + {record_pc}], r11",
    "mov r11, [rax + {exit_callee}]",
    "mov [r8 + {record_callee}], r11",
    "lea rsp, [r8 + {record_callee}]",
    "mov rbp, r8",
    "jmp 4b",
    // rax: the store context, r8: a `Continuation`, r11: its frame pointer.
    ".balign 16",
    concat!(symbol!("continue_apart"), ":"),
    "push rbp",
    "mov [r11 + {record_host_sp}], rsp",
    "mov r10, [rsp + 8]",
    "mov [r11 + 8], r10",
    "mov [r11], rbp",
    "mov [r11 - 8], rbx",
    "mov r10, [r8 + {to_record}]",
    "mov [r11 + {record_context}], r10",
    "mov r10, [rax + {entry_fp}]",
    "mov [r11 + {record_entry}], r10",
    "mov r10, [rax + {exit_fp}]",
    "mov [r11 + {record_exit}], r10",
    "mov r10, [rax + {exit_pc}]",
    "mov [r11 + {record_pc}], r10",
    "mov r10, [rax + {exit_callee}]",
    "mov [r11 + {record_callee}], r10",
    "mov rcx, [r8 + {to_pc}]",
    "mov rsi, [r8 + {to_fp}]",
    "mov rsp, [r8 + {to_sp}]",
    // From here on this is the innermost activation, in the frame at rsi.
    "mov [rax + {entry_fp}], r11",
    concat!(symbol!("continuing"), ":"),
    "mov qword ptr [rax + {exit_fp}], 0",
    "mov rbx, [r8 + {to_saved}]",
    "mov r12, [r8 + {to_saved} + 8]",
    "mov r13, [r8 + {to_saved} + 16]",
    "mov r14, [r8 + {to_saved} + 24]",
    "mov r15, [r8 + {to_saved} + 32]",
    "movsd xmm0, [r8 + {to_float}]",
    "mov rax, [r8 + {to_int}]",
    "mov rbp, rsi",
    "jmp rcx",
    concat!(symbol!("continue_end"), ":"),
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
    "cmp qword ptr [r11 + {is_apart}], 0",
    "jne 6f",
    "7:",
    "jmp qword ptr [rdi + {object_native}]",
    // The native function may never return, and the guest nevertheless continue.
    "6:",
    "mov [r11 + {exit_sp}], rsp",
    "mov [r11 + {exit_saved}], rbx",
    "mov [r11 + {exit_saved} + 8], r12",
    "mov [r11 + {exit_saved} + 16], r13",
    "mov [r11 + {exit_saved} + 24], r14",
    "mov [r11 + {exit_saved} + 32], r15",
    "jmp 7b",
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
    is_apart = const offset_of!(StoreContext, is_apart),
    exit_sp = const offset_of!(StoreContext, exit_sp),
    exit_saved = const offset_of!(StoreContext, exit_saved),
    to_record = const offset_of!(Continuation, record),
    to_pc = const offset_of!(Continuation, pc),
    to_fp = const offset_of!(Continuation, fp),
    to_sp = const offset_of!(Continuation, sp),
    to_int = const offset_of!(Continuation, int),
    to_float = const offset_of!(Continuation, float),
    to_saved = const offset_of!(Continuation, saved),
    entry_sp = const offset_of!(StoreContext, entry_sp),
    stack_size = const offset_of!(StoreContext, stack_size),
    stack_floor = const offset_of!(StoreContext, stack_floor),
    stack_limit = const offset_of!(StoreContext, stack_limit),
    nested = const activation::NESTED,
    apart = const activation::APART,
    flags = const activation::FLAGS,
    record_host_sp = const activation::HOST_SP,
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
    #[link_name = symbol!("enter_apart")]
    fn enter_apart_stub();
    #[link_name = symbol!("continue_apart")]
    fn continue_apart_stub();
    #[link_name = symbol!("continuing")]
    fn continuing();
    #[link_name = symbol!("continue_end")]
    fn continue_end();
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

/// Where and how a guest continues that was left in the middle of a call of the host.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Continuation {
    /// The first word of the activation record.
    pub(crate) record: usize,
    /// The address where the guest continues.
    pub(crate) pc: usize,
    /// The frame pointer of the function that continues.
    pub(crate) fp: usize,
    /// Its stack pointer, as after the return of what it has called.
    pub(crate) sp: usize,
    /// The result of what it has called, in the register for its type.
    pub(crate) int: u64,
    pub(crate) float: u64,
    /// The contents of `rbx` and `r12` to `r15`.
    pub(crate) saved: [usize; 5],
}

/// Calls guest code through the `enter_apart` stub, on a stack where the activation's record lies at `frame`.
///
/// # Safety
///
/// The conditions of [`enter`] apply, for code that takes up to three integers and returns nothing. Memory below
/// `frame`, a multiple of 16, is a free stack, and four words from there on are free too. `record` is the address of
/// the store's context with its flags (ACTIVATION-RECORD).
#[inline(never)]
pub(crate) unsafe fn enter_apart(entry: Entry, arguments: [u64; 3], frame: usize, record: usize) {
    let Entry { code, context, store_context } = entry;
    let [i1, i2, i3] = arguments;
    // SAFETY: the caller's promise; everything that guest code changes is clobbered, except `rbp` and `rbx`, which the
    // stub restores (ACTIVATION-RECORD).
    unsafe {
        std::arch::asm!(
            "call {stub}",
            stub = sym enter_apart_stub,
            inlateout("rdi") context => _,
            inlateout("rsi") i1 => _,
            inlateout("rdx") i2 => _,
            inlateout("rcx") i3 => _,
            inlateout("r8") frame => _,
            inlateout("r9") record => _,
            inlateout("r10") code => _,
            inlateout("rax") store_context => _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("C"),
        )
    }
}

/// Continues a guest through the `continue_apart` stub. Its activation's record is written anew at `frame`.
///
/// # Safety
///
/// The frames below `frame` are as the guest left them when it called the host, through `exit` or the stub of a
/// builtin, and `to` describes that call (SUSPENDED). The store's context is prepared as for [`enter_apart`].
#[inline(never)]
pub(crate) unsafe fn continue_apart(to: &Continuation, frame: usize, store_context: usize) {
    // SAFETY: as in `enter_apart`.
    unsafe {
        std::arch::asm!(
            "call {stub}",
            stub = sym continue_apart_stub,
            inlateout("r8") to => _,
            inlateout("r11") frame => _,
            inlateout("rax") store_context => _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("C"),
        )
    }
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
    /// A guest function continues behind its call of the host, with this frame pointer.
    Continued { pc: usize, fp: usize },
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
        } else if within(address(continuing), address(continue_end)) {
            Some(Self::Continued { pc: state.rcx, fp: state.rsi })
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

/// Defines a function, for [`builtin_stub`] to continue in, that notes the guest's registers as the `exit` stub does, and
/// continues in the native function.
macro_rules! saving_stub {
    ($name:ident $native:path) => {
        std::arch::global_asm!(
            ".balign 16",
            concat!(".globl ", $crate::machine::saving_symbol!($name)),
            concat!($crate::machine::saving_symbol!($name), ":"),
            "cmp qword ptr [r11 + {is_apart}], 0",
            "je {native}",
            "mov [r11 + {exit_sp}], rsp",
            "mov [r11 + {exit_saved}], rbx",
            "mov [r11 + {exit_saved} + 8], r12",
            "mov [r11 + {exit_saved} + 16], r13",
            "mov [r11 + {exit_saved} + 24], r14",
            "mov [r11 + {exit_saved} + 32], r15",
            "jmp {native}",
            is_apart = const std::mem::offset_of!(belljar_abi::StoreContext, is_apart),
            exit_sp = const std::mem::offset_of!(belljar_abi::StoreContext, exit_sp),
            exit_saved = const std::mem::offset_of!(belljar_abi::StoreContext, exit_saved),
            native = sym $native,
        );

        unsafe extern "C" {
            #[link_name = $crate::machine::saving_symbol!($name)]
            fn $name();
        }
    };
}
pub(crate) use saving_stub;

/// The symbol of a function that [`saving_stub`] defines.
macro_rules! saving_symbol {
    ($name:ident) => {
        concat!($crate::machine::builtin_symbol!($name), "_saving")
    };
}
pub(crate) use saving_symbol;
