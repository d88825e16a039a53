//! Code that lifts: that checks values where they are, and takes handles. It traps where lifting a value traps, in the
//! same order, and before anything is lowered.

use super::body::{Body, Mem, Operand, Place, Size, val_type};
use super::builder::{Builder, Helper, Side, SideId};
use super::runtime::{RuntimeFunc, TrapCode};
use super::shape::{Kind, Shape};
use crate::abi::{MAX_BYTES, utf16_tag};
use crate::plan::StringEncoding;
use crate::types::{AddressType, FlatType};
use belljar_core::{Context, Result};
use wasm_encoder::{BlockType, MemArg};

/// Strings of at most so many bytes are checked for ASCII here. For longer ones, the runtime is faster.
const SHORT: u64 = 32;

/// The bits that no byte of ASCII has.
const NOT_ASCII: i64 = 0x8080_8080_8080_8080_u64 as i64;

impl<'p> Builder<'p> {
    pub(super) fn memory_of(&self, side: SideId) -> Result<Mem> {
        self.side(side).memory.context("belljar bug: a value needs memory, and there is none")
    }

    pub(super) fn place(&self, side: SideId, base: u32) -> Result<Place> {
        let (memory, address) = (self.memory_of(side)?, self.side(side).address);
        Ok(Place { memory, address, base, offset: 0 })
    }

    /// Traps with three numbers, which `numbers` pushes in 64 bits.
    pub(super) fn trap(&mut self, b: &mut Body, code: TrapCode, numbers: impl FnOnce(&mut Body)) {
        let trap = self.runtime(RuntimeFunc::Trap);
        b.ins().i32_const(code as i32);
        numbers(b);
        b.call(trap);
        b.ins().unreachable();
    }

    /// Pushes whether a range reaches beyond the end of a memory.
    pub(super) fn is_outside(&mut self, b: &mut Body, side: SideId, at: u32, size: Size) -> Result<()> {
        let (memory, address) = (self.memory_of(side)?, self.side(side).address);
        match address {
            AddressType::I32 => {
                b.ins().local_get(at).i64_extend_i32_u();
                b.size(address, size);
                b.ins().i64_add();
                b.length_of(memory, address);
                b.ins().i64_gt_u();
            }
            // The sum could overflow.
            AddressType::I64 => {
                b.size(address, size);
                b.length_of(memory, address);
                b.ins().i64_gt_u();
                b.ins().local_get(at);
                b.length_of(memory, address);
                b.size(address, size);
                b.ins().i64_sub().i64_gt_u().i32_or();
            }
        }
        Ok(())
    }

    /// Traps unless a range lies in a memory.
    pub(super) fn check_range(
        &mut self,
        b: &mut Body,
        side: SideId,
        at: u32,
        size: Size,
        code: TrapCode,
    ) -> Result<()> {
        let (memory, address) = (self.memory_of(side)?, self.side(side).address);
        self.is_outside(b, side, at, size)?;
        b.ins().if_(BlockType::Empty);
        self.trap(b, code, |b| {
            b.ins().local_get(at);
            b.widen(address);
            b.size(address, size);
            b.length_of(memory, address);
        });
        b.ins().end();
        Ok(())
    }

    /// Traps unless an address is aligned.
    pub(super) fn check_aligned(
        &mut self,
        b: &mut Body,
        address: AddressType,
        at: u32,
        align: Size,
        code: TrapCode,
    ) {
        if let Size::Number(1) = align {
            return;
        }
        b.is_unaligned(address, at, align);
        b.ins().if_(BlockType::Empty);
        self.trap(b, code, |b| {
            b.ins().local_get(at);
            b.widen(address);
            b.size(address, align);
            b.ins().i64_const(0);
        });
        b.ins().end();
    }

    /// Traps unless there is an aligned place for a value.
    pub(super) fn check_place(
        &mut self,
        b: &mut Body,
        side: SideId,
        shape: Shape<'p>,
        at: u32,
    ) -> Result<()> {
        let address = self.side(side).address;
        let layout = shape.layout(address);
        self.check_range(b, side, at, Size::Number(layout.size), TrapCode::OutOfBounds)?;
        self.check_aligned(b, address, at, Size::Number(layout.align), TrapCode::Unaligned);
        Ok(())
    }

