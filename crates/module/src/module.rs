//! A described module: everything in a binary but the instructions, with its bytes.

use crate::branch_hints::{self, BranchHints};
use crate::rows::Rows;
use crate::segments::{ActiveData, ElemSegment, PassiveData};
use crate::{Binary, ConstExpr, FuncFacts, MemoryImages, Names, TableUse};
use belljar_abi::{FIXED_ELEMENTS, LayoutCounts, VmLayout};
use belljar_core::{
    CompositeType, DataIndex, DefinedFuncIndex, DefinedTypes, ExternType, FuncIndex, FuncType, GlobalIndex,
    GlobalType, HeapType, MemoryIndex, MemoryType, SubType, TableIndex, TableType, TagIndex, TagType,
    TypeIndex, TypeRef, WasmPc,
};
use bytes::Bytes;
use std::iter::once;
use std::ops::Range;
use std::sync::OnceLock;
use wasmparser::{BinaryReader, FunctionBody};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Something that can be imported or exported, by its index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityIndex {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
    /// A tag.
    Tag(TagIndex),
}

/// An import. Imports of one kind come in the order of that kind's index space.
#[derive(Clone, Debug)]
pub struct Import {
    /// The module name.
    pub module: Box<str>,
    /// The field name.
    pub name: Box<str>,
    /// What it becomes in the module.
    pub entity: EntityIndex,
}

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name.
    pub name: Box<str>,
    /// What it exports.
    pub entity: EntityIndex,
}

/// Where a function's body lies in the binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BodyRange {
    pub(crate) start: U32,
    pub(crate) length: U32,
}

impl BodyRange {
    fn range(self) -> Range<usize> {
        self.start.get() as usize..self.start.get() as usize + self.length.get() as usize
    }
}

/// Ranges of the contents of the sections from which a module is described, in [`SECTIONS`]' order; empty where there is
/// no such section.
pub(crate) type Directory = [Range<usize>; SECTIONS.len()];

/// The ids of these sections, in the order that they have in a binary.
pub(crate) const SECTIONS: [u8; 7] = [1, 2, 4, 5, 13, 6, 7];

/// A valid module and its bytes. Made by [`crate::validate`], or from [`crate::ModuleMetadata`] of an earlier validation.
#[derive(Debug)]
pub struct Module {
    pub(crate) binary: Binary,
    pub(crate) types: Vec<SubType>,
    pub(crate) rec_groups: Vec<Range<u32>>,
    pub(crate) canonical_types: Vec<TypeIndex>,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
    /// Places of the exports, by name.
    pub(crate) exports_by_name: OnceLock<Box<[u32]>>,
    pub(crate) funcs: Rows<U32>,
    pub(crate) imported_funcs: usize,
    pub(crate) tables: Vec<TableType>,
    pub(crate) table_inits: Vec<ConstExpr>,
    pub(crate) imported_tables: usize,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) imported_memories: usize,
    pub(crate) globals: Vec<GlobalType>,
    pub(crate) global_inits: Vec<ConstExpr>,
    pub(crate) imported_globals: usize,
    pub(crate) tags: Vec<TypeIndex>,
    pub(crate) imported_tags: usize,
    pub(crate) uses_heap: bool,
    pub(crate) start: Option<FuncIndex>,
    pub(crate) elems: Vec<ElemSegment>,
    /// By ascending index. Those that are part of an image need not be there.
    pub(crate) active_data: Vec<ActiveData>,
    /// By ascending index. Empty ones are not there: it makes no difference whether they are dropped.
    pub(crate) passive_data: Rows<PassiveData>,
    pub(crate) data_count: u32,
    pub(crate) data_section: Range<usize>,
    pub(crate) code_section: Range<usize>,
    pub(crate) bodies: Rows<BodyRange>,
    pub(crate) table_uses: Vec<TableUse>,
    /// Ascending.
    pub(crate) escaping: Rows<U32>,
    pub(crate) custom_sections: Vec<(Box<str>, Range<usize>)>,
    pub(crate) directory: Directory,
    pub(crate) layout: VmLayout,
    pub(crate) names: OnceLock<Names>,
    pub(crate) origin: Origin,
}

/// Where the description of a module comes from, with what only that source knows.
#[derive(Debug)]
pub(crate) enum Origin {
    /// Validation of the binary: facts about each defined function.
    Validated(Vec<FuncFacts>),
    /// Metadata of an earlier validation, and the images of memories that came with it.
    Restored { metadata: Bytes, images: MemoryImages },
}

impl Module {
    /// The binary.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// Where the contents of the code section lie in the binary.
    pub fn code_section(&self) -> Range<usize> {
        self.code_section.clone()
    }

