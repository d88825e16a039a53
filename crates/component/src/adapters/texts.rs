//! Code that copies strings. Which allocations are made for one, and in which order, is what the canonical ABI says: an
//! allocator can see it.

use super::body::{Body, Callee, Mem};
use super::builder::{Builder, Flow, Helper, Side};
use super::copies::narrower;
use super::runtime::{InPlace, RuntimeFunc, Transcode};
use crate::abi::utf16_tag;
use crate::plan::StringEncoding;
use crate::types::{AddressType, FlatType};
use belljar_core::Result;
use wasm_encoder::BlockType;

/// A string that is copied: locals of 64 bits with its address and the number of its units, and locals for what is returned.
#[derive(Clone, Copy)]
struct Text {
    flow: Flow,
    source: Side,
    target: Side,
    from: Mem,
    to: Mem,
    at: u32,
    units: u32,
    /// Where the copy lies.
    copy: u32,
    /// The units of the copy.
    copied: u32,
}

/// How the units of a string are encoded.
#[derive(Clone, Copy, PartialEq)]
enum Units {
    Utf8,
    Latin1,
    Utf16,
    /// UTF-16 where Latin-1 would have been possible.
    TaggedUtf16,
}

impl Units {
    fn bytes(self) -> u32 {
        match self {
            Self::Utf8 | Self::Latin1 => 1,
            Self::Utf16 | Self::TaggedUtf16 => 2,
        }
    }
}

