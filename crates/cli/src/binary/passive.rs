//! Addresses of passive data. A linker that makes data passive, as for programs with threads, generates code that
//! copies it to constant addresses once, and zeroes ranges without a segment.

use super::description::DataSegment;
use std::collections::HashMap;
use wasmparser::Operator;

/// The state of the search, which goes through bodies in order.
#[derive(Default)]
pub(super) struct PassiveData {
    /// The constants just pushed, with no operator in between; at most three.
    constants: Vec<u64>,
    copies: Vec<Copied>,
    zeroed: Vec<Zeroed>,
    /// The numbers of copies and zeroed ranges when the body began.
    at_start: (usize, usize),
}

/// A `memory.init` with constant operands.
struct Copied {
    segment: u32,
    memory: u32,
    address: u64,
    source: u64,
    size: u64,
}

/// A `memory.fill` with constant operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Zeroed {
    pub(super) memory: u32,
    pub(super) address: u64,
    pub(super) size: u64,
}

impl PassiveData {
    /// Processes the next operator of a body.
    pub(super) fn operator(&mut self, op: &Operator<'_>) {
        match *op {
            Operator::I32Const { value } => return self.push(value.cast_unsigned().into()),
            Operator::I64Const { value } => return self.push(value.cast_unsigned()),
            Operator::MemoryInit { data_index, mem } => {
                if let [address, source, size] = self.constants[..] {
                    self.copies.push(Copied { segment: data_index, memory: mem, address, source, size });
                }
            }
            Operator::MemoryFill { mem } => {
                if let [address, 0, size] = self.constants[..] {
                    self.zeroed.push(Zeroed { memory: mem, address, size });
                }
            }
            _ => {}
        }
        self.constants.clear();
    }

    fn push(&mut self, constant: u64) {
        if self.constants.len() == 3 {
            self.constants.remove(0);
        }
        self.constants.push(constant);
    }

    /// Ends a body. Drops its fills unless it copies data: other functions fill memory for other reasons.
    pub(super) fn end_of_body(&mut self) {
        let (copies, zeroed) = self.at_start;
        if self.copies.len() == copies {
            self.zeroed.truncate(zeroed);
        }
        self.constants.clear();
        self.at_start = (self.copies.len(), self.zeroed.len());
    }

    /// Sets the addresses of segments that are copied whole to a single place. Returns the ranges zeroed along with
    /// them.
    pub(super) fn place(&self, data: &mut [DataSegment]) -> &[Zeroed] {
        let mut copies: HashMap<usize, Vec<&Copied>> = HashMap::new();
        for copied in &self.copies {
            copies.entry(copied.segment as usize).or_default().push(copied);
        }
        for (i, segment) in data.iter_mut().enumerate().filter(|(_, segment)| segment.passive) {
            if let Some([copied]) = copies.get(&i).map(Vec::as_slice)
                && (copied.source, copied.size) == (0, segment.size)
            {
                (segment.memory, segment.address) = (Some(copied.memory), Some(copied.address));
            }
        }
        &self.zeroed
    }
}

#[cfg(test)]
mod tests {
    use crate::binary::reader::describe;

    /// Checks the addresses of a module's segments and its regions.
    #[track_caller]
    fn check(wat: &str, addresses: &[Option<u64>], regions: &[(&str, u64, Option<u64>)]) {
        let found = describe(&wat::parse_str(wat).unwrap());
        assert!(found.error.is_none(), "{:?}", found.error);
        assert_eq!(found.data.iter().map(|d| d.address).collect::<Vec<_>>(), addresses);
        let layout = found.layout.expect("a stack pointer");
        assert_eq!(layout.regions.iter().map(|r| (r.what, r.start, r.end)).collect::<Vec<_>>(), regions);
    }

    #[test]
    fn passive_data_lies_where_code_copies_it() {
        check(
            r#"(module (memory 2) (global $__stack_pointer (mut i32) (i32.const 70000))
                (func
                    (memory.init $a (i32.const 1024) (i32.const 0) (i32.const 3))
                    (memory.init $b (i32.const 1032) (i32.const 0) (i32.const 2))
                    (memory.fill (i32.const 1040) (i32.const 0) (i32.const 400)))
                (func (memory.fill (i32.const 80000) (i32.const 0) (i32.const 8)))
                (data $a "abc") (data $b "de"))"#,
            &[Some(1024), Some(1032)],
            &[("data", 1024, Some(1440)), ("stack", 1440, Some(70000))],
        );
    }

    /// The end of the stack is unknown, since the data may be below it.
    #[test]
    fn passive_data_without_a_place_leaves_the_stack_unknown() {
        check(
            r#"(module (memory 2) (global $__stack_pointer (mut i32) (i32.const 70000))
                (func (param i32)
                    (memory.init $a (local.get 0) (i32.const 0) (i32.const 3))
                    (memory.init $b (i32.const 64) (i32.const 1) (i32.const 1))
                    (memory.init $c (i32.const 64) (i32.const 0) (i32.const 1))
                    (memory.init $c (i32.const 96) (i32.const 0) (i32.const 1)))
                (data $a "abc") (data $b "de") (data $c "f"))"#,
            &[None, None, None],
            &[],
        );
    }

    /// A block for thread-local variables has no fixed address.
    #[test]
    fn other_data_and_symbols_place_the_stack() {
        check(
            r#"(module (memory 2) (global $__stack_pointer (mut i32) (i32.const 65536))
                (func (memory.init $a (i32.const 65536) (i32.const 0) (i32.const 3)))
                (data $a "abc") (data $tls "de"))"#,
            &[Some(65536), None],
            &[("stack", 0, Some(65536)), ("data", 65536, Some(65539))],
        );
        check(
            r#"(module (memory 2) (global $__stack_pointer (mut i32) (i32.const 65536))
                (global (export "__global_base") i32 (i32.const 65536))
                (global (export "__data_end") i32 (i32.const 65600))
                (data "abc"))"#,
            &[None],
            &[("stack", 0, Some(65536)), ("data", 65536, Some(65600))],
        );
    }
}
