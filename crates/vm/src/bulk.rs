//! The store's operations on linear memories: bytes for the host, bulk operations and growth for the guest.

use crate::code::CodeImage;
use crate::exit::RaisedTrap;
use crate::fault::{Fault, FaultAddress, SegmentPart};
use crate::growth_limiter::GrowthLimiter;
use crate::interrupt::{STRIDE, strides};
use crate::memory::{LinearMemory, MemoryImage};
use crate::on_demand::Damaged;
use crate::quota::Limit;
use crate::shared_memory::SharedMemory;
use crate::store::StoreCore;
use crate::store_memory::{AnyMemory, StoreMemory};
use crate::sys::write_anywhere;
use crate::vm_ptr::VmPtr;
use belljar_abi::MemoryDef;
use belljar_core::{ByteCount, Context, DataIndex, InstanceId, MemoryIndex, MemoryType, PageCount};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// A place in a memory of an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryPlace {
    pub(crate) instance: InstanceId,
    pub(crate) memory: MemoryIndex,
    /// Offset in bytes.
    pub(crate) start: u64,
}

impl StoreCore {
    /// Creates a memory of its type's minimum size, or of `length` bytes if the memory that it is copied from has
    /// grown.
    pub(crate) fn push_memory(
        &mut self,
        ty: MemoryType,
        image: Option<&Arc<MemoryImage>>,
        length: Option<usize>,
        growth_limiter: &mut GrowthLimiter<'_>,
        reserve: bool,
    ) -> belljar_core::Result<usize> {
        growth_limiter.check_count(Limit::Memories, self.entities.memories.len())?;
        if !ty.is_shared() {
            growth_limiter.check_own_memories(self.own_memories())?;
        }
        let minimum = ty.minimum_bytes().and_then(|bytes| usize::try_from(bytes).ok());
        let length = length.or(minimum).context("the memory is larger than any address space")?;
        let (pages, size) = (PageCount(length as u64 / ty.page_size()), ByteCount(length as u64));
        let maximum = ty.maximum().map(|m| ty.bytes(m).unwrap_or(u64::MAX) as usize);
        let limiter =
            if ty.is_shared() { Some(growth_limiter.limiter_of_shared()) } else { growth_limiter.limiter() };
        if let Some(limiter) = limiter
            && !limiter.memory_growing(0, length, maximum)?
        {
            return Err(
                growth_limiter.error(|| format!("a memory of {pages} ({size}) exceeds the store's limit"))
            );
        }
        if ty.is_shared() {
            let memory = SharedMemory::with_image(&self.runtime, ty, image, reserve)?;
            return Ok(self.push_shared(memory));
        }
        let memory = LinearMemory::new(ty, length, image, reserve, &self.runtime.memories)
            .with_context(|| format!("the machine has no room for a memory of {pages} ({size})"))?;
        let at = self.region.block(size_of::<MemoryDef>(), 0);
        let at = at.context("the store is full: no room for another memory")?;
        let def = VmPtr::at(self.region.const_base() + at);
        self.entities.memories.push(StoreMemory { memory: AnyMemory::Own(memory), def });
        self.publish_memory_size();
        let memory = self.entities.memories.len() - 1;
        self.publish_memory(memory);
        Ok(memory)
    }

    /// Adds a shared memory to the store and returns its number there.
    fn push_shared(&mut self, memory: SharedMemory) -> usize {
        let def = memory.def();
        self.entities.memories.push(StoreMemory { memory: AnyMemory::Shared(memory), def });
        self.publish_memory_size();
        self.entities.memories.len() - 1
    }

    /// Returns the number of a shared memory in the store, to which it is added once.
    ///
    /// # Errors
    ///
    /// Returns an error if it belongs to another engine.
    pub(crate) fn enter_shared(&mut self, memory: &SharedMemory) -> belljar_core::Result<usize> {
        belljar_core::ensure!(
            memory.is_of(&self.runtime),
            "the shared memory belongs to another engine than the store"
        );
        let same = |m: &StoreMemory| m.memory.shared().is_some_and(|m| SharedMemory::same(m, memory));
        Ok(self.entities.memories.iter().position(same).unwrap_or_else(|| self.push_shared(memory.clone())))
    }

    /// Returns a memory of the store if it is shared.
    pub fn shared_memory(&self, memory: usize) -> Option<&SharedMemory> {
        self.entities.memories[memory].memory.shared()
    }