impl Builder<'_> {
    /// Writes the body of [`Helper::CopyText`].
    pub(super) fn copy_text_body(&mut self, b: &mut Body, flow: Flow) -> Result<()> {
        let (source, target) = (self.side(flow.from), self.side(flow.to));
        let unit = match (source.encoding, target.encoding) {
            (StringEncoding::Utf8, StringEncoding::Utf8) => Some(1),
            (StringEncoding::Utf16, StringEncoding::Utf16) => Some(2),
            _ => None,
        };
        if let Some(unit) = unit.filter(|_| source.address == target.address) {
            return self.copy_same_text(b, flow, unit);
        }
        let wide = FlatType::I64;
        let text = Text {
            flow,
            source,
            target,
            from: self.memory_of(flow.from)?,
            to: self.memory_of(flow.to)?,
            at: b.local(wide),
            units: b.local(wide),
            copy: b.local(wide),
            copied: b.local(wide),
        };
        b.ins().local_get(0);
        b.widen(source.address);
        b.ins().local_set(text.at).local_get(1);
        b.widen(source.address);
        b.ins().local_set(text.units);
        match source.encoding {
            StringEncoding::Utf8 => self.copy_units(b, text, Units::Utf8),
            StringEncoding::Utf16 => self.copy_units(b, text, Units::Utf16),
            StringEncoding::CompactUtf16 => {
                let tag = utf16_tag(source.address);
                self.push_masked(b, source.address, 1, tag);
                b.ins().if_(BlockType::Empty);
                self.push_masked(b, source.address, 1, !tag);
                b.widen(source.address);
                b.ins().local_set(text.units);
                self.copy_units(b, text, Units::TaggedUtf16);
                b.ins().else_();
                self.copy_units(b, text, Units::Latin1);
                b.ins().end();
            }
        }
        b.ins().local_get(text.copy);
        b.narrow(target.address);
        b.ins().local_get(text.copied);
        b.narrow(target.address);
        Ok(())
    }

    /// Copies a string whose units are the same on both sides, in code that is short enough to be inlined.
    fn copy_same_text(&mut self, b: &mut Body, flow: Flow, unit: u32) -> Result<()> {
        let (from, to) = (self.memory_of(flow.from)?, self.memory_of(flow.to)?);
        let address = self.side(flow.to).address;
        let realloc = self.helper(Helper::Realloc(flow.to));
        let at = b.local(address.flat());
        for number in [0, 0, unit] {
            b.address(address, u64::from(number));
        }
        b.ins().local_get(1);
        b.times(address, unit);
        b.call(realloc);
        b.ins().local_tee(at).local_get(0).local_get(1);
        b.times(address, unit);
        b.copy(to, from);
        b.ins().local_get(at).local_get(1);
        Ok(())
    }

    fn copy_units(&mut self, b: &mut Body, text: Text, units: Units) {
        match (text.target.encoding, units) {
            (StringEncoding::Utf8, Units::Utf8) => self.copy_as_it_is(b, text, units, 1),
            (StringEncoding::Utf16, Units::Utf16 | Units::TaggedUtf16) => {
                self.copy_as_it_is(b, text, units, 2)
            }
            (StringEncoding::CompactUtf16, Units::Latin1) => self.copy_as_it_is(b, text, units, 2),
            (StringEncoding::Utf8, Units::Latin1) => {
                self.copy_to_utf8(b, text, units, 2, [Transcode::Latin1ToAscii, Transcode::Latin1ToUtf8]);
            }
            (StringEncoding::Utf8, _) => {
                self.copy_to_utf8(b, text, units, 3, [Transcode::Utf16ToAscii, Transcode::Utf16ToUtf8]);
            }
            (StringEncoding::Utf16, _) => {
                let how =
                    if units == Units::Utf8 { Transcode::Utf8ToUtf16 } else { Transcode::Latin1ToUtf16 };
                self.copy_to_utf16(b, text, how);
            }
            (StringEncoding::CompactUtf16, Units::TaggedUtf16) => self.copy_to_compact_from_tagged(b, text),
            (StringEncoding::CompactUtf16, _) => self.copy_to_compact(b, text, units),
        }
    }

    /// Allocates, or moves what was allocated: `old` and `size` push sizes in 64 bits.
    fn allocate(
        &mut self,
        b: &mut Body,
        text: Text,
        old: Option<&dyn Fn(&mut Body)>,
        align: u32,
        size: &dyn Fn(&mut Body),
    ) {
        let address = text.target.address;
        match old {
            Some(old) => {
                b.ins().local_get(text.copy);
                b.narrow(address);
                old(b);
                b.narrow(address);
            }
            None => {
                b.address(address, 0);
                b.address(address, 0);
            }
        }
        b.address(address, u64::from(align));
        size(b);
        b.narrow(address);
        let realloc = self.helper(Helper::Realloc(text.flow.to));
        b.call(realloc);
        b.widen(address);
        b.ins().local_set(text.copy);
    }

    fn transcode(&mut self, text: Text, how: Transcode) -> Callee {
        let (from, to) = (self.export_of(text.from), self.export_of(text.to));
        self.runtime(RuntimeFunc::Transcode { how, from, to })
    }

    fn in_place(&mut self, b: &mut Body, text: Text, what: InPlace, units: u32) {
        let memory = self.export_of(text.to);
        let func = self.runtime(RuntimeFunc::InPlace { what, memory });
        b.ins().local_get(text.copy).local_get(units);
        b.call(func);
    }

    /// Copies bytes: `to`, `from` and `size` push 64-bit numbers.
    fn copy_text_bytes(
        &mut self,
        b: &mut Body,
        text: Text,
        to: &dyn Fn(&mut Body),
        from: &dyn Fn(&mut Body),
        size: &dyn Fn(&mut Body),
    ) {
        to(b);
        b.narrow(text.target.address);
        from(b);
        b.narrow(text.source.address);
        size(b);
        b.narrow(narrower(text.source.address, text.target.address));
        b.copy(text.to, text.from);
    }

    fn copy_as_it_is(&mut self, b: &mut Body, text: Text, units: Units, align: u32) {
        let size = |b: &mut Body| {
            b.ins().local_get(text.units);
            b.times(AddressType::I64, units.bytes());
        };
        self.allocate(b, text, None, align, &size);
        self.copy_text_bytes(b, text, &|b| get(b, text.copy), &|b| get(b, text.at), &size);
        b.ins().local_get(text.units).local_set(text.copied);
    }

    /// Copies as if all were ASCII, up to what is not; then with as much room as could be needed.
    fn copy_to_utf8(&mut self, b: &mut Body, text: Text, units: Units, worst: u32, how: [Transcode; 2]) {
        let [ascii, rest] = how.map(|how| self.transcode(text, how));
        let count = |b: &mut Body| get(b, text.units);
        let room = |b: &mut Body| {
            get(b, text.units);
            b.times(AddressType::I64, worst);
        };
        let done = text.copied;
        self.allocate(b, text, None, 1, &count);
        b.ins().local_get(text.at).local_get(text.units).local_get(text.copy);
        b.call(ascii);
        b.ins().local_tee(done).local_get(text.units).i64_ne().if_(BlockType::Empty);
        self.allocate(b, text, Some(&count), 1, &room);
        b.ins().local_get(done).local_get(done);
        b.times(AddressType::I64, units.bytes());
        b.ins().local_get(text.at).i64_add();
        b.ins().local_get(text.units).local_get(done).i64_sub();
        b.ins().local_get(text.copy).local_get(done).i64_add();
        b.call(rest);
        b.ins().i64_add().local_tee(text.copied);
        room(b);
        b.ins().i64_lt_u().if_(BlockType::Empty);
        self.allocate(b, text, Some(&room), 1, &|b| get(b, text.copied));
        b.ins().end().end();
    }

    /// Copies to UTF-16, which has at most as many units.
    fn copy_to_utf16(&mut self, b: &mut Body, text: Text, how: Transcode) {
        let transcode = self.transcode(text, how);
        let room = |b: &mut Body| get_twice(b, text.units);
        self.allocate(b, text, None, 2, &room);
        b.ins().local_get(text.at).local_get(text.units).local_get(text.copy);
        b.call(transcode);
        b.ins().local_tee(text.copied).local_get(text.units).i64_lt_u().if_(BlockType::Empty);
        self.allocate(b, text, Some(&room), 2, &|b| get_twice(b, text.copied));
        b.ins().end();
    }

    /// Copies as if all were Latin-1, up to what is not; then makes UTF-16 of it.
    fn copy_to_compact(&mut self, b: &mut Body, text: Text, units: Units) {
        let how = if units == Units::Utf8 { Transcode::Utf8ToLatin1 } else { Transcode::Utf16ToLatin1 };
        let latin1 = self.transcode(text, how);
        let done = b.local(FlatType::I64);
        let count = |b: &mut Body| get(b, text.units);
        let room = |b: &mut Body| get_twice(b, text.units);
        self.allocate(b, text, None, 2, &count);
        b.ins().local_get(text.at).local_get(text.units).local_get(text.copy);
        b.call(latin1);
        b.ins().local_tee(done).i64_const(32).i64_shr_u().local_set(text.copied);
        b.ins().local_get(done).i64_const(0xffff_ffff).i64_and().local_tee(done);
        b.ins().local_get(text.units).i64_eq().if_(BlockType::Empty);
        b.ins().local_get(text.copied).local_get(text.units).i64_lt_u().if_(BlockType::Empty);
        self.allocate(b, text, Some(&count), 2, &|b| get(b, text.copied));
        b.ins().end().else_();
        self.allocate(b, text, Some(&count), 2, &room);
        self.in_place(b, text, InPlace::Widen, text.copied);
        b.ins().drop();
        // What was not read yet goes behind what was written.
        let rest_from = |b: &mut Body| {
            b.ins().local_get(done);
            b.times(AddressType::I64, units.bytes());
            b.ins().local_get(text.at).i64_add();
        };
        let rest_to = |b: &mut Body| {
            get_twice(b, text.copied);
            b.ins().local_get(text.copy).i64_add();
        };
        let rest = |b: &mut Body| {
            b.ins().local_get(text.units).local_get(done).i64_sub();
        };
        if units == Units::Utf8 {
            let utf16 = self.transcode(text, Transcode::Utf8ToUtf16);
            b.ins().local_get(text.copied);
            rest_from(b);
            rest(b);
            rest_to(b);
            b.call(utf16);
            b.ins().i64_add().local_tee(text.copied).local_get(text.units).i64_lt_u().if_(BlockType::Empty);
            self.allocate(b, text, Some(&room), 2, &|b| get_twice(b, text.copied));
            b.ins().end();
        } else {
            self.copy_text_bytes(b, text, &rest_to, &rest_from, &|b| {
                rest(b);
                b.times(AddressType::I64, 2);
            });
            b.ins().local_get(text.units).local_set(text.copied);
        }
        self.tag(b, text);
        b.ins().end();
    }

    /// Copies UTF-16 whose producer could have used Latin-1, and makes Latin-1 of it if that is possible.
    fn copy_to_compact_from_tagged(&mut self, b: &mut Body, text: Text) {
        let room = |b: &mut Body| get_twice(b, text.units);
        self.copy_as_it_is(b, text, Units::TaggedUtf16, 2);
        self.in_place(b, text, InPlace::IsLatin1, text.units);
        b.ins().if_(BlockType::Empty);
        self.in_place(b, text, InPlace::Narrow, text.units);
        b.ins().drop();
        self.allocate(b, text, Some(&room), 1, &|b| get(b, text.units));
        b.ins().else_();
        self.tag(b, text);
        b.ins().end();
    }

    /// Marks the copy as UTF-16.
    fn tag(&mut self, b: &mut Body, text: Text) {
        let tag = utf16_tag(text.target.address) as i64;
        b.ins().local_get(text.copied).i64_const(tag).i64_or().local_set(text.copied);
    }
}

fn get(b: &mut Body, local: u32) {
    b.ins().local_get(local);
}

fn get_twice(b: &mut Body, local: u32) {
    b.ins().local_get(local).i64_const(1).i64_shl();
}
