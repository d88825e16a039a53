//! The guest's linear memory as the WASI functions see it.
//!
//! In: a mutable byte slice, or a type that can copy bytes in and out of a memory shared by threads.
//! Out: integers, strings, byte copies and scatter/gather lists, each checked against the memory's size.
//! Never: panics on a guest's address, allocates more than a fixed amount for a guest's length, keeps a
//! reference to the memory after the call.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use belljar::{Counted, Memory};
use smallvec::SmallVec;

/// The most buffers that one scatter/gather call passes to the system (Linux's `IOV_MAX`); the rest of a longer
/// list is left to the guest's next call, as with any short read or write.
const MAX_IOVECS: usize = 1024;

/// Pairs of a list that are read between two checks whether the guest must end: some 100 µs.
const IOVECS_BETWEEN_LOOKS: u32 = 1 << 14;

/// The most bytes that one call moves: Linux's own maximum, so that every count fits an `i32`.
const MAX_TRANSFER: usize = 0x7fff_f000;

/// Bounce buffer for memories that cannot be borrowed as a slice.
const MAX_BOUNCE: usize = 64 << 10;

/// An access that lies outside the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// First byte of the access.
    pub at: u64,
    /// Length of the access in bytes.
    pub len: u64,
    /// Size of the memory in bytes.
    pub size: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "guest memory access out of bounds: {} at {:#x}, the memory has {}",
            Counted(self.len, "byte"),
            self.at,
            Counted(self.size, "byte")
        )
    }
}

impl std::error::Error for Fault {}

