//! What a memory's type says about the address space behind it.

use belljar_core::MemoryType;

/// Bytes of address space that fault behind a memory's 4 GiB, and behind the accessible part of a memory that
/// [`is_guarded`]: an access that ends within so many bytes of an index needs no more than a check of the index.
pub const GUARD_SIZE: u64 = 32 << 20;

/// Whether every address that the type allows can be reserved at once, so that what is outside faults: memories
/// with 32-bit addresses whose pages the host can protect one by one.
pub const fn can_be_reserved(ty: &MemoryType) -> bool {
    !ty.is_64() && has_host_pages(ty)
}

/// Whether at least [`GUARD_SIZE`] bytes that fault lie behind the accessible ones, whatever the memory's size. That
/// helps no shared memory: by the time of an access the bytes behind a length that was read may be accessible.
pub const fn is_guarded(ty: &MemoryType) -> bool {
    ty.is_64() && has_host_pages(ty) && !ty.is_shared()
}

/// Whether the accessible part always ends where a page of the host does.
const fn has_host_pages(ty: &MemoryType) -> bool {
    ty.page_size_log2() == 16
}
