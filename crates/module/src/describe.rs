//! Collects the sections of a binary into a [`Module`]. The validator has accepted each payload before.

use crate::binary::Binary;
use crate::const_expr::{ConstExpr, ConstOp};
use crate::error::ModuleError;
use crate::facts::{FuncFacts, TableUse};
use crate::import_export::{EntityIndex, Export, Import};
use crate::module::{BodyRange, Directory, Module, Origin, SECTIONS};
use crate::rows::Rows;
use crate::segments::{ActiveData, BinaryRange, ElemFuncs, ElemItems, ElemSegment, PassiveData, SegmentMode};
use crate::wasm_types::{global_type, memory_type, sub_type, table_type};
use belljar_abi::{LayoutCounts, VmLayout};
use belljar_core::{
    CompositeType, DataIndex, FuncIndex, GlobalIndex, MemoryIndex, SubType, TableIndex, TagIndex, TypeIndex,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;
use wasmparser::{DataKind, ElementItems, ElementKind, ExternalKind, Payload, TableInit, TypeRef};
use zerocopy::little_endian::U32;

pub(crate) struct Describer {
    module: Module,
    /// The type of each function.
    funcs: Vec<U32>,
    bodies: Vec<BodyRange>,
    elems: Vec<Elem>,
}

/// An element segment whose functions are not yet numbered by their position among the escaping functions.
pub(crate) struct Elem {
    mode: SegmentMode<TableIndex>,
    items: Items,
    range: Range<usize>,
}

enum Items {
    Funcs(Vec<FuncIndex>),
    Exprs(Box<[ConstExpr]>),
}

impl Describer {
    pub(crate) fn new(binary: Binary) -> Self {
        let layout = VmLayout::new(LayoutCounts::default()).expect("an empty layout fits");
        let module = Module {
            binary,
            types: Vec::new(),
            rec_groups: Vec::new(),
            canonical_types: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            exports_by_name: OnceLock::new(),
            funcs: Rows::default(),
            imported_funcs: 0,
            tables: Vec::new(),
            table_inits: Vec::new(),
            imported_tables: 0,
            memories: Vec::new(),
            imported_memories: 0,
            globals: Vec::new(),
            global_inits: Vec::new(),
            imported_globals: 0,
            tags: Vec::new(),
            imported_tags: 0,
            uses_heap: false,
            start: None,
            elems: Vec::new(),
            active_data: Vec::new(),
            passive_data: Rows::default(),
            data_count: 0,
            data_section: 0..0,
            code_section: 0..0,
            bodies: Rows::default(),
            table_uses: Vec::new(),
            escaping: Rows::default(),
            custom_sections: Vec::new(),
            directory: Directory::default(),
            layout,
            names: OnceLock::new(),
            origin: Origin::Validated(Vec::new()),
        };
        Self { module, funcs: Vec::new(), bodies: Vec::new(), elems: Vec::new() }
    }

    pub(crate) fn table_count(&self) -> usize {
        self.module.tables.len()
    }

    pub(crate) fn body(&mut self, range: Range<u64>) {
        let length = (range.end - range.start) as u32;
        self.bodies.push(BodyRange { start: U32::new(range.start as u32), length: U32::new(length) });
    }

    /// Returns the module as far as the sections so far describe it. The caller adds the rest from metadata.
    pub(crate) fn restored(self) -> Module {
        self.module
    }

    pub(crate) fn payload(&mut self, payload: Payload<'_>) -> Result<(), ModuleError> {
        let m = &mut self.module;
        if let Some((id, range)) = payload.as_section()
            && let Some(i) = SECTIONS.iter().position(|known| *known == id)
        {
            m.directory[i] = slice(range);
        }
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    let start = m.types.len() as u32;
                    for ty in group?.into_types() {
                        m.types.push(sub_type(&ty)?);
                    }
                    m.rec_groups.push(start..m.types.len() as u32);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.funcs.push(U32::new(ty?));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    m.tables.push(table_type(&table.ty)?);
                    m.table_inits.push(match table.init {
                        TableInit::RefNull => ConstExpr::null(),
                        TableInit::Expr(expr) => ConstExpr::read(&expr)?,
                    });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    m.memories.push(memory_type(&memory?));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    m.globals.push(global_type(&global.ty)?);
                    m.global_inits.push(ConstExpr::read(&global.init_expr)?);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    m.tags.push(TypeIndex(tag?.func_type_idx));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let entity = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => {
                            EntityIndex::Func(FuncIndex(export.index))
                        }
                        ExternalKind::Table => EntityIndex::Table(TableIndex(export.index)),
                        ExternalKind::Memory => EntityIndex::Memory(MemoryIndex(export.index)),
                        ExternalKind::Global => EntityIndex::Global(GlobalIndex(export.index)),
                        ExternalKind::Tag => EntityIndex::Tag(TagIndex(export.index)),
                    };
                    m.exports.push(Export { name: export.name.into(), entity });
                }
            }
            Payload::StartSection { func, .. } => m.start = Some(FuncIndex(func)),
            Payload::ElementSection(section) => {
                for elem in section {
                    self.elems.push(elem_segment(elem?)?);
                }
            }
            Payload::DataSection(section) => {
                m.data_section = slice(section.range());
                m.data_count = section.count();
                let mut passive = Vec::new();
                for (i, data) in section.into_iter().enumerate() {
                    let (index, data) = (DataIndex::new(i), data?);
                    match active_data(index, &data)? {
                        Some(active) => m.active_data.push(active),
                        None if data.data.is_empty() => {}
                        None => passive.push(PassiveData {
                            index: U32::new(index.0),
                            bytes: BinaryRange::of(&data_bytes(&data)),
                        }),
                    }
                }
                m.passive_data = passive.into_iter().collect();
            }
            Payload::CodeSectionStart { unchecked_range, .. } => m.code_section = slice(unchecked_range),
            Payload::CustomSection(section) => {
                let range = section.data_offset()..section.data_offset() + section.data().len() as u64;
                m.custom_sections.push((section.name().into(), slice(range)));
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) -> Result<(), ModuleError> {
        let m = &mut self.module;
        let entity = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.funcs.push(U32::new(ty));
                m.imported_funcs += 1;
                EntityIndex::Func(FuncIndex::new(m.imported_funcs - 1))
            }
            TypeRef::Table(ty) => {
                m.tables.push(table_type(&ty)?);
                m.imported_tables += 1;
                EntityIndex::Table(TableIndex::new(m.tables.len() - 1))
            }
            TypeRef::Memory(ty) => {
                m.memories.push(memory_type(&ty));
                m.imported_memories += 1;
                EntityIndex::Memory(MemoryIndex::new(m.memories.len() - 1))
            }
            TypeRef::Global(ty) => {
                m.globals.push(global_type(&ty)?);
                m.imported_globals += 1;
                EntityIndex::Global(GlobalIndex::new(m.globals.len() - 1))
            }
            TypeRef::Tag(ty) => {
                m.tags.push(TypeIndex(ty.func_type_idx));
                m.imported_tags += 1;
                EntityIndex::Tag(TagIndex::new(m.tags.len() - 1))
            }
        };
        m.imports.push(Import { module: import.module.into(), name: import.name.into(), entity });
        Ok(())
    }

    /// `canonical_types` maps each type to the smallest index of an equal type. It is empty if types do not refer to
    /// each other; types are then equal if their definitions are.
    pub(crate) fn finish(
        self,
        facts: Vec<FuncFacts>,
        table_uses: Vec<TableUse>,
        canonical_types: Vec<TypeIndex>,
        inspects_objects: bool,
    ) -> Result<Module, ModuleError> {
        let mut m = self.module;
        m.canonical_types = match canonical_types {
            interned if interned.len() == m.types.len() => interned,
            _ => first_alike(&m.types),
        };
        m.origin = Origin::Validated(facts);
        m.table_uses = table_uses;
        m.uses_heap = inspects_objects || has_objects(&m);
        m.funcs = self.funcs.into_iter().collect();
        m.bodies = self.bodies.into_iter().collect();
        let mut escaping: Vec<FuncIndex> = Vec::new();
        for_each_reference(&m, |func| escaping.push(func));
        for elem in &self.elems {
            match &elem.items {
                Items::Funcs(funcs) => escaping.extend_from_slice(funcs),
                Items::Exprs(exprs) => {
                    exprs.iter().for_each(|e| for_each_func(e, &mut |func| escaping.push(func)))
                }
            }
        }
        escaping.sort_unstable();
        escaping.dedup();
        m.escaping = escaping.into_iter().map(|func| U32::new(func.0)).collect();
        let elems: Option<Vec<_>> = self.elems.into_iter().map(|elem| elem.numbered(&m)).collect();
        m.elems = elems.expect("all functions of element segments escape");
        m.set_layout()?;
        Ok(m)
    }
}

