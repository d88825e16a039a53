//! The body of a function of an adapter while it is written.

use crate::types::{AddressType, FlatType};
use wasm_encoder::{Encode, InstructionSink, MemArg, MemArgTarget, ValType};

/// A function that is called: one that is imported, or one of the module's own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callee {
    Imported(u32),
    Own(u32),
}

/// A memory that a module imports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Mem {
    pub(super) index: u32,
    pub(super) page_size_log2: u32,
}

/// A place in a memory: an address in a local, and a distance.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) memory: Mem,
    pub(super) address: AddressType,
    pub(super) base: u32,
    pub(super) offset: u32,
}

impl Place {
    pub(super) fn at(self, offset: u32) -> Self {
        Self { offset: self.offset + offset, ..self }
    }

    pub(super) fn arg(self, align: u32) -> MemArg {
        MemArg {
            offset: u64::from(self.offset),
            align: align.trailing_zeros(),
            target: MemArgTarget::Memory(self.memory.index),
            ordering: None,
        }
    }
}

/// A core value in a local, of a type that may hold values of others too.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) local: u32,
    pub(super) ty: FlatType,
}

/// A size that is known, or in a local of the same type as addresses.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Number(u32),
    Local(u32),
}

/// The body of a function while it is written.
pub(super) struct Body {
    code: Vec<u8>,
    params: u32,
    locals: Vec<ValType>,
    /// Where the callee of a call is missing in `code`.
    calls: Vec<(usize, Callee)>,
}

/// The bytes of the index of a callee: as many as the largest needs.
const INDEX_BYTES: usize = 5;

pub(super) fn val_type(ty: FlatType) -> ValType {
    match ty {
        FlatType::I32 => ValType::I32,
        FlatType::I64 => ValType::I64,
        FlatType::F32 => ValType::F32,
        FlatType::F64 => ValType::F64,
    }
}

impl Body {
    pub(super) fn new(params: usize) -> Self {
        Self { code: Vec::new(), params: params as u32, locals: Vec::new(), calls: Vec::new() }
    }

