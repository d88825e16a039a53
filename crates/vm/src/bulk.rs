//! Linear memories as the store handles them: bytes for the host, bulk operations and growth for the guest.

use crate::limits::ResourceLimiter;
use crate::memory::{LinearMemory, MemoryImage};
use crate::store::{StoreCore, StoreMemory};
use anyhow::Context;
use belljar_abi::MemoryDef;
use belljar_core::{ByteCount, MemoryType, Trap};
use std::ops::Range;
use std::sync::Arc;

impl StoreCore {
    /// A new memory of its type's minimum size. `def`: where its [`MemoryDef`] is to be, else it is
    /// allocated.
    pub(crate) fn push_memory(
        &mut self,
        ty: MemoryType,
        image: Option<&Arc<MemoryImage>>,
        def: Option<usize>,
        limiter: Option<&mut dyn ResourceLimiter>,
        reserve: bool,
    ) -> anyhow::Result<usize> {
        let limit = limiter.as_deref().map_or(usize::MAX, |l| l.memories());
        anyhow::ensure!(
            self.memories.len() < limit,
            "the store holds {} memories, and its limit is {limit}",
            self.memories.len()
        );
        let size = ty.minimum_bytes().context("the memory is larger than any machine's")?;
        if let Some(limiter) = limiter {
            let maximum = ty.maximum().map(|m| ty.bytes(m).unwrap_or(u64::MAX) as usize);
            anyhow::ensure!(
                limiter.memory_growing(0, size as usize, maximum)?,
                "a memory of {} pages ({}) exceeds the store's limit",
                ty.minimum(),
                ByteCount(size)
            );
        }
        let memory = LinearMemory::new(ty, image, reserve, &self.runtime.memories).with_context(|| {
            format!("the machine has no room for a memory of {} pages ({})", ty.minimum(), ByteCount(size))
        })?;
        let def = match def {
            Some(def) => def,
            None => {
                let at = self.region.block(size_of::<MemoryDef>(), 0);
                self.region.const_base() + at.context("the store is full: no room for another memory")?
            }
        };
        self.memories.push(StoreMemory { memory, def });
        let memory = self.memories.len() - 1;
        self.publish_memory(memory);
        Ok(memory)
    }

    /// Writes a memory's place and size to where code reads them.
    fn publish_memory(&mut self, memory: usize) {
        let StoreMemory { memory, def } = &self.memories[memory];
        let value = MemoryDef { base: memory.base(), length: memory.length() };
        // SAFETY: the definition lies in the store's constants (IN-BOUNDS, STORE-PINNED), held exclusively.
        unsafe { std::ptr::with_exposed_provenance_mut::<MemoryDef>(*def).write(value) };
    }

    /// A memory's type.
    pub fn memory_type(&self, memory: usize) -> MemoryType {
        self.memories[memory].memory.ty()
    }

    /// Whether the memory's whole address range is reserved, so that code needs no checks.
    pub fn memory_is_reserved(&self, memory: usize) -> bool {
        self.memories[memory].memory.is_reserved()
    }

    /// A memory's bytes.
    pub fn memory_data(&self, memory: usize) -> &[u8] {
        let memory = &self.memories[memory].memory;
        let at = std::ptr::with_exposed_provenance::<u8>(memory.base());
        // SAFETY: that many bytes are accessible and initialised (pages start as zero), and no guest runs
        // while the store is borrowed (STORE-EXCLUSIVE).
        unsafe { std::slice::from_raw_parts(at, memory.length()) }
    }

    /// A memory's bytes.
    pub fn memory_data_mut(&mut self, memory: usize) -> &mut [u8] {
        let memory = &mut self.memories[memory].memory;
        memory.touch();
        let at = std::ptr::with_exposed_provenance_mut::<u8>(memory.base());
        // SAFETY: as in `memory_data`, with the store held exclusively.
        unsafe { std::slice::from_raw_parts_mut(at, memory.length()) }
    }

    /// Grows a memory by pages; the old size in pages, or `None` where it may not or cannot.
    pub(crate) fn grow_memory(
        &mut self,
        memory: usize,
        delta: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> anyhow::Result<Option<u64>> {
        let m = &mut self.memories[memory].memory;
        let ty = m.ty();
        let old_pages = m.length() as u64 / ty.page_size();
        let desired = old_pages.saturating_add(delta);
        let desired_bytes = ty.bytes(desired).and_then(|b| usize::try_from(b).ok());
        let allowed = desired <= ty.page_limit() && desired_bytes.is_some();
        let desired_bytes = desired_bytes.unwrap_or(usize::MAX);
        match limiter {
            Some(limiter) if !allowed => {
                limiter.memory_grow_failed(anyhow::anyhow!(
                    "the memory's maximum is {} pages",
                    ty.page_limit()
                ))?;
                return Ok(None);
            }
            None if !allowed => return Ok(None),
            Some(limiter) => {
                let maximum = ty.maximum().map(|m| ty.bytes(m).unwrap_or(u64::MAX) as usize);
                if !limiter.memory_growing(m.length(), desired_bytes, maximum)? {
                    return Ok(None);
                }
                if delta > 0
                    && let Err(error) = m.grow_to(desired_bytes)
                {
                    limiter.memory_grow_failed(error.into())?;
                    return Ok(None);
                }
            }
            None => {
                if delta > 0 && m.grow_to(desired_bytes).is_err() {
                    return Ok(None);
                }
            }
        }
        self.publish_memory(memory);
        Ok(Some(old_pages))
    }

    pub(crate) fn fill_memory(
        &mut self,
        memory: usize,
        dst: u64,
        value: u8,
        length: u64,
    ) -> Result<(), Trap> {
        let data = self.memory_data_mut(memory);
        let range = range(dst, length, data.len())?;
        data[range].fill(value);
        Ok(())
    }

    pub(crate) fn copy_memory(
        &mut self,
        dst_memory: usize,
        src_memory: usize,
        dst: u64,
        src: u64,
        length: u64,
    ) -> Result<(), Trap> {
        let from = range(src, length, self.memory_data(src_memory).len())?;
        let to = range(dst, length, self.memory_data(dst_memory).len())?;
        if dst_memory == src_memory {
            self.memory_data_mut(dst_memory).copy_within(from, to.start);
            return Ok(());
        }
        let source = self.memory_data(src_memory)[from].as_ptr();
        let target = self.memory_data_mut(dst_memory)[to].as_mut_ptr();
        // SAFETY: both ranges were checked against their memories, which are different mappings
        // (OWNED-MAPPING); the store is held exclusively.
        unsafe { target.copy_from_nonoverlapping(source, length as usize) };
        Ok(())
    }

    pub(crate) fn init_memory(&mut self, memory: usize, dst: u64, bytes: &[u8]) -> Result<(), Trap> {
        let data = self.memory_data_mut(memory);
        let to = range(dst, bytes.len() as u64, data.len())?;
        data[to].copy_from_slice(bytes);
        Ok(())
    }
}

fn range(start: u64, length: u64, size: usize) -> Result<Range<usize>, Trap> {
    match start.checked_add(length) {
        Some(end) if end <= size as u64 => Ok(start as usize..end as usize),
        _ => Err(Trap::MemoryOutOfBounds),
    }
}
