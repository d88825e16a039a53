//! Address space: reserving, committing and releasing ranges of pages.

use crate::vm_ptr::VmPtr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::ops::Range;
use std::{io, ptr};

/// The accesses that pages allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    /// Any access faults.
    None,
    /// Reads.
    Read,
    /// Reads and writes.
    ReadWrite,
    /// Reads and execution.
    ReadExecute,
}

impl Protection {
    fn map(self) -> ProtFlags {
        match self {
            Self::None => ProtFlags::empty(),
            Self::Read => ProtFlags::READ,
            Self::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
            Self::ReadExecute => ProtFlags::READ | ProtFlags::EXEC,
        }
    }

    fn protect(self) -> MprotectFlags {
        match self {
            Self::None => MprotectFlags::empty(),
            Self::Read => MprotectFlags::READ,
            Self::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Self::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        }
    }
}

/// The size of a page of the host in bytes. On this processor there is only one that programs need to know.
#[cfg(target_arch = "x86_64")]
pub(crate) const fn page_size() -> usize {
    4096
}

/// A range of address space that this value alone owns, unmapped on drop. Offsets and lengths are in bytes and
/// multiples of the page size.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: usize,
    length: usize,
}

impl Mapping {
    /// Maps new zero pages. Physical memory is allocated as they are touched.
    pub(crate) fn new(length: usize, protection: Protection) -> io::Result<Self> {
        debug_assert!(length.is_multiple_of(page_size()) && length > 0);
        // SAFETY: a new private mapping at an address of the kernel's choosing affects no existing memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                length,
                protection.map(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        Ok(Self { base: VmPtr::expose(base).address(), length })
    }

    /// Advises the kernel to back a range with large pages, or with small ones. The kernel may ignore the advice; it
    /// affects only time and resident memory.
    pub(crate) fn prefer_large_pages(&mut self, range: Range<usize>, large: bool) {
        let advice = if large { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        // SAFETY: the range is inside this mapping, which `self` owns exclusively (OWNED-MAPPING); contents stay.
        let _ = unsafe { rustix::mm::madvise(self.at(range.start, range.len()), range.len(), advice) };
    }

    /// Returns the address of the first byte.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Returns the size of the address range in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    fn at(&self, offset: usize, length: usize) -> *mut libc::c_void {
        self.range(offset..offset.saturating_add(length)).cast().as_ptr()
    }

    /// Returns a pointer to a range. Async-signal-safe.
    ///
    /// # Panics
    ///
    /// Panics if the range is not inside the mapping.
    #[inline]
    pub(crate) fn range(&self, range: Range<usize>) -> VmPtr<u8> {
        assert!(range.start <= range.end && range.end <= self.length, "range outside the mapping");
        VmPtr::at(self.base + range.start)
    }

    /// Returns the bytes of a range.
    ///
    /// # Panics
    ///
    /// Panics if the range is not inside the mapping.
    ///
    /// # Safety
    ///
    /// The bytes are readable, and nothing writes them while they are borrowed.
    #[inline]
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: the range is inside this mapping, which `self` owns (OWNED-MAPPING); the rest is the caller's promise.
        unsafe { self.range(range.clone()).slice(range.len()) }
    }

