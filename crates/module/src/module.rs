//! A described module: the contents of a binary except the instructions, with its bytes.

use crate::branch_hints::{self, BranchHints};
use crate::import_export::{EntityIndex, Export, Import};
use crate::rows::Rows;
use crate::segments::{ActiveData, ElemSegment, PassiveData};
use crate::{Binary, ConstExpr, FuncFacts, MemoryImages, Names, TableUse};
use belljar_abi::{FIXED_ELEMENTS, LayoutCounts, VmLayout};
use belljar_core::{
    CompositeType, DataIndex, DefinedFuncIndex, DefinedTypes, ExternType, FuncIndex, FuncType, GlobalIndex,
    GlobalType, HeapType, MemoryType, SubType, TableIndex, TableType, TagIndex, TagType, TypeIndex, TypeRef,
    WasmPc,
};
use bytes::Bytes;
use std::iter::once;
use std::ops::Range;
use std::sync::OnceLock;
use wasmparser::{BinaryReader, FunctionBody};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The range of a function's body in the binary.
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

/// The ranges of the sections that describe a module, in the order of [`SECTIONS`]; empty for a missing section.
pub(crate) type Directory = [Range<usize>; SECTIONS.len()];

/// The ids of these sections, in their order in a binary.
pub(crate) const SECTIONS: [u8; 7] = [1, 2, 4, 5, 13, 6, 7];

/// A valid module and its bytes. Created by [`crate::validate()`], or from the [`crate::ModuleMetadata`] of an earlier
/// validation.
#[derive(Debug)]
pub struct Module {
    pub(crate) binary: Binary,
    pub(crate) types: Vec<SubType>,
    pub(crate) rec_groups: Vec<Range<u32>>,
    pub(crate) canonical_types: Vec<TypeIndex>,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
    /// Positions in `exports`, sorted by name.
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
    /// By ascending index. Segments that are part of an image may be missing.
    pub(crate) active_data: Vec<ActiveData>,
    /// By ascending index, without empty segments: dropping those has no effect.
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

/// The source of a module's description, with the data that only this source provides.
#[derive(Debug)]
pub(crate) enum Origin {
    /// Validation of the binary, with facts about each defined function.
    Validated(Vec<FuncFacts>),
    /// Metadata of an earlier validation, with the images of memories that came with it.
    Restored { metadata: Bytes, images: MemoryImages },
}

impl Module {
    /// Returns the binary.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// Returns the range of the code section's contents in the binary.
    pub fn code_section(&self) -> Range<usize> {
        self.code_section.clone()
    }

    /// Returns the type section, in which references to other types are indices.
    pub fn types(&self) -> &[SubType] {
        &self.types
    }

    /// Returns the recursion groups of the type section, as ranges of type indices.
    pub fn rec_groups(&self) -> &[Range<u32>] {
        &self.rec_groups
    }

    /// Returns the smallest index of a type equal to this one.
    pub fn canonical_type(&self, ty: TypeIndex) -> TypeIndex {
        self.canonical_types[ty.index()]
    }

    /// Returns a function type by its index.
    ///
    /// # Panics
    ///
    /// Panics if the type is not a function type. Validation rules this out for every type that the binary uses as one.
    pub fn func_type_at(&self, ty: TypeIndex) -> &FuncType {
        self.types[ty.index()].composite.as_func().expect("validation checked that this is a function type")
    }

    /// Returns the imports, in the order of the binary.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Returns the exports, in the order of the binary.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// Returns the export with this name.
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

    /// Returns the number of functions, imports included.
    pub fn func_count(&self) -> usize {
        self.funcs.len()
    }

    /// Returns the type index of a function.
    pub fn type_of_func(&self, func: FuncIndex) -> TypeIndex {
        TypeIndex(self.funcs[func.index()].get())
    }

    /// Returns the type of a function.
    pub fn func_type(&self, func: FuncIndex) -> &FuncType {
        self.func_type_at(self.type_of_func(func))
    }

    /// Returns the number of imported functions.
    pub fn imported_funcs(&self) -> usize {
        self.imported_funcs
    }

    /// Returns how many functions the module defines.
    pub fn defined_funcs(&self) -> usize {
        self.bodies.len()
    }