    /// The type section. References to other types in it are indices.
    pub fn types(&self) -> &[SubType] {
        &self.types
    }

    /// The recursion groups of the type section, as ranges of type indices.
    pub fn rec_groups(&self) -> &[Range<u32>] {
        &self.rec_groups
    }

    /// The smallest index of a type that is equal to this one.
    pub fn canonical_type(&self, ty: TypeIndex) -> TypeIndex {
        self.canonical_types[ty.index()]
    }

    /// A function type by its index.
    ///
    /// # Panics
    ///
    /// If the type is no function type: validation has seen to it wherever the binary names one.
    pub fn func_type_at(&self, ty: TypeIndex) -> &FuncType {
        self.types[ty.index()].composite.as_func().expect("validation has seen a function type")
    }

    /// The imports, in the order of the binary.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The exports, in the order of the binary.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// The export of this name.
    pub fn export(&self, name: &str) -> Option<&Export> {
        let name_of = |i: &u32| &*self.exports[*i as usize].name;
        let by_name = self.exports_by_name.get_or_init(|| {
            let mut all: Box<[u32]> = (0..self.exports.len() as u32).collect();
            all.sort_unstable_by_key(name_of);
            all
        });
        let found = by_name.binary_search_by_key(&name, name_of).ok()?;
        Some(&self.exports[by_name[found] as usize])
    }

    /// How many functions there are, imports included.
    pub fn func_count(&self) -> usize {
        self.funcs.len()
    }

    /// The type index of a function.
    pub fn type_of_func(&self, func: FuncIndex) -> TypeIndex {
        TypeIndex(self.funcs[func.index()].get())
    }

    /// The type of a function.
    pub fn func_type(&self, func: FuncIndex) -> &FuncType {
        self.func_type_at(self.type_of_func(func))
    }

    /// How many functions are imported.
    pub fn imported_funcs(&self) -> usize {
        self.imported_funcs
    }

    /// How many functions the module defines.
    pub fn defined_funcs(&self) -> usize {
        self.bodies.len()
    }

    /// The number of a function among those defined here; `None` for an import.
    pub fn defined_func(&self, func: FuncIndex) -> Option<DefinedFuncIndex> {
        func.index().checked_sub(self.imported_funcs).map(DefinedFuncIndex::new)
    }

    /// The index of a defined function.
    pub fn func_index(&self, func: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::new(func.index() + self.imported_funcs)
    }

    /// What of the binary is needed once code is made, and images of memories: neither bodies of functions nor the data
    /// segments that the images hold.
    pub fn lean_binary(&self, images: &MemoryImages) -> Binary {
        let mut left_out = vec![self.code_section()];
        if !images.pieces().is_empty() {
            let active = self.active_data.iter().filter(|data| !images.holds(data));
            let active = active.map(|data| data.start..data.bytes.end);
            let passive = self.passive_data.iter().map(|data| data.bytes.range());
            let mut kept: Vec<_> = active.chain(passive).collect();
            kept.sort_unstable_by_key(|range| range.start);
            let mut start = self.data_section.start;
            for range in kept.into_iter().chain(once(self.data_section.end..0)) {
                if range.start.saturating_sub(start) >= GAP_MINIMUM {
                    left_out.push(start..range.start);
                }
                start = range.end;
            }
        }
        self.binary.without(&left_out)
    }

    /// Where a defined function's body (locals, then code) lies in the binary.
    pub fn body(&self, func: DefinedFuncIndex) -> Range<usize> {
        self.bodies[func.index()].range()
    }

    /// The defined function whose body holds this byte of the binary.
    pub fn func_at(&self, pc: WasmPc) -> Option<FuncIndex> {
        let i = self.bodies.partition_point(|b| b.start.get() <= pc.0).checked_sub(1)?;
        self.bodies[i].range().contains(&(pc.0 as usize)).then(|| self.func_index(DefinedFuncIndex::new(i)))
    }

