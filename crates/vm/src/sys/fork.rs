//! Distinguishes a forked child from its parent.
//!
//! A page that the kernel wipes in every child holds a number. A child finds zero there, however it was forked, and
//! takes the next number. State that belongs to a single process, such as a thread or an open file of `/proc/self`, is
//! stored with the number of its process and recreated in a child.

use super::map::{Mapping, Protection, page_size};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::*};

/// The number of the newest process in this line of forks. Children inherit it.
static LAST: AtomicU32 = AtomicU32::new(0);

/// Returns the page that is wiped in children; `None` if the kernel cannot do that (before Linux 4.14).
fn page() -> Option<&'static AtomicU32> {
    static PAGE: OnceLock<Option<Mapping>> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let page = Mapping::new(page_size(), Protection::ReadWrite).ok()?;
        let at = page.range(0..page_size()).cast::<libc::c_void>().as_ptr();
        // SAFETY: OWNED-MAPPING: the page is ours, and holds only what children are to lose.
        let advised = unsafe { libc::madvise(at, page_size(), libc::MADV_WIPEONFORK) };
        (advised == 0).then_some(page)
    });
    let at = page.as_ref()?.range(0..size_of::<AtomicU32>()).cast();
    // SAFETY: OWNED-MAPPING: a page is aligned and initially zero, and this one is never unmapped.
    Some(unsafe { at.as_ref() })
}

/// Returns a number that distinguishes this process from its ancestors. Never 0.
#[inline]
pub fn generation() -> u32 {
    let Some(page) = page() else { return std::process::id() };
    match page.load(Acquire) {
        0 => new_generation(page),
        number => number,
    }
}

#[cold]
fn new_generation(page: &AtomicU32) -> u32 {
    let next = LAST.fetch_add(1, AcqRel) + 1;
    page.compare_exchange(0, next, AcqRel, Acquire).map_or_else(|other| other, |_| next)
}

/// Registers functions that the C library calls at each fork: one before it, one after it in the parent, and one in the
/// child. The child's runs on the child's only thread; at the time of the fork, the other threads of the parent could
/// have been anywhere.
pub(crate) fn at_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> io::Result<()> {
    let (prepare, parent, child) = (
        prepare as unsafe extern "C" fn(),
        parent as unsafe extern "C" fn(),
        child as unsafe extern "C" fn(),
    );
    // SAFETY: safe functions with static lifetime.
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}
