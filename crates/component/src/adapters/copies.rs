//! Code that lowers: that copies values, which were checked before, from one component to another.

use super::body::{Body, Operand, Place};
use super::builder::{Builder, Flow, Helper};
use super::checks::{operands, parts};
use super::runtime::RuntimeFunc;
use super::shape::{Kind, Shape};
use crate::types::{AddressType, FlatType};
use belljar_core::Result;
use wasm_encoder::BlockType;

/// Makes the topmost value, an integer of so many bytes in 32 bits, one that is in range.
fn normalize(b: &mut Body, size: u32, signed: bool) {
    match (size, signed) {
        (1, false) => b.ins().i32_const(0xff).i32_and(),
        (1, true) => b.ins().i32_extend8_s(),
        (2, false) => b.ins().i32_const(0xffff).i32_and(),
        (2, true) => b.ins().i32_extend16_s(),
        _ => return,
    };
}

/// Returns the bits of a word of flags that have names.
fn named_bits(names: usize, word: usize) -> i32 {
    match names - 32 * word {
        32.. => -1,
        // Without a sign: 31 names leave only the uppermost bit.
        names => ((1_u32 << names) - 1) as i32,
    }
}

impl<'p> Builder<'p> {
    fn lower_handle(&mut self, b: &mut Body, flow: Flow, kind: &Kind<'_>) {
        if let Kind::Handle { resource, owned } = *kind {
            let instance = self.side(flow.to).instance;
            let lower = self.runtime(RuntimeFunc::LowerHandle { instance, resource, owned });
            b.call(lower);
        }
    }

