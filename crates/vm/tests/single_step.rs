//! The stack of a guest at every single instruction: a walk finds exactly the frames that result from the calls,
//! returns and jumps so far.
//!
//! The processor's trap flag raises a signal after each instruction of the guest, the stubs and the host. Its handler
//! tracks the effect of the instruction on the stack, and compares that with what the walk finds.

use belljar::{Caller, Engine, Error, Linker, Module, ResumableCall, Store, Trap, Val};
use belljar_vm::{SignalContext, StoreMonitor, function_at};
use std::cell::UnsafeCell;
use std::sync::{Arc, Mutex};

const PROGRAM: &str = include_str!("../../belljar/tests/calls.wat");

/// The handler's state. Only the handler uses it while instructions are stepped.
struct Steps {
    monitor: Option<Arc<StoreMonitor>>,
    /// Starts of the functions that were entered, and 0 for each entry from the host. Outermost first.
    stack: [usize; 1024],
    height: usize,
    /// What was removed when an entry from the host was left: it may continue.
    suspended: [usize; 1024],
    suspended_height: usize,
    /// The instruction that was stepped last.
    last: usize,
    steps: u64,
    in_guest: u64,
    /// The first difference: the position, the expected stack and the found one.
    difference: Option<(usize, usize, [usize; 8], [usize; 8])>,
    is_over: bool,
}

struct Shared(UnsafeCell<Steps>);
// SAFETY: one thread uses it: the test, before and after stepping; its handler in between.
unsafe impl Sync for Shared {}

static STEPS: Shared = Shared(UnsafeCell::new(Steps {
    monitor: None,
    stack: [0; 1024],
    height: 0,
    suspended: [0; 1024],
    suspended_height: 0,
    last: 0,
    steps: 0,
    in_guest: 0,
    difference: None,
    is_over: false,
}));

const TRAP_FLAG: i64 = 0x100;

impl Steps {
    fn push(&mut self, function: usize) {
        self.stack[self.height] = function;
        self.height += 1;
    }

    /// Removes the innermost function, and the entry from the host if that was its outermost function.
    fn pop(&mut self) {
        self.height -= 1;
        while self.height > 0 && self.stack[self.height - 1] == 0 {
            self.height -= 1;
        }
    }

    /// Returns the height of the stack without the innermost entry from the host: when a trap, an error or an exception
    /// leaves it, no guest instruction shows that.
    fn without_innermost_way_in(&self) -> usize {
        self.stack[..self.height].iter().rposition(|start| *start == 0).unwrap_or(0)
    }

    /// Tracks the effect of the last instruction, now that the next one is at `pc`.
    fn follow(&mut self, pc: usize) {
        let last = self.last;
        let (from, to) = (function_at(last), function_at(pc));
        let code = |at: usize, i: usize| {
            // SAFETY: an instruction that was just executed lies there.
            unsafe { std::ptr::with_exposed_provenance::<u8>(at + i).read() }
        };
        match (&from, &to) {
            // A call, or a tail call.
            (Some(from), Some(to)) if from.start != to.start || pc == to.start => {
                let is_call = code(last, 0) == 0xe8
                    || code(last, 0) == 0xff && code(last, 1) & 0x38 == 0x10
                    || code(last, 0) == 0x41 && code(last, 1) == 0xff && code(last, 2) & 0x38 == 0x10;
                let is_return = matches!(code(last, 0), 0xc3 | 0xc2);
                if is_return {
                    self.pop();
                } else if is_call {
                    self.push(to.start);
                } else {
                    self.stack[self.height - 1] = to.start;
                }
            }
            // Recursion that returns.
            (Some(_), Some(_)) if matches!(code(last, 0), 0xc3 | 0xc2) => self.pop(),
            // Into the guest: by the entry stub, a thunk or a trampoline; back from a call; or to a handler.
            (None, Some(to)) if pc == to.start => {
                self.push(0);
                self.push(to.start);
            }
            (None, Some(to)) => {
                while self.height > 0 && self.stack[self.height - 1] != to.start {
                    self.height -= 1;
                }
            }
            // A return to code that is not a function, such as a stub.
            (Some(_), None) if matches!(code(last, 0), 0xc3 | 0xc2) => self.pop(),
            // A tail call of a thunk, or of the host.
            (Some(_), None) if is_last_call(last, code) => self.pop(),
            _ => {}
        }
    }
}

/// Returns whether an instruction of guest code is a jump.
fn is_last_call(at: usize, code: impl Fn(usize, usize) -> u8) -> bool {
    code(at, 0) == 0xe9
        || code(at, 0) == 0xff && code(at, 1) & 0xf8 == 0xe0
        || code(at, 0) == 0x41 && code(at, 1) == 0xff && code(at, 2) & 0xf8 == 0xe0
}

