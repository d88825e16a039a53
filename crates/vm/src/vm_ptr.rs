//! The one pointer type at the boundary with generated code.
//!
//! In: pointers to memory that generated code, stubs or signal handlers access as well, and the numbers by which they
//! know it. Out: pointers and references again. Never: a claim about what lies at an address. The caller makes that
//! claim, and each use of such an address says in its SAFETY comment which fact of `invariants.md` makes it true.
//!
//! # Why exposed provenance
//!
//! A Rust pointer is an address and a provenance: the permission to access some memory. Generated code has addresses
//! only. It keeps them in registers, in fields of `#[repr(C)]` structures and in the constants of an instance, computes
//! others from them, and passes them to stubs, builtins and signal handlers. Strict provenance would need a pointer
//! beside each of these numbers from which to derive the new one, and generated code could not carry it anywhere.
//! Exposed provenance is Rust's model for this case: [`VmPtr::expose`] exposes a pointer's provenance, and each use of
//! a [`VmPtr`] creates a pointer with whichever exposed provenance permits the accesses that follow.
//!
//! # Consequences for references
//!
//! Under Stacked Borrows and Tree Borrows an exposed provenance is valid for as long as the pointer that was exposed
//! is. So there are two kinds of memory behind a `VmPtr`:
//!
//! - **Mappings**, and cells that are only ever accessed by raw pointers (`ContextCell`). The pointer that was exposed
//!   is the root: no reference is older than it, and it is valid until the memory is freed. References are created from
//!   the number each time, for as long as the store (or the mapping) is borrowed, and none is held while generated code
//!   runs.
//! - **The store itself** (`StoreInner<T>`), which its owner accesses through a box and references. A pointer that is
//!   derived from such a reference becomes invalid when that reference, or an older one, is used again. So the store is
//!   exposed anew for each activation, after the last use of the reference and directly before generated code is
//!   entered (`StoreInner::enter`, `TypedFunc::call_direct`). Functions that generated code calls get it back with
//!   `StoreCore::of_context`, and follow ONE-BORROW.
//!
//! Values that are only ever shared (`StoreMonitor`, `OnDemand`, `HostFunc`, atomics) may be exposed at any time: using
//! a shared reference does not invalidate another one.
//!
//! All of this concerns only the compiler. A `VmPtr` is one word, and none of its functions does anything at run time
//! that a plain pointer would not.

use std::fmt;
use std::marker::PhantomData;

/// The address of a `T` that generated code, a stub or a signal handler knows as a number. Creating one claims nothing.
#[repr(transparent)]
pub(crate) struct VmPtr<T> {
    address: usize,
    of: PhantomData<fn(T) -> T>,
}

impl<T> Clone for VmPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for VmPtr<T> {}

impl<T> fmt::Debug for VmPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmPtr({:#x})", self.address)
    }
}

impl<T> VmPtr<T> {
    /// Converts a number from generated code, a register, an atomic or a mapping to an address.
    #[inline]
    pub(crate) const fn at(address: usize) -> Self {
        Self { address, of: PhantomData }
    }

    /// Exposes a pointer's provenance and returns its address. Writes are permitted if the pointer was made from a
    /// `*mut T` or a `&mut T`.
    #[inline]
    pub(crate) fn expose(pointer: *const T) -> Self {
        Self::at(pointer.expose_provenance())
    }

    /// Returns the number.
    #[inline]
    pub(crate) const fn address(self) -> usize {
        self.address
    }

    /// Returns the address this many bytes behind it.
    #[inline]
    pub(crate) const fn byte_add(self, bytes: usize) -> Self {
        Self::at(self.address.wrapping_add(bytes))
    }

    /// Returns the same address with another type.
    #[inline]
    pub(crate) const fn cast<U>(self) -> VmPtr<U> {
        VmPtr::at(self.address)
    }

    /// Returns a pointer with whichever exposed provenance its uses need.
    #[inline]
    pub(crate) fn as_ptr(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// Returns a reference to the value at the address.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` lies there, and nothing writes it during `'a`.
    #[inline]
    pub(crate) unsafe fn as_ref<'a>(self) -> &'a T {
        // SAFETY: the caller's promise.
        unsafe { &*self.as_ptr() }
    }

    /// Returns a mutable reference to the value at the address.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` lies there, and there is no other reference to it during `'a`.
    #[inline]
    pub(crate) unsafe fn as_mut<'a>(self) -> &'a mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.as_ptr() }
    }

    /// Returns `count` consecutive values as a slice.
    ///
    /// # Safety
    ///
    /// The conditions of [`VmPtr::as_ref`] apply, for all of them.
    #[inline]
    pub(crate) unsafe fn slice<'a>(self, count: usize) -> &'a [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), count) }
    }

    /// Returns `count` consecutive values as a mutable slice.
    ///
    /// # Safety
    ///
    /// The conditions of [`VmPtr::as_mut`] apply, for all of them.
    #[inline]
    pub(crate) unsafe fn slice_mut<'a>(self, count: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), count) }
    }

    /// Writes a value, without dropping what was there before.
    ///
    /// # Safety
    ///
    /// There is exposed and aligned memory for it, to which there is no reference now.
    #[inline]
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.as_ptr().write(value) }
    }
}

impl<T: Copy> VmPtr<T> {
    /// Returns a copy of the value at the address.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` lies there, and nothing writes it now.
    #[inline]
    pub(crate) unsafe fn read(self) -> T {
        // SAFETY: the caller's promise.
        unsafe { self.as_ptr().read() }
    }

    /// Copies values to the address.
    ///
    /// # Safety
    ///
    /// There is exposed and aligned memory for them, which does not overlap `values`, and to which there is no
    /// reference now.
    #[inline]
    pub(crate) unsafe fn copy_from(self, values: &[T]) {
        // SAFETY: the caller's promise.
        unsafe { self.as_ptr().copy_from_nonoverlapping(values.as_ptr(), values.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_what_was_exposed() {
        let mut words = [1_u32, 2, 3, 4];
        let at = VmPtr::expose(words.as_mut_ptr());
        let second = VmPtr::<u32>::at(at.address() + size_of::<u32>());
        // SAFETY: inside the array, which is accessed only through these addresses until the last of them.
        unsafe {
            assert_eq!(second.read(), 2);
            second.write(7);
            *at.byte_add(8).as_mut() += 10;
            assert_eq!(at.slice(4), [1, 7, 13, 4]);
            at.byte_add(4).copy_from(&[5, 6]);
            at.byte_add(12).slice_mut(1).fill(9);
            assert_eq!(*at.cast::<[u32; 4]>().as_ref(), [1, 5, 6, 9]);
        }
        assert_eq!(words, [1, 5, 6, 9]);
    }

    #[test]
    fn it_is_one_word_whatever_it_points_to() {
        assert_eq!(size_of::<VmPtr<[u64; 16]>>(), size_of::<usize>());
        assert_eq!(format!("{:?}", VmPtr::<u8>::at(0x1f)), "VmPtr(0x1f)");
    }
}
