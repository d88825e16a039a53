//! An allocator and locks that end the process if the handler uses them.
//!
//! The linker prefers the test's functions to those of the C library wherever the program calls these. Locks of the
//! standard library make no call while they are uncontended; stepping finds those ([`crate::steps`]).

use crate::inside::forbid;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_int, c_long};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: all calls are forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        forbid("allocates");
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        forbid("allocates");
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        forbid("allocates");
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        forbid("frees memory");
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) };
    }
}

/// How often threads waited for others in the kernel, outside the handler.
pub(crate) static WAITS: AtomicU64 = AtomicU64::new(0);

/// Returns the C library's function behind the override.
fn next(known: &AtomicUsize, name: &CStr) -> usize {
    let mut address = known.load(Relaxed);
    if address == 0 {
        // SAFETY: the name ends in a zero.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }.addr();
        assert_ne!(address, 0, "{name:?}");
        known.store(address, Relaxed);
    }
    address
}

macro_rules! locks {
    ($($name:ident($($argument:ident),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: usize),*) -> c_int {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            forbid(concat!("calls ", stringify!($name)));
            let name = const {
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!(),
                }
            };
            // SAFETY: it is the function of this name, which takes as many pointers.
            let next = unsafe {
                std::mem::transmute::<usize, extern "C" fn($(locks!(@usize $argument)),*) -> c_int>(next(&NEXT, name))
            };
            next($($argument),*)
        }
    )*};
    (@usize $argument:ident) => { usize };
}

locks! {
    pthread_mutex_lock(mutex);
    pthread_mutex_trylock(mutex);
    pthread_mutex_timedlock(mutex, until);
    pthread_rwlock_rdlock(lock);
    pthread_rwlock_tryrdlock(lock);
    pthread_rwlock_wrlock(lock);
    pthread_rwlock_trywrlock(lock);
    pthread_cond_wait(condition, mutex);
    pthread_cond_timedwait(condition, mutex, until);
    pthread_once(once, call);
    sem_wait(semaphore);
}

/// Returns whether a futex call waits for another thread.
fn waits(operation: c_int) -> bool {
    const OPERATION: c_int = 0x7f;
    const LOCK_PI2: c_int = 13;
    matches!(
        operation & OPERATION,
        libc::FUTEX_WAIT
            | libc::FUTEX_WAIT_BITSET
            | libc::FUTEX_LOCK_PI
            | libc::FUTEX_WAIT_REQUEUE_PI
            | LOCK_PI2
    )
}

/// The function by which the standard library waits for locks.
///
/// # Safety
///
/// The conditions of the C library's function apply.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex && waits(b as c_int) {
        forbid("waits for another thread");
        WAITS.fetch_add(1, Relaxed);
    }
    let result: c_long;
    // SAFETY: the caller's promise; the kernel overwrites these two registers. Missing arguments have undefined values,
    // which the kernel does not read.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        // SAFETY: the error number is the thread's own.
        unsafe { *libc::__errno_location() = -result as c_int };
        return -1;
    }
    result
}