    /// Returns the index of a function among the defined functions, or `None` for an import.
    pub fn defined_func(&self, func: FuncIndex) -> Option<DefinedFuncIndex> {
        func.index().checked_sub(self.imported_funcs).map(DefinedFuncIndex::new)
    }

    /// Returns the index of a defined function.
    pub fn func_index(&self, func: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::new(func.index() + self.imported_funcs)
    }

    /// Returns the parts of the binary that are needed besides code and images of memories: without function bodies and
    /// without the data segments that the images hold.
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

    /// Returns the range of a defined function's body (locals, then code) in the binary.
    pub fn body(&self, func: DefinedFuncIndex) -> Range<usize> {
        self.bodies[func.index()].range()
    }

    /// Returns the defined function whose body contains this byte of the binary.
    pub fn func_at(&self, pc: WasmPc) -> Option<FuncIndex> {
        let i = self.bodies.partition_point(|b| b.start.get() <= pc.0).checked_sub(1)?;
        self.bodies[i].range().contains(&(pc.0 as usize)).then(|| self.func_index(DefinedFuncIndex::new(i)))
    }

    /// Returns a defined function's body, or `None` if the binary was kept without code.
    pub fn function_body(&self, func: DefinedFuncIndex) -> Option<FunctionBody<'_>> {
        let range = self.body(func);
        let start = range.start as u64;
        Some(FunctionBody::new(BinaryReader::new(self.binary.get(range)?, start)))
    }

    /// Returns bytes that are never left out.
    fn kept(&self, range: &Range<usize>) -> &[u8] {
        self.binary.get(range.clone()).expect("the description names only ranges of the binary")
    }

    /// Returns the contents of a custom section listed by [`Module::custom_sections`].
    pub fn custom_section_bytes(&self, range: &Range<usize>) -> &[u8] {
        self.kept(range)
    }

    /// Returns the facts that validation recorded about a defined function.
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

    /// Returns the tables, imports first.
    pub fn tables(&self) -> &[TableType] {
        &self.tables
    }

    /// Returns the initial value of a defined table's elements.
    pub fn table_init(&self, table: TableIndex) -> &ConstExpr {
        &self.table_inits[table.index() - self.imported_tables]
    }

    /// Returns the number of imported tables.
    pub fn imported_tables(&self) -> usize {
        self.imported_tables
    }

    /// Returns how the code uses a table.
    pub fn table_use(&self, table: TableIndex) -> TableUse {
        self.table_uses[table.index()]
    }

    /// Returns whether a table is visible outside the module: imported or exported.
    pub fn table_is_shared(&self, table: TableIndex) -> bool {
        table.index() < self.imported_tables
            || self.exports.iter().any(|e| e.entity == EntityIndex::Table(table))
    }

    /// Returns the memories, imports first.
    pub fn memories(&self) -> &[MemoryType] {
        &self.memories
    }

    /// Returns the number of imported memories.
    pub fn imported_memories(&self) -> usize {
        self.imported_memories
    }

    /// Returns the globals, imports first.
    pub fn globals(&self) -> &[GlobalType] {
        &self.globals
    }

    /// Returns the initial value of a defined global.
    pub fn global_init(&self, global: GlobalIndex) -> &ConstExpr {
        &self.global_inits[global.index() - self.imported_globals]
    }

    /// Returns the number of imported globals.
    pub fn imported_globals(&self) -> usize {
        self.imported_globals
    }

    /// Returns the type index of each tag, imports first.
    pub fn tags(&self) -> &[TypeIndex] {
        &self.tags
    }

    /// Returns the type of a tag, whose parameters are the payload.
    pub fn tag_type(&self, tag: TagIndex) -> &FuncType {
        self.func_type_at(self.tags[tag.index()])
    }

    /// Returns the number of imported tags.
    pub fn imported_tags(&self) -> usize {
        self.imported_tags
    }

    /// Returns the function that instantiation calls.
    pub fn start(&self) -> Option<FuncIndex> {
        self.start
    }

    /// Returns the element segments.
    pub fn elems(&self) -> &[ElemSegment] {
        &self.elems
    }

    /// Returns the data segments that instantiation copies, by ascending index, without those held by
    /// [`Module::known_images`].
    pub fn active_data(&self) -> &[ActiveData] {
        &self.active_data
    }