    /// Returns the bytes of a range for writing.
    ///
    /// # Panics
    ///
    /// Panics if the range is not inside the mapping.
    ///
    /// # Safety
    ///
    /// The bytes are writable, and nothing else uses them while they are borrowed.
    #[inline]
    pub(crate) unsafe fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.range(range.clone()).slice_mut(range.len()) }
    }

    /// Copies bytes to an offset.
    ///
    /// # Panics
    ///
    /// Panics if they do not end inside the mapping.
    ///
    /// # Safety
    ///
    /// The range is writable, and nothing else uses it now.
    #[inline]
    pub(crate) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: the range is inside this mapping, which `self` owns (OWNED-MAPPING); the rest is the caller's promise.
        unsafe { self.range(offset..offset.saturating_add(bytes.len())).copy_from(bytes) };
    }

    /// Sets all bytes of a range to a value.
    ///
    /// # Panics
    ///
    /// Panics if the range is not inside the mapping.
    ///
    /// # Safety
    ///
    /// The conditions of [`Mapping::write`] apply.
    #[inline]
    pub(crate) unsafe fn fill(&self, range: Range<usize>, value: u8) {
        // SAFETY: as in `write`.
        unsafe { self.range(range.clone()).as_ptr().write_bytes(value, range.len()) };
    }

    /// Changes the protection of a range. Callers hold `&mut`, so no Rust reference into the range is live.
    pub(crate) fn protect(&mut self, offset: usize, length: usize, protection: Protection) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        // SAFETY: the range is inside this mapping, which `self` owns exclusively (OWNED-MAPPING).
        unsafe { Ok(rustix::mm::mprotect(self.at(offset, length), length, protection.protect())?) }
    }

    /// Changes the protection of a range that other threads may be accessing.
    ///
    /// # Safety
    ///
    /// There is no reference to bytes that become inaccessible, and no mutable one to bytes that become read-only.
    pub(crate) unsafe fn protect_shared(
        &self,
        range: Range<usize>,
        protection: Protection,
    ) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (at, length) = (self.at(range.start, range.len()), range.len());
        // SAFETY: the range is inside this mapping; the rest is the caller's promise.
        unsafe { Ok(rustix::mm::mprotect(at, length, protection.protect())?) }
    }

    /// Moves the pages of a range to the same offset in another mapping, where they appear in one step for all threads.
    /// Zero pages remain in this mapping. Linux 5.7.
    ///
    /// # Safety
    ///
    /// There is no reference to bytes of either range.
    pub(crate) unsafe fn move_shared(&self, to: &Mapping, range: Range<usize>) -> io::Result<()> {
        let flags = MremapFlags::MAYMOVE | MremapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP as u32);
        let (from, length) = (self.at(range.start, range.len()), range.len());
        let target = to.at(range.start, length);
        // SAFETY: both ranges are inside their mappings; the rest is the caller's promise.
        unsafe { rustix::mm::mremap_fixed(from, length, length, flags, target)? };
        Ok(())
    }

    /// Returns the pages of a range to the kernel: they read as when they were mapped.
    pub(crate) fn discard(&mut self, offset: usize, length: usize) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        // SAFETY: the range is inside this mapping, which `self` owns exclusively (OWNED-MAPPING); losing its contents
        // is intended.
        unsafe { Ok(rustix::mm::madvise(self.at(offset, length), length, Advice::LinuxDontNeed)?) }
    }

    /// Replaces a range by a private copy-on-write mapping of a file, starting at the byte `from`, a multiple of the
    /// page size.
    pub(crate) fn map_file(
        &mut self,
        offset: usize,
        length: usize,
        file: &OwnedFd,
        from: usize,
    ) -> io::Result<()> {
        // SAFETY: MAP_FIXED replaces pages inside this mapping only, which `self` owns exclusively (OWNED-MAPPING).
        unsafe {
            rustix::mm::mmap(
                self.at(offset, length),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                file.as_fd(),
                from as u64,
            )?;
        }
        Ok(())
    }

    /// Maps a file for reading.
    pub(crate) fn of_file(file: &OwnedFd, length: usize) -> io::Result<Self> {
        // SAFETY: as in `new`.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file.as_fd(), 0)?
        };
        Ok(Self { base: VmPtr::expose(base).address(), length })
    }

    /// Replaces a range by new zero pages.
    pub(crate) fn map_zero(
        &mut self,
        offset: usize,
        length: usize,
        protection: Protection,
    ) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        // SAFETY: as in `map_file`.
        unsafe {
            rustix::mm::mmap_anonymous(
                self.at(offset, length),
                length,
                protection.map(),
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
            )?;
        }
        Ok(())
    }

    /// Moves the pages of a range to the same offset in another mapping. Zero pages, or pages of a mapped file, remain
    /// in this one. On an error nothing was moved: the pages are of several kinds, or the kernel is older than 5.13.
    pub(crate) fn move_pages(&mut self, to: &mut Mapping, range: Range<usize>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        // The old range stays mapped: another thread could map memory in a hole, and `drop` would then unmap it.
        let flags = MremapFlags::MAYMOVE | MremapFlags::from_bits_retain(libc::MREMAP_DONTUNMAP as u32);
        let (from, length) = (self.at(range.start, range.len()), range.len());
        let target = to.at(range.start, length);
        // SAFETY: both ranges are inside their mappings, which are owned exclusively (OWNED-MAPPING); the caller
        // updates whatever holds the old address.
        unsafe { rustix::mm::mremap_fixed(from, length, length, flags, target)? };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `self` owns the range and nothing uses it after this (OWNED-MAPPING).
        let _ = unsafe { rustix::mm::munmap(self.at(0, self.length), self.length) };
    }
}

/// Faults in all pages of a range that is about to be written, instead of one by one on first access. The kernel may
/// refuse; only the time depends on it. Async-signal-safe.
pub(crate) fn populate(bytes: &mut [u8]) {
    let skipped = bytes.as_ptr().addr().next_multiple_of(page_size()) - bytes.as_ptr().addr();
    let Some(rest) = bytes.get_mut(skipped..) else { return };
    let length = rest.len() / page_size() * page_size();
    if length > 0 {
        let at = rest.as_mut_ptr().cast();
        // SAFETY: whole pages of memory that the caller may write; contents stay.
        let _ = unsafe { rustix::mm::madvise(at, length, Advice::LinuxPopulateWrite) };
    }
}

/// Makes pages writable that were write-protected only to detect a write. Async-signal-safe.
pub(super) fn make_writable(range: Range<usize>) -> io::Result<()> {
    let at = VmPtr::at(range.start).as_ptr();
    let protection = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the range belongs to a `WriteWatch`, whose owner (OWNED-MAPPING) could write to all of it before
    // (WRITE-WATCH); contents stay.
    unsafe { Ok(rustix::mm::mprotect(at, range.len(), protection)?) }
}

/// Creates a sealed file in memory with this length, which is zero except for these parts and can never change.
pub(crate) fn anonymous_file<'a>(
    name: &str,
    length: usize,
    parts: impl Iterator<Item = (usize, &'a [u8])>,
) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, length as u64)?;
    for (offset, bytes) in parts {
        let mut written = 0;
        while written < bytes.len() {
            written += rustix::io::pwrite(&fd, &bytes[written..], (offset + written) as u64)?;
        }
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let mut tries = 1..SEALINGS;
    loop {
        match rustix::fs::fcntl_add_seals(&fd, seals) {
            Ok(()) => return Ok(fd),
            // The kernel briefly holds a reference to a page for its own purposes, and has given up waiting for it.
            Err(rustix::io::Errno::BUSY) if tries.next().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How often sealing a file in memory is attempted before it counts as refused.
const SEALINGS: u32 = 20;
