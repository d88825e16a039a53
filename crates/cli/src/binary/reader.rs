//! Reads a binary to a [`Description`]. Nothing is validated: a file that is broken, or too new for the engine, is
//! described as far as it can be read, and the first problem is recorded.

use super::custom;
use super::description::{
    DataSegment, Description, Export, Import, Kind, Memory, Problem, Section, Table, UsedFeature,
};
use super::entities::{self, Entities};
use super::features::{Feature, FeatureSet};
use super::layout::{self, DefinedGlobal};
use super::passive::PassiveData;
use std::collections::BTreeMap;
use wasmparser::{
    BinaryReaderError, ConstExpr, DataKind, ElementItems, ElementKind, Encoding, ExternalKind, FunctionBody,
    Imports, Operator, Parser, Payload, TableInit, TypeRef,
};

/// The state of reading.
#[derive(Default)]
struct Reader<'a> {
    /// The whole file.
    bytes: &'a [u8],
    out: Description,
    entities: Entities,
    features: FeatureSet,
    imported_memories: Vec<String>,
    imported_tables: Vec<String>,
    imported_globals: u32,
    exported: Vec<(ExternalKind, u32, String)>,
    globals: Vec<DefinedGlobal>,
    global_names: BTreeMap<u32, Vec<String>>,
    passive: PassiveData,
    /// The nesting depth of modules and components; the outermost is 1.
    depth: u32,
}

/// Describes the contents of a file.
pub(crate) fn describe(bytes: &[u8]) -> Description {
    let mut reader = Reader { bytes, ..Reader::default() };
    reader.out.size = bytes.len() as u64;
    for payload in Parser::new(0).parse_all(bytes) {
        // An error of the parser itself ends the iteration; an error inside a section only ends that section.
        let read = payload.and_then(|payload| reader.payload(payload));
        if let Err(error) = read {
            reader.problem(&error);
        }
    }
    reader.finish()
}

/// Returns the features that a binary uses but the engine does not support.
pub(crate) fn unsupported_features(bytes: &[u8]) -> Vec<&'static str> {
    let features = describe(bytes).features;
    features.iter().filter(|f| !f.supported).map(|f| f.name).collect()
}

