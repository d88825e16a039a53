//! What an engine's configuration says, setting by setting.

use crate::config::{Collector, Strategy};
use crate::{Engine, Inlining, OptLevel, RegallocAlgorithm, WasmFeatures};
use belljar_optimize::HOST_TARGET;
use belljar_vm::MemorySettings;

/// The settings that the engine was configured with. A setting of the compiler is `None` if the engine has none
/// ([`Config::enable_compiler`](crate::Config::enable_compiler)).
impl Engine {
    /// Returns [`Config::memory_may_move`](crate::Config::memory_may_move).
    pub fn get_memory_may_move(&self) -> bool {
        self.config().memory.may_move
    }

    /// Returns [`Config::memory_reservation`](crate::Config::memory_reservation).
    pub fn get_memory_reservation(&self) -> u64 {
        self.config().memory.reservation.unwrap_or(crate::config::WHOLE)
    }

    /// Returns [`Config::memory_reservation_for_growth`](crate::Config::memory_reservation_for_growth); by default, the 8 GiB
    /// of memories with 64-bit addresses.
    pub fn get_memory_reservation_for_growth(&self) -> u64 {
        self.config().memory.growth.unwrap_or(MemorySettings::DEFAULT_GROWTH as u64)
    }

    /// Returns [`Config::memory_guard_size`](crate::Config::memory_guard_size).
    pub fn get_memory_guard_size(&self) -> u64 {
        self.config().memory.guard_size
    }

    /// Returns [`Config::gc_heap_may_move`](crate::Config::gc_heap_may_move).
    pub fn get_gc_heap_may_move(&self) -> bool {
        self.config().gc.may_move.unwrap_or_else(|| self.get_memory_may_move())
    }

    /// Returns [`Config::gc_heap_reservation`](crate::Config::gc_heap_reservation).
    pub fn get_gc_heap_reservation(&self) -> u64 {
        self.config().gc.reservation.unwrap_or_else(|| self.get_memory_reservation())
    }

    /// Returns [`Config::gc_heap_initial_size`](crate::Config::gc_heap_initial_size).
    pub fn get_gc_heap_initial_size(&self) -> u64 {
        self.config().gc.initial_size
    }

    /// Returns [`Config::gc_heap_reservation_for_growth`](crate::Config::gc_heap_reservation_for_growth).
    pub fn get_gc_heap_reservation_for_growth(&self) -> u64 {
        self.config().gc.growth.unwrap_or_else(|| self.get_memory_reservation_for_growth())
    }

    /// Returns [`Config::gc_heap_guard_size`](crate::Config::gc_heap_guard_size).
    pub fn get_gc_heap_guard_size(&self) -> u64 {
        self.config().gc.guard_size.unwrap_or_else(|| self.get_memory_guard_size())
    }

    /// Returns [`Config::guard_before_linear_memory`](crate::Config::guard_before_linear_memory).
    pub fn get_guard_before_linear_memory(&self) -> bool {
        self.config().memory.guard_before
    }

    /// Returns [`Config::table_lazy_init`](crate::Config::table_lazy_init).
    pub fn get_table_lazy_init(&self) -> bool {
        self.config().memory.table_lazy_init
    }

    /// Returns [`Config::memory_init_cow`](crate::Config::memory_init_cow).
    pub fn get_memory_init_cow(&self) -> bool {
        self.config().memory.copy_on_write
    }

    /// Returns [`Config::memory_guaranteed_dense_image_size`](crate::Config::memory_guaranteed_dense_image_size).
    pub fn get_memory_guaranteed_dense_image_size(&self) -> u64 {
        self.config().memory.dense_image_size
    }

    /// Returns [`Config::signals_based_traps`](crate::Config::signals_based_traps).
    pub fn get_signals_based_traps(&self) -> bool {
        self.config().memory.signals
    }

    /// Returns [`Config::shared_memory`](crate::Config::shared_memory).
    pub fn get_shared_memory(&self) -> bool {
        self.config().memory.shared_memory
    }

    /// Returns [`Config::cranelift_opt_level`](crate::Config::cranelift_opt_level).
    pub fn get_cranelift_opt_level(&self) -> Option<OptLevel> {
        self.of_compiler(self.config().tunables.opt_level)
    }

