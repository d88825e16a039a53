//! Who may say no to growth.

/// Decides whether a store's memories and tables may grow, and how many things it may hold.
///
/// Sizes are bytes for memories and elements for tables. Every creation counts as growth from 0.
pub trait ResourceLimiter: Send {
    /// A memory wants to grow to `desired` bytes. `maximum` is its declared limit.
    ///
    /// # Errors
    ///
    /// `Ok(false)` refuses: `memory.grow` returns −1. An `Err` ends the guest's run with that error.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> anyhow::Result<bool>;

    /// A growth that was allowed, or was never asked about since it exceeds the type's limit, failed.
    ///
    /// # Errors
    ///
    /// An `Err` ends the guest's run with that error.
    fn memory_grow_failed(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let _ = error;
        Ok(())
    }

    /// A table wants to grow to `desired` elements.
    ///
    /// # Errors
    ///
    /// As [`ResourceLimiter::memory_growing`].
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> anyhow::Result<bool>;

    /// As [`ResourceLimiter::memory_grow_failed`], for tables.
    ///
    /// # Errors
    ///
    /// An `Err` ends the guest's run with that error.
    fn table_grow_failed(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let _ = error;
        Ok(())
    }

    /// The garbage-collected heap wants to grow to `desired` bytes, collections having made too little room.
    /// Default: it may, up to the 4 GiB that references reach.
    ///
    /// # Errors
    ///
    /// `Ok(false)` refuses: the guest traps with [`belljar_core::Trap::GcHeapExhausted`] when the heap is full. An `Err`
    /// ends the guest's run with that error.
    fn gc_heap_growing(&mut self, current: usize, desired: usize) -> anyhow::Result<bool> {
        let _ = (current, desired);
        Ok(true)
    }

    /// How many instances the store may hold. Default: 10,000.
    fn instances(&self) -> usize {
        DEFAULT_COUNT
    }

    /// How many tables the store may hold. Default: 10,000.
    fn tables(&self) -> usize {
        DEFAULT_COUNT
    }

    /// How many memories the store may hold. Default: 10,000.
    fn memories(&self) -> usize {
        DEFAULT_COUNT
    }
}

/// Instances, tables or memories of a store where nobody says otherwise.
const DEFAULT_COUNT: usize = 10_000;
