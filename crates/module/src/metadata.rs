//! The results of an earlier validation, in a form from which a module is restored quickly: without its code, without
//! validation, and without reading the large parts of the binary.
//!
//! Small sections are parsed again; the metadata records where they lie. Large data (numbers for each function, items
//! of element segments) is stored as arrays that are used in place. Data segments that images of memories hold are
//! omitted.

use crate::binary::Binary;
use crate::const_expr::{ConstExpr, ConstOp};
use crate::describe::{Describer, active_data, elem_segment, for_each_func, for_each_reference};
use crate::error::ModuleError;
use crate::facts::TableUse;
use crate::import_export::EntityIndex;
use crate::memory_images::{ImagePiece, MemoryImages};
use crate::module::{BodyRange, Module, Origin, SECTIONS};
use crate::rows::Rows;
use crate::segments::{ActiveData, BinaryRange, ElemFuncs, ElemItems, ElemSegment, PassiveData, SegmentMode};
use belljar_core::{CompositeType, DataIndex, FuncIndex, MemoryIndex, TableIndex, TypeIndex};
use bytes::Bytes;
use std::ops::Range;
use wasmparser::{BinaryReader, FromReader, Payload, SectionLimited, WasmFeatures};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The results of validation as bytes: a `Head`, then arrays in the order of `Rest`.
#[derive(Clone, Debug)]
pub struct ModuleMetadata(Bytes);

/// A flag: [`Module::uses_heap`].
const USES_HEAP: u32 = 1;
/// Flags of a table: [`TableUse::written`], [`TableUse::grown`], [`TableUse::called`].
const WRITTEN: u32 = 1;
const GROWN: u32 = 2;
const CALLED: u32 = 4;
/// [`Head::start`] of a module without one.
const NO_START: u32 = u32::MAX;

/// The start of the metadata.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    flags: U32,
    start: U32,
    data_segments: U32,
    /// The number of rows in each array of [`Rest`].
    custom_sections: U32,
    types: U32,
    tables: U32,
    elems: U32,
    active_data: U32,
    passive_data: U32,
    pieces: U32,
    escaping: U32,
    funcs: U32,
    bodies: U32,
    items: U32,
    names: U32,
    code_section: BinaryRange,
    data_section: BinaryRange,
    /// Ranges as in [`crate::module::Directory`].
    directory: [BinaryRange; SECTIONS.len()],
}

/// The arrays after the head.
struct Rest {
    custom_sections: Rows<CustomRow>,
    /// The canonical type of each type.
    types: Rows<U32>,
    /// How the code uses each table.
    tables: Rows<U32>,
    elems: Rows<ElemRow>,
    /// Active segments that are not part of an image.
    active_data: Rows<ActiveRow>,
    passive_data: Rows<PassiveData>,
    pieces: Rows<PieceRow>,
    /// The functions of [`Module::escaping_funcs`].
    escaping: Rows<U32>,
    /// The type of each function.
    funcs: Rows<U32>,
    bodies: Rows<BodyRange>,
    /// The items of element segments that are functions: their positions among the escaping functions.
    items: Rows<U32>,
    /// The names of custom sections, concatenated.
    names: Rows<u8>,
}

/// A custom section.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct CustomRow {
    name_length: U32,
    contents: BinaryRange,
}

/// An element segment of functions, at a constant offset if active; or the range of any other segment in the binary.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ElemRow {
    /// One of the constants below.
    kind: U32,
    table: U32,
    offset: U64,
    /// The number of items that belong to this segment.
    length: U32,
    place: BinaryRange,
}

const PASSIVE: u32 = 0;
const DECLARED: u32 = 1;
const ACTIVE: u32 = 2;
const IN_BINARY: u32 = 3;

/// An active data segment and its range in the binary.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ActiveRow {
    index: U32,
    place: BinaryRange,
}

/// An [`ImagePiece`].
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PieceRow {
    memory: U32,
    offset: U64,
    start: U64,
    length: U64,
}

