//! A module of adapters while it is built: what it imports, and the functions that its adapters share.
//!
//! Code that depends on a type lies in a function for that type, which is written once, whoever calls it. So the size of
//! a module is bounded by the number of types, and not by how often they contain each other.

use super::body::{Body, Callee, Mem, val_type};
use super::import::{AdapterImport, MemoryShape};
use super::runtime::RuntimeFunc;
use super::shape::{AllFacts, Key, Shape};
use crate::plan::{BuiltinIndex, CoreExport, InstanceIndex, StringEncoding};
use crate::types::{AddressType, FlatType, Type};
use belljar_core::{Context, Result, ensure};
use std::collections::HashMap;
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, FunctionSection, GlobalType, ImportSection,
    MemoryType, Module, NameMap, NameSection, TypeSection, ValType,
};

/// One of the two components that take part in a call, with the options of its function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Side {
    pub(super) memory: Option<Mem>,
    pub(super) address: AddressType,
    pub(super) encoding: StringEncoding,
    pub(super) realloc: Option<u32>,
    pub(super) instance: InstanceIndex,
    /// The global with the instance's flags.
    pub(super) flags: u32,
    /// Whether the instance can keep values with its calls.
    pub(super) keeps: bool,
}

/// A side: its index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SideId(pub(super) u32);

/// The way that values go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Flow {
    pub(super) from: SideId,
    pub(super) to: SideId,
}