unsafe extern "C" fn on_step(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a context; the steps belong to this handler while the flag is set.
    let (context, steps) = unsafe { (&mut *context.cast::<libc::ucontext_t>(), &mut *STEPS.0.get()) };
    let pc = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    steps.steps += 1;
    steps.follow(pc);
    steps.last = pc;
    let mut found = [0; 1024];
    let mut count = 0;
    let monitor = steps.monitor.as_ref().expect("set before the first step");
    // SAFETY: the store is alive, and this thread runs it.
    unsafe {
        monitor.frames_of(SignalContext::of(context), |at| {
            if let Some(function) = function_at(at) {
                found[count] = function.start;
                count += 1;
            }
        });
    }
    steps.in_guest += u64::from(function_at(pc).is_some());
    let functions = |height: usize| steps.stack[..height].iter().rev().filter(|start| **start != 0);
    let left = steps.without_innermost_way_in();
    let suspended = steps.suspended[..steps.suspended_height].iter().rev().filter(|start| **start != 0);
    // If one of these is wrong, the next comparison fails.
    if function_at(pc).is_none() && functions(left).eq(&found[..count]) {
        if left < steps.height {
            steps.suspended_height = steps.height - left;
            steps.suspended[..steps.suspended_height].copy_from_slice(&steps.stack[left..steps.height]);
        }
        steps.height = left;
    } else if function_at(pc).is_none() && steps.height == 0 && suspended.eq(&found[..count]) {
        steps.height = steps.suspended_height;
        steps.stack[..steps.height].copy_from_slice(&steps.suspended[..steps.height]);
    }
    let expected = steps.stack[..steps.height].iter().rev().filter(|start| **start != 0);
    if steps.difference.is_none() && !expected.clone().eq(&found[..count]) {
        let mut wanted = [0; 8];
        expected.zip(&mut wanted).for_each(|(start, place)| *place = *start);
        let mut shown = [0; 8];
        shown.copy_from_slice(&found[..8]);
        steps.difference = Some((pc, count, wanted, shown));
    }
    if steps.is_over || steps.difference.is_some() {
        context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG;
    }
}

/// Held by the test whose guest is stepped.
static STEPPING: Mutex<()> = Mutex::new(());

/// Runs a guest of the store with the trap flag set, and checks what the handler found.
fn step<R>(store: &mut Store<()>, run: impl FnOnce(&mut Store<()>) -> R) -> R {
    let _stepping = STEPPING.lock().unwrap_or_else(|e| e.into_inner());
    let monitor = Some(store.inspector().monitor().clone());
    // SAFETY: nothing is stepped yet; the handler has the type that SA_SIGINFO requires, and clears the flag.
    unsafe {
        let steps = &mut *STEPS.0.get();
        (steps.monitor, steps.height, steps.suspended_height) = (monitor, 0, 0);
        (steps.steps, steps.in_guest, steps.difference, steps.is_over) = (0, 0, None, false);
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = on_step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigfillset(&mut action.sa_mask);
        // A fault while its signal is blocked would end the process.
        for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS] {
            libc::sigdelset(&mut action.sa_mask, signal);
        }
        assert_eq!(libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()), 0);
        std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq");
    }
    let result = run(store);
    // SAFETY: as for the handler, which interrupts this thread; after that nothing is stepped any more.
    let steps = unsafe {
        (*STEPS.0.get()).is_over = true;
        &*STEPS.0.get()
    };
    if let Some((pc, count, expected, found)) = steps.difference {
        let at = function_at(pc).map(|function| pc - function.start);
        panic!(
            "step {}, at {pc:#x} ({at:x?}): expected {expected:x?}, found {count}: {found:x?}",
            steps.steps
        );
    }
    println!("{} instructions, {} of them the guest's", steps.steps, steps.in_guest);
    assert!(steps.in_guest > 2000);
    result
}

fn again(caller: &mut Caller<'_, ()>, x: i32) -> Result<i32, Error> {
    let again = caller.get_export("again").and_then(|again| again.into_func()).unwrap();
    match again.typed::<i32, i32>(&*caller)?.call(caller, x) {
        Ok(result) => Ok(result),
        Err(error) if error.downcast_ref::<Trap>().is_some() => Ok(-1),
        Err(_) => Ok(-2),
    }
}

#[test]
fn the_stack_is_right_at_every_instruction() {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("", "host", |mut caller: Caller<'_, ()>, x: i32| again(&mut caller, x)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let expected = run.call(&mut store, 4).unwrap();
    let result = step(&mut store, |store| run.call(store, 4)).unwrap();
    assert_eq!(result, expected);
}

/// The same when each call of the host suspends the guest. The handler runs on the guest's stack, as one of an embedder
/// may, and overwrites whatever is below the stack pointer.
#[test]
fn the_stack_of_a_resumable_call_is_right_at_every_instruction() {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM).unwrap();
    let mut linker = Linker::new(&engine);
    let suspends = |mut caller: Caller<'_, ()>, x: i32| -> Result<i32, Error> {
        belljar::bail!("{}", again(&mut caller, x)?)
    };
    linker.func_wrap("", "host", suspends).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    let resume_all = |store: &mut Store<()>| {
        let mut results = [Val::I32(0)];
        let mut times = 0;
        let mut call = run.call_resumable(&mut *store, &[Val::I32(4)], &mut results).unwrap();
        while let ResumableCall::HostTrap(at) = call {
            let answer = at.host_error().root_cause().to_string().parse().unwrap();
            call = at.resume(&mut *store, &[Val::I32(answer)], &mut results).unwrap();
            times += 1;
        }
        (results[0].unwrap_i32(), times)
    };
    let expected = resume_all(&mut store);
    assert!(expected.1 > 3, "{expected:?}");
    assert_eq!(step(&mut store, resume_all), expected);
}
