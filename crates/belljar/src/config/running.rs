//! Runs: fuel, epochs, stacks, limits of all stores together, determinism, and checks of the host.

use super::Config;
use belljar_compile::OperatorCost;
use std::sync::Arc;

/// What a guest pays for bytes, as Wasmi has it: see [`Config::fuel_cost`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomFuelCosts {
    /// How many bytes a guest moves for a unit of fuel with bulk instructions and growth. An element of a table has 8
    /// bytes. With 0, moving anything takes more fuel than there is.
    pub bytes_copied_per_fuel: u32,
    /// Fuel for each byte of a function that is translated. It has no effect: functions are compiled with their module,
    /// and not at the cost of a store.
    pub fuel_per_bytes_translated: u32,
    /// Fuel for each byte of a function that is validated. It has no effect for the same reason.
    pub fuel_per_bytes_validated: u32,
}

/// Runs.
impl Config {
    /// Sets whether guest code counts fuel: about one unit per instruction. A guest without fuel traps with
    /// [`crate::Trap::OutOfFuel`]. Default: no.
    ///
    /// Guest code checks the fuel at the entry of each function that was not inlined, and at the start of each loop
    /// iteration. A guest may overshoot by what it executes between two checks: at most the rest of each function on
    /// its stack, without loops and calls. A bulk operation and a call of the host each count as one instruction.
    /// [`Config::operator_cost`] and [`Config::fuel_cost`] set other costs.
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.tunables.consume_fuel = enable;
        self
    }

    /// Sets what each instruction costs, if fuel is counted. The costs for the amount of work
    /// ([`OperatorCost::variable`]) then apply as well: by default, a bulk instruction pays one unit for each byte or
    /// element. They are charged before the instruction does anything. Default: one unit for each instruction that becomes
    /// code, and nothing for the amount of work.
    ///
    /// ```
    /// use belljar::{Config, Engine, Instance, Module, OperatorCost, Store};
    /// let mut config = Config::new();
    /// config.consume_fuel(true).operator_cost(OperatorCost { I32Mul: 10, ..OperatorCost::default() });
    /// let engine = Engine::new(&config)?;
    /// let text = r#"(module (func (export "square") (param i32) (result i32)
    ///     (i32.mul (local.get 0) (local.get 0))))"#;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(100)?;
    /// let instance = Instance::new(&mut store, &Module::new(&engine, text)?, &[])?;
    /// instance.get_typed_func::<i32, i32>(&mut store, "square")?.call(&mut store, 5)?;
    /// // Twice `local.get`, and `i32.mul`.
    /// assert_eq!(store.get_fuel()?, 100 - 12);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn operator_cost(&mut self, cost: OperatorCost) -> &mut Self {
        self.fuel_costs.operators = Some(Arc::new(cost));
        self
    }

    /// Sets how many bytes bulk instructions and growth move for a unit of fuel, if fuel is counted. This is in addition to
    /// what [`Config::operator_cost`] says. Default: they pay nothing for bytes.
    pub fn fuel_cost(&mut self, cost: CustomFuelCosts) -> &mut Self {
        self.fuel_costs.bytes_per_unit = Some(cost.bytes_copied_per_fuel);
        self
    }

    /// Sets whether guest code compares the engine's epoch with its store's deadline at function entries and in loops.
    /// Default: no.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.tunables.epoch_interruption = enable;
        self
    }

    /// Sets how many bytes of native stack guest code may use before it traps. The value is clamped to the thread's
    /// stack. Default: 1 MiB.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.max_wasm_stack = bytes;
        self
    }

    /// Limits the bytes of the memories and garbage-collected heaps of all the engine's stores together; shared
    /// memories count once. Growth beyond the limit is refused as [`crate::Limits::memory`] does; where that is an
    /// error, it is a [`crate::EngineLimitExceeded`]. The memory of a store becomes available again when the store is
    /// dropped or its sandbox is reset. Default: no limit.
    ///
    /// ```
    /// use belljar::{Config, Engine, Memory, MemoryType, Store};
    /// let engine = Engine::new(Config::new().max_memory(1 << 20))?;
    /// let (mut a, mut b) = (Store::new(&engine, ()), Store::new(&engine, ()));
    /// Memory::new(&mut a, MemoryType::new(10, None))?;
    /// let error = Memory::new(&mut b, MemoryType::new(10, None)).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "memory of the engine: 640 KiB are used by 1 store, 640 KiB more were wanted, and all together may have 1024 KiB \
    ///      (Config::max_memory)"
    /// );
    /// drop(a);
    /// Memory::new(&mut b, MemoryType::new(10, None))?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn max_memory(&mut self, bytes: u64) -> &mut Self {
        self.quota.memory = Some(bytes);
        self
    }

    /// Limits how many of the engine's stores may run guests at once. Further calls fail with a
    /// [`crate::EngineLimitExceeded`]. Nested calls in the same store count as one. Default: no limit.
    pub fn max_concurrent_calls(&mut self, calls: u64) -> &mut Self {
        self.quota.calls = Some(calls);
        self
    }

    /// Sets whether every NaN that an operation produces gets the canonical bit pattern, so that results are the same
    /// on all machines. Default: no.
    pub fn cranelift_nan_canonicalization(&mut self, enable: bool) -> &mut Self {
        self.tunables.canonical_nans = enable;
        self
    }

    /// Sets whether relaxed vector instructions follow the specification's deterministic profile, which is the same on
    /// all machines, instead of the processor's fastest behaviour. Default: no.
    pub fn relaxed_simd_deterministic(&mut self, enable: bool) -> &mut Self {
        self.tunables.deterministic_relaxed_simd = enable;
        self
    }

    /// Sets the specification's deterministic profile: [`Config::cranelift_nan_canonicalization`] and
    /// [`Config::relaxed_simd_deterministic`] together. A module then computes the same results on all machines, except
    /// for what depends on the host's answers, on how much memory and stack are available, and on the threads that use
    /// a shared memory. Default: no.
    pub fn deterministic(&mut self, enable: bool) -> &mut Self {
        self.cranelift_nan_canonicalization(enable).relaxed_simd_deterministic(enable)
    }

    /// Sets whether [`Memory::write`](crate::Memory::write) refuses to overwrite memory that the guest itself uses. The
    /// error says what lies there and how to write correctly. For development and tests. Stores that already exist keep
    /// the setting that they were created with. Default: no.
    ///
    /// - While no guest runs, a write must lie within memory that the guest has handed out: a
    ///   [`GuestBuf`](crate::GuestBuf) (including dropped ones that are not freed yet), a range of
    ///   [`Memory::declare`](crate::Memory::declare), or pages that the host added with
    ///   [`Memory::grow`](crate::Memory::grow). All other memory is the guest's stack, static data or heap.
    /// - In a host function that a guest called, a write may go to any address that the guest can have passed: static
    ///   data, the heap, and the stack from `__stack_pointer` on. Writes to the rest of the stack are refused if the
    ///   location of the stack is known: the module's name section or an export identifies the global
    ///   `__stack_pointer`, and the guest has not switched to another stack.
    /// - A memory that no instance of the store has belongs to the host and is not checked.
    /// - Also not checked are [`Memory::data_mut`](crate::Memory::data_mut) and
    ///   [`Memory::data_and_store_mut`](crate::Memory::data_and_store_mut), which hand out all bytes and cannot tell
    ///   which of them are written; a [`SharedMemory`](crate::SharedMemory), to which other threads write as well; and
    ///   the functions of WASI, which write where the guest says.
    ///
    /// ```
    /// use belljar::{Config, Engine, GuestAlloc, Instance, Module, Store};
    /// let engine = Engine::new(Config::new().host_write_check(true))?;
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module
    ///         (memory (export "memory") 2)
    ///         (global $__stack_pointer (mut i32) (i32.const 0x8000))
    ///         (data (i32.const 0x8000) "static data")
    ///         (global $top (mut i32) (i32.const 0x10000))
    ///         (func (export "malloc") (param i32) (result i32)
    ///             (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    ///         (func (export "free") (param i32)))"#,
    /// )?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let memory = instance.get_memory(&mut store, "memory").unwrap();
    ///
    /// let error = memory.write(&mut store, 0, &[1; 100]).unwrap_err();
    /// let expected = "a host write of 100 bytes at 0x0 was refused: at 0x0 is the guest's stack: 0x0..0x8000, \
    ///     because __stack_pointer starts at 0x8000.";
    /// assert!(error.to_string().starts_with(expected));
    ///
    /// let room = GuestAlloc::find(&mut store, instance)?.alloc(&mut store, 100, 1)?;
    /// memory.write(&mut store, room.ptr() as usize, &[1; 100])?;
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn host_write_check(&mut self, enable: bool) -> &mut Self {
        self.host_write_check = enable;
        self
    }
}