impl ModuleMetadata {
    /// Serializes the metadata of a module whose images are `images`, as returned by [`Module::memory_images`].
    pub fn of(module: &Module, images: &MemoryImages) -> Self {
        if let Origin::Restored { metadata, .. } = &module.origin {
            return Self(metadata.clone());
        }
        let count = |length: usize| U32::new(length as u32);
        let custom_sections: Vec<_> = module.custom_sections.iter().map(custom_row).collect();
        let types: Vec<_> = module.canonical_types.iter().map(|ty| U32::new(ty.0)).collect();
        let tables: Vec<_> = module.table_uses.iter().map(table_row).collect();
        let elems: Vec<_> = module.elems.iter().map(elem_row).collect();
        let active = module.active_data.iter().filter(|data| !images.holds(data));
        let active_data: Vec<_> = active.map(active_row).collect();
        let pieces: Vec<_> = images.pieces().iter().map(piece_row).collect();
        let items: Vec<_> =
            module.elems.iter().filter_map(simple_funcs).flat_map(|funcs| funcs.0.iter().copied()).collect();
        let names: Vec<_> = module.custom_sections.iter().flat_map(|(name, _)| name.bytes()).collect();
        let head = Head {
            flags: U32::new(u32::from(module.uses_heap) * USES_HEAP),
            start: U32::new(module.start.map_or(NO_START, |func| func.0)),
            data_segments: U32::new(module.data_count),
            custom_sections: count(custom_sections.len()),
            types: count(types.len()),
            tables: count(tables.len()),
            elems: count(elems.len()),
            active_data: count(active_data.len()),
            passive_data: count(module.passive_data.len()),
            pieces: count(pieces.len()),
            escaping: count(module.escaping.len()),
            funcs: count(module.funcs.len()),
            bodies: count(module.bodies.len()),
            items: count(items.len()),
            names: count(names.len()),
            code_section: BinaryRange::of(&module.code_section),
            data_section: BinaryRange::of(&module.data_section),
            directory: module.directory.each_ref().map(BinaryRange::of),
        };
        let parts: [&[u8]; 13] = [
            head.as_bytes(),
            custom_sections.as_bytes(),
            types.as_bytes(),
            tables.as_bytes(),
            elems.as_bytes(),
            active_data.as_bytes(),
            module.passive_data.as_bytes(),
            pieces.as_bytes(),
            module.escaping.as_bytes(),
            module.funcs.as_bytes(),
            module.bodies.as_bytes(),
            items.as_bytes(),
            &names,
        ];
        Self(parts.concat().into())
    }

