//! Bulk instructions on memories and tables. Short ones of constant length are done inline.

use super::memory_access::AccessAddress;
use super::short_copy::MemoryCopy;
use super::translator::Translator;
use crate::tier::tuning::{INLINE_BULK_BYTES, SHORT_COPIES};
use belljar_abi::Builtin;
use belljar_core::MemoryIndex;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl Translator<'_> {
    pub(super) fn bulk(&mut self, op: &Operator<'_>) -> bool {
        match *op {
            Operator::MemoryCopy { dst_mem, src_mem } => self.memory_copy(dst_mem, src_mem),
            Operator::MemoryFill { mem } => self.memory_fill(mem),
            Operator::MemoryInit { data_index, mem } => self.init(Builtin::MemoryInit, mem, data_index),
            Operator::DataDrop { data_index } => self.drop_segment(Builtin::DataDrop, data_index),
            Operator::TableInit { elem_index, table } => self.init(Builtin::TableInit, table, elem_index),
            Operator::ElemDrop { elem_index } => self.drop_segment(Builtin::ElemDrop, elem_index),
            Operator::TableCopy { dst_table, src_table } => self.table_copy(dst_table, src_table),
            Operator::TableFill { table } => self.fill(Builtin::TableFill, table),
            Operator::TableGrow { table } => {
                let (value, delta) = self.pop2();
                let delta = self.widen(delta);
                let is_64 = self.module.tables()[table as usize].is_64();
                let table = self.i32_const(table);
                if let Some(old) = self.call_builtin(Builtin::TableGrow, &[table, delta, value]) {
                    self.push_address(old, is_64);
                }
            }
            _ => return false,
        }
        true
    }

    fn init(&mut self, builtin: Builtin, to: u32, segment: u32) {
        let (dst, src, length) = self.pop3();
        let dst = self.widen(dst);
        let (to, segment) = (self.i32_const(to), self.i32_const(segment));
        self.call_builtin(builtin, &[to, segment, dst, src, length]);
    }

    fn drop_segment(&mut self, builtin: Builtin, segment: u32) {
        let segment = self.i32_const(segment);
        self.call_builtin(builtin, &[segment]);
    }

    fn table_copy(&mut self, to: u32, from: u32) {
        let (dst, src, length) = self.pop3();
        let (dst, src, length) = (self.widen(dst), self.widen(src), self.widen(length));
        let (to, from) = (self.i32_const(to), self.i32_const(from));
        self.call_builtin(Builtin::TableCopy, &[to, from, dst, src, length]);
    }

    fn fill(&mut self, builtin: Builtin, to: u32) {
        let (dst, value, length) = self.pop3();
        let (dst, length) = (self.widen(dst), self.widen(length));
        let to = self.i32_const(to);
        self.call_builtin(builtin, &[to, dst, value, length]);
    }

    fn memory_copy(&mut self, to: u32, from: u32) {
        let (dst, src, length) = self.pop3();
        let constant = self.constant(length);
        let (dst, src, length) = (self.widen(dst), self.widen(src), self.widen(length));
        let copy = MemoryCopy { to: MemoryIndex(to), from: MemoryIndex(from), dst, src, length };
        match constant {
            Some(length) if length <= INLINE_BULK_BYTES => self.copy_constant(copy, length),
            None if self.copies < SHORT_COPIES => {
                self.copies += 1;
                self.copy_short_or_call(copy);
            }
            _ => self.call_copy(copy),
        }
    }

    fn copy_constant(&mut self, copy: MemoryCopy, length: u64) {
        let (src, dst) = self.checked_addresses(copy);
        // Everything is read before anything is written, because the ranges may overlap.
        let mut pieces = [None; (INLINE_BULK_BYTES / 16) as usize + 1];
        for ((ty, offset), piece) in chunks(length).zip(&mut pieces) {
            let value = self.b.ins().load(ty, src.flags, src.address, src.offset + offset);
            *piece = Some((value, offset));
        }
        for (value, offset) in pieces.into_iter().flatten() {
            self.b.ins().store(dst.flags, value, dst.address, dst.offset + offset);
        }
    }

    fn memory_fill(&mut self, memory: u32) {
        let top = self.s.stack.last().and_then(|length| self.constant(*length));
        let Some(length) = top.filter(|length| *length <= INLINE_BULK_BYTES) else {
            return self.fill(Builtin::MemoryFill, memory);
        };
        let (dst, value, _) = self.pop3();
        let dst = self.checked_range(MemoryIndex(memory), dst, length);
        let mut repeated: Option<(Type, Value)> = None;
        for (ty, offset) in chunks(length) {
            let value = match repeated {
                Some((t, v)) if t == ty => v,
                _ => self.repeat(value, ty),
            };
            repeated = Some((ty, value));
            self.b.ins().store(dst.flags, value, dst.address, dst.offset + offset);
        }
    }

    /// Returns a value of `ty` in which every byte is the lowest byte of an `i32`.
    fn repeat(&mut self, value: Value, ty: Type) -> Value {
        match ty {
            types::I8 => self.b.ins().ireduce(types::I8, value),
            types::I8X16 => {
                let byte = self.b.ins().ireduce(types::I8, value);
                self.b.ins().splat(types::I8X16, byte)
            }
            _ => {
                let byte = self.b.ins().band_imm_u(value, 0xff);
                let byte = self.widen(byte);
                let ones = self.i64_const(0x0101_0101_0101_0101);
                let all = self.b.ins().imul(byte, ones);
                if ty == types::I64 { all } else { self.b.ins().ireduce(ty, all) }
            }
        }
    }

    /// Returns the address of a range after checking that all of it lies within a memory, so that a trap comes before
    /// any write.
    fn checked_range(&mut self, memory: MemoryIndex, start: Value, length: u64) -> AccessAddress {
        let start = self.widen(start);
        let start = self.check_end(memory, start, length);
        self.address_at(memory, start)
    }
}

/// Returns pieces that cover a range exactly, largest first. The last may overlap the one before.
fn chunks(length: u64) -> impl Iterator<Item = (Type, i32)> {
    let ty = match length {
        16.. => types::I8X16,
        8.. => types::I64,
        4.. => types::I32,
        2.. => types::I16,
        _ => types::I8,
    };
    let size = u64::from(ty.bytes());
    (0..length.div_ceil(size)).map(move |i| (ty, (i * size).min(length.saturating_sub(size)) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_each_length_exactly() {
        for length in 0..=INLINE_BULK_BYTES {
            let mut covered = vec![false; length as usize];
            assert!(chunks(length).count() <= (INLINE_BULK_BYTES / 16) as usize + 1);
            for (ty, offset) in chunks(length) {
                covered[offset as usize..][..ty.bytes() as usize].fill(true);
            }
            assert!(covered.iter().all(|c| *c), "{length} bytes");
        }
    }
}
