//! What comes with code: positions, traps, relocations, and the linked whole.

use crate::positions::{InlinedPos, PosRow, SourcePos, position_at, position_rows};
use belljar_core::{CodeOffset, DefinedFuncIndex, TableIndex, Trap, WasmPc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A fault or illegal instruction at this offset is this trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapSite {
    /// Offset of the instruction in the text.
    pub offset: CodeOffset,
    /// The trap's row among [`Trap::ROWS`].
    pub code: u32,
}

impl TrapSite {
    /// The site of a trap.
    pub const fn new(offset: CodeOffset, trap: Trap) -> Self {
        Self { offset, code: trap as u32 }
    }

    /// What it means.
    pub fn trap(&self) -> Option<Trap> {
        Some(Trap::ROWS.get(self.code as usize)?.trap)
    }
}

/// What a relocation refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelocTarget {
    /// A function of the same module.
    Func(DefinedFuncIndex),
    /// The code of an imported function's thunk, which calls the import; by its place among the thunks.
    Thunk(u32),
    /// The read-only copy of a wasm table that never changes; see [`ReadOnlyEntry`].
    ReadOnlyTable(TableIndex),
}

/// An element of a read-only table, 8 bytes in the text: what `call_indirect` needs, without the objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ReadOnlyEntry {
    /// Number of the function's type, canonical within the module; [`ReadOnlyEntry::NULL`] for null.
    pub ty: u32,
    /// Offset of its code in the text. It takes the caller's own context.
    pub code: u32,
}

impl ReadOnlyEntry {
    /// The type number of a null element: no type has it.
    pub const NULL: u32 = u32::MAX;
}

/// A 32-bit distance to be filled in: `target + addend − place`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// Offset of the four bytes from the function's start.
    pub offset: u32,
    /// To what.
    pub target: RelocTarget,
    /// Added to the target's address.
    pub addend: i64,
}

/// The code of one function before it is linked. Offsets count from its own start.
#[derive(Clone, Debug, Default)]
pub struct CompiledFunction {
    /// Machine code.
    pub code: Vec<u8>,
    /// Required alignment of its start.
    pub align: u32,
    /// Holes to fill.
    pub relocs: Vec<Reloc>,
    /// Where it may trap, ascending.
    pub traps: Vec<TrapSite>,
    /// Where its instructions come from, ascending.
    pub positions: Vec<PosRow>,
    /// Rows for positions from [`SourcePos::INLINED`] on.
    pub inlined: Vec<InlinedPos>,
    /// Where references to objects lie at calls, ascending.
    pub stack_maps: Vec<StackMapRow>,
    /// Slots of all stack maps.
    pub stack_slots: Vec<StackSlots>,
    /// Where exceptions go on that its calls throw, ascending.
    pub handlers: Vec<HandlerRow>,
}

/// Where an exception goes on that a call throws: with the exception's reference as the payload, the frame pointer
/// that of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HandlerRow {
    /// The call's return address, as an offset in the text.
    pub offset: CodeOffset,
    /// Offset of the code that goes on.
    pub handler: CodeOffset,
    /// Bytes from the stack pointer that it expects to the frame pointer.
    pub frame_size: u32,
}

/// Slots of a frame that hold references to objects, at equal distances from each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StackSlots {
    /// How far the first lies below the frame pointer, in bytes.
    pub distance: u32,
    /// How many there are.
    pub count: u16,
    /// By how much less the next one lies below it.
    pub step: u16,
}

impl StackSlots {
    /// One slot.
    pub const fn one(distance: u32) -> Self {
        Self { distance, count: 1, step: 0 }
    }

    /// Appends a slot; whether it could. What comes next decides on the step.
    pub fn append(&mut self, distance: u32) -> bool {
        let last = self.distance - u32::from(self.step) * u32::from(self.count - 1);
        let Some(step) = last.checked_sub(distance).and_then(|step| u16::try_from(step).ok()) else {
            return false;
        };
        if self.count == u16::MAX || step == 0 || (self.count > 1 && step != self.step) {
            return false;
        }
        self.step = step;
        self.count += 1;
        true
    }

    /// How far each lies below the frame pointer.
    pub fn distances(self) -> impl Iterator<Item = u32> {
        (0..u32::from(self.count)).map(move |i| self.distance.wrapping_sub(i * u32::from(self.step)))
    }
}

/// The slots of a frame that hold references to objects while a call returns to `offset`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StackMapRow {
    /// The call's return address, as an offset in the text.
    pub offset: CodeOffset,
    /// Where its slots begin among all slots.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// A function's place in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FuncRange {
    /// Its first byte.
    pub start: CodeOffset,
    /// Bytes of code.
    pub length: u32,
    /// Where its rows in [`LinkedCode::inlined`] begin.
    pub inlined: u32,
    /// Where its bytes in [`LinkedCode::positions`] begin.
    pub positions: u32,
}