    /// A defined function's body; `None` where the binary was kept without code.
    pub fn function_body(&self, func: DefinedFuncIndex) -> Option<FunctionBody<'_>> {
        let range = self.body(func);
        let start = range.start as u64;
        Some(FunctionBody::new(BinaryReader::new(self.binary.get(range)?, start)))
    }

    /// Bytes that are never left out.
    fn kept(&self, range: &Range<usize>) -> &[u8] {
        self.binary.get(range.clone()).expect("what a description names was seen in the binary")
    }

    /// The contents of a custom section of [`Module::custom_sections`].
    pub fn custom_section_bytes(&self, range: &Range<usize>) -> &[u8] {
        self.kept(range)
    }

    /// What validation noted about a defined function.
    ///
    /// # Panics
    ///
    /// Panics if the module was restored from metadata, which has no facts about functions.
    pub fn facts(&self, func: DefinedFuncIndex) -> &FuncFacts {
        match &self.origin {
            Origin::Validated(facts) => &facts[func.index()],
            Origin::Restored { .. } => panic!("only a validated module has facts about its functions"),
        }
    }

    /// The tables, imports first.
    pub fn tables(&self) -> &[TableType] {
        &self.tables
    }

    /// The value that a defined table's elements start with.
    pub fn table_init(&self, table: TableIndex) -> &ConstExpr {
        &self.table_inits[table.index() - self.imported_tables]
    }

    /// How many tables are imported.
    pub fn imported_tables(&self) -> usize {
        self.imported_tables
    }

    /// What the code does to a table.
    pub fn table_use(&self, table: TableIndex) -> TableUse {
        self.table_uses[table.index()]
    }

    /// Whether a table is seen outside: imported or exported.
    pub fn table_is_shared(&self, table: TableIndex) -> bool {
        table.index() < self.imported_tables
            || self.exports.iter().any(|e| e.entity == EntityIndex::Table(table))
    }

    /// The memories, imports first.
    pub fn memories(&self) -> &[MemoryType] {
        &self.memories
    }

    /// How many memories are imported.
    pub fn imported_memories(&self) -> usize {
        self.imported_memories
    }

    /// The globals, imports first.
    pub fn globals(&self) -> &[GlobalType] {
        &self.globals
    }

    /// The value that a defined global starts with.
    pub fn global_init(&self, global: GlobalIndex) -> &ConstExpr {
        &self.global_inits[global.index() - self.imported_globals]
    }

    /// How many globals are imported.
    pub fn imported_globals(&self) -> usize {
        self.imported_globals
    }

    /// The type index of each tag, imports first.
    pub fn tags(&self) -> &[TypeIndex] {
        &self.tags
    }

    /// The type of a tag: its parameters are the payload.
    pub fn tag_type(&self, tag: TagIndex) -> &FuncType {
        self.func_type_at(self.tags[tag.index()])
    }

    /// How many tags are imported.
    pub fn imported_tags(&self) -> usize {
        self.imported_tags
    }

    /// The function to call at instantiation.
    pub fn start(&self) -> Option<FuncIndex> {
        self.start
    }

    /// The element segments.
    pub fn elems(&self) -> &[ElemSegment] {
        &self.elems
    }

    /// The data segments that instantiation copies, by ascending index; without those that [`Module::known_images`] hold.
    pub fn active_data(&self) -> &[ActiveData] {
        &self.active_data
    }

    /// The data segments that only instructions use, other than empty ones, ascending.
    pub fn passive_data(&self) -> impl ExactSizeIterator<Item = DataIndex> + '_ {
        self.passive_data.iter().map(|data| DataIndex(data.index.get()))
    }

    /// How many data segments there are.
    pub fn data_count(&self) -> usize {
        self.data_count as usize
    }

    /// The bytes of a data segment; none of one that an image holds, which only ever counts as dropped.
    pub fn data_bytes(&self, segment: DataIndex) -> &[u8] {
        if let Ok(i) = self.passive_data.binary_search_by_key(&segment.0, |data| data.index.get()) {
            return self.kept(&self.passive_data[i].bytes.range());
        }
        let found = self.active_data.binary_search_by_key(&segment, |data| data.index);
        found.map_or(&[], |i| self.kept(&self.active_data[i].bytes))
    }

    /// Initial contents of memories that were made before, when the module was compiled.
    pub fn known_images(&self) -> Option<&MemoryImages> {
        match &self.origin {
            Origin::Validated(_) => None,
            Origin::Restored { images, .. } => Some(images),
        }
    }

    /// The place of a function among those whose reference may be taken: exports, elements, `ref.func`.
    pub fn escaping(&self, func: FuncIndex) -> Option<u32> {
        self.escaping.binary_search_by_key(&func.0, |func| func.get()).ok().map(|place| place as u32)
    }

    /// The function at a place among those whose reference may be taken.
    pub fn escaping_func(&self, place: u32) -> FuncIndex {
        FuncIndex(self.escaping[place as usize].get())
    }

    /// The functions whose reference may be taken, in the order of their objects: ascending.
    pub fn escaping_funcs(&self) -> impl ExactSizeIterator<Item = FuncIndex> + '_ {
        self.escaping.iter().map(|func| FuncIndex(func.get()))
    }

    /// The custom sections: name, and range of the binary.
    pub fn custom_sections(&self) -> &[(Box<str>, Range<usize>)] {
        &self.custom_sections
    }

    /// The contents of the first custom section of this name.
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        let (_, range) = self.custom_sections.iter().find(|(n, _)| &**n == name)?;
        Some(self.kept(range))
    }

    /// The hints about branches, read anew at each call.
    pub fn branch_hints(&self) -> BranchHints {
        BranchHints::read(self.custom_section(branch_hints::SECTION).unwrap_or_default())
    }

    /// Where each part of an instance lies.
    pub fn layout(&self) -> &VmLayout {
        &self.layout
    }

    /// The name section, read at the first call.
    pub fn names(&self) -> &Names {
        self.names.get_or_init(|| Names::read(self.custom_section("name").unwrap_or_default()))
    }

    /// The type of something by its index.
    pub fn entity_type(&self, entity: EntityIndex) -> ExternType {
        match entity {
            EntityIndex::Func(i) => ExternType::Func(self.func_type(i).clone()),
            EntityIndex::Table(i) => ExternType::Table(self.tables[i.index()]),
            EntityIndex::Memory(i) => ExternType::Memory(self.memories[i.index()]),
            EntityIndex::Global(i) => ExternType::Global(self.globals[i.index()]),
            EntityIndex::Tag(i) => ExternType::Tag(TagType::new(self.tag_type(i).clone())),
        }
    }

    pub(crate) fn layout_counts(&self) -> LayoutCounts {
        let mut room = FIXED_ELEMENTS;
        let fixed = |(i, ty): (usize, &TableType)| {
            let table = TableIndex::new(i);
            let grows = self.table_is_shared(table) || self.table_use(table).grown;
            let fixed = ty.maximum() == Some(ty.minimum()) || !grows;
            let length = u32::try_from(ty.minimum()).ok().filter(|&n| fixed && n <= FIXED_TABLE_LIMIT)?;
            room = room.checked_sub(length)?;
            Some(length)
        };
        LayoutCounts {
            types: self.types.len() as u32,
            imported_funcs: self.imported_funcs as u32,
            escaping_funcs: self.escaping.len() as u32,
            memories: self.memories.len() as u32,
            imported_tables: self.imported_tables as u32,
            defined_tables: self.tables.iter().enumerate().skip(self.imported_tables).map(fixed).collect(),
            imported_globals: self.imported_globals as u32,
            defined_globals: (self.globals.len() - self.imported_globals) as u32,
            tags: self.tags.len() as u32,
            data_segments: self.data_count,
            elem_segments: self.elems.len() as u32,
        }
    }
}

