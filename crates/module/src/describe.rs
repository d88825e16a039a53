//! Collects the sections of a binary into a [`Module`]. The validator has seen each payload before.

use crate::binary::Binary;
use crate::const_expr::{ConstExpr, ConstOp};
use crate::error::ModuleError;
use crate::facts::{FuncFacts, TableUse};
use crate::module::{
    Body, DataSegment, ElemItems, ElemSegment, EntityIndex, Export, Import, Module, SegmentMode,
};
use crate::wasm_types::{global_type, memory_type, sub_type, table_type};
use belljar_abi::{LayoutCounts, VmLayout};
use belljar_core::{
    CompositeType, FuncIndex, GlobalIndex, MemoryIndex, SubType, TableIndex, TagIndex, TypeIndex, WasmPc,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;
use wasmparser::{DataKind, ElementItems, ElementKind, ExternalKind, Payload, TableInit, TypeRef};

pub(crate) struct Describer {
    module: Module,
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
            export_names: HashMap::new(),
            funcs: Vec::new(),
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
            data: Vec::new(),
            code_section: 0..0,
            bodies: Vec::new(),
            facts: Vec::new(),
            table_uses: Vec::new(),
            escaping: Vec::new(),
            escaping_list: Vec::new(),
            custom_sections: Vec::new(),
            layout,
            names: OnceLock::new(),
        };
        Self { module }
    }

    pub(crate) fn table_count(&self) -> usize {
        self.module.tables.len()
    }

    /// How many functions are defined, and how many types and tables there are.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let m = &self.module;
        (m.funcs.len() - m.imported_funcs, m.types.len(), m.tables.len())
    }

    pub(crate) fn set_bodies(&mut self, bodies: impl Iterator<Item = Body>) {
        self.module.bodies = bodies.collect();
    }

    pub(crate) fn body(&mut self, range: Range<u64>) {
        let length = (range.end - range.start) as u32;
        self.module.bodies.push(Body { start: WasmPc(range.start as u32), length });
    }

    pub(crate) fn payload(&mut self, payload: Payload<'_>) -> Result<(), ModuleError> {
        let m = &mut self.module;
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
                    m.funcs.push(TypeIndex(ty?));
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
                    m.export_names.insert(export.name.into(), m.exports.len());
                    m.exports.push(Export { name: export.name.into(), entity });
                }
            }
            Payload::StartSection { func, .. } => m.start = Some(FuncIndex(func)),
            Payload::ElementSection(section) => {
                for elem in section {
                    m.elems.push(elem_segment(elem?)?);
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let mode = match data.kind {
                        DataKind::Passive => SegmentMode::Passive,
                        DataKind::Active { memory_index, offset_expr } => {
                            SegmentMode::Active(MemoryIndex(memory_index), ConstExpr::read(&offset_expr)?)
                        }
                    };
                    let end = data.range.end as usize;
                    m.data.push(DataSegment { mode, bytes: end - data.data.len()..end });
                }
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
                m.funcs.push(TypeIndex(ty));
                m.imported_funcs += 1;
                EntityIndex::Func(FuncIndex::new(m.funcs.len() - 1))
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

    /// `canonical_types`: for each type, the smallest index of an equal one; empty where types do not refer to
    /// each other, so that they are equal if they look it.
    pub(crate) fn finish(
        self,
        facts: Vec<FuncFacts>,
        table_uses: Vec<TableUse>,
        canonical_types: Vec<TypeIndex>,
        looks_into_objects: bool,
    ) -> Result<Module, ModuleError> {
        let mut m = self.module;
        m.canonical_types = match canonical_types {
            interned if interned.len() == m.types.len() => interned,
            _ => first_alike(&m.types),
        };
        m.facts = facts;
        m.table_uses = table_uses;
        m.uses_heap = looks_into_objects || has_objects(&m);
        m.escaping = vec![None; m.funcs.len()];
        for func in escaping(&m) {
            let slot = &mut m.escaping[func.index()];
            if slot.is_none() {
                *slot = Some(m.escaping_list.len() as u32);
                m.escaping_list.push(func);
            }
        }
        m.layout = VmLayout::new(m.layout_counts()).ok_or_else(|| ModuleError::TooLarge {
            what: format!(
                "{} functions whose references are taken, {} imports, {} globals and {} fixed tables need more \
                 than half of the {} that all instances of a store may fill",
                m.escaping_list.len(),
                m.imports.len(),
                m.globals.len(),
                m.tables.len() - m.imported_tables,
                belljar_core::ByteCount(belljar_abi::CONTEXT_DISTANCE as u64),
            ),
        })?;
        Ok(m)
    }
}

fn has_objects(m: &Module) -> bool {
    !m.tags.is_empty() || m.types.iter().any(|ty| !matches!(ty.composite, CompositeType::Func(_)))
}

/// For each type, the smallest index of one that looks the same.
fn first_alike(types: &[SubType]) -> Vec<TypeIndex> {
    let mut first = HashMap::new();
    types.iter().enumerate().map(|(i, ty)| *first.entry(ty).or_insert(TypeIndex::new(i))).collect()
}

/// Every function whose reference can be taken, repeats included. What `ref.func` in code names must occur
/// in one of these places too: the specification demands it.
fn escaping(m: &Module) -> Vec<FuncIndex> {
    fn of_expr(out: &mut Vec<FuncIndex>, expr: &ConstExpr) {
        out.extend(expr.ops().iter().filter_map(|op| match op {
            ConstOp::RefFunc(f) => Some(*f),
            _ => None,
        }));
    }
    let mut out = Vec::new();
    out.extend(m.exports.iter().filter_map(|e| match e.entity {
        EntityIndex::Func(f) => Some(f),
        _ => None,
    }));
    out.extend(m.start);
    m.global_inits.iter().chain(&m.table_inits).for_each(|e| of_expr(&mut out, e));
    for elem in &m.elems {
        match &elem.items {
            ElemItems::Funcs(funcs) => out.extend_from_slice(funcs),
            ElemItems::Exprs(exprs) => exprs.iter().for_each(|e| of_expr(&mut out, e)),
        }
    }
    out
}

fn slice(range: Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn elem_segment(elem: wasmparser::Element<'_>) -> Result<ElemSegment, ModuleError> {
    let mode = match elem.kind {
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
        ElementKind::Active { table_index, offset_expr } => {
            SegmentMode::Active(TableIndex(table_index.unwrap_or(0)), ConstExpr::read(&offset_expr)?)
        }
    };
    let items = match elem.items {
        ElementItems::Functions(funcs) => {
            ElemItems::Funcs(funcs.into_iter().map(|f| f.map(FuncIndex)).collect::<Result<_, _>>()?)
        }
        ElementItems::Expressions(_, exprs) => {
            let read = exprs.into_iter().map(|e| ConstExpr::read(&e?)).collect::<Result<Vec<_>, _>>()?;
            let funcs: Option<Box<[FuncIndex]>> = read
                .iter()
                .map(|e| match e.ops() {
                    [ConstOp::RefFunc(f)] => Some(*f),
                    _ => None,
                })
                .collect();
            funcs.map_or_else(|| ElemItems::Exprs(read.into()), ElemItems::Funcs)
        }
    };
    Ok(ElemSegment { mode, items })
}
