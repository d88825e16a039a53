//! Finds the written pages of a private mapping by asking the kernel, without write protection or faults.
//!
//! A written page is anonymous: in memory or swapped out, and neither a page of the file nor the zero page. The
//! `PAGEMAP_SCAN` request (Linux 6.7) lists such ranges. Older kernels refuse it, and callers fall back to other means.

use super::fork::generation;
use super::map::page_size;
use crate::vm_ptr::VmPtr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// `struct pm_scan_arg` of the kernel's interface.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of the kernel's interface.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong =
    (3 << 30) | ((size_of::<ScanArg>() as libc::c_ulong) << 16) | ((b'f' as libc::c_ulong) << 8) | 16;

/// The number of ranges requested at a time.
const REGIONS: usize = 64;

/// The number of open files, so that threads that ask at the same time do not contend for one.
const FILES: usize = 8;

/// Returns the page map of the process. It is opened once for each of a few groups of threads, and never closed. `None`
/// if it cannot be opened.
fn pagemap() -> Option<RawFd> {
    /// The process that the file belongs to in the upper half, the file's number in the lower half: a forked child
    /// inherits the file, which still describes the parent's pages.
    static FILES_OPEN: [AtomicU64; FILES] = [const { AtomicU64::new(0) }; FILES];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static GROUP: usize = NEXT.fetch_add(1, Relaxed) % FILES;
    }
    // When a thread ends, its destructors may return memories to a pool.
    let group = GROUP.try_with(|group| *group).unwrap_or(0);
    let (slot, process) = (&FILES_OPEN[group], generation());
    let open = slot.load(Relaxed);
    let open = if (open >> 32) as u32 == process { open } else { open_in(slot, open, process) };
    Some(open as u32 as RawFd).filter(|file| *file >= 0)
}

#[cold]
fn open_in(slot: &AtomicU64, before: u64, process: u32) -> u64 {
    let file = File::open("/proc/self/pagemap").ok();
    let number = file.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    let open = u64::from(process) << 32 | u64::from(number as u32);
    match slot.compare_exchange(before, open, Relaxed, Relaxed) {
        Ok(_) => {
            // Other threads may use the file at any time from now on.
            let _never_closed = file.map(IntoRawFd::into_raw_fd);
            open
        }
        Err(other) => other,
    }
}

/// Calls `visit` with every range of written pages between two addresses, in order, until it returns `false`.
pub(crate) fn written_pages(
    range: Range<usize>,
    mut visit: impl FnMut(Range<usize>) -> bool,
) -> io::Result<()> {
    let pagemap = pagemap().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    debug_assert!(range.start.is_multiple_of(page_size()) && range.end.is_multiple_of(page_size()));
    // Not initialized beforehand: that would take longer than most scans.
    let mut regions = [const { MaybeUninit::<PageRegion>::uninit() }; REGIONS];
    let mut start = range.start as u64;
    while start < range.end as u64 {
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start,
            end: range.end as u64,
            vec: VmPtr::expose(regions.as_mut_ptr()).address() as u64,
            vec_len: REGIONS as u64,
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            ..ScanArg::default()
        };
        // SAFETY: the argument is what this request takes; the kernel writes to it and to at most `vec_len` elements of
        // `regions`, both ours.
        let found = unsafe { libc::ioctl(pagemap, PAGEMAP_SCAN, &mut arg) };
        if found < 0 {
            return Err(io::Error::last_os_error());
        }
        for region in &regions[..(found as usize).min(REGIONS)] {
            // SAFETY: the kernel has written as many regions as it returned.
            let region = unsafe { region.assume_init_ref() };
            if !visit(region.start as usize..region.end as usize) {
                return Ok(());
            }
        }
        if arg.walk_end <= start {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        start = arg.walk_end;
    }
    Ok(())
}

/// Returns whether the kernel can list written pages.
pub fn tells_written_pages() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    *TELLS.get_or_init(|| written_pages(0..page_size(), |_| true).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Mapping, Protection};

    /// The kernel has a category for this (`PAGE_IS_WRITTEN`), but it is the wrong one: it means "not write-protected
    /// through userfaultfd". That holds for all pages here, including pages that are not present where the kernel
    /// visits pages one by one.
    #[test]
    fn pages_that_were_read_or_given_back_or_never_touched_were_not_written() {
        if !tells_written_pages() {
            return eprintln!("skipped: the kernel does not list written pages");
        }
        let (page, pages) = (page_size(), 600);
        let mut mapping = Mapping::new(pages * page, Protection::ReadWrite).unwrap();
        let base = mapping.base();
        let found = |mapping: &Mapping| {
            let mut found = Vec::new();
            let range = mapping.base()..mapping.base() + mapping.length();
            written_pages(range, |range| {
                found.extend(range.step_by(page).map(|at| (at - base) / page));
                true
            })
            .unwrap();
            found
        };
        assert_eq!(found(&mapping), []);
        // Their neighbours share page tables with them.
        for i in [0, 1, 10, 12, 511, 512, 599] {
            // SAFETY: inside the mapping just made, which this test alone uses.
            unsafe { mapping.fill(i * page + 5..i * page + 6, 7) };
        }
        for i in [2, 11, 300] {
            // SAFETY: as above.
            let byte = unsafe { mapping.bytes(i * page..i * page + 1)[0] };
            assert_eq!(byte, 0);
        }
        assert_eq!(found(&mapping), [0, 1, 10, 12, 511, 512, 599]);
        for i in [1, 511] {
            mapping.discard(i * page, page).unwrap();
        }
        assert_eq!(found(&mapping), [0, 10, 12, 512, 599]);
    }

    #[test]
    fn large_pages_that_were_only_read_were_not_written() {
        const LARGE: usize = 2 << 20;
        if !tells_written_pages() {
            return eprintln!("skipped: the kernel does not list written pages");
        }
        let mut mapping = Mapping::new(8 * LARGE, Protection::ReadWrite).unwrap();
        mapping.prefer_large_pages(0..8 * LARGE, true);
        let base = mapping.base();
        let first = base.next_multiple_of(LARGE) - base;
        let written = |mapping: &Mapping| {
            let mut found = Vec::new();
            written_pages(base..base + mapping.length(), |range| {
                found.push(range.start - base - first..range.end - base - first);
                true
            })
            .unwrap();
            found
        };
        for i in 0..6 {
            // SAFETY: inside the mapping just made, which this test alone uses.
            let byte = unsafe { mapping.bytes(first + i * LARGE..first + i * LARGE + 1)[0] };
            assert_eq!(byte, 0);
        }
        assert_eq!(written(&mapping), []);
        // SAFETY: as above.
        unsafe { mapping.fill(first + LARGE + 5000..first + LARGE + 5001, 7) };
        let found = written(&mapping);
        // If there are no large pages, a small one was written.
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains(&(LARGE + 5000)) && found[0].start >= LARGE && found[0].end <= 2 * LARGE,
            "{found:?}"
        );
        mapping.discard(first + LARGE, LARGE).unwrap();
        assert_eq!(written(&mapping), []);
    }
}
