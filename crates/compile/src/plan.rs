//! Decisions about a whole module that every function's code depends on.

use crate::{MemoryAccess, Tunables};
use belljar_abi::gc::{ArrayLayout, FieldLayout};
use belljar_core::{CompositeType, DefinedFuncIndex, FuncIndex, MemoryIndex, TableIndex, TypeIndex};
use belljar_module::{BranchHints, ElemItems, FunctionBody, Module, SegmentMode};

/// The contents of a table that never changes.
#[derive(Clone, Debug)]
pub struct ReadOnlyTable {
    /// Each element, `None` for null.
    pub elements: Vec<Option<FuncIndex>>,
}

/// A module with the decisions about it as a whole.
#[derive(Debug)]
pub struct ModulePlan<'a> {
    /// The module.
    pub module: &'a Module,
    /// What shapes the code.
    pub tunables: Tunables,
    /// For each table, its contents where they never change.
    pub read_only_tables: Vec<Option<ReadOnlyTable>>,
    /// Imports that need a thunk, in the order of their thunks.
    pub thunks: Vec<FuncIndex>,
    /// Which way branches usually go, where the module says and is heeded.
    pub branch_hints: BranchHints,
    objects: Vec<ObjectPlan>,
}

/// How objects of a type of the module lie and are told.
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
        Self { module, tunables, read_only_tables, thunks, branch_hints, objects }
    }

    /// A defined function's body.
    ///
    /// # Panics
    ///
    /// If the module was kept without its code: there is nothing to plan then.
    pub fn body(&self, func: DefinedFuncIndex) -> FunctionBody<'a> {
        self.module.function_body(func).expect("modules are compiled from whole binaries")
    }

    /// How structs of a type lie, or exceptions whose tag has it.
    ///
    /// # Panics
    ///
    /// If it is an array type: validation has seen to it wherever the binary names one.
    pub fn fields(&self, ty: TypeIndex) -> &FieldLayout {
        match &self.objects[ty.index()] {
            ObjectPlan::Fields(layout) => layout,
            ObjectPlan::Array(_) => panic!("validation has seen a struct type"),
        }
    }

    /// How arrays of a type lie.
    ///
    /// # Panics
    ///
    /// If it is no array type: validation has seen to it wherever the binary names one.
    pub fn array(&self, ty: TypeIndex) -> ArrayLayout {
        match self.objects[ty.index()] {
            ObjectPlan::Array(layout) => layout,
            ObjectPlan::Fields(_) => panic!("validation has seen an array type"),
        }
    }

    /// How accesses to a memory are kept inside: only where the whole of it can be reserved have the tunables a
    /// say.
    pub fn memory_access(&self, memory: MemoryIndex) -> MemoryAccess {
        match belljar_abi::can_be_reserved(&self.module.memories()[memory.index()]) {
            true => self.tunables.memory_access,
            false => MemoryAccess::Checked,
        }
    }

    /// The canonical number of a function's type within the module.
    pub fn canonical_type_of(&self, func: FuncIndex) -> TypeIndex {
        self.module.canonical_type(self.module.type_of_func(func))
    }
}

fn object_plan(module: &Module, ty: &CompositeType) -> ObjectPlan {
    match ty {
        CompositeType::Struct(ty) => ObjectPlan::Fields(FieldLayout::of_struct(ty, module)),
        CompositeType::Func(ty) => ObjectPlan::Fields(FieldLayout::of_exception(ty, module)),
        CompositeType::Array(ty) => ObjectPlan::Array(ArrayLayout::new(ty, module)),
    }
}

/// Elements of read-only tables that are worth a copy in the text, all together.
const READ_ONLY_LIMIT: u64 = 1 << 20;

/// The contents of a table that code calls through, if nothing can ever change them: it is seen by this module alone, no
/// instruction writes it, and its segments lie at constant places inside it. `room`: elements that may be copied still.
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
    Some(ReadOnlyTable { elements })
}