    /// Traps unless `count` elements are few enough.
    fn check_count(&mut self, b: &mut Body, address: AddressType, count: u32, element: u32, code: TrapCode) {
        b.ins().local_get(count);
        b.is_above(address, MAX_BYTES / u64::from(element.max(1)));
        b.ins().if_(BlockType::Empty);
        self.trap(b, code, |b| {
            b.ins().local_get(count);
            b.widen(address);
            b.ins().i64_const(i64::from(element)).i64_const(0);
        });
        b.ins().end();
    }

    /// Traps unless the topmost value is a character.
    fn check_char(&mut self, b: &mut Body) {
        let code = b.local(FlatType::I32);
        // Surrogates come first in this order, and what is too large comes last.
        b.ins().local_tee(code).i32_const(0xd800).i32_xor().i32_const(0x800).i32_sub();
        b.ins().i32_const(0x11_0000 - 0x800).i32_ge_u().if_(BlockType::Empty);
        self.trap(b, TrapCode::NoChar, |b| {
            b.ins().local_get(code).i64_extend_i32_u().i64_const(0).i64_const(0);
        });
        b.ins().end();
    }

    fn lift_handle(&mut self, b: &mut Body, side: SideId, kind: &Kind<'_>) {
        if let Kind::Handle { resource, owned } = *kind {
            let instance = self.side(side).instance;
            let lift = self.runtime(RuntimeFunc::LiftHandle { instance, resource, owned });
            b.call(lift);
        }
    }

    /// Checks a string, whose address and length are on the stack. Most strings are short and ASCII: they are checked by code
    /// that calls nothing, and is inlined in loops.
    fn check_text(&mut self, b: &mut Body, side: SideId) {
        let check = self.helper(Helper::CheckText(side));
        let Side { address, encoding, .. } = self.side(side);
        if encoding != StringEncoding::Utf8 {
            return b.call(check);
        }
        let length = b.keep(address.flat());
        let at = b.keep(address.flat());
        let is_short_ascii = self.helper(Helper::IsShortAscii(side));
        b.ins().local_get(at).local_get(length);
        b.call(is_short_ascii);
        b.ins().i32_eqz().if_(BlockType::Empty).local_get(at).local_get(length);
        b.call(check);
        b.ins().end();
    }

