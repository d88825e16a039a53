//! The one pointer type at the border with generated code.
//!
//! In: pointers to memory that generated code, stubs or signal handlers reach as well, and the numbers under which they
//! know it. Out: pointers and references again. Never: a claim about what lies at an address; that is the caller's, and
//! each use of such an address says in its SAFETY comment which fact of `invariants.md` makes it true.
//!
//! # Why exposed provenance
//!
//! A Rust pointer is an address and a provenance: the right to some memory. Generated code has addresses only. It keeps them in
//! registers, in fields of `#[repr(C)]` structures and in the constants of an instance, computes others from them, and hands
//! them to stubs, builtins and signal handlers. Strict provenance would need a pointer beside each of these numbers from which
//! to derive the new one; there is no place where generated code could carry it. Exposed provenance is Rust's model for this
//! case: [`VmPtr::expose`] lists a pointer's provenance as one that numbers may have, and each use of a [`VmPtr`] makes a pointer
//! with whichever listed provenance allows the accesses that follow.
//!
//! # What that means for references
//!
//! Under Stacked Borrows and Tree Borrows a listed provenance is good for as long as the pointer that was exposed is. So there are
//! two kinds of memory behind a `VmPtr`:
//!
//! - **Mappings**, and cells that are only ever reached by raw pointers (`ContextCell`). The pointer that was exposed is the root: no
//!   reference is older than it, and it is valid until the memory goes. References are made of the number each time, for
//!   as long as the store (or the mapping) is borrowed, and none is held while generated code runs.
//! - **The store itself** (`StoreInner<T>`), which its owner reaches through a box and references. A pointer that is derived
//!   from such a reference becomes invalid when that reference, or an older one, is used again. So the store is exposed
//!   anew for each activation, after the last use of the reference and directly before generated code is entered
//!   (`StoreInner::enter`, `TypedFunc::call_direct`); what generated code calls gets it back with `StoreCore::of_context`, and keeps
//!   to ONE-BORROW.
//!
//! What is only ever shared (`StoreMonitor`, `OnDemand`, `HostFunc`, atomics) may be exposed at any time: using a shared reference
//! does not invalidate another one.
//!
//! All of this is for the compiler. A `VmPtr` is one word, and none of its functions does anything at run time that a plain pointer
//! would not.

use std::fmt;
use std::marker::PhantomData;

/// An address that generated code, a stub or a signal handler knows as a number, of a `T`. Making one claims nothing.
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
    /// The address that a number from generated code, a register, an atomic or a mapping stands for.
    #[inline]
    pub(crate) const fn at(address: usize) -> Self {
        Self { address, of: PhantomData }
    }

    /// The address of what a pointer points to, to be used with the right that the pointer has: to write as well where it was
    /// made of a `*mut T` or a `&mut T`.
    #[inline]
    pub(crate) fn expose(pointer: *const T) -> Self {
        Self::at(pointer.expose_provenance())
    }

    /// The number.
    #[inline]
    pub(crate) const fn address(self) -> usize {
        self.address
    }

    /// The address so many bytes behind it.
    #[inline]
    pub(crate) const fn byte_add(self, bytes: usize) -> Self {
        Self::at(self.address.wrapping_add(bytes))
    }

    /// The same address, of something else.
    #[inline]
    pub(crate) const fn cast<U>(self) -> VmPtr<U> {
        VmPtr::at(self.address)
    }

    /// A pointer, with whichever exposed right to the memory its uses need.
    #[inline]
    pub(crate) fn as_ptr(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// What lies there.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` does, and nobody writes it during `'a`.
    #[inline]
    pub(crate) unsafe fn as_ref<'a>(self) -> &'a T {
        // SAFETY: the caller's promise.
        unsafe { &*self.as_ptr() }
    }

    /// What lies there, to be changed.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` does, and nothing else refers to it during `'a`.
    #[inline]
    pub(crate) unsafe fn as_mut<'a>(self) -> &'a mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.as_ptr() }
    }

    /// So many values that lie there side by side.
    ///
    /// # Safety
    ///
    /// As [`VmPtr::as_ref`], for all of them.
    #[inline]
    pub(crate) unsafe fn slice<'a>(self, count: usize) -> &'a [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), count) }
    }

    /// So many values that lie there side by side, to be changed.
    ///
    /// # Safety
    ///
    /// As [`VmPtr::as_mut`], for all of them.
    #[inline]
    pub(crate) unsafe fn slice_mut<'a>(self, count: usize) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), count) }
    }

    /// Writes a value, whatever was there before.
    ///
    /// # Safety
    ///
    /// There is exposed and aligned memory for it, which nothing else refers to now.
    #[inline]
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.as_ptr().write(value) }
    }
}

impl<T: Copy> VmPtr<T> {
    /// A copy of what lies there.
    ///
    /// # Safety
    ///
    /// An exposed, aligned and valid `T` does, and nobody writes it now.
    #[inline]
    pub(crate) unsafe fn read(self) -> T {
        // SAFETY: the caller's promise.
        unsafe { self.as_ptr().read() }
    }

    /// Copies values there.
    ///
    /// # Safety
    ///
    /// There is exposed and aligned memory for them, which `values` is no part of, and which nothing else refers to now.
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
        // SAFETY: inside the array, which is used through these addresses alone until the last of them.
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
