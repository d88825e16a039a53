//! The runtime functions that compiled code may call: one row each.
//!
//! Each takes the context first and integer arguments after it, in the native calling convention, at most six arguments
//! in all. Code finds its address through [`crate::ConstHeader::builtins`]. A builtin that fails unwinds the activation
//! instead of returning.

/// The type of a builtin's argument or result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuiltinType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// One row of the builtin table.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinRow {
    /// The builtin.
    pub builtin: Builtin,
    /// Its name.
    pub name: &'static str,
    /// Arguments after the context.
    pub params: &'static [BuiltinType],
    /// Its result.
    pub result: Option<BuiltinType>,
}

macro_rules! ty {
    (u32) => {
        BuiltinType::I32
    };
    (u64) => {
        BuiltinType::I64
    };
}

macro_rules! result {
    () => {
        None
    };
    ($t:ident) => {
        Some(ty!($t))
    };
}

macro_rules! rows {
    ($($(#[$doc:meta])* $variant:ident $name:ident($($arg:ident: $ty:ident),*) $(-> $ret:ident)?;)*) => {
        /// A runtime function that compiled code may call.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Builtin {
            $($(#[$doc])* $variant,)*
        }

        impl Builtin {
            /// All builtins, in the order of the table that code reads.
            pub const ROWS: &'static [BuiltinRow] = &[
                $(BuiltinRow {
                    builtin: Builtin::$variant,
                    name: stringify!($name),
                    params: &[$(ty!($ty)),*],
                    result: result!($($ret)?),
                },)*
            ];
        }
    };
}

/// Calls `$callback!` with every row, for code that must handle each builtin.
#[macro_export]
macro_rules! builtins {
    ($callback:ident) => {
        $callback! {
            /// Grows a memory by pages. Returns the old size in pages, or all ones on failure.
            MemoryGrow memory_grow(memory: u32, delta: u64) -> u64;
            /// Copies between memories.
            MemoryCopy memory_copy(dst_memory: u32, src_memory: u32, dst: u64, src: u64, length: u64);
            /// Fills part of a memory with a byte.
            MemoryFill memory_fill(memory: u32, dst: u64, value: u32, length: u64);
            /// Copies from a data segment.
            MemoryInit memory_init(memory: u32, segment: u32, dst: u64, src: u32, length: u32);
            /// Waits if a memory holds 32 bits that equal `expected`, until notified (returns 0) or until `timeout`
            /// nanoseconds have passed (returns 2; a negative timeout never expires). Returns 1 if the bits differ.
            MemoryWait32 memory_wait32(memory: u32, address: u64, expected: u32, timeout: u64) -> u32;
            /// Waits like `memory_wait32`, on 64 bits.
            MemoryWait64 memory_wait64(memory: u32, address: u64, expected: u64, timeout: u64) -> u32;
            /// Wakes at most `count` threads that wait at an address. Returns how many were woken.
            MemoryNotify memory_notify(memory: u32, address: u64, count: u32) -> u32;
            /// Drops a data segment.
            DataDrop data_drop(segment: u32);
            /// Grows a table by elements. Returns the old size, or all ones on failure.
            TableGrow table_grow(table: u32, delta: u64, value: u32) -> u64;
            /// Fills part of a table.
            TableFill table_fill(table: u32, dst: u64, value: u32, length: u64);
            /// Copies between tables.
            TableCopy table_copy(dst_table: u32, src_table: u32, dst: u64, src: u64, length: u64);
            /// Copies from an element segment.
            TableInit table_init(table: u32, segment: u32, dst: u64, src: u32, length: u32);
            /// Drops an element segment.
            ElemDrop elem_drop(segment: u32);
            /// Allocates an object of `size` bytes with this header and unspecified contents. Returns its reference.
            GcAlloc gc_alloc(header: u32, size: u32) -> u64;
            /// Allocates an array of zeros or nulls of one of the module's types. Returns its reference.
            GcAllocArray gc_alloc_array(ty: u32, length: u32) -> u64;
            /// Allocates an array from a range of a data segment. Returns its reference.
            ArrayNewData array_new_data(ty: u32, segment: u32, src: u32, length: u32) -> u64;
            /// Allocates an array from a range of an element segment. Returns its reference.
            ArrayNewElem array_new_elem(ty: u32, segment: u32, src: u32, length: u32) -> u64;
            /// Copies from a data segment into a non-null array.
            ArrayInitData array_init_data(segment: u32, array: u32, dst: u32, src: u32, length: u32);
            /// Copies from an element segment into a non-null array.
            ArrayInitElem array_init_elem(segment: u32, array: u32, dst: u32, src: u32, length: u32);
            /// Copies between non-null arrays of one element type.
            ArrayCopy array_copy(to: u32, dst: u32, from: u32, src: u32, length: u32);
            /// Throws a non-null exception out of the function. Does not return.
            ThrowRef throw_ref(exception: u32);
            /// Handles exhausted fuel: adds more, or traps.
            OutOfFuel out_of_fuel();
            /// Handles a passed epoch deadline: moves it, or traps.
            NewEpoch new_epoch();
        }
    };
}

builtins!(rows);

impl Builtin {
    /// Returns the value that this builtin's stub stores in [`crate::StoreContext::exit_callee`]: an odd number, which
    /// is never an object's address.
    pub const fn exit_callee(self) -> usize {
        self as usize * 2 + 1
    }

    /// Returns the builtin whose stub stored this value.
    pub fn of_exit_callee(callee: usize) -> Option<Self> {
        Self::ROWS.get(callee / 2).filter(|_| callee % 2 == 1).map(|row| row.builtin)
    }

    /// Returns the name of its row.
    pub fn name(self) -> &'static str {
        Self::ROWS[self as usize].name
    }

    /// Returns the byte offset of this builtin's address in the table.
    pub const fn table_offset(self) -> usize {
        self as usize * size_of::<usize>()
    }

    /// Returns this builtin's row.
    pub fn row(self) -> &'static BuiltinRow {
        &Self::ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_fits_the_argument_registers() {
        for (i, row) in Builtin::ROWS.iter().enumerate() {
            assert_eq!(row.builtin as usize, i);
            assert!(row.params.len() <= 5, "{} has more arguments than registers", row.name);
        }
    }
}
