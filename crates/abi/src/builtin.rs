//! The functions of the runtime that compiled code may call: one row each.
//!
//! Each gets the context first and integer arguments after it, in the native calling convention, at most
//! six in all. Code reaches it through [`crate::ConstHeader::builtins`]. A builtin that fails leaves the
//! activation; it does not return.

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
    /// Which.
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
        /// A function of the runtime that compiled code may call.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Builtin {
            $($(#[$doc])* $variant,)*
        }

        impl Builtin {
            /// Every builtin, in the order of the table that code reads.
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

/// Calls `$callback!` with every row, for whoever must implement each of them.
#[macro_export]
macro_rules! builtins {
    ($callback:ident) => {
        $callback! {
            /// Grows a memory by pages; the old size in pages, or all ones where it cannot.
            MemoryGrow memory_grow(memory: u32, delta: u64) -> u64;
            /// Copies between memories.
            MemoryCopy memory_copy(dst_memory: u32, src_memory: u32, dst: u64, src: u64, length: u64);
            /// Fills part of a memory with a byte.
            MemoryFill memory_fill(memory: u32, dst: u64, value: u32, length: u64);
            /// Copies from a data segment.
            MemoryInit memory_init(memory: u32, segment: u32, dst: u64, src: u32, length: u32);
            /// Waits, if a memory holds 32 bits that equal `expected`, until it is notified (0) or `timeout`
            /// nanoseconds are over (2; none if negative); 1 if they differ.
            MemoryWait32 memory_wait32(memory: u32, address: u64, expected: u32, timeout: u64) -> u32;
            /// As `memory_wait32`, with 64 bits.
            MemoryWait64 memory_wait64(memory: u32, address: u64, expected: u64, timeout: u64) -> u32;
            /// Wakes at most `count` threads that wait at an address; how many it were.
            MemoryNotify memory_notify(memory: u32, address: u64, count: u32) -> u32;
            /// Drops a data segment.
            DataDrop data_drop(segment: u32);
            /// Grows a table by elements; the old size, or all ones where it cannot.
            TableGrow table_grow(table: u32, delta: u64, value: u32) -> u64;
            /// Fills part of a table.
            TableFill table_fill(table: u32, dst: u64, value: u32, length: u64);
            /// Copies between tables.
            TableCopy table_copy(dst_table: u32, src_table: u32, dst: u64, src: u64, length: u64);
            /// Copies from an element segment.
            TableInit table_init(table: u32, segment: u32, dst: u64, src: u32, length: u32);
            /// Drops an element segment.
            ElemDrop elem_drop(segment: u32);
            /// Makes an object of `size` bytes with this header, and whatever in it; its reference.
            GcAlloc gc_alloc(header: u32, size: u32) -> u64;
            /// Makes an array of zeros or nulls of one of the module's types; its reference.
            GcAllocArray gc_alloc_array(ty: u32, length: u32) -> u64;
            /// Makes an array from a range of a data segment; its reference.
            ArrayNewData array_new_data(ty: u32, segment: u32, src: u32, length: u32) -> u64;
            /// Makes an array from a range of an element segment; its reference.
            ArrayNewElem array_new_elem(ty: u32, segment: u32, src: u32, length: u32) -> u64;
            /// Copies from a data segment into an array, which is not null.
            ArrayInitData array_init_data(segment: u32, array: u32, dst: u32, src: u32, length: u32);
            /// Copies from an element segment into an array, which is not null.
            ArrayInitElem array_init_elem(segment: u32, array: u32, dst: u32, src: u32, length: u32);
            /// Copies between arrays of one element type, neither of them null.
            ArrayCopy array_copy(to: u32, dst: u32, from: u32, src: u32, length: u32);
            /// Throws an exception, which is not null, out of the function. Does not return.
            ThrowRef throw_ref(exception: u32);
            /// Fuel ran out: gives more, or traps.
            OutOfFuel out_of_fuel();
            /// The epoch deadline passed: moves it, or traps.
            NewEpoch new_epoch();
        }
    };
}

builtins!(rows);

impl Builtin {
    /// What the stub of this builtin leaves in [`crate::StoreContext::exit_callee`]: an odd number, which no object's address is.
    pub const fn exit_callee(self) -> usize {
        self as usize * 2 + 1
    }

    /// The builtin of which this is left.
    pub fn of_exit_callee(callee: usize) -> Option<Self> {
        Self::ROWS.get(callee / 2).filter(|_| callee % 2 == 1).map(|row| row.builtin)
    }

    /// The name of its row.
    pub fn name(self) -> &'static str {
        Self::ROWS[self as usize].name
    }

    /// Byte offset of this builtin's address in the table.
    pub const fn table_offset(self) -> usize {
        self as usize * size_of::<usize>()
    }

    /// This builtin's row.
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
