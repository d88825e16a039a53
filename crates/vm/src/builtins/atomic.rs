//! Builtins for threads: waiting and notifying.

use super::{Failure, run};
use crate::fault::{Fault, FaultAddress};
use crate::parking::{Interruption, WaitResult};
use crate::shared_memory::SharedMemory;
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use belljar_core::{InstanceId, MemoryIndex, Trap};
use std::time::Duration;

impl StoreCore {
    /// Checks that an address is aligned and in bounds, in this order.
    fn check_atomic(
        &self,
        id: InstanceId,
        memory: MemoryIndex,
        address: u64,
        size: u64,
    ) -> Result<&crate::store_memory::AnyMemory, Failure> {
        if !address.is_multiple_of(size) {
            return Err(Trap::HeapMisaligned.into());
        }
        let any = &self.entities.memories[self.instance(id).memory(memory)].memory;
        let memory_size = any.length() as u64;
        match address.checked_add(size) {
            Some(end) if end <= memory_size => Ok(any),
            _ => {
                let address = FaultAddress::Start(address);
                let memory = Some(memory);
                let fault = Fault { memory, memory_size, address, length: Some(size), source: None };
                Err(fault.into())
            }
        }
    }
}

impl StoreMut<'_> {
    fn wait(
        &mut self,
        id: InstanceId,
        memory: MemoryIndex,
        address: u64,
        size: u64,
        wait: impl FnOnce(&SharedMemory, Option<Interruption<'_>>) -> belljar_core::Result<WaitResult>,
    ) -> Result<u32, Failure> {
        let memory = self.check_atomic(id, memory, address, size)?;
        let memory = memory.shared().ok_or(Trap::AtomicWaitNonSharedMemory)?.clone();
        let monitor = self.monitor.clone();
        let counts_epochs = self.runtime.counts_epochs;
        let mut ask = || match monitor.is_killed() {
            true => Err(Trap::Interrupt.into()),
            false if counts_epochs => self.check_epoch(),
            false => Ok(()),
        };
        let wakes = |wakes| monitor.set_waits(wakes);
        let interruption = Interruption { ask: &mut ask, now_and_then: counts_epochs, wakes: &wakes };
        Ok(wait(&memory, Some(interruption))? as u32)
    }

    /// Does what code does at the start of a loop: beyond the deadline, the embedder decides.
    fn check_epoch(&mut self) -> belljar_core::Result<()> {
        let deadline = self.context_mut().epoch_deadline;
        if self.runtime.epoch() < deadline || self.move_epoch_deadline()? {
            return Ok(());
        }
        Err(Trap::Interrupt.into())
    }
}

/// Converts a timeout that a guest passed, in nanoseconds; `None` if it is negative.
fn timeout(nanoseconds: u64) -> Option<Duration> {
    u64::try_from(nanoseconds.cast_signed()).ok().map(Duration::from_nanos)
}

/// Implements `memory.atomic.wait32`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn memory_wait32(
    context: usize,
    memory: u32,
    address: u64,
    expected: u32,
    nanoseconds: u64,
) -> u32 {
    let wait = |store: &mut StoreMut<'_>, instance| {
        store.wait(instance, MemoryIndex(memory), address, 4, |memory, interruption| {
            memory.wait32(address, expected, timeout(nanoseconds), interruption)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, wait) }
}

/// Implements `memory.atomic.wait64`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn memory_wait64(
    context: usize,
    memory: u32,
    address: u64,
    expected: u64,
    nanoseconds: u64,
) -> u32 {
    let wait = |store: &mut StoreMut<'_>, instance| {
        store.wait(instance, MemoryIndex(memory), address, 8, |memory, interruption| {
            memory.wait64(address, expected, timeout(nanoseconds), interruption)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, wait) }
}

/// Implements `memory.atomic.notify`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn memory_notify(context: usize, memory: u32, address: u64, count: u32) -> u32 {
    let notify = |store: &mut StoreMut<'_>, instance| {
        let memory = store.check_atomic(instance, MemoryIndex(memory), address, 4)?;
        match memory.shared() {
            Some(memory) => Ok(memory.notify(address, count)?),
            None => Ok(0),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, notify) }
}
