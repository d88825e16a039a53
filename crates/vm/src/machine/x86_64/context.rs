//! An interrupted thread: its registers, and where it continues.

use super::prologue::Prologue;
use crate::invariants::{read_guest_stack, write_guest_stack};

/// The context of an interrupted thread, as the kernel passes it to a signal handler. Changing it changes where and how
/// the thread continues.
#[repr(transparent)]
pub struct Context(libc::ucontext_t);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Context").field(&self.state()).finish()
    }
}

/// The access that faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

impl Context {
    /// Wraps the context that a signal handler was given.
    pub fn of(context: &libc::ucontext_t) -> &Self {
        // SAFETY: `Context` is a transparent wrapper.
        unsafe { &*std::ptr::from_ref(context).cast() }
    }

    fn register(&self, i: libc::c_int) -> usize {
        self.0.uc_mcontext.gregs[i as usize] as usize
    }

    fn set_register(&mut self, i: libc::c_int, value: usize) {
        self.0.uc_mcontext.gregs[i as usize] = value as i64;
    }

    pub(crate) fn state(&self) -> ProgramState {
        ProgramState {
            pc: self.register(libc::REG_RIP),
            sp: self.register(libc::REG_RSP),
            fp: self.register(libc::REG_RBP),
            rcx: self.register(libc::REG_RCX),
            rsi: self.register(libc::REG_RSI),
            rdi: self.register(libc::REG_RDI),
        }
    }

    /// Returns the kind of access that raised a page fault, from the processor's error code.
    pub(crate) fn access(&self) -> Access {
        match self.0.uc_mcontext.gregs[libc::REG_ERR as usize] {
            code if code & 0x10 != 0 => Access::Execute,
            code if code & 2 != 0 => Access::Write,
            _ => Access::Read,
        }
    }

    /// Completes the frame of the function that the thread executes, so that the stack can be walked from its frame
    /// pointer.
    ///
    /// # Safety
    ///
    /// The thread executes guest code whose frame is in this state (GUEST-FRAMES), so the stack is free below its stack
    /// pointer.
    pub(crate) unsafe fn complete_frame(&mut self, prologue: Prologue) {
        let ProgramState { sp, fp, .. } = self.state();
        let frame = match prologue {
            Prologue::Complete => fp,
            Prologue::Pushed => sp,
            Prologue::NoFrame => {
                let made = sp - size_of::<usize>();
                // SAFETY: the caller's promise.
                unsafe { write_guest_stack(made, fp) };
                made
            }
        };
        self.set_register(libc::REG_RBP, frame);
        self.set_register(libc::REG_RSP, sp.min(frame));
    }

    /// Makes the thread continue in the function at this address, with one argument, as if guest code had jumped there.
    pub(in crate::machine) fn continue_at(&mut self, function: usize, argument: usize) {
        // The guest function needs nothing that lies below its frame.
        let sp = (self.register(libc::REG_RSP) - RED_ZONE) & !15;
        self.set_register(libc::REG_RSP, sp);
        self.set_register(libc::REG_RDI, argument);
        self.set_register(libc::REG_RIP, function);
    }
}

/// Bytes below the stack pointer that a function may use (System V).
const RED_ZONE: usize = 128;

/// The registers from which the position of a thread's guest is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramState {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
    pub(super) rcx: usize,
    pub(super) rsi: usize,
    pub(super) rdi: usize,
}

impl ProgramState {
    /// Returns the return address of a call that has just been made.
    ///
    /// # Safety
    ///
    /// The thread executes the first instruction of a function or a stub that guest code called (GUEST-FRAMES).
    pub(crate) unsafe fn return_address(&self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { read_guest_stack(self.sp) }
    }

    /// Returns the return address of the function that the thread executes, and its caller's frame pointer.
    ///
    /// # Safety
    ///
    /// The thread executes guest code whose frame is in this state (GUEST-FRAMES).
    pub(crate) unsafe fn caller(&self, prologue: Prologue) -> (usize, usize) {
        let Self { sp, fp, .. } = *self;
        // SAFETY: the caller's promise.
        unsafe {
            match prologue {
                Prologue::NoFrame => (read_guest_stack(sp), fp),
                Prologue::Pushed => (read_guest_stack(sp + 8), read_guest_stack(sp)),
                Prologue::Complete => (read_guest_stack(fp + 8), read_guest_stack(fp)),
            }
        }
    }
}