/// Data that is not needed is kept where less than this lies between what is: the binary would have too many parts.
const GAP_MINIMUM: usize = 1024;

/// Tables of up to this many elements live inside the instance's state where their size never changes.
const FIXED_TABLE_LIMIT: u32 = 1 << 20;

impl DefinedTypes for Module {
    fn kind(&self, ty: TypeRef) -> HeapType {
        match ty {
            TypeRef::Index(i) => HeapType::of_composite(&self.types[i.index()].composite),
            // A module's own types refer to each other by index only.
            TypeRef::Rec(_) | TypeRef::Id(_) | TypeRef::Engine(_) => HeapType::Any,
        }
    }

    fn is_subtype(&self, a: TypeRef, b: TypeRef) -> bool {
        let TypeRef::Index(b) = b else { return false };
        let mut above = Some(a);
        while let Some(TypeRef::Index(a)) = above {
            if self.canonical_type(a) == self.canonical_type(b) {
                return true;
            }
            above = self.types[a.index()].supertype;
        }
        false
    }
}

impl Module {
    /// Whether its code may look into objects of the garbage-collected heap: it has structs, arrays or tags, or
    /// looks at types of objects. References to host values alone need no heap.
    pub fn uses_heap(&self) -> bool {
        self.uses_heap
    }

    /// Whether a type has no declared subtypes and may have none.
    pub fn is_final(&self, ty: TypeIndex) -> bool {
        self.types[ty.index()].is_final
    }

    /// How many types a type was declared below.
    pub fn type_depth(&self, ty: TypeIndex) -> u32 {
        let mut depth = 0;
        let mut ty = ty;
        while let Some(TypeRef::Index(above)) = self.types[ty.index()].supertype {
            ty = above;
            depth += 1;
        }
        depth
    }

    /// What a type is.
    pub fn composite_type(&self, ty: TypeIndex) -> &CompositeType {
        &self.types[ty.index()].composite
    }
}
