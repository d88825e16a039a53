//! How the address space behind a memory follows from its type.

use belljar_core::MemoryType;

/// Bytes of address space that fault behind a memory's 4 GiB, and behind the accessible part of a memory that
/// [`is_guarded`]: an access that ends within this distance of an index needs only a check of the index.
pub const GUARD_SIZE: u64 = 32 << 20;

/// Returns whether all addresses that the type allows can be reserved at once, so that accesses outside the memory
/// fault. This holds for memories with 32-bit addresses whose pages the host can protect individually.
pub const fn can_be_reserved(ty: &MemoryType) -> bool {
    !ty.is_64() && has_host_pages(ty)
}

/// Returns whether at least [`GUARD_SIZE`] faulting bytes follow the accessible ones, whatever the memory's size.
/// Shared memories do not benefit: between the load of the length and the access, the bytes behind it may become
/// accessible.
pub const fn is_guarded(ty: &MemoryType) -> bool {
    ty.is_64() && has_host_pages(ty) && !ty.is_shared()
}

/// Returns whether the accessible part always ends at a page boundary of the host.
const fn has_host_pages(ty: &MemoryType) -> bool {
    ty.page_size_log2() == 16
}