impl Module {
    /// Computes the layout of instances, once everything else is known.
    pub(crate) fn set_layout(&mut self) -> Result<(), ModuleError> {
        self.layout = VmLayout::new(self.layout_counts()).ok_or_else(|| ModuleError::TooLarge {
            what: format!(
                "{} functions whose references are taken, {} imports, {} globals and {} fixed tables need more \
                 than half of the {} that all instances of a store share",
                self.escaping.len(),
                self.imports.len(),
                self.globals.len(),
                self.tables.len() - self.imported_tables,
                belljar_core::ByteCount(belljar_abi::CONTEXT_DISTANCE as u64),
            ),
        })?;
        Ok(())
    }
}

impl Elem {
    /// Replaces functions by their positions among the escaping functions. Returns `None` if one does not escape.
    pub(crate) fn numbered(self, m: &Module) -> Option<ElemSegment> {
        let place = |func: FuncIndex| m.escaping(func).map(U32::new);
        let items = match self.items {
            Items::Funcs(funcs) => {
                let places: Option<Vec<U32>> = funcs.into_iter().map(place).collect();
                ElemItems::Funcs(ElemFuncs(places?.into_iter().collect()))
            }
            Items::Exprs(exprs) => ElemItems::Exprs(exprs),
        };
        Some(ElemSegment { mode: self.mode, items, range: self.range })
    }
}