impl Reader<'_> {
    fn problem(&mut self, error: &BinaryReaderError) {
        let problem = Problem { offset: error.offset(), message: error.message().into() };
        self.out.error.get_or_insert(problem);
    }

    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match &payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                if self.depth == 1 {
                    self.out.kind = match encoding {
                        Encoding::Module => Kind::Module,
                        Encoding::Component => Kind::Component,
                    };
                }
                return Ok(());
            }
            Payload::End(_) => {
                self.depth -= 1;
                return Ok(());
            }
            _ => {}
        }
        if self.depth == 1 {
            self.section(&payload);
        }
        match self.out.kind {
            Kind::Module => self.contents(payload),
            _ if self.depth == 1 => self.component_contents(payload),
            _ => Ok(()),
        }
    }

    fn section(&mut self, payload: &Payload<'_>) {
        let Some((id, range)) = payload.as_section() else { return };
        let (name, count) = match payload {
            Payload::CustomSection(custom) => (format!("custom \"{}\"", custom.name()), None),
            other => section_name(other, id),
        };
        self.out.sections.push(Section { name, offset: range.start, size: range.end - range.start, count });
    }

    fn component_contents(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    let ty = component_type(&format!("{:?}", import.ty));
                    self.out.imports.push(Import {
                        module: String::new(),
                        name: import.name.name.into(),
                        ty,
                    });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ty = component_type(&format!("{:?}", export.kind));
                    let name = export.name.name.into();
                    self.out.exports.push(Export { name, ty, index: export.index });
                }
            }
            Payload::CustomSection(section) => custom::read(&section, &mut self.out, &mut self.global_names)?,
            _ => {}
        }
        Ok(())
    }

    fn contents(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    let group = group?;
                    self.features.rec_group(self.entities.type_count(), &group);
                    group.into_types().for_each(|ty| self.entities.push_type(ty));
                }
            }
            Payload::ImportSection(section) => {
                for group in section {
                    self.imports(group?)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.entities.funcs.push(ty?);
                    self.out.functions.defined += 1;
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    self.features.table(self.entities.tables.len(), &table.ty);
                    self.entities.tables.push(table.ty);
                    if let TableInit::Expr(expr) = &table.init {
                        self.features.insert(Feature::FunctionReferences);
                        self.const_expr(expr)?;
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    self.features.memory(self.entities.memories.len(), &memory);
                    self.entities.memories.push(memory);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    self.features.insert(Feature::Exceptions);
                    self.entities.tags.push(tag?.func_type_idx);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.global(global?)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.export(export?);
                }
            }
            Payload::StartSection { func, .. } => self.out.functions.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.out.element_segments += 1;
                    self.element(element?)?;
                }
            }
            Payload::DataCountSection { .. } => self.features.insert(Feature::BulkMemory),
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            Payload::DataSection(section) => {
                for data in section {
                    self.data(data?)?;
                }
            }
            Payload::CustomSection(section) => custom::read(&section, &mut self.out, &mut self.global_names)?,
            _ => {}
        }
        Ok(())
    }

    fn imports(&mut self, group: Imports<'_>) -> wasmparser::Result<()> {
        if !matches!(group, Imports::Single(..)) {
            self.features.insert(Feature::CompactImports);
        }
        for import in group {
            let (_, import) = import?;
            self.import(import.module, import.name, import.ty);
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, ty: TypeRef) {
        let full_name = || format!("{module}::{name}");
        match ty {
            TypeRef::Func(_) => self.out.functions.imported += 1,
            TypeRef::FuncExact(_) => {
                self.features.insert(Feature::CustomDescriptors);
                self.out.functions.imported += 1;
            }
            TypeRef::Table(ty) => {
                self.features.table(self.entities.tables.len(), &ty);
                self.imported_tables.push(full_name());
            }
            TypeRef::Memory(ty) => {
                self.features.memory(self.entities.memories.len(), &ty);
                self.imported_memories.push(full_name());
            }
            TypeRef::Global(ty) => {
                self.features.global(ty);
                self.imported_globals += 1;
            }
            TypeRef::Tag(_) => self.features.insert(Feature::Exceptions),
        }
        self.entities.push_import(ty);
        let ty = self.entities.import(ty);
        self.out.imports.push(Import { module: module.into(), name: name.into(), ty });
    }

    fn const_expr(&mut self, expr: &ConstExpr<'_>) -> wasmparser::Result<()> {
        self.features.const_expr(expr, self.imported_globals)
    }

    fn global(&mut self, global: wasmparser::Global<'_>) -> wasmparser::Result<()> {
        let index = self.entities.globals.len() as u32;
        self.entities.globals.push(global.ty);
        self.features.global(global.ty);
        self.const_expr(&global.init_expr)?;
        let value = constant(&global.init_expr);
        self.globals.push(DefinedGlobal { index, ty: global.ty, value });
        Ok(())
    }

    fn export(&mut self, export: wasmparser::Export<'_>) {
        let wasmparser::Export { name, kind, index } = export;
        if kind == ExternalKind::Global {
            self.global_names.entry(index).or_default().push(name.into());
        }
        self.exported.push((kind, index, name.into()));
        let ty = self.entities.export(kind, index);
        self.out.exports.push(Export { name: name.into(), ty, index });
    }

    fn element(&mut self, element: wasmparser::Element<'_>) -> wasmparser::Result<()> {
        match &element.kind {
            ElementKind::Active { offset_expr, .. } => self.const_expr(offset_expr)?,
            ElementKind::Passive | ElementKind::Declared => self.features.insert(Feature::BulkMemory),
        }
        if let ElementItems::Expressions(ty, items) = element.items {
            self.features.ref_type(ty);
            for item in items {
                self.const_expr(&item?)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, data: wasmparser::Data<'_>) -> wasmparser::Result<()> {
        let (memory, address, passive) = match &data.kind {
            DataKind::Passive => {
                self.features.insert(Feature::BulkMemory);
                (None, None, true)
            }
            DataKind::Active { memory_index, offset_expr } => {
                self.const_expr(offset_expr)?;
                (Some(*memory_index), constant(offset_expr), false)
            }
        };
        self.out.data.push(DataSegment { memory, address, passive, size: data.data.len() as u64 });
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        let range = body.range();
        self.out.functions.largest_body = self.out.functions.largest_body.max(range.end - range.start);
        for local in body.get_locals_reader()? {
            self.features.val_type(local?.1);
        }
        let mut ops = body.get_operators_reader()?;
        while !ops.eof() {
            let (op, start) = ops.read_with_offset()?;
            let range = start as usize..ops.original_position() as usize;
            self.features.operator(&op, self.bytes.get(range).unwrap_or_default());
            self.passive.operator(&op);
        }
        self.passive.end_of_body();
        Ok(())
    }

    fn finish(mut self) -> Description {
        let exported = |wanted: ExternalKind, i: usize| {
            let of =
                |(kind, index, _): &&(ExternalKind, u32, String)| *kind == wanted && *index as usize == i;
            self.exported.iter().filter(of).map(|(_, _, name)| name.clone()).collect::<Vec<_>>()
        };
        for (i, ty) in self.entities.memories.iter().enumerate() {
            let page = 1_u64.checked_shl(ty.page_size_log2.unwrap_or(16)).unwrap_or(0);
            self.out.memories.push(Memory {
                ty: entities::memory(ty),
                minimum_bytes: ty.initial.saturating_mul(page),
                maximum_bytes: ty.maximum.map(|m| m.saturating_mul(page)),
                imported: self.imported_memories.get(i).cloned(),
                exported: exported(ExternalKind::Memory, i),
            });
        }
        for (i, ty) in self.entities.tables.iter().enumerate() {
            self.out.tables.push(Table {
                ty: entities::table(ty),
                imported: self.imported_tables.get(i).cloned(),
                exported: exported(ExternalKind::Table, i),
            });
        }
        self.out.globals = self.entities.globals.len();
        if !self.out.memories.is_empty() {
            let zeroed = self.passive.place(&mut self.out.data);
            self.out.layout = layout::of(&self.globals, &self.global_names, &self.out.data, zeroed);
        }
        let used = |f: Feature| UsedFeature { name: f.name(), supported: f.is_supported() };
        self.out.features = self.features.iter().map(used).collect();
        self.out
    }
}

/// Returns the value of an expression that is a single integer constant.
fn constant(expr: &ConstExpr<'_>) -> Option<u64> {
    let mut ops = expr.get_operators_reader();
    let value = match ops.read().ok()? {
        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
        Operator::I64Const { value } => value.cast_unsigned(),
        _ => return None,
    };
    matches!(ops.read().ok()?, Operator::End).then_some(value)
}

/// Returns a section's name, and its number of entries if it is a list.
fn section_name(payload: &Payload<'_>, id: u8) -> (String, Option<u32>) {
    let (name, count) = match payload {
        Payload::TypeSection(s) => ("type", Some(s.count())),
        Payload::ImportSection(s) => ("import", Some(s.count())),
        Payload::FunctionSection(s) => ("function", Some(s.count())),
        Payload::TableSection(s) => ("table", Some(s.count())),
        Payload::MemorySection(s) => ("memory", Some(s.count())),
        Payload::TagSection(s) => ("tag", Some(s.count())),
        Payload::GlobalSection(s) => ("global", Some(s.count())),
        Payload::ExportSection(s) => ("export", Some(s.count())),
        Payload::StartSection { .. } => ("start", None),
        Payload::ElementSection(s) => ("element", Some(s.count())),
        Payload::DataCountSection { .. } => ("data count", None),
        Payload::CodeSectionStart { count, .. } => ("code", Some(*count)),
        Payload::DataSection(s) => ("data", Some(s.count())),
        Payload::ModuleSection { .. } => ("core module", None),
        Payload::InstanceSection(s) => ("core instance", Some(s.count())),
        Payload::CoreTypeSection(s) => ("core type", Some(s.count())),
        Payload::ComponentSection { .. } => ("component", None),
        Payload::ComponentInstanceSection(s) => ("instance", Some(s.count())),
        Payload::ComponentAliasSection(s) => ("alias", Some(s.count())),
        Payload::ComponentTypeSection(s) => ("type", Some(s.count())),
        Payload::ComponentCanonicalSection(s) => ("canonical function", Some(s.count())),
        Payload::ComponentStartSection { .. } => ("start", None),
        Payload::ComponentImportSection(s) => ("import", Some(s.count())),
        Payload::ComponentExportSection(s) => ("export", Some(s.count())),
        _ => return (format!("unknown, number {id}"), None),
    };
    (name.into(), count)
}

/// Returns the kind of a component's import or export, from the name of its variant.
fn component_type(debug: &str) -> String {
    let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
    debug[..end].to_lowercase()
}
