//! Tables: 32-bit elements in the store's region, which guest code reads and writes in place.

use crate::vm_ptr::VmPtr;
use belljar_abi::GuestTable;
use belljar_core::TableType;

/// A table of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) ty: TableType,
    /// Where its [`GuestTable`] lies.
    pub(crate) header: VmPtr<GuestTable>,
    /// Whether its elements are references to objects of the heap.
    pub(crate) traced: bool,
}

/// Elements that any table may have at most, whatever its type says: what a region's heap is made for.
pub const TABLE_LIMIT: u64 = 10_000_000;