    /// Writes the address and size of an unshared memory to where code reads them.
    pub(crate) fn publish_memory(&mut self, memory: usize) {
        let StoreMemory { memory, def } = &self.entities.memories[memory];
        let value = MemoryDef { base: memory.base(), length: memory.length() };
        // SAFETY: the definition lies in the store's constants (IN-BOUNDS, STORE-PINNED), held exclusively.
        unsafe { def.write(value) };
    }

    /// Returns a memory's type.
    pub fn memory_type(&self, memory: usize) -> MemoryType {
        self.entities.memories[memory].memory.ty()
    }

    /// Returns whether the memory's whole address range is reserved, so that code needs no checks.
    pub fn memory_is_reserved(&self, memory: usize) -> bool {
        self.entities.memories[memory].memory.is_reserved()
    }

    /// Returns a memory's bytes; none for a shared memory.
    #[inline]
    pub fn memory_data(&self, memory: usize) -> &[u8] {
        let AnyMemory::Own(memory) = &self.entities.memories[memory].memory else { return &[] };
        // SAFETY: that many bytes are accessible and initialised (pages start as zero), and no guest runs while the
        // store is borrowed (STORE-EXCLUSIVE).
        unsafe { VmPtr::at(memory.base()).slice(memory.length()) }
    }

    /// Returns a memory's bytes for writing by anyone, including the kernel; none for a shared memory.
    pub fn memory_data_mut(&mut self, memory: usize) -> &mut [u8] {
        let bytes = self.memory_copy_mut(memory);
        write_anywhere(bytes);
        bytes
    }

    /// Returns a memory's bytes for copying to. A part of them may be passed to the kernel only after
    /// [`prepare_for_kernel`](crate::prepare_for_kernel). None for a shared memory.
    #[inline]
    pub fn memory_copy_mut(&mut self, memory: usize) -> &mut [u8] {
        let AnyMemory::Own(memory) = &mut self.entities.memories[memory].memory else { return &mut [] };
        memory.touch();
        // SAFETY: as in `memory_data`, with the store held exclusively.
        unsafe { VmPtr::at(memory.base()).slice_mut(memory.length()) }
    }

    /// Returns a memory's bytes, and [`StoreCore::extension`] for writing.
    #[inline]
    pub fn memory_and_extension(
        &mut self,
        memory: usize,
    ) -> (&[u8], &mut Option<Box<dyn Any + Send + Sync>>) {
        let bytes: &[u8] = match &self.entities.memories[memory].memory {
            // SAFETY: as in `memory_data`; what is borrowed beside it is no memory.
            AnyMemory::Own(memory) => unsafe { VmPtr::at(memory.base()).slice(memory.length()) },
            AnyMemory::Shared(_) => &[],
        };
        (bytes, &mut self.host.extension)
    }

    /// Grows a memory by pages. Returns the old size in pages, or `None` if growth is not allowed or fails.
    pub(crate) fn grow_memory(
        &mut self,
        memory: usize,
        delta: u64,
        growth_limiter: &mut GrowthLimiter<'_>,
    ) -> belljar_core::Result<Option<u64>> {
        let old = match &mut self.entities.memories[memory].memory {
            AnyMemory::Own(memory) => memory.grow(delta, growth_limiter.limiter())?,
            AnyMemory::Shared(memory) => {
                return memory.clone().grow(delta, Some(growth_limiter.limiter_of_shared()));
            }
        };
        if old.is_some() {
            self.publish_memory(memory);
            self.publish_memory_size();
        }
        Ok(old)
    }

    /// Returns the number of an instance's memory in the store, and a range of its bytes.
    fn memory_range(
        &self,
        id: InstanceId,
        memory: MemoryIndex,
        start: u64,
        length: u64,
    ) -> Result<(usize, Range<usize>), Fault> {
        let number = self.instance(id).memory(memory);
        let size = self.entities.memories[number].memory.length() as u64;
        match start.checked_add(length) {
            Some(end) if end <= size => Ok((number, start as usize..end as usize)),
            _ => Err(self.bulk_fault(id, memory, start, length)),
        }
    }

    /// Returns the address of a checked range, for writing.
    fn bytes_mut(&mut self, memory: usize, range: &Range<usize>) -> *mut u8 {
        let memory = &mut self.entities.memories[memory].memory;
        memory.touch();
        VmPtr::at(memory.base() + range.start).as_ptr()
    }