    /// Returns [`Config::cranelift_regalloc_algorithm`](crate::Config::cranelift_regalloc_algorithm).
    pub fn get_cranelift_regalloc_algorithm(&self) -> Option<RegallocAlgorithm> {
        self.of_compiler(self.config().tunables.regalloc)
    }

    /// Returns [`Config::strategy`](crate::Config::strategy), with what [`Strategy::Auto`] stands for.
    pub fn get_strategy(&self) -> Option<Strategy> {
        self.of_compiler(match self.config().compiler.strategy {
            Strategy::Auto | Strategy::Cranelift => Strategy::Cranelift,
        })
    }

    /// Returns [`Config::collector`](crate::Config::collector).
    pub fn get_collector(&self) -> Option<Collector> {
        Some(self.config().gc.collector)
    }

    /// Returns [`Config::cranelift_debug_verifier`](crate::Config::cranelift_debug_verifier).
    pub fn get_cranelift_debug_verifier(&self) -> Option<bool> {
        self.of_compiler(self.config().compiler.verifier)
    }

    /// Returns [`Config::cranelift_nan_canonicalization`](crate::Config::cranelift_nan_canonicalization).
    pub fn get_cranelift_nan_canonicalization(&self) -> Option<bool> {
        self.of_compiler(self.config().tunables.canonical_nans)
    }

    /// Returns [`Config::native_unwind_info`](crate::Config::native_unwind_info).
    pub fn get_native_unwind_info(&self) -> Option<bool> {
        self.of_compiler(self.config().compiler.native_unwind_info)
    }

    /// Returns [`Config::target`](crate::Config::target), or this machine's triple.
    pub fn get_target(&self) -> Option<String> {
        self.of_compiler(self.config().compiler.target.clone().unwrap_or_else(|| HOST_TARGET.into()))
    }

    /// Returns [`Config::compiler_inlining`](crate::Config::compiler_inlining).
    pub fn get_compiler_inlining(&self) -> Inlining {
        self.config().tunables.inlining
    }

    /// Returns [`Config::parallel_compilation`](crate::Config::parallel_compilation).
    pub fn get_parallel_compilation(&self) -> bool {
        self.config().compiler.parallel
    }

    /// Returns [`Config::generate_address_map`](crate::Config::generate_address_map).
    pub fn get_generate_address_map(&self) -> bool {
        self.config().compiler.address_map
    }

    /// Returns [`Config::debug_info`](crate::Config::debug_info).
    pub fn get_debug_info(&self) -> bool {
        self.config().compiler.debug_info
    }

    /// Returns [`Config::debug_symbols`](crate::Config::debug_symbols).
    pub fn get_debug_symbols(&self) -> bool {
        self.config().compiler.debug_symbols
    }

    /// Returns [`Config::wasm_backtrace_max_frames`](crate::Config::wasm_backtrace_max_frames), or 0 if there are no
    /// backtraces.
    pub fn get_wasm_backtrace_max_frames(&self) -> usize {
        self.config().errors.frames.map_or(0, std::num::NonZeroUsize::get)
    }

    /// Returns the enabled features of WebAssembly: see [`Config::wasm_features`](crate::Config::wasm_features).
    pub fn get_wasm_features(&self) -> WasmFeatures {
        self.config().features
    }

    /// Returns [`Config::wasm_branch_hinting`](crate::Config::wasm_branch_hinting).
    pub fn get_wasm_branch_hinting(&self) -> bool {
        self.config().tunables.branch_hints
    }

    /// Returns [`Config::relaxed_simd_deterministic`](crate::Config::relaxed_simd_deterministic).
    pub fn get_relaxed_simd_deterministic(&self) -> bool {
        self.config().tunables.deterministic_relaxed_simd
    }

    /// Returns [`Config::consume_fuel`](crate::Config::consume_fuel).
    pub fn get_consume_fuel(&self) -> bool {
        self.config().tunables.consume_fuel
    }

    /// Returns [`Config::epoch_interruption`](crate::Config::epoch_interruption).
    pub fn get_epoch_interruption(&self) -> bool {
        self.config().tunables.epoch_interruption
    }

    /// Returns [`Config::max_wasm_stack`](crate::Config::max_wasm_stack).
    pub fn get_max_wasm_stack(&self) -> usize {
        self.config().max_wasm_stack
    }

    fn of_compiler<T>(&self, setting: T) -> Option<T> {
        self.config().compiler.enabled.then_some(setting)
    }
}