    /// Returns the metadata as bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

fn custom_row((name, contents): &(Box<str>, Range<usize>)) -> CustomRow {
    CustomRow { name_length: U32::new(name.len() as u32), contents: BinaryRange::of(contents) }
}

fn table_row(used: &TableUse) -> U32 {
    let flag = |is_set: bool, flag: u32| u32::from(is_set) * flag;
    U32::new(flag(used.written, WRITTEN) | flag(used.grown, GROWN) | flag(used.called, CALLED))
}

/// Returns the functions of a segment that the metadata describes without the binary.
fn simple_funcs(elem: &ElemSegment) -> Option<&ElemFuncs> {
    match (&elem.mode, &elem.items) {
        (_, ElemItems::Exprs(_)) => None,
        (SegmentMode::Active(_, offset), ElemItems::Funcs(_)) if offset.as_number().is_none() => None,
        (_, ElemItems::Funcs(funcs)) => Some(funcs),
    }
}

fn elem_row(elem: &ElemSegment) -> ElemRow {
    let (kind, table, offset) = match (&elem.mode, simple_funcs(elem)) {
        (_, None) => (IN_BINARY, 0, 0),
        (SegmentMode::Passive, _) => (PASSIVE, 0, 0),
        (SegmentMode::Declared, _) => (DECLARED, 0, 0),
        (SegmentMode::Active(table, offset), _) => (ACTIVE, table.0, offset.as_number().unwrap_or_default()),
    };
    ElemRow {
        kind: U32::new(kind),
        table: U32::new(table),
        offset: U64::new(offset),
        length: U32::new(simple_funcs(elem).map_or(0, ElemFuncs::len) as u32),
        place: BinaryRange::of(&elem.range),
    }
}

fn active_row(data: &ActiveData) -> ActiveRow {
    ActiveRow { index: U32::new(data.index.0), place: BinaryRange::of(&(data.start..data.bytes.end)) }
}

fn piece_row(piece: &ImagePiece) -> PieceRow {
    PieceRow {
        memory: U32::new(piece.memory.0),
        offset: U64::new(piece.offset),
        start: U64::new(piece.range.start as u64),
        length: U64::new(piece.range.len() as u64),
    }
}

impl Module {
    /// Restores a module that was valid under `features`. Code, and data segments that `images` hold, may be missing
    /// from its binary. Only small sections of the binary are read: code, contents of data segments and custom sections
    /// are not, nor is `images`, the bytes of [`MemoryImages::bytes`].
    ///
    /// # Errors
    ///
    /// Returns an error if the metadata does not belong to such a module, which is a mistake of the caller that stored
    /// it.
    pub fn from_metadata(
        binary: Binary,
        features: WasmFeatures,
        metadata: Bytes,
        images: Bytes,
    ) -> Result<Self, ModuleError> {
        let (head, rest) = Rest::read(&metadata).ok_or(ModuleError::WrongMetadata)?;
        let source = Source { binary: &binary, features };
        let mut describer = Describer::new(binary.clone());
        for (id, place) in SECTIONS.into_iter().zip(head.directory) {
            let reader = source.reader(place).ok_or(ModuleError::WrongMetadata)?;
            if !place.range().is_empty() {
                describer.payload(section(id, reader)?)?;
            }
        }
        let mut module = describer.restored();
        let pieces = rest.pieces.iter().map(PieceRow::piece).collect::<Option<_>>();
        let (memories, imported) = (&module.memories, module.imported_memories);
        let images = pieces.and_then(|pieces| MemoryImages::of_pieces(images, pieces, memories, imported));
        let images = images.ok_or(ModuleError::WrongMetadata)?;
        rest.describe(head, &source, &mut module)?;
        if !is_consistent(&module) {
            return Err(ModuleError::WrongMetadata);
        }
        module.set_layout()?;
        module.origin = Origin::Restored { metadata, images };
        Ok(module)
    }
}

/// A binary and the features it is parsed with.
struct Source<'a> {
    binary: &'a Binary,
    features: WasmFeatures,
}

impl<'a> Source<'a> {
    fn reader(&self, place: BinaryRange) -> Option<BinaryReader<'a>> {
        let Range { start, end } = place.range();
        let bytes = if start == end { &[] } else { self.binary.get(start..end)? };
        Some(BinaryReader::new_features(bytes, start as u64, self.features))
    }

    /// Reads the item that fills a range exactly.
    fn read<T: FromReader<'a>>(&self, place: BinaryRange) -> Result<T, ModuleError> {
        let mut reader = self.reader(place).ok_or(ModuleError::WrongMetadata)?;
        let read = reader.read()?;
        if reader.eof() { Ok(read) } else { Err(ModuleError::WrongMetadata) }
    }
}

