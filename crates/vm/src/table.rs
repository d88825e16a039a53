//! Tables: 32-bit elements in the store's region, which guest code reads and writes in place.

use crate::vm_ptr::VmPtr;
use belljar_abi::GuestTable;
use belljar_core::TableType;

/// A table of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) ty: TableType,
    /// The address of its [`GuestTable`].
    pub(crate) header: VmPtr<GuestTable>,
    /// Whether its elements are references to objects of the heap.
    pub(crate) traced: bool,
}

/// The largest number of elements of any table, whatever its type says: a region's heap is dimensioned for it.
pub const TABLE_LIMIT: u64 = 10_000_000;
