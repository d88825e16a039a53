//! Objects.

use super::Config;
use super::choices::Collector;
use belljar_module::WasmFeatures;

/// Objects.
impl Config {
    /// Sets whether modules may use references other than those to functions: `externref`, objects and exceptions.
    /// Default: yes.
    pub fn gc_support(&mut self, enable: bool) -> &mut Self {
        self.features.set(WasmFeatures::GC_TYPES, enable);
        self
    }

    /// Sets how objects are collected. It has no effect: there is only one collector. Default: [`Collector::Auto`].
    pub fn collector(&mut self, collector: Collector) -> &mut Self {
        self.gc.collector = collector;
        self
    }

    /// Sets the bytes that a store's heap of objects has at first. It has no effect: the heap takes memory as it needs
    /// it. Default: 0.
    pub fn gc_heap_initial_size(&mut self, bytes: u64) -> &mut Self {
        self.gc.initial_size = bytes;
        self
    }

    /// Sets the address space of a store's heap of objects. It has no effect: a heap has address space for all its 32-bit
    /// references. Default: [`Config::memory_reservation`].
    pub fn gc_heap_reservation(&mut self, bytes: u64) -> &mut Self {
        self.gc.reservation = Some(bytes);
        self
    }

    /// Sets the size of the guard behind a store's heap of objects. It has no effect. Default:
    /// [`Config::memory_guard_size`].
    pub fn gc_heap_guard_size(&mut self, bytes: u64) -> &mut Self {
        self.gc.guard_size = Some(bytes);
        self
    }

    /// Sets the address space that a store's heap of objects gets when it moves. It has no effect: heaps do not move.
    /// Default: [`Config::memory_reservation_for_growth`].
    pub fn gc_heap_reservation_for_growth(&mut self, bytes: u64) -> &mut Self {
        self.gc.growth = Some(bytes);
        self
    }

    /// Sets whether a store's heap of objects may move. It has no effect: heaps do not move. Default:
    /// [`Config::memory_may_move`].
    pub fn gc_heap_may_move(&mut self, enable: bool) -> &mut Self {
        self.gc.may_move = Some(enable);
        self
    }

    /// Sets whether each allocation of an object runs a full garbage collection. For tests: code that loses track of a
    /// reference then fails soon. Default: no.
    pub fn gc_stress(&mut self, enable: bool) -> &mut Self {
        self.gc.stress = enable;
        self
    }
}
