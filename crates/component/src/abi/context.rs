//! The guest that values are lifted from, and the one that they are lowered into.

use crate::plan::StringEncoding;
use crate::resource::{Passed, ResourceTypeId};
use crate::types::{AddressType, ResourceIndex};
use belljar_core::{Error, Result, format_err};
use std::any::Any;
use std::fmt;

/// The handles of a guest that values are lifted from.
pub trait LiftHandles {
    /// Takes an owned handle from the guest.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest has no such handle, of this type, or the handle is lent.
    fn lift_own(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed>;

    /// Borrows a handle from the guest for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest has no such handle, of this type.
    fn lift_borrow(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed>;

    /// Returns what the host keeps of its handles.
    #[doc(hidden)]
    fn host(&mut self) -> &mut dyn Any;

    /// Returns the error of values for which the host would have to take more bytes than it may.
    fn too_much(&self, wanted: u64, limit: u64) -> Error {
        format_err!(
            "the values of the call take {wanted} bytes of the host's memory, and {limit} are allowed"
        )
    }
}

/// The guest that values are lifted from.
pub struct LiftContext<'a> {
    address: AddressType,
    encoding: StringEncoding,
    memory: Option<&'a [u8]>,
    /// The bytes that the host may take for values, and those of them that it has not taken.
    limit: u64,
    left: u64,
    handles: &'a mut dyn LiftHandles,
}

impl fmt::Debug for LiftContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiftContext").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<'a> LiftContext<'a> {
    /// Creates one. The host takes at most `limit` bytes for values.
    #[inline]
    pub fn new(
        address: AddressType,
        encoding: StringEncoding,
        memory: Option<&'a [u8]>,
        limit: u64,
        handles: &'a mut dyn LiftHandles,
    ) -> Self {
        Self { address, encoding, memory, limit, left: limit, handles }
    }

    /// Returns the type of addresses.
    #[inline]
    pub fn address(&self) -> AddressType {
        self.address
    }

    /// Returns the encoding of strings.
    #[inline]
    pub fn encoding(&self) -> StringEncoding {
        self.encoding
    }

    /// Returns the memory.
    ///
    /// # Errors
    ///
    /// Returns an error if the function has none.
    #[inline]
    pub fn memory(&self) -> Result<&'a [u8]> {
        self.memory.ok_or_else(no_memory)
    }

    /// Counts bytes that the host takes for values.
    ///
    /// # Errors
    ///
    /// Returns an error if they are too many.
    #[inline]
    pub fn charge(&mut self, bytes: u64) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.handles.too_much((self.limit - self.left).saturating_add(bytes), self.limit)),
        }
    }

    /// Takes an owned handle from the guest.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest has no such handle, of this type, or the handle is lent.
    pub fn lift_own(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed> {
        self.handles.lift_own(resource, handle)
    }

    /// Borrows a handle from the guest for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest has no such handle, of this type.
    pub fn lift_borrow(&mut self, resource: ResourceIndex, handle: u32) -> Result<Passed> {
        self.handles.lift_borrow(resource, handle)
    }

    /// Returns what the host keeps of its handles.
    #[doc(hidden)]
    pub fn host(&mut self) -> &mut dyn Any {
        self.handles.host()
    }
}

#[cold]
fn no_memory() -> Error {
    format_err!("belljar bug: a value needs memory, and there is none")
}

/// The memory, allocator and handles of a guest that values are lowered into.
pub trait LowerTarget {
    /// Returns the memory; `None` if the function has none.
    fn memory(&mut self) -> Option<&mut [u8]>;

    /// Calls the guest's allocator, which may move an earlier allocation.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function, or it does not return.
    fn realloc(&mut self, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64>;

    /// Returns the store's resource type of one of the component's.
    ///
    /// # Errors
    ///
    /// Returns an error if the component has no such type.
    fn resource_type(&mut self, resource: ResourceIndex) -> Result<ResourceTypeId>;

    /// Gives the guest an owned handle.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not have it any more, or it is of another type.
    fn lower_own(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32>;

    /// Lends the guest a handle for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not have it any more, or it is of another type.
    fn lower_borrow(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32>;

    /// Returns what the host keeps of its handles.
    #[doc(hidden)]
    fn host(&mut self) -> &mut dyn Any;
}

/// The guest that values are lowered into.
pub struct LowerContext<'a> {
    address: AddressType,
    encoding: StringEncoding,
    target: &'a mut dyn LowerTarget,
}

impl fmt::Debug for LowerContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LowerContext").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<'a> LowerContext<'a> {
    /// Creates one.
    #[inline]
    pub fn new(address: AddressType, encoding: StringEncoding, target: &'a mut dyn LowerTarget) -> Self {
        Self { address, encoding, target }
    }

    /// Returns the type of addresses.
    #[inline]
    pub fn address(&self) -> AddressType {
        self.address
    }

    /// Returns the encoding of strings.
    #[inline]
    pub fn encoding(&self) -> StringEncoding {
        self.encoding
    }

    /// Returns the memory. An allocation may have made it larger.
    ///
    /// # Errors
    ///
    /// Returns an error if the function has none.
    #[inline]
    pub fn memory(&mut self) -> Result<&mut [u8]> {
        self.target.memory().ok_or_else(no_memory)
    }

    /// Calls the guest's allocator, which may move an earlier allocation.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function, or it does not return.
    #[inline]
    pub fn realloc(&mut self, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64> {
        self.target.realloc(old, old_size, align, size)
    }

    /// Returns the store's resource type of one of the component's.
    ///
    /// # Errors
    ///
    /// Returns an error if the component has no such type.
    pub fn resource_type(&mut self, resource: ResourceIndex) -> Result<ResourceTypeId> {
        self.target.resource_type(resource)
    }

    /// Gives the guest an owned handle.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not have it any more, or it is of another type.
    pub fn lower_own(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32> {
        self.target.lower_own(resource, passed)
    }

    /// Lends the guest a handle for a call.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not have it any more, or it is of another type.
    pub fn lower_borrow(&mut self, resource: ResourceIndex, passed: Passed) -> Result<u32> {
        self.target.lower_borrow(resource, passed)
    }

    /// Returns what the host keeps of its handles.
    #[doc(hidden)]
    pub fn host(&mut self) -> &mut dyn Any {
        self.target.host()
    }
}
