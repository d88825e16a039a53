//! Compiled code and the tables that come with it: traps, relocations, stack maps, handlers, and the linked whole.

use crate::positions::{InlinedPos, PosRow, SourcePos, position_at, position_rows};
use belljar_core::{CodeOffset, DefinedFuncIndex, TableIndex, Trap, WasmPc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Maps a fault or illegal instruction at an offset to its trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapSite {
    /// Offset of the instruction in the text.
    pub offset: CodeOffset,
    /// The trap's row among [`Trap::ROWS`].
    pub code: u32,
}

impl TrapSite {
    /// Creates the site of a trap.
    pub const fn new(offset: CodeOffset, trap: Trap) -> Self {
        Self { offset, code: trap as u32 }
    }

    /// Returns the trap.
    pub fn trap(&self) -> Option<Trap> {
        Some(Trap::ROWS.get(self.code as usize)?.trap)
    }
}

/// The target of a relocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelocTarget {
    /// A function of the same module.
    Func(DefinedFuncIndex),
    /// The thunk of an imported function, which calls the import; by its position among the thunks.
    Thunk(u32),
    /// The read-only copy of a wasm table that never changes; see [`ReadOnlyEntry`].
    ReadOnlyTable(TableIndex),
}

/// An element of a read-only table, 8 bytes in the text: the data that `call_indirect` needs, without function objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ReadOnlyEntry {
    /// Index of the function's type, canonical within the module; [`ReadOnlyEntry::NULL`] for null.
    pub ty: u32,
    /// Offset of its code in the text. The code takes the caller's own context.
    pub code: u32,
}

impl ReadOnlyEntry {
    /// The type index of a null element, which no type has.
    pub const NULL: u32 = u32::MAX;
}

/// A 32-bit distance to be filled in: `target + addend − place`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// Offset of the four bytes from the function's start.
    pub offset: u32,
    /// The target.
    pub target: RelocTarget,
    /// Added to the target's address.
    pub addend: i64,
}

/// The code of one function before linking. Offsets are relative to its own start.
#[derive(Clone, Debug, Default)]
pub struct CompiledFunction {
    /// Machine code.
    pub code: Vec<u8>,
    /// Required alignment of its start.
    pub align: u32,
    /// Relocations.
    pub relocs: Vec<Reloc>,
    /// Sites that may trap, ascending.
    pub traps: Vec<TrapSite>,
    /// Source positions of its instructions, ascending.
    pub positions: Vec<PosRow>,
    /// Rows for positions from [`SourcePos::INLINED`] on.
    pub inlined: Vec<InlinedPos>,
    /// Slots that hold references to objects at calls, ascending.
    pub stack_maps: Vec<StackMapRow>,
    /// Slots of all stack maps.
    pub stack_slots: Vec<StackSlots>,
    /// Landing pads for exceptions that its calls throw, ascending.
    pub handlers: Vec<HandlerRow>,
}

/// The landing pad for exceptions that a call throws. It receives the exception's reference as the payload, and the
/// frame pointer of its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HandlerRow {
    /// The call's return address, as an offset in the text.
    pub offset: CodeOffset,
    /// Offset of the landing pad.
    pub handler: CodeOffset,
    /// Distance in bytes from the stack pointer that the landing pad expects to the frame pointer.
    pub frame_size: u32,
}

/// Slots of a frame that hold references to objects, at equal distances from each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StackSlots {
    /// Distance in bytes of the first slot below the frame pointer.
    pub distance: u32,
    /// The number of slots.
    pub count: u16,
    /// By how many bytes each further slot is closer to the frame pointer.
    pub step: u16,
}

impl StackSlots {
    /// Creates a row for one slot.
    pub const fn one(distance: u32) -> Self {
        Self { distance, count: 1, step: 0 }
    }

    /// Appends a slot if it continues the row. Returns whether it did. The second slot determines the step.
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

    /// Returns the distance of each slot below the frame pointer.
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
    /// Index of the first slot among all slots.
    pub first: u32,
    /// The number of slots.
    pub count: u32,
}

/// The range of a function in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FuncRange {
    /// Its first byte.
    pub start: CodeOffset,
    /// Bytes of code.
    pub length: u32,
    /// Index of the first of its rows in [`LinkedCode::inlined`].
    pub inlined: u32,
    /// Index of the first of its bytes in [`LinkedCode::positions`].
    pub positions: u32,
}

impl FuncRange {
    /// Returns whether the range contains `offset`.
    pub fn contains(&self, offset: CodeOffset) -> bool {
        offset.0.wrapping_sub(self.start.0) < self.length
    }
}