impl FuncRange {
    /// Whether `offset` lies in it.
    pub fn contains(&self, offset: CodeOffset) -> bool {
        offset.0.wrapping_sub(self.start.0) < self.length
    }
}

/// A module's linked code with its tables: position independent, nothing left to fill in.
#[derive(Clone, Debug, Default)]
pub struct LinkedCode {
    /// Code, then read-only data.
    pub text: Vec<u8>,
    /// Defined functions in index order; their places ascend.
    pub funcs: Vec<FuncRange>,
    /// For each byte of text a bit, lowest first: whether an instruction begins there that may access outside a memory.
    pub accesses: Vec<u8>,
    /// All other trap sites, ascending.
    pub traps: Vec<TrapSite>,
    /// Positions of all functions, as [`crate::write_positions`] writes them; a function's begin at
    /// [`FuncRange::positions`].
    pub positions: Vec<u8>,
    /// Inlined positions of all functions; a function's begin at [`FuncRange::inlined`].
    pub inlined: Vec<InlinedPos>,
    /// All stack maps, ascending. A call without references across it has none.
    pub stack_maps: Vec<StackMapRow>,
    /// Slots of all stack maps.
    pub stack_slots: Vec<StackSlots>,
    /// Where exceptions go on, ascending. A call has none where the function catches nothing that it throws.
    pub handlers: Vec<HandlerRow>,
}

impl LinkedCode {
    /// Its tables.
    pub fn tables(&self) -> CodeTables<'_> {
        CodeTables {
            funcs: &self.funcs,
            accesses: &self.accesses,
            traps: &self.traps,
            positions: &self.positions,
            inlined: &self.inlined,
            stack_maps: &self.stack_maps,
            stack_slots: &self.stack_slots,
            handlers: &self.handlers,
        }
    }
}

/// The tables that come with a text: those of an [`LinkedCode`], or of an [`crate::Image`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeTables<'a> {
    /// Defined functions in index order; their places ascend.
    pub funcs: &'a [FuncRange],
    /// Where accesses outside a memory are possible: [`LinkedCode::accesses`].
    pub accesses: &'a [u8],
    /// All other trap sites, ascending.
    pub traps: &'a [TrapSite],
    /// Positions of all functions: [`LinkedCode::positions`].
    pub positions: &'a [u8],
    /// Inlined positions of all functions.
    pub inlined: &'a [InlinedPos],
    /// All stack maps, ascending.
    pub stack_maps: &'a [StackMapRow],
    /// Slots of all stack maps.
    pub stack_slots: &'a [StackSlots],
    /// Where exceptions go on, ascending.
    pub handlers: &'a [HandlerRow],
}

impl<'a> CodeTables<'a> {
    /// The defined function whose code holds `offset`.
    pub fn func_at(&self, offset: CodeOffset) -> Option<DefinedFuncIndex> {
        let i = self.funcs.partition_point(|f| f.start <= offset).checked_sub(1)?;
        self.funcs[i].contains(offset).then(|| DefinedFuncIndex::new(i))
    }

