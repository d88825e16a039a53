//! A native stack for an activation that can be suspended.
//!
//! In: how much of it the guest may use. Out: addresses on it. Never: access to frames.
//!
//! ```text
//! │ guard │ room for host functions │ the guest's part        │ record │ buffer │
//! base                              floor                    frame              end
//! ```

use crate::machine::NativeStack;
use crate::sys::{HOST_RESERVE, Mapping, Protection, page_size};
use crate::vm_ptr::VmPtr;
use belljar_abi::activation;
use belljar_core::{Context, RawVal};

/// Pages that fault. An access may reach over them only if it skips as many bytes of stack at once.
const GUARD: usize = 1 << 20;

/// Bytes for the host functions that the guest calls. Wasmtime gives them as many by default.
const HOST_ROOM: usize = 3 << 19;

/// The largest part for the guest. Guests with a larger limit get this much.
const GUEST_MAX: usize = 1 << 30;

/// The parts of the activation record above the frame pointer.
const ABOVE_FRAME: usize = activation::HOST_SP as usize + size_of::<usize>();

const _: () = assert!(HOST_ROOM > HOST_RESERVE && ABOVE_FRAME.is_multiple_of(align_of::<RawVal>()));

/// A native stack, and a buffer for parameters and results above it.
#[derive(Debug)]
pub(crate) struct GuestStack {
    mapping: Mapping,
    /// The number of values in the buffer.
    slots: usize,
}

impl GuestStack {
    /// Creates a stack of which guest code may use `size` bytes, and a buffer of at least `slots` values.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no address space for it.
    pub(crate) fn new(size: usize, slots: usize) -> belljar_core::Result<Self> {
        let above = slots * size_of::<RawVal>() + ABOVE_FRAME;
        let length =
            GUARD + HOST_ROOM + (size.min(GUEST_MAX) + above).next_multiple_of(page_size()) + page_size();
        let mut mapping = Mapping::new(length, Protection::ReadWrite)
            .and_then(|mut mapping| mapping.protect(0, GUARD, Protection::None).map(|()| mapping))
            .context("no address space for the stack of a resumable call")?;
        mapping.prefer_large_pages(0..length, false);
        Ok(Self { mapping, slots })
    }

    /// Returns whether a guest that may use `size` bytes, and a buffer of `slots` values, have room.
    pub(crate) fn has_room(&self, size: usize, slots: usize) -> bool {
        slots <= self.slots && self.frame() - self.native().floor() >= size.min(GUEST_MAX)
    }

    /// Returns the stack's part for guest code.
    pub(crate) fn native(&self) -> NativeStack {
        NativeStack::above(self.mapping.base() + GUARD + HOST_ROOM)
    }

    /// Returns the frame pointer of the entry stub, a multiple of 16.
    pub(crate) fn frame(&self) -> usize {
        self.buffer().address() - ABOVE_FRAME
    }

    /// Returns the address of the buffer.
    pub(crate) fn buffer(&self) -> VmPtr<RawVal> {
        let size = self.slots * size_of::<RawVal>();
        let start = self.mapping.length() - size;
        self.mapping.range(start..start + size).cast()
    }

    /// Writes values into the buffer.
    ///
    /// # Panics
    ///
    /// Panics if it has less room.
    pub(crate) fn fill(&mut self, values: &[RawVal]) {
        assert!(values.len() <= self.slots, "the buffer has room");
        // SAFETY: OWNED-MAPPING: these bytes belong to the mapping, and no guest runs on it while it is borrowed.
        unsafe { self.buffer().copy_from(values) };
    }

    /// Returns the values in the buffer.
    pub(crate) fn values(&self) -> Vec<RawVal> {
        // SAFETY: as in `fill`; any bytes are a value.
        unsafe { self.buffer().slice(self.slots) }.to_vec()
    }
}
