//! Decisions about a whole module that affect the code of every function.

use crate::{FuelCosts, MemoryAccess, Tunables};
use belljar_abi::gc::{ArrayLayout, FieldLayout};
use belljar_core::{CompositeType, DefinedFuncIndex, FuncIndex, MemoryIndex, TableIndex, TypeIndex, TypeRef};
use belljar_module::{BranchHints, ElemItems, FunctionBody, Module, SegmentMode};
use std::collections::HashMap;

/// The contents of a table that never changes.
#[derive(Clone, Debug)]
pub struct ReadOnlyTable {
    /// Each element, `None` for null.
    pub elements: Vec<Option<FuncIndex>>,
    /// The first element that is null.
    null: Option<u32>,
    /// The number of non-null elements.
    functions: u32,
    /// Whether some elements may have a subtype of their declared type: imports of a type that is not final.
    may_have_subtypes: bool,
    /// For each canonical type, the number of elements of that type and the first of them.
    by_type: HashMap<TypeIndex, (u32, (u32, FuncIndex))>,
}

/// The contents of a read-only table from the view of a call with one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadOnlyContents {
    /// The number of elements.
    pub length: u32,
    /// A null element.
    pub null: Option<u32>,
    /// The number of elements of the called type.
    pub matching: u32,
    /// The first of these.
    pub first: Option<(u32, FuncIndex)>,
    /// The number of elements of other types.
    pub foreign: u32,
}

impl ReadOnlyTable {
    /// Scans the elements once, however many calls there are.
    fn new(module: &Module, elements: Vec<Option<FuncIndex>>) -> Self {
        let (mut null, mut functions, mut may_have_subtypes) = (None, 0, false);
        let mut by_type = HashMap::new();
        for (i, element) in (0..).zip(&elements) {
            let Some(func) = *element else {
                null = null.or(Some(i));
                continue;
            };
            functions += 1;
            let ty = module.canonical_type(module.type_of_func(func));
            may_have_subtypes |= module.defined_func(func).is_none() && !module.is_final(ty);
            by_type.entry(ty).or_insert((0, (i, func))).0 += 1;
        }
        Self { elements, null, functions, may_have_subtypes, by_type }
    }

    /// Returns the contents for a call of a canonical type.
    pub fn contents(&self, wanted: TypeIndex) -> ReadOnlyContents {
        let found = self.by_type.get(&wanted);
        let matching = found.map_or(0, |(count, _)| *count);
        ReadOnlyContents {
            length: self.elements.len() as u32,
            null: self.null,
            matching,
            first: found.map(|(_, first)| *first),
            foreign: self.functions - matching,
        }
    }
}

/// A module with the decisions about it as a whole.
#[derive(Debug)]
pub struct ModulePlan<'a> {
    /// The module.
    pub module: &'a Module,
    /// Options that affect the code.
    pub tunables: Tunables,
    /// What the code pays in fuel, if it counts fuel.
    pub fuel_costs: FuelCosts,
    /// Whether calls of small functions are inlined.
    pub inlines: bool,
    /// For each table, its contents if they never change.
    pub read_only_tables: Vec<Option<ReadOnlyTable>>,
    /// Imports that need a thunk, in the order of their thunks.
    pub thunks: Vec<FuncIndex>,
    /// The module's branch hints, if they are enabled.
    pub branch_hints: BranchHints,
    objects: Vec<ObjectPlan>,
    /// For each canonical type, whether the module declares subtypes of it; empty if no type has any.
    has_subtypes: Vec<bool>,
}

/// The layout of the objects of a type.
#[derive(Debug)]
enum ObjectPlan {
    Fields(FieldLayout),
    Array(ArrayLayout),
}

impl<'a> ModulePlan<'a> {
    /// Plans the code of a module.
    pub fn new(module: &'a Module, tunables: Tunables) -> Self {
        let mut room = READ_ONLY_LIMIT;
        let read_only_tables: Vec<_> =
            (0..module.tables().len()).map(|i| read_only(module, TableIndex::new(i), &mut room)).collect();
        let mut thunks: Vec<FuncIndex> = read_only_tables
            .iter()
            .flatten()
            .flat_map(|t: &ReadOnlyTable| t.elements.iter().flatten().copied())
            .filter(|f| f.index() < module.imported_funcs())
            .collect();
        thunks.sort_unstable();
        thunks.dedup();
        let branch_hints = if tunables.branch_hints { module.branch_hints() } else { BranchHints::default() };
        let objects = match module.uses_heap() {
            true => module.types().iter().map(|ty| object_plan(module, &ty.composite)).collect(),
            false => Vec::new(),
        };
        let has_subtypes = has_subtypes(module);
        Self {
            module,
            tunables,
            fuel_costs: FuelCosts::default(),
            inlines: tunables.inlining.is_for(module),
            read_only_tables,
            thunks,
            branch_hints,
            objects,
            has_subtypes,
        }
    }