/// A function that adapters share.
#[derive(Clone, Copy)]
pub(super) enum Helper<'p> {
    /// Checks a string: address, length.
    CheckText(SideId),
    /// Checks a list: address, length.
    CheckList { side: SideId, element: Shape<'p>, is_map: bool },
    /// Checks a value in memory: address.
    CheckMemory(SideId, Shape<'p>),
    /// Checks a value that is one of several cases: its core values.
    CheckFlat(SideId, Shape<'p>),
    /// Copies a string: address, length. Returns the same of the copy.
    CopyText(Flow),
    /// Copies a list: address, length. Returns the address of the copy.
    CopyList(Flow, Shape<'p>),
    /// Copies a value in memory: address, address of the copy.
    CopyMemory(Flow, Shape<'p>),
    /// Copies a value that is one of several cases: its core values. Returns those of the copy.
    CopyFlat(Flow, Shape<'p>),
    /// Calls an allocator and checks what it returns: address, size, alignment, new size. Returns the new address.
    Realloc(SideId),
    /// Traps because of what an allocator has returned: address, alignment, size.
    BadRealloc(SideId),
    /// Returns whether a string is short, lies in the memory, and is ASCII: address, length.
    IsShortAscii(SideId),
}

/// What tells helpers apart.
type HelperKey = (u8, SideId, SideId, Key);

impl Helper<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::CheckText(_) | Self::IsShortAscii(_) => "adapter: check a string",
            Self::CheckList { .. } => "adapter: check a list",
            Self::CheckMemory(..) | Self::CheckFlat(..) => "adapter: check a value",
            Self::CopyText(_) => "adapter: copy a string",
            Self::CopyList(..) => "adapter: copy a list",
            Self::CopyMemory(..) | Self::CopyFlat(..) => "adapter: copy a value",
            Self::Realloc(_) | Self::BadRealloc(_) => "adapter: allocate",
        }
    }
}

/// Returns the key of a shape of which only the layout matters.
fn bytes(shape: Shape<'_>, address: AddressType) -> Key {
    let layout = shape.layout(address);
    Key::Bytes(layout.size, layout.align)
}

struct Func {
    ty: u32,
    name: String,
    body: Option<Body>,
}

type CoreType = (Vec<ValType>, Vec<ValType>);

/// A module of adapters while it is built.
pub(super) struct Builder<'p> {
    facts: AllFacts,
    types: Vec<CoreType>,
    known_types: HashMap<CoreType, u32>,
    imports: Vec<(AdapterImport, EntityType)>,
    known_imports: HashMap<AdapterImport, u32>,
    imported_funcs: u32,
    imported_globals: u32,
    /// The memories, in the order of their indices.
    memories: Vec<CoreExport>,
    sides: Vec<Side>,
    known_sides: HashMap<Side, SideId>,
    helpers: HashMap<HelperKey, u32>,
    /// Helpers that were asked for and have no body yet.
    pub(super) wanted: Vec<(u32, Helper<'p>)>,
    funcs: Vec<Func>,
    exports: Vec<(BuiltinIndex, u32)>,
    case_types: Vec<Type>,
    known_case_types: HashMap<Key, u32>,
    bytes: usize,
    limit: usize,
}

/// A module of adapters that was built.
pub(super) struct Built {
    pub(super) wasm: Vec<u8>,
    pub(super) imports: Vec<AdapterImport>,
    pub(super) types: Vec<Type>,
    pub(super) exports: Vec<BuiltinIndex>,
}

impl<'p> Builder<'p> {
    /// Creates a builder of a module that has at most so many bytes of code.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            facts: AllFacts::default(),
            types: Vec::new(),
            known_types: HashMap::new(),
            imports: Vec::new(),
            known_imports: HashMap::new(),
            imported_funcs: 0,
            imported_globals: 0,
            memories: Vec::new(),
            sides: Vec::new(),
            known_sides: HashMap::new(),
            helpers: HashMap::new(),
            wanted: Vec::new(),
            funcs: Vec::new(),
            exports: Vec::new(),
            case_types: Vec::new(),
            known_case_types: HashMap::new(),
            bytes: 0,
            limit,
        }
    }

    pub(super) fn facts(&mut self, shape: Shape<'_>) -> super::shape::Facts {
        self.facts.of(shape)
    }

    fn ty(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        let next = self.types.len() as u32;
        let ty = (params, results);
        *self.known_types.entry(ty).or_insert_with_key(|ty| {
            self.types.push(ty.clone());
            next
        })
    }

    /// Returns the type of blocks with these parameters and results.
    pub(super) fn block_type(&mut self, params: &[FlatType], results: &[FlatType]) -> u32 {
        let all = |types: &[FlatType]| types.iter().map(|ty| val_type(*ty)).collect();
        self.ty(all(params), all(results))
    }

    /// Imports a function of the core code, or of the runtime. Returns its index.
    pub(super) fn import_func(
        &mut self,
        import: AdapterImport,
        params: &[FlatType],
        results: &[FlatType],
    ) -> u32 {
        if let Some(index) = self.known_imports.get(&import) {
            return *index;
        }
        let all = |types: &[FlatType]| types.iter().map(|ty| val_type(*ty)).collect();
        let ty = self.ty(all(params), all(results));
        let index = self.imported_funcs;
        self.imported_funcs += 1;
        self.import(import, EntityType::Function(ty), index)
    }

    fn import(&mut self, import: AdapterImport, entity: EntityType, index: u32) -> u32 {
        self.known_imports.insert(import.clone(), index);
        self.imports.push((import, entity));
        index
    }

    pub(super) fn runtime(&mut self, func: RuntimeFunc) -> Callee {
        let (params, result) = func.ty();
        Callee::Imported(self.import_func(AdapterImport::Runtime(func), params, result.as_slice()))
    }

    pub(super) fn import_memory(&mut self, export: &CoreExport, shape: MemoryShape) -> Mem {
        let import = AdapterImport::Memory(export.clone());
        let index = match self.known_imports.get(&import) {
            Some(index) => *index,
            None => {
                let index = self.memories.len() as u32;
                self.memories.push(export.clone());
                let ty = MemoryType {
                    minimum: 0,
                    maximum: None,
                    memory64: shape.is_64,
                    shared: false,
                    page_size_log2: (shape.page_size_log2 != 16).then_some(shape.page_size_log2),
                };
                self.import(import, EntityType::Memory(ty), index)
            }
        };
        Mem { index, page_size_log2: shape.page_size_log2 }
    }

    pub(super) fn import_flags(&mut self, instance: InstanceIndex) -> u32 {
        let import = AdapterImport::Flags(instance);
        if let Some(index) = self.known_imports.get(&import) {
            return *index;
        }
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        let index = self.imported_globals;
        self.imported_globals += 1;
        self.import(import, EntityType::Global(ty), index)
    }

    /// Returns a memory by its export.
    pub(super) fn export_of(&self, memory: Mem) -> CoreExport {
        self.memories[memory.index as usize].clone()
    }

    pub(super) fn enter_side(&mut self, side: Side) -> SideId {
        let next = SideId(self.sides.len() as u32);
        *self.known_sides.entry(side).or_insert_with(|| {
            self.sides.push(side);
            next
        })
    }

    pub(super) fn side(&self, id: SideId) -> Side {
        self.sides[id.0 as usize]
    }

    /// Returns the number by which a trap names a type with cases.
    pub(super) fn case_type(&mut self, shape: Shape<'_>) -> u32 {
        let next = self.case_types.len() as u32;
        let Shape::Type(ty) = shape else { return next };
        *self.known_case_types.entry(shape.key()).or_insert_with(|| {
            self.case_types.push(ty.clone());
            next
        })
    }

    fn key(&mut self, helper: Helper<'_>) -> HelperKey {
        match helper {
            Helper::CheckText(side) => (0, side, side, Key::String),
            Helper::CheckList { side, element, is_map } => {
                let key = match self.facts(element).is_checked {
                    true => element.key(),
                    false => bytes(element, self.side(side).address),
                };
                (1 + u8::from(is_map), side, side, key)
            }
            Helper::CheckMemory(side, shape) => (3, side, side, shape.key()),
            Helper::CheckFlat(side, shape) => (4, side, side, shape.key()),
            Helper::CopyText(Flow { from, to }) => (5, from, to, Key::String),
            Helper::CopyList(Flow { from, to }, element) => {
                let key = match self.facts(element).is_verbatim {
                    true => bytes(element, self.side(from).address),
                    false => element.key(),
                };
                (6, from, to, key)
            }
            Helper::CopyMemory(Flow { from, to }, shape) => (7, from, to, shape.key()),
            Helper::CopyFlat(Flow { from, to }, shape) => (8, from, to, shape.key()),
            Helper::Realloc(side) => (9, side, side, Key::Other),
            Helper::BadRealloc(side) => (10, side, side, Key::Other),
            Helper::IsShortAscii(side) => (11, side, side, Key::Other),
        }
    }

    /// Returns a helper, which gets its body later.
    pub(super) fn helper(&mut self, helper: Helper<'p>) -> Callee {
        let key = self.key(helper);
        if let Some(index) = self.helpers.get(&key) {
            return Callee::Own(*index);
        }
        let (params, results) = self.type_of(helper);
        let all = |types: &[FlatType]| types.iter().map(|ty| val_type(*ty)).collect();
        let ty = self.ty(all(&params), all(&results));
        let index = self.funcs.len() as u32;
        self.funcs.push(Func { ty, name: helper.name().into(), body: None });
        self.helpers.insert(key, index);
        self.wanted.push((index, helper));
        Callee::Own(index)
    }

    /// Returns the types of a helper's parameters and results.
    pub(super) fn type_of(&self, helper: Helper<'_>) -> (Vec<FlatType>, Vec<FlatType>) {
        let address = |side: SideId| self.side(side).address;
        let flat = |side: SideId| address(side).flat();
        match helper {
            Helper::CheckText(side) | Helper::CheckList { side, .. } => (vec![flat(side); 2], vec![]),
            Helper::CheckMemory(side, _) => (vec![flat(side)], vec![]),
            Helper::CheckFlat(side, shape) => (shape.flat(address(side)), vec![]),
            Helper::CopyText(flow) => (vec![flat(flow.from); 2], vec![flat(flow.to); 2]),
            Helper::CopyList(flow, _) => (vec![flat(flow.from); 2], vec![flat(flow.to)]),
            Helper::CopyMemory(flow, _) => (vec![flat(flow.from), flat(flow.to)], vec![]),
            Helper::CopyFlat(flow, shape) => (shape.flat(address(flow.from)), shape.flat(address(flow.to))),
            Helper::Realloc(side) => (vec![flat(side); 4], vec![flat(side)]),
            Helper::BadRealloc(side) => (vec![flat(side); 3], vec![]),
            Helper::IsShortAscii(side) => (vec![flat(side); 2], vec![FlatType::I32]),
        }
    }

    /// Adds an adapter. Returns its index.
    pub(super) fn adapter(
        &mut self,
        builtin: BuiltinIndex,
        name: &str,
        params: &[FlatType],
        results: &[FlatType],
    ) -> u32 {
        let all = |types: &[FlatType]| types.iter().map(|ty| val_type(*ty)).collect();
        let ty = self.ty(all(params), all(results));
        let index = self.funcs.len() as u32;
        self.funcs.push(Func { ty, name: format!("adapter of {name}"), body: None });
        self.exports.push((builtin, index));
        index
    }

    /// Sets the body of a function.
    ///
    /// # Errors
    ///
    /// Returns an error if the module becomes too large.
    pub(super) fn set_body(&mut self, func: u32, body: Body) -> Result<()> {
        // What a function needs besides its code.
        const REST: usize = 32;
        self.bytes += body.len() + self.funcs[func as usize].name.len() + REST;
        ensure!(self.bytes <= self.limit, "the adapters are too large");
        self.funcs[func as usize].body = Some(body);
        Ok(())
    }

    /// Returns the bytes of code so far.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// Returns the module.
    pub(super) fn finish(self) -> Result<Built> {
        let mut types = TypeSection::new();
        for (params, results) in &self.types {
            types.ty().function(params.iter().copied(), results.iter().copied());
        }
        let mut imports = ImportSection::new();
        for (i, (_, entity)) in self.imports.iter().enumerate() {
            imports.import("", &i.to_string(), *entity);
        }
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let mut names = NameMap::new();
        for (i, func) in self.funcs.into_iter().enumerate() {
            functions.function(func.ty);
            let body = func.body.context("belljar bug: a function of an adapter without a body")?;
            code.raw(&body.finish(self.imported_funcs));
            names.append(self.imported_funcs + i as u32, &func.name);
        }
        let mut exports = ExportSection::new();
        for (i, (_, func)) in self.exports.iter().enumerate() {
            exports.export(&i.to_string(), ExportKind::Func, self.imported_funcs + func);
        }
        let mut name = NameSection::new();
        name.module("adapters");
        name.functions(&names);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
        module.section(&name);
        Ok(Built {
            wasm: module.finish(),
            imports: self.imports.into_iter().map(|(import, _)| import).collect(),
            types: self.case_types,
            exports: self.exports.into_iter().map(|(builtin, _)| builtin).collect(),
        })
    }
}