    pub(super) fn ins(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.code)
    }

    /// Adds a local.
    pub(super) fn local(&mut self, ty: FlatType) -> u32 {
        self.locals.push(val_type(ty));
        self.params + self.locals.len() as u32 - 1
    }

    /// Adds a local, and moves the topmost value there.
    pub(super) fn keep(&mut self, ty: FlatType) -> u32 {
        let local = self.local(ty);
        self.ins().local_set(local);
        local
    }

    pub(super) fn call(&mut self, callee: Callee) {
        self.code.push(0x10);
        self.calls.push((self.code.len(), callee));
        self.code.extend([0; INDEX_BYTES]);
    }

    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    /// Pushes an address.
    pub(super) fn address(&mut self, ty: AddressType, value: u64) {
        match ty {
            AddressType::I32 => self.ins().i32_const(value as u32 as i32),
            AddressType::I64 => self.ins().i64_const(value as i64),
        };
    }

    /// Adds the two topmost addresses.
    pub(super) fn add(&mut self, ty: AddressType) {
        match ty {
            AddressType::I32 => self.ins().i32_add(),
            AddressType::I64 => self.ins().i64_add(),
        };
    }

    /// Multiplies the topmost address by a number.
    pub(super) fn times(&mut self, ty: AddressType, factor: u32) {
        if factor == 1 {
            return;
        }
        self.address(ty, u64::from(factor));
        match ty {
            AddressType::I32 => self.ins().i32_mul(),
            AddressType::I64 => self.ins().i64_mul(),
        };
    }

    /// Pushes whether the topmost address is larger than a number.
    pub(super) fn is_above(&mut self, ty: AddressType, limit: u64) {
        self.address(ty, limit);
        match ty {
            AddressType::I32 => self.ins().i32_gt_u(),
            AddressType::I64 => self.ins().i64_gt_u(),
        };
    }

    /// Makes the topmost address 64 bits wide.
    pub(super) fn widen(&mut self, ty: AddressType) {
        if ty == AddressType::I32 {
            self.ins().i64_extend_i32_u();
        }
    }

    /// Makes an address of the topmost 64-bit number.
    pub(super) fn narrow(&mut self, ty: AddressType) {
        if ty == AddressType::I32 {
            self.ins().i32_wrap_i64();
        }
    }

    /// Makes the topmost address one of another memory.
    pub(super) fn readdress(&mut self, from: AddressType, to: AddressType) {
        if from != to {
            self.widen(from);
            self.narrow(to);
        }
    }

    /// Pushes the address of a place.
    pub(super) fn address_of(&mut self, place: Place) {
        self.ins().local_get(place.base);
        if place.offset > 0 {
            self.address(place.address, u64::from(place.offset));
            self.add(place.address);
        }
    }

    /// Pushes the length of a memory in bytes, in 64 bits.
    pub(super) fn length_of(&mut self, memory: Mem, address: AddressType) {
        self.ins().memory_size(memory.index);
        self.widen(address);
        self.ins().i64_const(i64::from(memory.page_size_log2)).i64_shl();
    }

    /// Pushes a size in 64 bits.
    pub(super) fn size(&mut self, address: AddressType, size: Size) {
        match size {
            Size::Local(local) => {
                self.ins().local_get(local);
                self.widen(address);
            }
            Size::Number(number) => {
                self.ins().i64_const(i64::from(number));
            }
        }
    }

    /// Pushes whether an address is no multiple of an alignment: a number that is not 0, if it is none.
    pub(super) fn is_unaligned(&mut self, address: AddressType, at: u32, align: Size) {
        self.ins().local_get(at);
        match align {
            Size::Number(align) => self.address(address, u64::from(align) - 1),
            Size::Local(align) => {
                self.ins().local_get(align);
                self.address(address, 1);
                match address {
                    AddressType::I32 => self.ins().i32_sub(),
                    AddressType::I64 => self.ins().i64_sub(),
                };
            }
        }
        match address {
            AddressType::I32 => self.ins().i32_and(),
            AddressType::I64 => self.ins().i64_and().i64_const(0).i64_ne(),
        };
    }

    /// Copies bytes: destination, source and their number are on the stack, the number in the narrower type of the two.
    pub(super) fn copy(&mut self, to: Mem, from: Mem) {
        self.ins().memory_copy(to.index, from.index);
    }

    /// Pushes an operand as a value of a type.
    pub(super) fn get(&mut self, operand: Operand, wanted: FlatType) {
        use FlatType::*;
        let mut ins = self.ins();
        ins.local_get(operand.local);
        match (operand.ty, wanted) {
            (I32, F32) => ins.f32_reinterpret_i32(),
            (I64, I32) => ins.i32_wrap_i64(),
            (I64, F32) => ins.i32_wrap_i64().f32_reinterpret_i32(),
            (I64, F64) => ins.f64_reinterpret_i64(),
            _ => &mut ins,
        };
    }

    /// Pops a value of a type into an operand.
    pub(super) fn set(&mut self, operand: Operand, found: FlatType) {
        use FlatType::*;
        let mut ins = self.ins();
        match (found, operand.ty) {
            (F32, I32) => ins.i32_reinterpret_f32(),
            (I32, I64) => ins.i64_extend_i32_u(),
            (F32, I64) => ins.i32_reinterpret_f32().i64_extend_i32_u(),
            (F64, I64) => ins.i64_reinterpret_f64(),
            _ => &mut ins,
        }
        .local_set(operand.local);
    }

    /// Loads an integer of so many bytes, which is 64 bits wide if it has eight of them.
    pub(super) fn load(&mut self, place: Place, size: u32, signed: bool) {
        self.ins().local_get(place.base);
        let arg = place.arg(size);
        match (size, signed) {
            (1, false) => self.ins().i32_load8_u(arg),
            (1, true) => self.ins().i32_load8_s(arg),
            (2, false) => self.ins().i32_load16_u(arg),
            (2, true) => self.ins().i32_load16_s(arg),
            (8, _) => self.ins().i64_load(arg),
            _ => self.ins().i32_load(arg),
        };
    }

    /// Stores an integer of so many bytes: `value` pushes it.
    pub(super) fn store(&mut self, place: Place, size: u32, value: impl FnOnce(&mut Self)) {
        self.ins().local_get(place.base);
        value(self);
        let arg = place.arg(size);
        match size {
            1 => self.ins().i32_store8(arg),
            2 => self.ins().i32_store16(arg),
            8 => self.ins().i64_store(arg),
            _ => self.ins().i32_store(arg),
        };
    }

    /// Loads an address.
    pub(super) fn load_address(&mut self, place: Place) {
        self.load(place, place.address.size(), false);
    }

    /// Returns the bytes of the body, once the number of imported functions is known.
    pub(super) fn finish(mut self, imported: u32) -> Vec<u8> {
        self.ins().end();
        for (at, callee) in self.calls {
            let mut index = match callee {
                Callee::Imported(index) => index,
                Callee::Own(index) => imported + index,
            };
            for (i, byte) in self.code[at..at + INDEX_BYTES].iter_mut().enumerate() {
                let more = if i + 1 < INDEX_BYTES { 0x80 } else { 0 };
                *byte = (index & 0x7f) as u8 | more;
                index >>= 7;
            }
        }
        let mut body = Vec::with_capacity(self.code.len() + 8);
        let mut runs: Vec<(u32, ValType)> = Vec::new();
        for ty in self.locals {
            match runs.last_mut() {
                Some((count, last)) if *last == ty => *count += 1,
                _ => runs.push((1, ty)),
            }
        }
        (runs.len() as u32).encode(&mut body);
        for (count, ty) in runs {
            count.encode(&mut body);
            ty.encode(&mut body);
        }
        body.extend(self.code);
        body
    }
}