    /// Sets what the code pays in fuel, if it counts fuel.
    #[must_use]
    pub fn with_fuel_costs(self, fuel_costs: FuelCosts) -> Self {
        Self { fuel_costs, ..self }
    }

    /// Returns the contents of a table if they never change and every element that may be called as type `ty` has
    /// exactly that type.
    pub fn read_only_table(&self, table: TableIndex, ty: TypeIndex) -> Option<&ReadOnlyTable> {
        let contents = self.read_only_tables[table.index()].as_ref()?;
        let is_extended = || self.has_subtypes.get(self.module.canonical_type(ty).index()) == Some(&true);
        (!contents.may_have_subtypes && !is_extended()).then_some(contents)
    }

    /// Returns a defined function's body.
    ///
    /// # Panics
    ///
    /// Panics if the module was kept without its code, in which case there is nothing to plan.
    pub fn body(&self, func: DefinedFuncIndex) -> FunctionBody<'a> {
        self.module.function_body(func).expect("modules are compiled from whole binaries")
    }

    /// Returns the layout of structs of a type, or of exceptions whose tag has this type.
    ///
    /// # Panics
    ///
    /// Panics if the type is an array type. Validation rules this out for every type that the binary uses as a struct.
    pub fn fields(&self, ty: TypeIndex) -> &FieldLayout {
        match &self.objects[ty.index()] {
            ObjectPlan::Fields(layout) => layout,
            ObjectPlan::Array(_) => panic!("validation checked that this is a struct type"),
        }
    }

    /// Returns the layout of arrays of a type.
    ///
    /// # Panics
    ///
    /// Panics if the type is not an array type. Validation rules this out for every type that the binary uses as an
    /// array.
    pub fn array(&self, ty: TypeIndex) -> ArrayLayout {
        match self.objects[ty.index()] {
            ObjectPlan::Array(layout) => layout,
            ObjectPlan::Fields(_) => panic!("validation checked that this is an array type"),
        }
    }

    /// Returns how accesses to a memory are kept in bounds. The tunables decide only if the whole memory can be
    /// reserved.
    pub fn memory_access(&self, memory: MemoryIndex) -> MemoryAccess {
        match belljar_abi::can_be_reserved(&self.module.memories()[memory.index()]) {
            true => self.tunables.memory_access,
            false => MemoryAccess::Checked,
        }
    }

    /// Returns the canonical index of a function's type within the module.
    pub fn canonical_type_of(&self, func: FuncIndex) -> TypeIndex {
        self.module.canonical_type(self.module.type_of_func(func))
    }
}

fn has_subtypes(module: &Module) -> Vec<bool> {
    let mut has_subtypes = Vec::new();
    for ty in module.types() {
        if let Some(TypeRef::Index(above)) = ty.supertype {
            has_subtypes.resize(module.types().len(), false);
            has_subtypes[module.canonical_type(above).index()] = true;
        }
    }
    has_subtypes
}

fn object_plan(module: &Module, ty: &CompositeType) -> ObjectPlan {
    match ty {
        CompositeType::Struct(ty) => ObjectPlan::Fields(FieldLayout::of_struct(ty, module)),
        CompositeType::Func(ty) => ObjectPlan::Fields(FieldLayout::of_exception(ty, module)),
        CompositeType::Array(ty) => ObjectPlan::Array(ArrayLayout::new(ty, module)),
    }
}

/// The most elements of read-only tables that are copied into the text, for all tables together.
const READ_ONLY_LIMIT: u64 = 1 << 20;

/// Returns the contents of a table that code calls through if nothing can change them: only this module sees it, no
/// instruction writes it, and its segments have constant offsets within its bounds. `room` is the number of elements
/// that may still be copied.
fn read_only(module: &Module, table: TableIndex, room: &mut u64) -> Option<ReadOnlyTable> {
    let ty = module.tables()[table.index()];
    let used = module.table_use(table);
    if module.table_is_shared(table)
        || used.written
        || !used.called
        || ty.minimum() > *room
        || ty.element() != belljar_core::RefType::FUNCREF
        || module.table_init(table) != &belljar_module::ConstExpr::null()
    {
        return None;
    }
    let mut elements = vec![None; ty.minimum() as usize];
    for elem in module.elems() {
        let SegmentMode::Active(target, offset) = &elem.mode else { continue };
        if *target != table {
            continue;
        }
        let ElemItems::Funcs(funcs) = &elem.items else { return None };
        let start = usize::try_from(offset.as_number()?).ok()?;
        let slots = elements.get_mut(start..start.checked_add(funcs.len())?)?;
        slots.iter_mut().zip(funcs.places()).for_each(|(slot, place)| {
            *slot = Some(module.escaping_func(place));
        });
    }
    *room -= ty.minimum();
    Some(ReadOnlyTable::new(module, elements))
}
