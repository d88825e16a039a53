//! The embedder's interface for limiting growth.

/// Decides whether a store's memories and tables may grow, and how many things it may hold.
///
/// Sizes are bytes for memories and elements for tables. Every creation counts as growth from 0.
pub trait ResourceLimiter: Send {
    /// Called when a memory is about to grow to `desired` bytes. `maximum` is its declared limit.
    ///
    /// # Errors
    ///
    /// `Ok(false)` refuses: `memory.grow` returns −1. An `Err` ends the guest's run with that error.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> belljar_core::Result<bool>;

    /// Called when growth failed that was allowed, or that was not asked about because it exceeds the type's limit.
    ///
    /// # Errors
    ///
    /// An `Err` ends the guest's run with that error.
    fn memory_grow_failed(&mut self, error: belljar_core::Error) -> belljar_core::Result<()> {
        let _ = error;
        Ok(())
    }

    /// Called when a table is about to grow to `desired` elements.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ResourceLimiter::memory_growing`].
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> belljar_core::Result<bool>;

    /// Called like [`ResourceLimiter::memory_grow_failed`], for tables.
    ///
    /// # Errors
    ///
    /// An `Err` ends the guest's run with that error.
    fn table_grow_failed(&mut self, error: belljar_core::Error) -> belljar_core::Result<()> {
        let _ = error;
        Ok(())
    }

    /// Called when the garbage-collected heap is about to grow to `desired` bytes, because collections have not freed
    /// enough. By default it may, up to the 4 GiB that references can address.
    ///
    /// # Errors
    ///
    /// `Ok(false)` refuses: the guest traps with [`belljar_core::Trap::GcHeapExhausted`] when the heap is full. An
    /// `Err` ends the guest's run with that error.
    fn gc_heap_growing(&mut self, current: usize, desired: usize) -> belljar_core::Result<bool> {
        let _ = (current, desired);
        Ok(true)
    }

    /// Returns how many instances the store may hold. Default: 10,000.
    fn instances(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Returns how many tables the store may hold. Default: 10,000.
    fn tables(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Returns how many memories the store may hold. Default: 10,000.
    fn memories(&self) -> usize {
        DEFAULT_COUNT
    }
}

/// The default number of instances, tables or memories of a store.
const DEFAULT_COUNT: usize = 10_000;