/// A module's linked code with its tables. It is position independent and has no relocations left.
#[derive(Clone, Debug, Default)]
pub struct LinkedCode {
    /// Code, then read-only data.
    pub text: Vec<u8>,
    /// Defined functions in index order; their ranges ascend.
    pub funcs: Vec<FuncRange>,
    /// One bit for each byte of text, lowest first: whether an instruction that may access outside a memory starts
    /// there.
    pub accesses: Vec<u8>,
    /// All other trap sites, ascending.
    pub traps: Vec<TrapSite>,
    /// Positions of all functions, as written by [`crate::write_positions`]. A function's positions start at
    /// [`FuncRange::positions`].
    pub positions: Vec<u8>,
    /// Inlined positions of all functions. A function's rows start at [`FuncRange::inlined`].
    pub inlined: Vec<InlinedPos>,
    /// All stack maps, ascending. A call with no live references has none.
    pub stack_maps: Vec<StackMapRow>,
    /// Slots of all stack maps.
    pub stack_slots: Vec<StackSlots>,
    /// Landing pads, ascending. A call has none if the function catches nothing that it throws.
    pub handlers: Vec<HandlerRow>,
}

impl LinkedCode {
    /// Returns the tables.
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

/// The tables of a text: those of a [`LinkedCode`] or of a [`crate::Image`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeTables<'a> {
    /// Defined functions in index order; their ranges ascend.
    pub funcs: &'a [FuncRange],
    /// The instructions that may access outside a memory: [`LinkedCode::accesses`].
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
    /// Landing pads, ascending.
    pub handlers: &'a [HandlerRow],
}

impl<'a> CodeTables<'a> {
    /// Returns the defined function whose code contains `offset`.
    pub fn func_at(&self, offset: CodeOffset) -> Option<DefinedFuncIndex> {
        let i = self.funcs.partition_point(|f| f.start <= offset).checked_sub(1)?;
        self.funcs[i].contains(offset).then(|| DefinedFuncIndex::new(i))
    }

    /// Returns the range of the function whose code contains `offset`.
    pub fn func_range_at(&self, offset: CodeOffset) -> Option<&'a FuncRange> {
        self.func_at(offset).map(|func| &self.funcs[func.index()])
    }

    /// Returns the slots that hold references to objects in the frame of a call that returns to `offset`.
    pub fn stack_map(&self, offset: CodeOffset) -> &'a [StackSlots] {
        let found = self.stack_maps.binary_search_by_key(&offset, |row| row.offset);
        let Ok(i) = found else { return &[] };
        let row = self.stack_maps[i];
        &self.stack_slots[row.first as usize..][..row.count as usize]
    }

    /// Returns the landing pad for exceptions thrown by the call that returns to `offset`.
    pub fn handler(&self, offset: CodeOffset) -> Option<&'a HandlerRow> {
        let i = self.handlers.binary_search_by_key(&offset, |row| row.offset).ok()?;
        Some(&self.handlers[i])
    }

    /// Returns the index of the byte of [`CodeTables::accesses`] that covers an offset.
    pub fn access_byte(offset: CodeOffset) -> usize {
        offset.0 as usize / 8
    }

    /// Returns the trap that a fault at exactly this offset means.
    pub fn trap_at(&self, offset: CodeOffset) -> Option<Trap> {
        let bits = self.accesses.get(Self::access_byte(offset)).copied().unwrap_or_default();
        if bits >> (offset.0 % 8) & 1 != 0 {
            return Some(Trap::MemoryOutOfBounds);
        }
        let i = self.traps.binary_search_by_key(&offset, |t| t.offset).ok()?;
        self.traps[i].trap()
    }

    /// Returns the chain of wasm positions of the instruction at `offset`: from that of the innermost inlined function
    /// to that of the compiled function. The chain is empty if none is known.
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
            // Positions are best effort: if the table is damaged, the chain ends.
            let Some(row) = self.inlined.get(at).filter(|_| chain.len() < self.inlined.len()) else { break };
            chain.push(row.pc);
            pos = row.caller;
        }
        chain
    }

    /// Returns the source positions of a function's code by ascending offset in the text; each holds up to the next
    /// offset. For inlined code the position is in the inlined function. Code without a position is skipped.
    pub fn innermost_positions(&self, func: DefinedFuncIndex) -> impl Iterator<Item = (CodeOffset, WasmPc)> {
        self.positions_of(func).filter_map(|(offset, pc)| Some((offset, pc?)))
    }

    /// The same as [`CodeTables::innermost_positions`], with `None` for code without a position.
    pub fn positions_of(
        &self,
        func: DefinedFuncIndex,
    ) -> impl Iterator<Item = (CodeOffset, Option<WasmPc>)> + use<'a> {
        let (range, inlined) = (self.funcs[func.index()], self.inlined);
        position_rows(self.rows_of(func)).filter_map(move |row| {
            let inlined_pc =
                |i: u32| Some(inlined.get((range.inlined as usize).checked_add(i as usize)?)?.pc);
            let pc = match row.pos.0.checked_sub(SourcePos::INLINED) {
                None => Some(WasmPc(row.pos.0)),
                // There is no row for `SourcePos::NONE`, or for an index from damaged data.
                Some(i) => inlined_pc(i),
            };
            Some((CodeOffset(range.start.0.checked_add(row.offset.0)?), pc))
        })
    }

    /// Returns a function's part of the positions.
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