    /// Returns the non-empty data segments that only instructions use, ascending.
    pub fn passive_data(&self) -> impl ExactSizeIterator<Item = DataIndex> + '_ {
        self.passive_data.iter().map(|data| DataIndex(data.index.get()))
    }

    /// Returns the number of data segments.
    pub fn data_count(&self) -> usize {
        self.data_count as usize
    }

    /// Returns the bytes of a data segment. They are empty for a segment that an image holds, which counts as dropped.
    pub fn data_bytes(&self, segment: DataIndex) -> &[u8] {
        if let Ok(i) = self.passive_data.binary_search_by_key(&segment.0, |data| data.index.get()) {
            return self.kept(&self.passive_data[i].bytes.range());
        }
        let found = self.active_data.binary_search_by_key(&segment, |data| data.index);
        found.map_or(&[], |i| self.kept(&self.active_data[i].bytes))
    }

    /// Returns the initial contents of memories that were built when the module was compiled.
    pub fn known_images(&self) -> Option<&MemoryImages> {
        match &self.origin {
            Origin::Validated(_) => None,
            Origin::Restored { images, .. } => Some(images),
        }
    }

    /// Returns the position of a function among the escaping functions: those whose reference may be taken by exports,
    /// elements or `ref.func`.
    pub fn escaping(&self, func: FuncIndex) -> Option<u32> {
        self.escaping.binary_search_by_key(&func.0, |func| func.get()).ok().map(|place| place as u32)
    }

    /// Returns the escaping function at a position.
    pub fn escaping_func(&self, place: u32) -> FuncIndex {
        FuncIndex(self.escaping[place as usize].get())
    }

    /// Returns the escaping functions in the order of their objects, which is ascending.
    pub fn escaping_funcs(&self) -> impl ExactSizeIterator<Item = FuncIndex> + '_ {
        self.escaping.iter().map(|func| FuncIndex(func.get()))
    }

    /// Returns the custom sections: their names and their ranges in the binary.
    pub fn custom_sections(&self) -> &[(Box<str>, Range<usize>)] {
        &self.custom_sections
    }

    /// Returns the contents of the first custom section with this name.
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        let (_, range) = self.custom_sections.iter().find(|(n, _)| &**n == name)?;
        Some(self.kept(range))
    }

    /// Returns the branch hints. Each call parses them again.
    pub fn branch_hints(&self) -> BranchHints {
        BranchHints::read(self.custom_section(branch_hints::SECTION).unwrap_or_default())
    }

    /// Returns the layout of instances.
    pub fn layout(&self) -> &VmLayout {
        &self.layout
    }

    /// Returns the names of functions and globals. The first call parses the name section.
    pub fn names(&self) -> &Names {
        self.names
            .get_or_init(|| Names::read(self.custom_section("name").unwrap_or_default(), self.exports()))
    }

    /// Returns the type of an item by its index.
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

/// Gaps of less than this between needed parts are kept: the binary would otherwise have too many parts.
const GAP_MINIMUM: usize = 1024;

/// Tables of at most this many elements lie in the instance's state if their size never changes.
const FIXED_TABLE_LIMIT: u32 = 1 << 20;

impl DefinedTypes for Module {
    fn kind(&self, ty: TypeRef) -> HeapType {
        match ty {
            TypeRef::Index(i) => HeapType::of_composite(&self.types[i.index()].composite),
            // A module's own types refer to each other by index alone.
            TypeRef::Rec(_) | TypeRef::Id(_) => HeapType::Any,
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
    /// Returns whether the code may inspect objects of the garbage-collected heap: it has structs, arrays or tags, or
    /// tests the types of objects. References to host values alone need no heap.
    pub fn uses_heap(&self) -> bool {
        self.uses_heap
    }

    /// Returns whether a type has no declared subtypes and may have none.
    pub fn is_final(&self, ty: TypeIndex) -> bool {
        self.types[ty.index()].is_final
    }

    /// Returns the number of supertypes of a type, direct and indirect.
    pub fn type_depth(&self, ty: TypeIndex) -> u32 {
        let mut depth = 0;
        let mut ty = ty;
        while let Some(TypeRef::Index(above)) = self.types[ty.index()].supertype {
            ty = above;
            depth += 1;
        }
        depth
    }

    /// Returns the definition of a type.
    pub fn composite_type(&self, ty: TypeIndex) -> &CompositeType {
        &self.types[ty.index()].composite
    }
}