    /// Checks a value, given its core values.
    pub(super) fn check_flat(
        &mut self,
        b: &mut Body,
        side: SideId,
        shape: Shape<'p>,
        from: &[Operand],
    ) -> Result<()> {
        if !self.facts(shape).is_checked {
            return Ok(());
        }
        let address = self.side(side).address;
        let kind = shape.kind();
        match &kind {
            Kind::Char => {
                b.get(from[0], FlatType::I32);
                self.check_char(b);
            }
            Kind::Handle { .. } => {
                b.get(from[0], FlatType::I32);
                self.lift_handle(b, side, &kind);
            }
            Kind::String | Kind::List { .. } => {
                from.iter().for_each(|operand| b.get(*operand, address.flat()));
                let Kind::List { element, is_map } = kind else {
                    self.check_text(b, side);
                    return Ok(());
                };
                let helper = self.helper(Helper::CheckList { side, element, is_map });
                b.call(helper);
            }
            Kind::Fields(_) | Kind::Array { .. } => {
                let mut rest = from;
                for part in parts(&kind) {
                    let (taken, left) = rest.split_at(part.flat(address).len());
                    self.check_flat(b, side, part, taken)?;
                    rest = left;
                }
            }
            Kind::Cases(_) => {
                from.iter().zip(shape.flat(address)).for_each(|(operand, ty)| b.get(*operand, ty));
                let helper = self.helper(Helper::CheckFlat(side, shape));
                b.call(helper);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks a value in memory.
    pub(super) fn check_memory(
        &mut self,
        b: &mut Body,
        side: SideId,
        shape: Shape<'p>,
        from: Place,
    ) -> Result<()> {
        if !self.facts(shape).is_checked {
            return Ok(());
        }
        let kind = shape.kind();
        match &kind {
            Kind::Char => {
                b.load(from, 4, false);
                self.check_char(b);
            }
            Kind::Handle { .. } => {
                b.load(from, 4, false);
                self.lift_handle(b, side, &kind);
            }
            Kind::String | Kind::List { .. } => {
                b.load_address(from);
                b.load_address(from.at(from.address.size()));
                let Kind::List { element, is_map } = kind else {
                    self.check_text(b, side);
                    return Ok(());
                };
                let helper = self.helper(Helper::CheckList { side, element, is_map });
                b.call(helper);
            }
            _ => {
                b.address_of(from);
                let helper = self.helper(Helper::CheckMemory(side, shape));
                b.call(helper);
            }
        }
        Ok(())
    }

    /// Writes the body of [`Helper::CheckMemory`].
    pub(super) fn check_memory_body(&mut self, b: &mut Body, side: SideId, shape: Shape<'p>) -> Result<()> {
        let from = self.place(side, 0)?;
        let address = from.address;
        match shape.kind() {
            Kind::Fields(fields) => {
                for (field, offset) in fields.into_iter().zip(shape.offsets(address)) {
                    self.check_memory(b, side, field, from.at(*offset))?;
                }
                Ok(())
            }
            Kind::Array { element, length } => {
                let size = element.layout(address).size;
                b.ins().local_get(0);
                b.address(address, u64::from(size) * u64::from(length));
                b.add(address);
                let end = b.keep(address.flat());
                self.check_elements(b, side, element, end)
            }
            Kind::Cases(cases) => {
                let layout = shape.cases(address);
                b.load(from, layout.discriminant, false);
                let case = b.keep(FlatType::I32);
                let payload = from.at(layout.payload);
                self.check_case(b, shape, &cases, case);
                let cases = self.checked_cases(&cases);
                self.for_cases(b, case, &cases, |this, b, shape| this.check_memory(b, side, shape, payload))
            }
            _ => Ok(()),
        }
    }

    /// Writes the body of [`Helper::CheckFlat`].
    pub(super) fn check_flat_body(&mut self, b: &mut Body, side: SideId, shape: Shape<'p>) -> Result<()> {
        let address = self.side(side).address;
        let Kind::Cases(cases) = shape.kind() else { return Ok(()) };
        self.check_case(b, shape, &cases, 0);
        let cases = self.checked_cases(&cases);
        let payload = operands(1, &shape.flat(address)[1..]);
        self.for_cases(b, 0, &cases, |this, b, shape| {
            this.check_flat(b, side, shape, &payload[..shape.flat(address).len()])
        })
    }

    /// Traps unless a local is the number of a case.
    fn check_case(&mut self, b: &mut Body, shape: Shape<'_>, cases: &[Option<Shape<'p>>], case: u32) {
        let ty = self.case_type(shape);
        b.ins().local_get(case).i32_const(cases.len() as i32).i32_ge_u().if_(BlockType::Empty);
        self.trap(b, TrapCode::NoCase, |b| {
            b.ins().local_get(case).i64_extend_i32_u().i64_const(i64::from(ty)).i64_const(0);
        });
        b.ins().end();
    }

    fn checked_cases(&mut self, cases: &[Option<Shape<'p>>]) -> Vec<(u32, Shape<'p>)> {
        let cases = cases.iter().enumerate().filter_map(|(i, payload)| Some((i as u32, (*payload)?)));
        cases.filter(|(_, payload)| self.facts(*payload).is_checked).collect()
    }

    /// Writes code for each of some cases, which runs if a local is the number of the case.
    pub(super) fn for_cases(
        &mut self,
        b: &mut Body,
        case: u32,
        cases: &[(u32, Shape<'p>)],
        mut code: impl FnMut(&mut Self, &mut Body, Shape<'p>) -> Result<()>,
    ) -> Result<()> {
        if let [(number, payload)] = cases {
            b.ins().local_get(case).i32_const(*number as i32).i32_eq().if_(BlockType::Empty);
            code(self, b, *payload)?;
            b.ins().end();
            return Ok(());
        }
        let Some((last, _)) = cases.last() else { return Ok(()) };
        // One block around all, and one that ends where the code of each case begins.
        let none = cases.len() as u32;
        for _ in 0..=cases.len() {
            b.ins().block(BlockType::Empty);
        }
        let mut targets = vec![none; *last as usize + 1];
        for (block, (number, _)) in cases.iter().enumerate() {
            targets[*number as usize] = block as u32;
        }
        b.ins().local_get(case).br_table(targets, none);
        for (i, (_, payload)) in cases.iter().enumerate() {
            b.ins().end();
            code(self, b, *payload)?;
            b.ins().br((cases.len() - 1 - i) as u32);
        }
        b.ins().end();
        Ok(())
    }

    /// Checks the elements from the first local on, which is changed, up to another address.
    fn check_elements(&mut self, b: &mut Body, side: SideId, element: Shape<'p>, end: u32) -> Result<()> {
        let from = self.place(side, 0)?;
        let address = from.address;
        b.ins().block(BlockType::Empty).loop_(BlockType::Empty).local_get(0).local_get(end);
        match address {
            AddressType::I32 => b.ins().i32_eq(),
            AddressType::I64 => b.ins().i64_eq(),
        };
        b.ins().br_if(1);
        self.check_memory(b, side, element, from)?;
        b.ins().local_get(0);
        b.address(address, u64::from(element.layout(address).size));
        b.add(address);
        b.ins().local_set(0).br(0).end().end();
        Ok(())
    }

    /// Writes the body of [`Helper::CheckList`].
    pub(super) fn check_list_body(
        &mut self,
        b: &mut Body,
        side: SideId,
        element: Shape<'p>,
        is_map: bool,
    ) -> Result<()> {
        let address = self.side(side).address;
        let layout = element.layout(address);
        let code = if is_map { TrapCode::LongMap } else { TrapCode::LongList };
        self.check_count(b, address, 1, layout.size, code);
        b.ins().local_get(1);
        b.times(address, layout.size);
        let size = b.keep(address.flat());
        self.check_range(b, side, 0, Size::Local(size), TrapCode::OutOfBounds)?;
        self.check_aligned(b, address, 0, Size::Number(layout.align), TrapCode::Unaligned);
        if self.facts(element).is_checked {
            b.ins().local_get(0).local_get(size);
            b.add(address);
            let end = b.keep(address.flat());
            self.check_elements(b, side, element, end)?;
        }
        Ok(())
    }

    /// Writes the body of [`Helper::CheckText`].
    pub(super) fn check_text_body(&mut self, b: &mut Body, side: SideId) -> Result<()> {
        let address = self.side(side).address;
        match self.side(side).encoding {
            StringEncoding::Utf8 => self.check_utf8(b, side)?,
            StringEncoding::Utf16 => self.check_utf16(b, side, 1)?,
            StringEncoding::CompactUtf16 => {
                let tag = utf16_tag(address);
                self.push_masked(b, address, 1, tag);
                b.ins().if_(BlockType::Empty);
                self.push_masked(b, address, 1, !tag);
                let units = b.keep(address.flat());
                self.check_utf16(b, side, units)?;
                b.ins().else_();
                // Latin-1, all of which is text.
                self.check_count(b, address, 1, 1, TrapCode::LongString);
                self.check_range(b, side, 0, Size::Local(1), TrapCode::OutOfBounds)?;
                self.check_aligned(b, address, 0, Size::Number(2), TrapCode::Unaligned);
                b.ins().end();
            }
        }
        Ok(())
    }

    /// Pushes a local with only some of its bits, as a condition if `mask` is one bit.
    pub(super) fn push_masked(&mut self, b: &mut Body, address: AddressType, local: u32, mask: u64) {
        b.ins().local_get(local);
        b.address(address, mask);
        match address {
            AddressType::I32 => b.ins().i32_and(),
            AddressType::I64 if mask.is_power_of_two() => b.ins().i64_and().i64_const(0).i64_ne(),
            AddressType::I64 => b.ins().i64_and(),
        };
    }

    fn check_utf16(&mut self, b: &mut Body, side: SideId, units: u32) -> Result<()> {
        let address = self.side(side).address;
        self.check_count(b, address, units, 2, TrapCode::LongString);
        b.ins().local_get(units);
        b.times(address, 2);
        let size = b.keep(address.flat());
        self.check_range(b, side, 0, Size::Local(size), TrapCode::OutOfBounds)?;
        self.check_aligned(b, address, 0, Size::Number(2), TrapCode::Unaligned);
        let memory = self.export_of(self.memory_of(side)?);
        let check = self.runtime(RuntimeFunc::CheckText { memory, utf16: true });
        b.ins().local_get(0);
        b.widen(address);
        b.ins().local_get(units);
        b.widen(address);
        b.call(check);
        Ok(())
    }

    fn check_utf8(&mut self, b: &mut Body, side: SideId) -> Result<()> {
        let from = self.place(side, 0)?;
        let address = from.address;
        self.check_count(b, address, 1, 1, TrapCode::LongString);
        self.check_range(b, side, 0, Size::Local(1), TrapCode::OutOfBounds)?;
        let memory = self.export_of(from.memory);
        let check = self.runtime(RuntimeFunc::CheckText { memory, utf16: false });
        for local in [0, 1] {
            b.ins().local_get(local);
            b.widen(address);
        }
        b.call(check);
        Ok(())
    }

    /// Writes the body of [`Helper::IsShortAscii`]. Two overlapping pieces cover every length between one and two times their
    /// size.
    pub(super) fn is_short_ascii_body(&mut self, b: &mut Body, side: SideId) -> Result<()> {
        let from = self.place(side, 0)?;
        let address = from.address;
        let arg = from.arg(1);
        let boolean = BlockType::Result(val_type(FlatType::I32));
        // The address of the last piece of so many bytes.
        let last = |b: &mut Body, size: u64| {
            b.ins().local_get(0).local_get(1);
            b.add(address);
            b.address(address, size.wrapping_neg());
            b.add(address);
        };
        let at_least = |b: &mut Body, length: u64| {
            b.ins().local_get(1);
            b.is_above(address, length - 1);
            b.ins().if_(boolean);
        };
        let is_ascii = |b: &mut Body| {
            b.ins().i64_const(NOT_ASCII).i64_and().i64_eqz();
        };
        self.is_outside(b, side, 0, Size::Local(1))?;
        b.ins().local_get(1);
        b.is_above(address, SHORT);
        b.ins().i32_or().if_(BlockType::Empty).i32_const(0).return_().end();
        at_least(b, 8);
        b.ins().local_get(0).i64_load(arg);
        last(b, 8);
        b.ins().i64_load(arg).i64_or();
        b.ins().local_get(1);
        b.is_above(address, 16);
        b.ins().if_(BlockType::FunctionType(self.block_type(&[FlatType::I64], &[FlatType::I64])));
        b.ins().local_get(0).i64_load(MemArg { offset: 8, ..arg }).i64_or();
        last(b, 16);
        b.ins().i64_load(arg).i64_or().end();
        is_ascii(b);
        b.ins().else_();
        at_least(b, 4);
        b.ins().local_get(0).i64_load32_u(arg);
        last(b, 4);
        b.ins().i64_load32_u(arg).i64_or();
        is_ascii(b);
        b.ins().else_();
        // At most three bytes: the first, the middle and the last one.
        at_least(b, 1);
        b.ins().local_get(0).i64_load8_u(arg);
        last(b, 1);
        b.ins().i64_load8_u(arg).i64_or();
        b.ins().local_get(0).local_get(1);
        b.address(address, 1);
        match address {
            AddressType::I32 => b.ins().i32_shr_u(),
            AddressType::I64 => b.ins().i64_shr_u(),
        };
        b.add(address);
        b.ins().i64_load8_u(arg).i64_or();
        is_ascii(b);
        b.ins().else_().i32_const(1).end().end().end();
        Ok(())
    }
}

/// Returns the parts that lie one after the other in the core values of a value.
pub(super) fn parts<'p>(kind: &Kind<'p>) -> Vec<Shape<'p>> {
    match kind {
        Kind::Fields(fields) => fields.clone(),
        Kind::Array { element, length } => vec![*element; *length as usize],
        _ => Vec::new(),
    }
}

/// Returns locals one after the other.
pub(super) fn operands(first: u32, types: &[FlatType]) -> Vec<Operand> {
    (first..).zip(types).map(|(local, ty)| Operand { local, ty: *ty }).collect()
}