    /// The place of the function whose code holds `offset`.
    pub fn func_range_at(&self, offset: CodeOffset) -> Option<&'a FuncRange> {
        self.func_at(offset).map(|func| &self.funcs[func.index()])
    }

    /// The slots that hold references to objects in the frame of a call that returns to `offset`.
    pub fn stack_map(&self, offset: CodeOffset) -> &'a [StackSlots] {
        let found = self.stack_maps.binary_search_by_key(&offset, |row| row.offset);
        let Ok(i) = found else { return &[] };
        let row = self.stack_maps[i];
        &self.stack_slots[row.first as usize..][..row.count as usize]
    }

    /// Where an exception goes on that a call throws which returns to `offset`.
    pub fn handler(&self, offset: CodeOffset) -> Option<&'a HandlerRow> {
        let i = self.handlers.binary_search_by_key(&offset, |row| row.offset).ok()?;
        Some(&self.handlers[i])
    }

    /// The byte of [`CodeTables::accesses`] that tells of an offset.
    pub fn access_byte(offset: CodeOffset) -> usize {
        offset.0 as usize / 8
    }

    /// What a fault at exactly this offset means.
    pub fn trap_at(&self, offset: CodeOffset) -> Option<Trap> {
        let bits = self.accesses.get(Self::access_byte(offset)).copied().unwrap_or_default();
        if bits >> (offset.0 % 8) & 1 != 0 {
            return Some(Trap::MemoryOutOfBounds);
        }
        let i = self.traps.binary_search_by_key(&offset, |t| t.offset).ok()?;
        self.traps[i].trap()
    }

    /// The chain of wasm positions that the instruction at `offset` comes from: the innermost inlined
    /// function's first, the compiled function's own last. Empty where none is known.
    pub fn positions_at(&self, offset: CodeOffset) -> Vec<WasmPc> {
        let mut chain = Vec::new();
        let Some(func) = self.func_at(offset) else { return chain };
        let range = self.funcs[func.index()];
        let rows = self.rows_of(func);
        let Some(mut pos) = position_at(rows, CodeOffset(offset.0 - range.start.0)) else { return chain };
        while pos != SourcePos::NONE {
            if pos.0 < SourcePos::INLINED {
                chain.push(WasmPc(pos.0));
                break;
            }
            let at = range.inlined as usize + (pos.0 - SourcePos::INLINED) as usize;
            // Positions are told as well as they are known: where the table is damaged, not at all.
            let Some(row) = self.inlined.get(at).filter(|_| chain.len() < self.inlined.len()) else { break };
            chain.push(row.pc);
            pos = row.caller;
        }
        chain
    }

    /// Where the code of a function comes from, by ascending offset in the text: each position holds from there on until the
    /// next. Of inlined code the position is in the function that was inlined; places without one are left out.
    pub fn innermost_positions(&self, func: DefinedFuncIndex) -> impl Iterator<Item = (CodeOffset, WasmPc)> {
        let (range, inlined) = (self.funcs[func.index()], self.inlined);
        position_rows(self.rows_of(func)).filter_map(move |row| {
            let pc = match row.pos.0.checked_sub(SourcePos::INLINED) {
                None => WasmPc(row.pos.0),
                // Of `SourcePos::NONE` there is no row, nor of what damage makes of one.
                Some(i) => inlined.get((range.inlined as usize).checked_add(i as usize)?)?.pc,
            };
            Some((CodeOffset(range.start.0.checked_add(row.offset.0)?), pc))
        })
    }

    /// A function's part of the positions.
    fn rows_of(&self, func: DefinedFuncIndex) -> &'a [u8] {
        let start = self.funcs[func.index()].positions as usize;
        let next = self.funcs.get(func.index() + 1);
        let end = next.map_or(self.positions.len(), |next| next.positions as usize);
        self.positions.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_positions;

    #[test]
    fn an_inlined_position_names_its_callers() {
        let mut positions = Vec::new();
        write_positions(&[PosRow { offset: CodeOffset(0), pos: SourcePos(100) }], &mut positions);
        let second = positions.len() as u32;
        let inlined = SourcePos(SourcePos::INLINED + 1);
        write_positions(&[PosRow { offset: CodeOffset(1), pos: inlined }], &mut positions);
        let artifact = LinkedCode {
            text: vec![0; 32],
            funcs: vec![
                FuncRange { start: CodeOffset(0), length: 10, inlined: 0, positions: 0 },
                FuncRange { start: CodeOffset(16), length: 10, inlined: 0, positions: second },
            ],
            accesses: vec![0, 0, 0b10_0000, 0],
            traps: vec![TrapSite::new(CodeOffset(18), Trap::IntegerOverflow)],
            positions,
            inlined: vec![
                InlinedPos { pc: WasmPc(7), caller: SourcePos(200) },
                InlinedPos { pc: WasmPc(8), caller: SourcePos(SourcePos::INLINED) },
            ],
            ..LinkedCode::default()
        };
        let artifact = artifact.tables();
        assert_eq!(artifact.positions_at(CodeOffset(5)), [WasmPc(100)]);
        assert_eq!(artifact.positions_at(CodeOffset(18)), [WasmPc(8), WasmPc(7), WasmPc(200)]);
        assert_eq!(artifact.positions_at(CodeOffset(16)), []);
        let innermost = |func| artifact.innermost_positions(DefinedFuncIndex::new(func)).collect::<Vec<_>>();
        assert_eq!(innermost(0), [(CodeOffset(0), WasmPc(100))]);
        assert_eq!(innermost(1), [(CodeOffset(17), WasmPc(8))]);
        assert_eq!(artifact.func_at(CodeOffset(12)), None);
        assert_eq!(artifact.trap_at(CodeOffset(18)), Some(Trap::IntegerOverflow));
        assert_eq!(artifact.trap_at(CodeOffset(21)), Some(Trap::MemoryOutOfBounds));
        assert_eq!(artifact.trap_at(CodeOffset(22)), None);
        assert_eq!(artifact.trap_at(CodeOffset(99)), None);
    }
}
