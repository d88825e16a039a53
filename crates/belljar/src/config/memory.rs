//! Memories and tables.

use super::Config;
use super::choices::InstanceAllocationStrategy;
use belljar_vm::MemorySettings;

/// Memories and tables.
impl Config {
    /// Sets how many bytes of address space a memory gets at first, if it does not need more.
    ///
    /// - 4 GiB or more: memories with 32-bit addresses get 4 GiB and a guard behind, so that accesses need no checks and
    ///   memories never move. If the operating system refuses that, checks are compiled in nevertheless.
    /// - Less, for example 0: accesses are checked, and a memory moves when it grows beyond its address space.
    ///
    /// Memories with 64-bit addresses, or with pages of another size, are always checked. Default: 4 GiB, and 8 GiB for
    /// memories with 64-bit addresses.
    ///
    /// ```
    /// use belljar::{Config, Engine};
    /// // All accesses are checked.
    /// let engine = Engine::new(Config::new().memory_reservation(0))?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn memory_reservation(&mut self, bytes: u64) -> &mut Self {
        self.memory.reservation = Some(bytes);
        self
    }

    /// Sets how many bytes of address space beyond its size a memory gets that is not reserved whole (see
    /// [`Config::memory_reservation`]), when it is created and whenever it moves. Default: none when it is created, and as
    /// much as its size when it moves; memories with 64-bit addresses start with 8 GiB.
    pub fn memory_reservation_for_growth(&mut self, bytes: u64) -> &mut Self {
        self.memory.growth = Some(bytes);
        self
    }

    /// Sets whether a memory may move to another address when it grows. If not, growth beyond its address space fails:
    /// see [`Config::memory_reservation`] and [`Config::memory_reservation_for_growth`]. Default: yes.
    pub fn memory_may_move(&mut self, enable: bool) -> &mut Self {
        self.memory.may_move = enable;
        self
    }

    /// Sets how many bytes of address space behind a memory are never accessible. It has no effect: reserved memories
    /// have a guard of fixed size, and others need none, because each access is checked. Default: that size.
    pub fn memory_guard_size(&mut self, bytes: u64) -> &mut Self {
        self.memory.guard_size = bytes;
        self
    }

    /// Sets whether there is a guard before each memory as well. It has no effect: generated code adds to the address of a
    /// memory, and never subtracts. Default: yes.
    pub fn guard_before_linear_memory(&mut self, enable: bool) -> &mut Self {
        self.memory.guard_before = enable;
        self
    }

    /// Sets whether the instances of a module share the initial contents of its memories until they write to them.
    /// Otherwise each instance copies them. Even if they are shared, the first instance of a module copies them, because
    /// most modules have only one: see [`crate::Module::initialize_copy_on_write_image`]. Default: yes.
    pub fn memory_init_cow(&mut self, enable: bool) -> &mut Self {
        self.memory.copy_on_write = enable;
        self
    }

    /// Sets whether shared contents lie in a file of their own in memory. It has no effect: they always do.
    pub fn force_memory_init_memfd(&mut self, enable: bool) -> &mut Self {
        let _ = enable;
        self
    }

    /// Sets the size up to which contents are shared even if they have gaps. It has no effect: gaps take no memory.
    /// Default: 16 MiB.
    pub fn memory_guaranteed_dense_image_size(&mut self, size_in_bytes: u64) -> &mut Self {
        self.memory.dense_image_size = size_in_bytes;
        self
    }

    /// Sets whether elements of tables are created when they are first used. It has no effect: they are created with the
    /// instance, and functions have what they need before. Default: yes.
    pub fn table_lazy_init(&mut self, enable: bool) -> &mut Self {
        self.memory.table_lazy_init = enable;
        self
    }

    /// Sets whether shared memories can be created, by [`crate::SharedMemory::new`] and by modules. Otherwise that fails.
    /// Shared memories of other engines cannot be used in any case. Default: yes.
    pub fn shared_memory(&mut self, enable: bool) -> &mut Self {
        self.memory.shared_memory = enable;
        self
    }

    /// Sets whether faults of guest code become traps through handlers of signals. belljar cannot do without them, so that
    /// [`crate::Engine::new`] fails if this is turned off. Default: yes.
    pub fn signals_based_traps(&mut self, enable: bool) -> &mut Self {
        self.memory.signals = enable;
        self
    }

    /// Sets how instances get memory. It has no effect: see [`InstanceAllocationStrategy`].
    pub fn allocation_strategy(&mut self, strategy: impl Into<InstanceAllocationStrategy>) -> &mut Self {
        let _: InstanceAllocationStrategy = strategy.into();
        self
    }

    /// Returns whether memories are to be reserved whole.
    pub(crate) fn reserves_memory(&self) -> bool {
        self.memory_settings().reserves_whole()
    }

    /// Returns the settings of memories that are not reserved whole.
    pub(crate) fn memory_settings(&self) -> MemorySettings {
        let size = |bytes: Option<u64>| bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let (reservation, growth) = (size(self.memory.reservation), size(self.memory.growth));
        MemorySettings { reservation, growth, may_move: self.memory.may_move }
    }
}