/// A memory that other threads may write at any time, so that bytes can only be copied in and out.
///
/// [`GuestMemory`] has checked offsets and lengths against [`SharedBytes::len`] before each call.
pub trait SharedBytes {
    /// Returns the current size in bytes; it may grow, never shrink.
    fn len(&self) -> usize;
    /// Copies the bytes from `at` on into `out`.
    fn read(&self, at: usize, out: &mut [u8]);
    /// Copies `bytes` into the memory from `at` on.
    fn write(&self, at: usize, bytes: &[u8]);
    /// Returns whether the memory has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Checked access to one guest's 32-bit linear memory for the duration of a call.
///
/// ```
/// use belljar_wasi::GuestMemory;
///
/// let mut bytes = vec![0; 64];
/// let mut memory = GuestMemory::new(&mut bytes);
/// memory.write_u32(60, 7)?;
/// assert_eq!(memory.read_u32(60)?, 7);
/// assert!(memory.write_u32(61, 7).is_err());
/// # Ok::<(), belljar_wasi::Fault>(())
/// ```
pub struct GuestMemory<'a> {
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    Own(&'a mut [u8]),
    Shared(&'a dyn SharedBytes),
}

/// Buffers of a scatter/gather call: ranges inside the memory, none empty, at most [`MAX_IOVECS`].
pub(crate) type Iovecs = SmallVec<[Range<usize>; 8]>;

macro_rules! integers {
    ($($read:ident, $write:ident, $ty:ty;)*) => {$(
        #[doc = concat!("Reads a little-endian `", stringify!($ty), "`, aligned or not.")]
        pub fn $read(&self, at: u32) -> Result<$ty, Fault> {
            self.read_array(at).map(<$ty>::from_le_bytes)
        }

        #[doc = concat!("Writes a little-endian `", stringify!($ty), "`, aligned or not.")]
        pub fn $write(&mut self, at: u32, value: $ty) -> Result<(), Fault> {
            self.write_bytes(at, &value.to_le_bytes())
        }
    )*};
}

impl<'a> GuestMemory<'a> {
    /// Wraps the memory of a guest that nothing else accesses during the call.
    pub fn new(bytes: &'a mut [u8]) -> GuestMemory<'a> {
        GuestMemory { bytes: Bytes::Own(bytes) }
    }

    /// Wraps a memory shared by threads: data passes through a bounded host buffer.
    pub fn shared(bytes: &'a dyn SharedBytes) -> GuestMemory<'a> {
        GuestMemory { bytes: Bytes::Shared(bytes) }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> usize {
        match &self.bytes {
            Bytes::Own(bytes) => bytes.len(),
            Bytes::Shared(bytes) => bytes.len(),
        }
    }

    integers! {
        read_u8, write_u8, u8;
        read_u16, write_u16, u16;
        read_u32, write_u32, u32;
        read_u64, write_u64, u64;
    }

    /// Checks that `len` bytes from `at` on exist, and returns their range.
    pub fn check(&self, at: u32, len: u64) -> Result<Range<usize>, Fault> {
        let size = self.size();
        let fault = Fault { at: at.into(), len, size: size as u64 };
        let end = u64::from(at).checked_add(len).ok_or(fault)?;
        if end > size as u64 {
            return Err(fault);
        }
        Ok(at as usize..end as usize)
    }

    /// Fills `out` from the memory.
    pub fn read_bytes(&self, at: u32, out: &mut [u8]) -> Result<(), Fault> {
        let range = self.check(at, out.len() as u64)?;
        self.copy_out(range.start, out);
        Ok(())
    }

    /// Copies `bytes` into the memory.
    pub fn write_bytes(&mut self, at: u32, bytes: &[u8]) -> Result<(), Fault> {
        let range = self.check(at, bytes.len() as u64)?;
        self.copy_in(range.start, bytes);
        Ok(())
    }

    fn read_array<const N: usize>(&self, at: u32) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        self.read_bytes(at, &mut out)?;
        Ok(out)
    }

    fn copy_out(&self, at: usize, out: &mut [u8]) {
        match &self.bytes {
            Bytes::Own(bytes) => out.copy_from_slice(&bytes[at..at + out.len()]),
            Bytes::Shared(bytes) => bytes.read(at, out),
        }
    }

    fn copy_in(&mut self, at: usize, from: &[u8]) {
        match &mut self.bytes {
            Bytes::Own(bytes) => bytes[at..at + from.len()].copy_from_slice(from),
            Bytes::Shared(bytes) => bytes.write(at, from),
        }
    }

    /// Lets `fill` write `len` bytes from `at` on, in pieces of at most 64 KiB.
    pub(crate) fn fill<E: From<Fault>>(
        &mut self,
        at: u32,
        len: u32,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let range = self.check(at, len.into())?;
        match &mut self.bytes {
            Bytes::Own(bytes) => {
                Memory::prepare_for_kernel(&mut bytes[range.clone()]);
                bytes[range].chunks_mut(MAX_BOUNCE).try_for_each(fill)
            }
            Bytes::Shared(bytes) => {
                let mut buffer = vec![0; range.len().min(MAX_BOUNCE)];
                for start in range.clone().step_by(MAX_BOUNCE) {
                    let piece = &mut buffer[..(range.end - start).min(MAX_BOUNCE)];
                    fill(piece)?;
                    bytes.write(start, piece);
                }
                Ok(())
            }
        }
    }

    /// Reads a list of `count` (address, length) pairs and checks every buffer that will be used. A list of empty
    /// buffers may be as long as the memory, so `look` is called periodically and may end the call.
    pub(crate) fn iovecs<E: From<Fault>>(
        &self,
        at: u32,
        count: u32,
        look: impl Fn() -> Result<(), E>,
    ) -> Result<Iovecs, E> {
        self.check(at, u64::from(count) * 8)?;
        let mut list = Iovecs::new();
        let mut total = 0;
        for i in 0..count {
            if i % IOVECS_BETWEEN_LOOKS == 0 {
                look()?;
            }
            let pair = self.read_u64(at + i * 8)?;
            let mut range = self.check(pair as u32, pair >> 32)?;
            if range.is_empty() {
                continue;
            }
            range.end = range.end.min(range.start + (MAX_TRANSFER - total));
            total += range.len();
            list.push(range);
            if total == MAX_TRANSFER || list.len() == MAX_IOVECS {
                break;
            }
        }
        Ok(list)
    }

    /// Passes the buffers to `write`, all at once if the memory can be borrowed, and returns its count.
    pub(crate) fn gather<E>(
        &self,
        list: &Iovecs,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        match &self.bytes {
            Bytes::Own(bytes) => {
                let slices: SmallVec<[IoSlice<'_>; 8]> =
                    list.iter().map(|range| IoSlice::new(&bytes[range.clone()])).collect();
                write(&slices)
            }
            Bytes::Shared(bytes) => {
                let mut buffer = vec![0; bounce_size(list)];
                let mut filled = 0;
                for range in list {
                    let len = range.len().min(buffer.len() - filled);
                    bytes.read(range.start, &mut buffer[filled..filled + len]);
                    filled += len;
                }
                write(&[IoSlice::new(&buffer)])
            }
        }
    }

    /// Lets `read` fill the buffers, all at once if they can be borrowed separately, and returns its count.
    pub(crate) fn scatter<E>(
        &mut self,
        list: &Iovecs,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        match &mut self.bytes {
            Bytes::Own(bytes) => {
                list.iter().for_each(|range| Memory::prepare_for_kernel(&mut bytes[range.clone()]));
                match list.as_slice() {
                    [one] => read(&mut [IoSliceMut::new(&mut bytes[one.clone()])]),
                    many => scatter_many(bytes, many, read),
                }
            }
            Bytes::Shared(bytes) => {
                let mut buffer = vec![0; bounce_size(list)];
                let count = read(&mut [IoSliceMut::new(&mut buffer)])?.min(buffer.len());
                let mut rest = &buffer[..count];
                for range in list {
                    let (piece, tail) = rest.split_at(range.len().min(rest.len()));
                    bytes.write(range.start, piece);
                    rest = tail;
                }
                Ok(count)
            }
        }
    }
}

fn bounce_size(list: &[Range<usize>]) -> usize {
    list.iter().map(Range::len).sum::<usize>().min(MAX_BOUNCE)
}

/// Splits the memory into the disjoint buffers of the list. If buffers overlap, only the first is filled:
/// a short read, which every guest must expect.
fn scatter_many<E>(
    bytes: &mut [u8],
    list: &[Range<usize>],
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut order: SmallVec<[usize; 8]> = (0..list.len()).collect();
    order.sort_unstable_by_key(|&i| list[i].start);
    if order.windows(2).any(|pair| list[pair[0]].end > list[pair[1]].start) {
        return read(&mut [IoSliceMut::new(&mut bytes[list[0].clone()])]);
    }
    let mut parts: SmallVec<[&mut [u8]; 8]> = SmallVec::new();
    parts.resize_with(list.len(), Default::default);
    let (mut rest, mut base) = (bytes, 0);
    for i in order {
        let (_, tail) = rest.split_at_mut(list[i].start - base);
        let (part, tail) = tail.split_at_mut(list[i].len());
        parts[i] = part;
        (rest, base) = (tail, list[i].end);
    }
    let mut slices: SmallVec<[IoSliceMut<'_>; 8]> = parts.into_iter().map(IoSliceMut::new).collect();
    read(&mut slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Mutex;

    struct Locked(Mutex<Vec<u8>>);

    impl SharedBytes for Locked {
        fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
        fn read(&self, at: usize, out: &mut [u8]) {
            out.copy_from_slice(&self.0.lock().unwrap()[at..at + out.len()]);
        }
        fn write(&self, at: usize, bytes: &[u8]) {
            self.0.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    fn pair(memory: &mut GuestMemory<'_>, at: u32, buffer: u32, len: u32) {
        memory.write_u32(at, buffer).unwrap();
        memory.write_u32(at + 4, len).unwrap();
    }

    #[test]
    fn bounds_are_exact() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert!(memory.write_u64(8, 1).is_ok());
        assert_eq!(memory.write_u64(9, 1), Err(Fault { at: 9, len: 8, size: 16 }));
        assert!(memory.check(16, 0).is_ok());
        assert!(memory.check(17, 0).is_err());
        assert!(memory.check(u32::MAX, u64::MAX).is_err());
    }

    fn iovecs(memory: &GuestMemory<'_>, at: u32, count: u32) -> Result<Iovecs, Fault> {
        memory.iovecs(at, count, || Ok(()))
    }

    #[test]
    fn a_long_list_of_empty_buffers_is_left_when_the_guest_is_to_end() {
        let mut bytes = vec![0; 16 << 16];
        let memory = GuestMemory::new(&mut bytes);
        let looks = std::cell::Cell::new(0);
        let end = Fault { at: 0, len: 0, size: 0 };
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() == 3 { Err(end) } else { Ok(()) }
        };
        assert_eq!(memory.iovecs(0, 100_000, look), Err(end));
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn lists_are_checked_and_bounded() {
        let mut bytes = vec![0; 1 << 16];
        let mut memory = GuestMemory::new(&mut bytes);
        pair(&mut memory, 0, 100, 0);
        pair(&mut memory, 8, 200, 4);
        assert_eq!(iovecs(&memory, 0, 2).unwrap().first(), Some(&(200..204)));
        assert_eq!(iovecs(&memory, 0, 2).unwrap().len(), 1);
        assert!(iovecs(&memory, 0, u32::MAX).is_err());
        pair(&mut memory, 8, 65530, 7);
        assert!(iovecs(&memory, 0, 2).is_err());
        for i in 0..2000 {
            pair(&mut memory, i * 8, 0, 1);
        }
        assert_eq!(iovecs(&memory, 0, 2000).unwrap().len(), MAX_IOVECS);
    }

    #[test]
    fn scatter_keeps_the_guests_order() {
        let mut bytes = vec![0; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        let list = Iovecs::from_vec(vec![40..42, 10..13]);
        let count = memory.scatter(&list, |buffers| {
            for (i, buffer) in buffers.iter_mut().enumerate() {
                buffer.fill(i as u8 + 1);
            }
            Ok::<_, Infallible>(buffers.iter().map(|b| b.len()).sum())
        });
        assert_eq!(count, Ok(5));
        assert_eq!(bytes[40..42], [1, 1]);
        assert_eq!(bytes[10..13], [2, 2, 2]);
    }

    #[test]
    fn overlapping_buffers_read_short() {
        let mut bytes = vec![0; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        let list = Iovecs::from_vec(vec![10..20, 15..25]);
        let count =
            memory.scatter(&list, |buffers| Ok::<_, Infallible>(buffers.iter().map(|b| b.len()).sum()));
        assert_eq!(count, Ok(10));
    }

    #[test]
    fn shared_memory_goes_through_a_bounded_buffer() {
        let shared = Locked(Mutex::new(vec![0; 1 << 20]));
        let mut memory = GuestMemory::shared(&shared);
        let list = Iovecs::from_vec(vec![0..4, 8..1 << 20]);
        let count = memory.scatter(&list, |buffers| {
            buffers[0].fill(9);
            Ok::<_, Infallible>(buffers[0].len())
        });
        assert_eq!(count, Ok(MAX_BOUNCE));
        let mut copy = vec![];
        let count = memory.gather(&list, |buffers| {
            copy.extend_from_slice(&buffers[0]);
            Ok::<_, Infallible>(buffers[0].len())
        });
        assert_eq!(count, Ok(MAX_BOUNCE));
        assert!(copy.iter().all(|&byte| byte == 9));
        assert_eq!(memory.read_u32(4).unwrap(), 0);
        memory
            .fill(0, 1 << 20, |piece| {
                piece.fill(3);
                Ok::<_, Fault>(())
            })
            .unwrap();
        assert!(shared.0.lock().unwrap().iter().all(|&byte| byte == 3));
    }
}
