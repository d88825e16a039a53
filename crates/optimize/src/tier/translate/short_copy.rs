//! `memory.copy` with a length that is short at run time.
//!
//! Most copies are of a few bytes and cost less than a call of the runtime. Two overlapping pieces cover every length
//! between one and two times their size:
//!
//! ```text
//!   length   pieces                        reads come before writes, so that
//!   16–32    first 16, last 16             source and destination may overlap
//!    8–15    first 8, last 8
//!    4–7     first 4, last 4
//!    1–3     first, middle, last byte
//! ```

use super::memory_access::AccessAddress;
use super::translator::Translator;
use crate::tier::trap_code;
use belljar_abi::Builtin;
use belljar_core::{MemoryIndex, Trap};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Type, Value, types};

/// The longest copy done inline.
const LONGEST: i64 = 32;

/// Sizes of pieces, largest first.
const PIECES: [(Type, i64); 3] = [(types::I8X16, 16), (types::I64, 8), (types::I32, 4)];

/// A copy with 64-bit operands.
#[derive(Clone, Copy)]
pub(super) struct MemoryCopy {
    pub(super) to: MemoryIndex,
    pub(super) from: MemoryIndex,
    pub(super) dst: Value,
    pub(super) src: Value,
    pub(super) length: Value,
}

impl Translator<'_> {
    /// Copies inline if the length is short, and through the runtime otherwise.
    pub(super) fn copy_short_or_call(&mut self, copy: MemoryCopy) {
        let (short, long, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.flush_fuel();
        let is_short = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, copy.length, LONGEST);
        self.b.ins().brif(is_short, short, &[], long, &[]);
        self.start_sealed(short);
        // The runtime determines which range was out of bounds, so nothing needs to be kept for that here.
        let (outside_from, outside_to) = self.outside(copy);
        let inside = self.b.create_block();
        let outside = self.b.ins().bor(outside_from, outside_to);
        self.b.ins().brif(outside, long, &[], inside, &[]);
        self.start_sealed(inside);
        let (src, dst) = self.addresses(copy, outside_from, outside_to);
        for (ty, size) in PIECES {
            let (piece, shorter) = (self.b.create_block(), self.b.create_block());
            let fits = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, copy.length, size);
            self.b.ins().brif(fits, piece, &[], shorter, &[]);
            self.start_sealed(piece);
            let last = self.b.ins().iadd_imm_s(copy.length, -size);
            self.copy_pieces(ty, src, dst, &[last], done);
            self.start_sealed(shorter);
        }
        let bytes = self.b.create_block();
        self.b.ins().brif(copy.length, bytes, &[], done, &[]);
        self.start_sealed(bytes);
        let middle = self.b.ins().ushr_imm_u(copy.length, 1);
        let last = self.b.ins().iadd_imm_s(copy.length, -1);
        self.copy_pieces(types::I8, src, dst, &[middle, last], done);
        self.start_sealed(long);
        self.call_copy(copy);
        self.b.ins().jump(done, &[]);
        self.start_sealed(done);
    }

    /// Copies through the runtime.
    pub(super) fn call_copy(&mut self, copy: MemoryCopy) {
        let (to, from) = (self.i32_const(copy.to.0), self.i32_const(copy.from.0));
        self.call_builtin(Builtin::MemoryCopy, &[to, from, copy.dst, copy.src, copy.length]);
    }

    fn start_sealed(&mut self, block: Block) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
    }

    /// Copies the piece at the start and those at `others`, then jumps to `done`.
    fn copy_pieces(
        &mut self,
        ty: Type,
        src: AccessAddress,
        dst: AccessAddress,
        others: &[Value],
        done: Block,
    ) {
        let first = self.b.ins().load(ty, src.flags, src.address, 0);
        let mut rest = [None; 2];
        for (at, slot) in others.iter().zip(&mut rest) {
            let address = self.b.ins().iadd(src.address, *at);
            *slot = Some((self.b.ins().load(ty, src.flags, address, 0), *at));
        }
        self.b.ins().store(dst.flags, first, dst.address, 0);
        for (value, at) in rest.into_iter().flatten() {
            let address = self.b.ins().iadd(dst.address, at);
            self.b.ins().store(dst.flags, value, address, 0);
        }
        self.b.ins().jump(done, &[]);
    }

    /// Returns source and destination, after trapping unless both ranges lie within their memories.
    pub(super) fn checked_addresses(&mut self, copy: MemoryCopy) -> (AccessAddress, AccessAddress) {
        let (outside_from, outside_to) = self.outside(copy);
        let outside = self.b.ins().bor(outside_from, outside_to);
        self.b.ins().trapnz(outside, trap_code::encode(Trap::MemoryOutOfBounds));
        self.addresses(copy, outside_from, outside_to)
    }

    fn addresses(
        &mut self,
        copy: MemoryCopy,
        outside_from: Value,
        outside_to: Value,
    ) -> (AccessAddress, AccessAddress) {
        let src = self.guard_index_of(copy.from, outside_from, copy.src);
        let dst = self.guard_index_of(copy.to, outside_to, copy.dst);
        (self.address_at(copy.from, src), self.address_at(copy.to, dst))
    }

    /// Returns whether the source and the destination reach outside their memories. Within one memory, only the range
    /// that starts later is checked.
    fn outside(&mut self, copy: MemoryCopy) -> (Value, Value) {
        if copy.to == copy.from {
            let later = self.b.ins().umax(copy.dst, copy.src);
            let outside = self.range_is_outside(copy.to, later, copy.length);
            return (outside, outside);
        }
        let to = self.range_is_outside(copy.to, copy.dst, copy.length);
        (self.range_is_outside(copy.from, copy.src, copy.length), to)
    }
}