    fn bulk_fault(&self, id: InstanceId, memory: MemoryIndex, start: u64, length: u64) -> Fault {
        Fault {
            memory: Some(memory),
            memory_size: self.entities.memories[self.instance(id).memory(memory)].memory.length() as u64,
            address: FaultAddress::Start(start),
            length: Some(length),
            source: None,
        }
    }

    pub(crate) fn fill_memory(
        &mut self,
        id: InstanceId,
        memory: MemoryIndex,
        dst: u64,
        value: u8,
        length: u64,
    ) -> Result<(), RaisedTrap> {
        let (memory, range) = self.memory_range(id, memory, dst, length)?;
        let target = self.bytes_mut(memory, &range);
        for piece in strides(range.len(), STRIDE, false) {
            self.check_interrupt()?;
            // SAFETY: the range was checked against the memory (IN-BOUNDS), which the store holds exclusively
            // (STORE-EXCLUSIVE) or shares with users that expect races (SHARED-BYTES).
            unsafe { target.add(piece.start).write_bytes(value, piece.len()) };
        }
        Ok(())
    }

    /// Copies bytes from one memory to another, or within one. The memories may belong to different instances of the
    /// store.
    pub(crate) fn copy_between(
        &mut self,
        to: MemoryPlace,
        from: MemoryPlace,
        length: u64,
    ) -> Result<(), RaisedTrap> {
        let (src_memory, from) = self.memory_range(from.instance, from.memory, from.start, length)?;
        let (dst_memory, to) = self.memory_range(to.instance, to.memory, to.start, length)?;
        let source = self.bytes_mut(src_memory, &from).cast_const();
        let target = self.bytes_mut(dst_memory, &to);
        // If the ranges overlap, no piece may overwrite one that is still to be read.
        for piece in strides(from.len(), STRIDE, target.cast_const() > source) {
            self.check_interrupt()?;
            // SAFETY: as in `fill_memory`; the ranges may overlap.
            unsafe { target.add(piece.start).copy_from(source.add(piece.start), piece.len()) };
        }
        Ok(())
    }

    /// Writes whole pages of initial contents to a memory that was just created.
    pub(crate) fn fill_fresh_memory(
        &mut self,
        id: InstanceId,
        memory: MemoryIndex,
        at: u64,
        code: &CodeImage,
        bytes: &[u8],
    ) -> Result<(), Damaged> {
        let number = self.instance(id).memory(memory);
        let memory = &mut self.entities.memories[number].memory;
        // The last page may extend beyond the memory, whose pages can be smaller; there it is zero.
        let start = usize::try_from(at).map_or(memory.length(), |at| at.min(memory.length()));
        let bytes = &bytes[..bytes.len().min(memory.length() - start)];
        match memory {
            AnyMemory::Own(memory) => {
                memory.fill_fresh(start..start + bytes.len(), |to| code.copy_part(bytes, to))
            }
            AnyMemory::Shared(memory) => {
                code.load_part(bytes)?;
                let _fits = memory.write(at, bytes);
                Ok(())
            }
        }
    }

    /// Copies a part of a data segment. Its offset and length are 32-bit numbers.
    pub(crate) fn init_memory(
        &mut self,
        id: InstanceId,
        memory: MemoryIndex,
        segment: DataIndex,
        dst: u64,
        src: u32,
        length: u32,
    ) -> Result<(), RaisedTrap> {
        let (src, length) = (u64::from(src), u64::from(length));
        let module = self.instance(id).module().clone();
        let bytes: &[u8] = match self.is_data_dropped(id, segment) {
            true => &[],
            false => module.module().data_bytes(segment),
        };
        let source = Some(SegmentPart { segment, start: src, size: bytes.len() as u64 });
        let Some(bytes) = bytes.get(src as usize..(src + length) as usize) else {
            return Err(Fault { source, ..self.bulk_fault(id, memory, dst, length) }.into());
        };
        let target = self.memory_range(id, memory, dst, length);
        let (memory, to) = target.map_err(|fault| Fault { source, ..fault })?;
        let target = self.bytes_mut(memory, &to);
        for piece in strides(bytes.len(), STRIDE, false) {
            self.check_interrupt()?;
            let part = &bytes[piece.clone()];
            // SAFETY: as in `fill_memory`; a module's bytes are no part of a memory.
            unsafe { target.add(piece.start).copy_from_nonoverlapping(part.as_ptr(), part.len()) };
        }
        Ok(())
    }
}