    /// Copies a value from core values to core values.
    pub(super) fn copy_flat(
        &mut self,
        b: &mut Body,
        flow: Flow,
        shape: Shape<'p>,
        from: &[Operand],
        to: &[Operand],
    ) -> Result<()> {
        use FlatType::{F32, F64, I32, I64};
        let (source, target) = (self.side(flow.from).address, self.side(flow.to).address);
        let kind = shape.kind();
        match &kind {
            Kind::Bool => {
                b.get(from[0], I32);
                b.ins().i32_const(0).i32_ne();
                b.set(to[0], I32);
            }
            Kind::Int { size: 8, .. } => {
                b.get(from[0], I64);
                b.set(to[0], I64);
            }
            Kind::Int { size, signed } => {
                b.get(from[0], I32);
                normalize(b, *size, *signed);
                b.set(to[0], I32);
            }
            Kind::Char => {
                b.get(from[0], I32);
                b.set(to[0], I32);
            }
            Kind::Float32 => {
                b.get(from[0], F32);
                b.set(to[0], F32);
            }
            Kind::Float64 => {
                b.get(from[0], F64);
                b.set(to[0], F64);
            }
            Kind::Flags(names) => {
                for (word, (from, to)) in from.iter().zip(to).enumerate() {
                    b.get(*from, I32);
                    b.ins().i32_const(named_bits(*names, word)).i32_and();
                    b.set(*to, I32);
                }
            }
            Kind::Handle { .. } => {
                self.lower_handle(b, flow, &kind);
                b.set(to[0], I32);
            }
            Kind::String => {
                from.iter().for_each(|operand| b.get(*operand, source.flat()));
                let helper = self.helper(Helper::CopyText(flow));
                b.call(helper);
                b.set(to[1], target.flat());
                b.set(to[0], target.flat());
            }
            Kind::List { element, .. } => {
                from.iter().for_each(|operand| b.get(*operand, source.flat()));
                self.copy_list(b, flow, *element);
                b.set(to[0], target.flat());
                b.get(from[1], source.flat());
                b.readdress(source, target);
                b.set(to[1], target.flat());
            }
            Kind::Fields(_) | Kind::Array { .. } => {
                let (mut from, mut to) = (from, to);
                for part in parts(&kind) {
                    // Addresses are one core value each, whatever their type.
                    let count = part.flat(source).len();
                    let (taken, given) = (from.split_at(count), to.split_at(count));
                    self.copy_flat(b, flow, part, taken.0, given.0)?;
                    (from, to) = (taken.1, given.1);
                }
            }
            Kind::Cases(_) => {
                from.iter().zip(shape.flat(source)).for_each(|(operand, ty)| b.get(*operand, ty));
                let helper = self.helper(Helper::CopyFlat(flow, shape));
                b.call(helper);
                let types = shape.flat(target);
                to.iter().zip(types).rev().for_each(|(operand, ty)| b.set(*operand, ty));
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// Copies a list, whose address and length are on the stack. Pushes the address of the copy.
    fn copy_list(&mut self, b: &mut Body, flow: Flow, element: Shape<'p>) {
        let helper = self.helper(Helper::CopyList(flow, element));
        b.call(helper);
    }

    /// Copies a value from memory to memory.
    pub(super) fn copy_memory(
        &mut self,
        b: &mut Body,
        flow: Flow,
        shape: Shape<'p>,
        from: Place,
        to: Place,
    ) -> Result<()> {
        let kind = shape.kind();
        match &kind {
            Kind::Bool => b.store(to, 1, |b| {
                b.load(from, 1, false);
                b.ins().i32_const(0).i32_ne();
            }),
            Kind::Int { size, .. } => b.store(to, *size, |b| b.load(from, *size, false)),
            Kind::Char | Kind::Float32 => b.store(to, 4, |b| b.load(from, 4, false)),
            Kind::Float64 => b.store(to, 8, |b| b.load(from, 8, false)),
            Kind::Flags(names) => {
                let size = shape.layout(from.address).size;
                for word in 0..size.div_ceil(4) {
                    let (from, to) = (from.at(4 * word), to.at(4 * word));
                    b.store(to, size.min(4), |b| {
                        b.load(from, size.min(4), false);
                        b.ins().i32_const(named_bits(*names, word as usize)).i32_and();
                    });
                }
            }
            Kind::Handle { .. } => {
                b.ins().local_get(to.base);
                self.lower_handle(b, flow, &kind);
                let handle = b.keep(FlatType::I32);
                b.ins().drop();
                b.store(to, 4, |b| {
                    b.ins().local_get(handle);
                });
            }
            Kind::String | Kind::List { .. } => {
                let (source, target) = (from.address, to.address);
                b.load_address(from);
                b.load_address(from.at(source.size()));
                let length = match kind {
                    Kind::List { element, .. } => {
                        let length = b.local(source.flat());
                        b.ins().local_tee(length);
                        self.copy_list(b, flow, element);
                        Err(length)
                    }
                    _ => {
                        let helper = self.helper(Helper::CopyText(flow));
                        b.call(helper);
                        Ok(b.keep(target.flat()))
                    }
                };
                let at = b.keep(target.flat());
                b.store(to, target.size(), |b| {
                    b.ins().local_get(at);
                });
                b.store(to.at(target.size()), target.size(), |b| match length {
                    Ok(length) => {
                        b.ins().local_get(length);
                    }
                    Err(length) => {
                        b.ins().local_get(length);
                        b.readdress(source, target);
                    }
                });
            }
            _ if self.facts(shape).is_verbatim => self.copy_bytes(b, shape, from, to),
            Kind::Fields(_) | Kind::Array { .. } | Kind::Cases(_) => {
                b.address_of(from);
                b.address_of(to);
                let helper = self.helper(Helper::CopyMemory(flow, shape));
                b.call(helper);
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// Copies a value that is copied as it is.
    fn copy_bytes(&mut self, b: &mut Body, shape: Shape<'p>, from: Place, to: Place) {
        let layout = shape.layout(from.address);
        if matches!(layout.size, 1 | 2 | 4 | 8) && layout.align == layout.size {
            return b.store(to, layout.size, |b| b.load(from, layout.size, false));
        }
        b.address_of(to);
        b.address_of(from);
        b.address(narrower(from.address, to.address), u64::from(layout.size));
        b.copy(to.memory, from.memory);
    }

    /// Writes the body of [`Helper::CopyMemory`].
    pub(super) fn copy_memory_body(&mut self, b: &mut Body, flow: Flow, shape: Shape<'p>) -> Result<()> {
        let (from, to) = (self.place(flow.from, 0)?, self.place(flow.to, 1)?);
        match shape.kind() {
            Kind::Fields(fields) => {
                let offsets = shape.offsets(from.address).iter().zip(shape.offsets(to.address));
                for (field, (source, target)) in fields.into_iter().zip(offsets) {
                    self.copy_memory(b, flow, field, from.at(*source), to.at(*target))?;
                }
            }
            Kind::Array { element, length } => {
                let size = element.layout(from.address).size;
                b.ins().local_get(0);
                b.address(from.address, u64::from(size) * u64::from(length));
                b.add(from.address);
                let end = b.keep(from.address.flat());
                self.copy_elements(b, flow, element, from, to, end)?;
            }
            Kind::Cases(cases) => {
                let (source, target) = (shape.cases(from.address), shape.cases(to.address));
                b.load(from, source.discriminant, false);
                let case = b.keep(FlatType::I32);
                b.store(to, target.discriminant, |b| {
                    b.ins().local_get(case);
                });
                let (from, to) = (from.at(source.payload), to.at(target.payload));
                let cases = with_payloads(&cases);
                self.for_cases(b, case, &cases, |this, b, shape| this.copy_memory(b, flow, shape, from, to))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes the body of [`Helper::CopyFlat`].
    pub(super) fn copy_flat_body(&mut self, b: &mut Body, flow: Flow, shape: Shape<'p>) -> Result<()> {
        let (source, target) = (self.side(flow.from).address, self.side(flow.to).address);
        let Kind::Cases(cases) = shape.kind() else { return Ok(()) };
        let from = operands(1, &shape.flat(source)[1..]);
        // What the payload does not fill stays zero.
        let to: Vec<_> =
            shape.flat(target)[1..].iter().map(|ty| Operand { local: b.local(*ty), ty: *ty }).collect();
        let cases = with_payloads(&cases);
        self.for_cases(b, 0, &cases, |this, b, shape| {
            let count = shape.flat(source).len();
            this.copy_flat(b, flow, shape, &from[..count], &to[..count])
        })?;
        b.ins().local_get(0);
        for operand in to {
            b.ins().local_get(operand.local);
        }
        Ok(())
    }

    /// Copies elements to `to`, from `from` up to an address in a local. The locals of both are changed.
    fn copy_elements(
        &mut self,
        b: &mut Body,
        flow: Flow,
        element: Shape<'p>,
        from: Place,
        to: Place,
        end: u32,
    ) -> Result<()> {
        b.ins().block(BlockType::Empty).loop_(BlockType::Empty).local_get(from.base).local_get(end);
        match from.address {
            AddressType::I32 => b.ins().i32_eq(),
            AddressType::I64 => b.ins().i64_eq(),
        };
        b.ins().br_if(1);
        self.copy_memory(b, flow, element, from, to)?;
        for place in [from, to] {
            b.ins().local_get(place.base);
            b.address(place.address, u64::from(element.layout(place.address).size));
            b.add(place.address);
            b.ins().local_set(place.base);
        }
        b.ins().br(0).end().end();
        Ok(())
    }

    /// Writes the body of [`Helper::CopyList`].
    pub(super) fn copy_list_body(&mut self, b: &mut Body, flow: Flow, element: Shape<'p>) -> Result<()> {
        let at = b.local(self.side(flow.to).address.flat());
        let (from, to) = (self.place(flow.from, 0)?, self.place(flow.to, at)?);
        let (source, target) = (element.layout(from.address), element.layout(to.address));
        b.address(to.address, 0);
        b.address(to.address, 0);
        b.address(to.address, u64::from(target.align));
        b.ins().local_get(1);
        b.readdress(from.address, to.address);
        b.times(to.address, target.size);
        let realloc = self.helper(Helper::Realloc(flow.to));
        b.call(realloc);
        b.ins().local_set(at);
        if self.facts(element).is_verbatim {
            b.ins().local_get(at).local_get(0).local_get(1);
            b.readdress(from.address, narrower(from.address, to.address));
            b.times(narrower(from.address, to.address), source.size);
            b.copy(to.memory, from.memory);
        } else {
            let next = b.local(to.address.flat());
            b.ins().local_get(at).local_set(next).local_get(1);
            b.times(from.address, source.size);
            b.ins().local_get(0);
            b.add(from.address);
            let end = b.keep(from.address.flat());
            self.copy_elements(b, flow, element, from, Place { base: next, ..to }, end)?;
        }
        b.ins().local_get(at);
        Ok(())
    }
}

fn with_payloads<'p>(cases: &[Option<Shape<'p>>]) -> Vec<(u32, Shape<'p>)> {
    cases.iter().enumerate().filter_map(|(i, payload)| Some((i as u32, (*payload)?))).collect()
}

/// Returns the type of the number of bytes that are copied between memories of these types.
pub(super) fn narrower(a: AddressType, b: AddressType) -> AddressType {
    match (a, b) {
        (AddressType::I64, AddressType::I64) => AddressType::I64,
        _ => AddressType::I32,
    }
}