fn has_objects(m: &Module) -> bool {
    !m.tags.is_empty() || m.types.iter().any(|ty| !matches!(ty.composite, CompositeType::Func(_)))
}

/// Maps each type to the smallest index of a type with the same definition.
fn first_alike(types: &[SubType]) -> Vec<TypeIndex> {
    let mut first = HashMap::new();
    types.iter().enumerate().map(|(i, ty)| *first.entry(ty).or_insert(TypeIndex::new(i))).collect()
}

/// Calls `f` for every function whose reference can be taken other than by element segments, repeats included. The
/// specification demands that a function named by `ref.func` in code also occurs in one of these places.
pub(crate) fn for_each_reference(m: &Module, mut f: impl FnMut(FuncIndex)) {
    for export in &m.exports {
        if let EntityIndex::Func(func) = export.entity {
            f(func);
        }
    }
    m.start.into_iter().for_each(&mut f);
    m.global_inits.iter().chain(&m.table_inits).for_each(|expr| for_each_func(expr, &mut f));
}

/// Calls `f` for every function that an expression refers to.
pub(crate) fn for_each_func(expr: &ConstExpr, f: &mut impl FnMut(FuncIndex)) {
    for op in expr.ops() {
        if let ConstOp::RefFunc(func) = op {
            f(*func);
        }
    }
}

fn slice(range: Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Returns the range of a segment's bytes in the binary.
fn data_bytes(data: &wasmparser::Data<'_>) -> Range<usize> {
    let end = data.range.end as usize;
    end - data.data.len()..end
}

/// Reads a data segment if it is active.
pub(crate) fn active_data(
    index: DataIndex,
    data: &wasmparser::Data<'_>,
) -> Result<Option<ActiveData>, ModuleError> {
    let DataKind::Active { memory_index, offset_expr } = &data.kind else { return Ok(None) };
    let (memory, offset) = (MemoryIndex(*memory_index), ConstExpr::read(offset_expr)?);
    Ok(Some(ActiveData { index, memory, offset, bytes: data_bytes(data), start: data.range.start as usize }))
}

pub(crate) fn elem_segment(elem: wasmparser::Element<'_>) -> Result<Elem, ModuleError> {
    let mode = match elem.kind {
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
        ElementKind::Active { table_index, offset_expr } => {
            SegmentMode::Active(TableIndex(table_index.unwrap_or(0)), ConstExpr::read(&offset_expr)?)
        }
    };
    let items = match elem.items {
        ElementItems::Functions(funcs) => {
            Items::Funcs(funcs.into_iter().map(|f| f.map(FuncIndex)).collect::<Result<_, _>>()?)
        }
        ElementItems::Expressions(_, exprs) => {
            let read = exprs.into_iter().map(|e| ConstExpr::read(&e?)).collect::<Result<Vec<_>, _>>()?;
            let funcs: Option<Vec<FuncIndex>> = read
                .iter()
                .map(|e| match e.ops() {
                    [ConstOp::RefFunc(f)] => Some(*f),
                    _ => None,
                })
                .collect();
            funcs.map_or_else(|| Items::Exprs(read.into()), Items::Funcs)
        }
    };
    Ok(Elem { mode, items, range: slice(elem.range) })
}