/// Creates the payload for a section of [`SECTIONS`].
fn section(id: u8, reader: BinaryReader<'_>) -> Result<Payload<'_>, ModuleError> {
    Ok(match id {
        1 => Payload::TypeSection(SectionLimited::new(reader)?),
        2 => Payload::ImportSection(SectionLimited::new(reader)?),
        4 => Payload::TableSection(SectionLimited::new(reader)?),
        5 => Payload::MemorySection(SectionLimited::new(reader)?),
        6 => Payload::GlobalSection(SectionLimited::new(reader)?),
        7 => Payload::ExportSection(SectionLimited::new(reader)?),
        13 => Payload::TagSection(SectionLimited::new(reader)?),
        _ => return Err(ModuleError::WrongMetadata),
    })
}

impl PieceRow {
    fn piece(&self) -> Option<ImagePiece> {
        let start = usize::try_from(self.start.get()).ok()?;
        let end = start.checked_add(usize::try_from(self.length.get()).ok()?)?;
        let memory = MemoryIndex(self.memory.get());
        Some(ImagePiece { memory, offset: self.offset.get(), range: start..end })
    }
}

impl Rest {
    fn read(metadata: &Bytes) -> Option<(&Head, Self)> {
        let (head, _) = Head::ref_from_prefix(metadata).ok()?;
        let mut rest = metadata.slice(size_of::<Head>()..);
        let arrays = Self {
            custom_sections: Rows::take(&mut rest, head.custom_sections.get())?,
            types: Rows::take(&mut rest, head.types.get())?,
            tables: Rows::take(&mut rest, head.tables.get())?,
            elems: Rows::take(&mut rest, head.elems.get())?,
            active_data: Rows::take(&mut rest, head.active_data.get())?,
            passive_data: Rows::take(&mut rest, head.passive_data.get())?,
            pieces: Rows::take(&mut rest, head.pieces.get())?,
            escaping: Rows::take(&mut rest, head.escaping.get())?,
            funcs: Rows::take(&mut rest, head.funcs.get())?,
            bodies: Rows::take(&mut rest, head.bodies.get())?,
            items: Rows::take(&mut rest, head.items.get())?,
            names: Rows::take(&mut rest, head.names.get())?,
        };
        rest.is_empty().then_some((head, arrays))
    }

    /// Adds the metadata to a module that has its small sections.
    fn describe(&self, head: &Head, source: &Source<'_>, m: &mut Module) -> Result<(), ModuleError> {
        let used = |flags: &U32| {
            let has = |flag| flags.get() & flag != 0;
            TableUse { written: has(WRITTEN), grown: has(GROWN), called: has(CALLED) }
        };
        m.canonical_types = self.types.iter().map(|ty| TypeIndex(ty.get())).collect();
        m.table_uses = self.tables.iter().map(used).collect();
        m.uses_heap = head.flags.get() & USES_HEAP != 0;
        m.start = Some(FuncIndex(head.start.get())).filter(|func| func.0 != NO_START);
        m.funcs = self.funcs.clone();
        m.bodies = self.bodies.clone();
        m.escaping = self.escaping.clone();
        m.code_section = head.code_section.range();
        m.data_section = head.data_section.range();
        m.data_count = head.data_segments.get();
        m.custom_sections = self.custom_sections().ok_or(ModuleError::WrongMetadata)?;
        m.elems = self.elems(source, m)?;
        m.passive_data = self.passive_data.clone();
        m.active_data = self.active_data.iter().map(|row| row.segment(source)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn custom_sections(&self) -> Option<Vec<(Box<str>, Range<usize>)>> {
        let mut names: &[u8] = &self.names;
        let section = |row: &CustomRow| {
            let name = names.split_off(..row.name_length.get() as usize)?;
            Some((std::str::from_utf8(name).ok()?.into(), row.contents.range()))
        };
        self.custom_sections.iter().map(section).collect()
    }

    fn elems(&self, source: &Source<'_>, m: &Module) -> Result<Vec<ElemSegment>, ModuleError> {
        let mut items = self.items.clone();
        let elem = |row: &ElemRow| {
            let mode = match row.kind.get() {
                PASSIVE => SegmentMode::Passive,
                DECLARED => SegmentMode::Declared,
                ACTIVE => {
                    SegmentMode::Active(TableIndex(row.table.get()), ConstExpr::number(row.offset.get()))
                }
                _ => {
                    let elem = elem_segment(source.read(row.place)?)?;
                    return elem.numbered(m).ok_or(ModuleError::WrongMetadata);
                }
            };
            let funcs = items.take_first(row.length.get()).ok_or(ModuleError::WrongMetadata)?;
            Ok(ElemSegment { mode, items: ElemItems::Funcs(ElemFuncs(funcs)), range: row.place.range() })
        };
        self.elems.iter().map(elem).collect()
    }
}

impl ActiveRow {
    fn segment(&self, source: &Source<'_>) -> Result<ActiveData, ModuleError> {
        let segment = active_data(DataIndex(self.index.get()), &source.read(self.place)?)?;
        segment.ok_or(ModuleError::WrongMetadata)
    }
}

/// Returns whether the metadata fits the sections of the binary and all its indices are in range. The sections
/// themselves are valid.
fn is_consistent(m: &Module) -> bool {
    let is_func = |ty: u32| {
        let ty = m.types.get(ty as usize);
        ty.is_some_and(|ty| matches!(ty.composite, CompositeType::Func(_)))
    };
    let mut references_escape = true;
    for_each_reference(m, |func| references_escape &= m.escaping(func).is_some());
    let entity_is_there = |entity: EntityIndex| match entity {
        EntityIndex::Func(i) => i.index() < m.funcs.len(),
        EntityIndex::Table(i) => i.index() < m.tables.len(),
        EntityIndex::Memory(i) => i.index() < m.memories.len(),
        EntityIndex::Global(i) => i.index() < m.globals.len(),
        EntityIndex::Tag(i) => i.index() < m.tags.len(),
    };
    let is_kept = |range: &Range<usize>| m.binary.get(range.clone()).is_some();
    m.imported_funcs + m.bodies.len() == m.funcs.len()
        && m.table_uses.len() == m.tables.len()
        && m.canonical_types.len() == m.types.len()
        && m.canonical_types.iter().all(|ty| ty.index() < m.types.len())
        && match (0..m.types.len() as u32).all(is_func) {
            true => all_below(&m.funcs, m.types.len()),
            false => m.funcs.iter().all(|ty| is_func(ty.get())),
        }
        && m.tags.iter().all(|ty| is_func(ty.0))
        && m.exports.iter().all(|export| entity_is_there(export.entity))
        && m.escaping.is_sorted_by(|a, b| a.get() < b.get())
        && m.escaping.last().is_none_or(|last| (last.get() as usize) < m.funcs.len())
        && references_escape
        && m.global_inits.iter().chain(&m.table_inits).all(|expr| expr_is_consistent(expr, m))
        && m.elems.iter().all(|elem| elem_is_consistent(elem, m))
        && m.active_data.is_sorted_by(|a, b| a.index < b.index)
        && m.active_data.iter().all(|data| data_is_consistent(data, m) && is_kept(&data.bytes))
        && m.passive_data.is_sorted_by(|a, b| a.index.get() < b.index.get())
        && m.passive_data.last().is_none_or(|last| last.index.get() < m.data_count)
        && m.passive_data.iter().all(|data| is_kept(&data.bytes.range()))
        && m.custom_sections.iter().all(|(_, range)| is_kept(range))
}

/// Returns whether all numbers are below a limit. Has no early exit, so that the compiler can vectorize it.
fn all_below(numbers: &[U32], limit: usize) -> bool {
    numbers.is_empty() || (numbers.iter().fold(0, |most, number| number.get().max(most)) as usize) < limit
}

fn expr_is_consistent(expr: &ConstExpr, m: &Module) -> bool {
    let mut functions_escape = true;
    for_each_func(expr, &mut |func| functions_escape &= m.escaping(func).is_some());
    functions_escape
        && expr.ops().iter().all(|op| match op {
            ConstOp::GlobalGet(global) => global.index() < m.globals.len(),
            ConstOp::StructNew(ty)
            | ConstOp::StructNewDefault(ty)
            | ConstOp::ArrayNew(ty)
            | ConstOp::ArrayNewDefault(ty)
            | ConstOp::ArrayNewFixed(ty, _) => ty.index() < m.types.len(),
            _ => true,
        })
}

fn elem_is_consistent(elem: &ElemSegment, m: &Module) -> bool {
    let mode_is_consistent = match &elem.mode {
        SegmentMode::Active(table, offset) => table.index() < m.tables.len() && expr_is_consistent(offset, m),
        _ => true,
    };
    mode_is_consistent
        && match &elem.items {
            ElemItems::Funcs(funcs) => all_below(&funcs.0, m.escaping.len()),
            ElemItems::Exprs(exprs) => exprs.iter().all(|expr| expr_is_consistent(expr, m)),
        }
}

fn data_is_consistent(data: &ActiveData, m: &Module) -> bool {
    data.index.0 < m.data_count
        && data.memory.index() < m.memories.len()
        && expr_is_consistent(&data.offset, m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate;
    use belljar_core::DefinedFuncIndex;

    const WAT: &str = r#"(module $m
        (import "a" "b" (func $i (param i32)))
        (type $s (struct (field i32)))
        (memory (export "mem") 1) (table $t 3 9 funcref) (table 1 funcref) (global (mut i32) (i32.const 7))
        (func $f (export "f") (result i32) (drop (table.grow $t (ref.null func) (i32.const 1)))
            (call_indirect 1 (i32.const 0)) (i32.const 1))
        (func (drop (struct.new $s (i32.const 1))))
        (elem (i32.const 0) $f $f) (data (i32.const 8) "hello") (start 2))"#;

    const FEATURES: WasmFeatures = WasmFeatures::WASM3;

    fn module(wat: &str) -> Module {
        validate(wat::parse_str(wat).unwrap().into(), FEATURES).unwrap()
    }

    fn from_metadata(
        binary: Binary,
        metadata: &ModuleMetadata,
        images: &MemoryImages,
    ) -> Result<Module, ModuleError> {
        Module::from_metadata(binary, FEATURES, metadata.0.clone(), images.bytes().clone())
    }

    #[test]
    fn a_module_is_described_again_with_and_without_its_code() {
        let first = module(WAT);
        let images = first.memory_images();
        let metadata = ModuleMetadata::of(&first, &images);
        let holed = first.lean_binary(&images);
        assert!(holed.whole().is_none());
        for binary in [first.binary().clone(), holed] {
            let has_code = binary.whole().is_some();
            let again = from_metadata(binary, &metadata, &images).unwrap();
            assert_eq!(again.layout(), first.layout());
            assert_eq!(again.types(), first.types());
            assert_eq!(again.canonical_types, first.canonical_types);
            assert_eq!(*again.bodies, *first.bodies);
            let uses = [0, 1].map(|table| again.table_use(TableIndex(table)));
            let grown = TableUse { written: true, grown: true, called: false };
            assert_eq!(uses, [grown, TableUse { called: true, ..TableUse::default() }]);
            assert_eq!(again.start(), Some(FuncIndex(2)));
            assert_eq!(again.data_bytes(DataIndex(0)), b"hello");
            assert_eq!(again.names().module(), Some("m"));
            assert!(again.escaping_funcs().eq(first.escaping_funcs()));
            assert!(again.uses_heap());
            assert_eq!(again.code_section(), first.code_section());
            assert_eq!(again.function_body(DefinedFuncIndex(0)).is_some(), has_code);
        }
    }

    /// Data in an image is no longer part of the description; other segments are.
    #[test]
    fn data_of_images_may_be_missing() {
        let large = "x".repeat(20_000);
        let first = module(&format!(
            r#"(module (memory 1) (memory 1) (data $a (i32.const 0) "{large}") (data $b "passive") (data $c (i32.const 9) "yy")
                (data $d "") (data $e (memory 1) (i32.const 3) "zz") (@custom "c" (after data) "custom"))"#
        ));
        let images = first.memory_images();
        let lean = first.lean_binary(&images);
        let kept: usize = lean.parts().iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(kept < 200, "{kept}");
        for binary in [lean.clone(), first.binary().clone()] {
            let again = from_metadata(binary, &ModuleMetadata::of(&first, &images), &images).unwrap();
            assert_eq!((again.data_count(), again.layout()), (5, first.layout()));
            assert_eq!(
                again.passive_data().chain(again.active_data().iter().map(|d| d.index)).collect::<Vec<_>>(),
                [1, 4].map(DataIndex)
            );
            let bytes = [&b""[..], b"passive", b"", b"", b"zz"];
            assert_eq!([0, 1, 2, 3, 4].map(|i| again.data_bytes(DataIndex(i))), bytes);
            assert_eq!(again.custom_section("c"), Some(&b"custom"[..]));
            assert_eq!(again.known_images().unwrap().bytes(), images.bytes());
            // Serialize the restored module again.
            assert_eq!(
                ModuleMetadata::of(&again, &again.memory_images()).as_bytes(),
                ModuleMetadata::of(&first, &images).as_bytes()
            );
            assert_eq!(again.lean_binary(&again.memory_images()).parts(), lean.parts());
        }
    }

    #[test]
    fn element_segments_of_all_kinds_are_described_again() {
        let first = module(
            r#"(module (import "a" "g" (global $g i32)) (table $t 9 funcref) (table $x 9 externref) (func $f) (func $g) (func $h)
                (elem $active (i32.const 2) $h $f) (elem $moved (global.get $g) $g) (elem $passive func $g $g)
                (elem $declared declare func $h) (elem $null funcref (ref.null func) (ref.func $f))
                (elem $sum (table $t) (offset (i32.add (i32.const 1) (i32.const 2))) func $f) (elem (table $x) (i32.const 0) externref))"#,
        );
        let images = first.memory_images();
        let again =
            from_metadata(first.lean_binary(&images), &ModuleMetadata::of(&first, &images), &images).unwrap();
        let shown = |m: &Module| -> Vec<String> {
            let place = |mode: &SegmentMode<TableIndex>| match mode {
                SegmentMode::Active(table, offset) => format!("{table:?} {:?}", offset.as_number()),
                other => format!("{other:?}"),
            };
            m.elems().iter().map(|elem| format!("{} {:?}", place(&elem.mode), elem.items)).collect()
        };
        assert_eq!(shown(&again), shown(&first));
        assert_eq!(again.escaping_func(2), FuncIndex(2));
    }

    /// Nothing follows the code section.
    #[test]
    fn code_may_be_all_that_a_module_has() {
        for count in [0, 1, 2, 200] {
            let first = module(&format!("(module {})", "(func)".repeat(count)));
            let images = first.memory_images();
            let again =
                from_metadata(first.lean_binary(&images), &ModuleMetadata::of(&first, &images), &images)
                    .unwrap();
            assert_eq!((again.defined_funcs(), &*again.bodies), (count, &*first.bodies));
        }
    }

    #[test]
    fn metadata_of_another_module_is_refused() {
        let (first, other) = (module(WAT), module("(module (func))"));
        let images = first.memory_images();
        let (mine, others) = (ModuleMetadata::of(&first, &images), ModuleMetadata::of(&other, &images));
        let truncated = mine.0.slice(..mine.0.len() - 4);
        for metadata in [others.0, truncated, Bytes::new(), Bytes::from_static(&[255; 400])] {
            assert!(from_metadata(first.binary().clone(), &ModuleMetadata(metadata), &images).is_err());
        }
    }

    /// Damaged metadata is either refused or describes a different module that is safe to use.
    #[test]
    fn damaged_metadata_does_no_harm() {
        let data: String = (0..100).map(|i| format!("(data (i32.const {}) \"a\")", i * 9)).collect();
        let first = module(&format!(
            r#"{} (func) (elem func 0) (global $c i32 (i32.const 0)) (elem (table 1) (global.get $c) func 1) (data "passive") {data} (@custom "c" "custom"))"#,
            WAT.strip_suffix(')').unwrap()
        ));
        let images = first.memory_images();
        assert!(!images.pieces().is_empty());
        let binary = first.lean_binary(&images);
        let metadata = ModuleMetadata::of(&first, &images);
        let mut refused = 0;
        for at in 0..metadata.0.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = metadata.0.to_vec();
                bytes[at] ^= change;
                match from_metadata(binary.clone(), &ModuleMetadata(bytes.into()), &images) {
                    Ok(module) => read_everything(&module),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > metadata.0.len());
    }

    fn read_everything(m: &Module) {
        for func in 0..m.func_count() {
            let _ = (m.func_type(FuncIndex::new(func)), m.escaping(FuncIndex::new(func)));
        }
        for func in 0..m.defined_funcs() {
            let _ = m.function_body(DefinedFuncIndex::new(func));
        }
        m.exports().iter().for_each(|export| drop(m.entity_type(export.entity)));
        (0..200).for_each(|i| drop(m.data_bytes(DataIndex(i)).to_vec()));
        m.custom_sections().iter().for_each(|(_, range)| drop(m.custom_section_bytes(range).to_vec()));
        let images = m.memory_images();
        images.pieces().iter().for_each(|piece| drop(images.piece(piece).to_vec()));
        let _ = (m.lean_binary(&images), m.names(), m.func_at(belljar_core::WasmPc(70)), m.export("f"));
    }
}
