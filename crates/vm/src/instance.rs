//! Instances of a store: their index spaces, exports, segments and constants.

use crate::loaded::LoadedModule;
use crate::store::{StoreCore, StoreGlobal};
use anyhow::Context;
use belljar_abi::{CONTEXT_DISTANCE, GLOBAL_SIZE, VmLayout};
use belljar_core::{
    DataIndex, ElemIndex, ExternType, FuncIndex, FuncRefId, FuncType, GlobalIndex, GlobalType, InstanceId,
    MemoryIndex, RawVal, TableIndex, TagId, TagIndex, TagType,
};
use belljar_module::{ConstExpr, ConstOp, ElemItems, EntityIndex};
use std::sync::Arc;

/// Something of a store that can be exported and imported, by its number in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entity {
    /// A function.
    Func(FuncRefId),
    /// A table.
    Table(usize),
    /// A memory.
    Memory(usize),
    /// A global.
    Global(usize),
    /// A tag.
    Tag(TagId),
}

/// An instance of a store.
#[derive(Debug)]
pub(crate) struct Instance {
    module: Arc<LoadedModule>,
    context: usize,
    spaces: Spaces,
}

/// The index spaces of an instance: for each index, the number of that thing in the store.
#[derive(Debug)]
pub(crate) struct Spaces {
    pub(crate) memories: Box<[u32]>,
    pub(crate) tables: Box<[u32]>,
    pub(crate) globals: Box<[u32]>,
    pub(crate) tags: Box<[TagId]>,
}

impl Instance {
    pub(crate) fn new(module: Arc<LoadedModule>, context: usize, spaces: Spaces) -> Self {
        Self { module, context, spaces }
    }

    pub(crate) fn module(&self) -> &Arc<LoadedModule> {
        &self.module
    }

    pub(crate) fn memory(&self, memory: MemoryIndex) -> usize {
        self.spaces.memories[memory.index()] as usize
    }

    pub(crate) fn table(&self, table: TableIndex) -> usize {
        self.spaces.tables[table.index()] as usize
    }

    fn global(&self, global: GlobalIndex) -> usize {
        self.spaces.globals[global.index()] as usize
    }

    fn tag(&self, tag: TagIndex) -> TagId {
        self.spaces.tags[tag.index()]
    }

    fn layout(&self) -> &VmLayout {
        self.module.module().layout()
    }
}

/// The two topmost values, the deeper one first. Validation bounds the stack.
fn pop2(stack: &mut Vec<RawVal>) -> (RawVal, RawVal) {
    let b = stack.pop().unwrap_or_default();
    (stack.pop().unwrap_or_default(), b)
}

impl StoreCore {
    /// The type of something of the store; of tables and memories with their present size as minimum.
    pub fn entity_type(&self, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(f) => ExternType::Func(self.func_type(f)),
            Entity::Table(t) => ExternType::Table(self.tables[t].ty),
            Entity::Memory(m) => ExternType::Memory(self.memory_type(m)),
            Entity::Global(g) => ExternType::Global(self.globals[g].ty),
            Entity::Tag(t) => ExternType::Tag(TagType::new(self.tag_type(t))),
        }
    }

    /// The type of a tag: its parameters are the payload.
    pub fn tag_type(&self, tag: TagId) -> FuncType {
        let ty = self.runtime.types.func_type(self.tags[tag.index()]);
        ty.unwrap_or_else(|| FuncType::new([], []))
    }

    /// The value of a constant expression in an instance.
    ///
    /// # Errors
    ///
    /// Where the store has no room for what the expression makes.
    pub(crate) fn evaluate(&mut self, id: InstanceId, expr: &ConstExpr) -> anyhow::Result<RawVal> {
        let mut stack: Vec<RawVal> = Vec::with_capacity(1);
        for op in expr.ops() {
            let value = match op {
                ConstOp::Value(v) => *v,
                ConstOp::GlobalGet(g) => self.global_value(self.instance(id).global(*g)),
                ConstOp::RefFunc(f) => RawVal::from_u32(self.instance_func(id, *f).0),
                ConstOp::RefNull => RawVal::default(),
                ConstOp::I32(arithmetic) => {
                    let (a, b) = pop2(&mut stack);
                    RawVal::from_u32(arithmetic.apply(a.u64(), b.u64()) as u32)
                }
                ConstOp::I64(arithmetic) => {
                    let (a, b) = pop2(&mut stack);
                    RawVal::from_u64(arithmetic.apply(a.u64(), b.u64()))
                }
                other => anyhow::bail!("the constant expression {other:?} is not supported yet"),
            };
            stack.push(value);
        }
        Ok(stack.pop().unwrap_or_default())
    }

    /// The items of an element segment.
    ///
    /// # Errors
    ///
    /// As [`StoreCore::evaluate`].
    pub(crate) fn elem_items(&mut self, id: InstanceId, segment: ElemIndex) -> anyhow::Result<Vec<u32>> {
        let module = self.instance(id).module().clone();
        match &module.module().elems()[segment.index()].items {
            ElemItems::Funcs(funcs) => Ok(funcs.iter().map(|f| self.instance_func(id, *f).0).collect()),
            ElemItems::Exprs(exprs) => exprs.iter().map(|e| Ok(self.evaluate(id, e)?.u32())).collect(),
        }
    }

    /// A reference to a function of an instance. The function is one whose reference may be taken.
    pub(crate) fn instance_func(&self, id: InstanceId, func: FuncIndex) -> FuncRefId {
        let instance = self.instance(id);
        let nth =
            instance.module.module().escaping(func).expect("references are taken of escaping functions only");
        let address = instance.context.wrapping_add_signed(instance.layout().func_object(nth) as isize);
        FuncRefId((address - self.region.const_base()) as u32)
    }

    fn dropped(&self, id: InstanceId, offset: i32) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.instance(id).context + offset as usize)
    }

    pub(crate) fn is_data_dropped(&self, id: InstanceId, segment: DataIndex) -> bool {
        let at = self.dropped(id, self.instance(id).layout().dropped_data(segment.0));
        // SAFETY: the layout keeps a byte for each segment (IN-BOUNDS).
        unsafe { at.read() != 0 }
    }

    pub(crate) fn is_elem_dropped(&self, id: InstanceId, segment: ElemIndex) -> bool {
        let at = self.dropped(id, self.instance(id).layout().dropped_elem(segment.0));
        // SAFETY: as above.
        unsafe { at.read() != 0 }
    }

    pub(crate) fn drop_data(&mut self, id: InstanceId, segment: DataIndex) {
        let at = self.dropped(id, self.instance(id).layout().dropped_data(segment.0));
        // SAFETY: as above, with the store held exclusively.
        unsafe { at.write(1) };
    }

    pub(crate) fn drop_elem(&mut self, id: InstanceId, segment: ElemIndex) {
        let at = self.dropped(id, self.instance(id).layout().dropped_elem(segment.0));
        // SAFETY: as above, with the store held exclusively.
        unsafe { at.write(1) };
    }

    /// The module of an instance.
    pub fn instance_module(&self, id: InstanceId) -> &Arc<LoadedModule> {
        self.instance(id).module()
    }

    /// What an instance calls by this index.
    pub fn instance_entity(&self, id: InstanceId, entity: EntityIndex) -> Entity {
        let instance = self.instance(id);
        match entity {
            EntityIndex::Func(f) => Entity::Func(self.instance_func(id, f)),
            EntityIndex::Table(t) => Entity::Table(instance.table(t)),
            EntityIndex::Memory(m) => Entity::Memory(instance.memory(m)),
            EntityIndex::Global(g) => Entity::Global(instance.global(g)),
            EntityIndex::Tag(t) => Entity::Tag(instance.tag(t)),
        }
    }

    /// An export of an instance.
    pub fn instance_export(&self, id: InstanceId, name: &str) -> Option<Entity> {
        let export = self.instance(id).module.module().export(name)?;
        Some(self.instance_entity(id, export.entity))
    }

    /// A new tag of the host, for exceptions with the parameters of a function type as payload.
    ///
    /// # Errors
    ///
    /// Where the function type has results, or the engine has no room for another type.
    pub fn new_tag(&mut self, ty: &FuncType) -> anyhow::Result<TagId> {
        anyhow::ensure!(ty.results().is_empty(), "the type of a tag has no results, and {ty} was given");
        let types = self.runtime.types.register_func(ty)?;
        self.tags.push(types.ids()[0]);
        self.host_types.push(types);
        Ok(TagId::new(self.tags.len() - 1))
    }

    /// A new global of the host.
    ///
    /// # Errors
    ///
    /// Where the store is full.
    pub(crate) fn push_global(&mut self, ty: GlobalType, value: RawVal) -> anyhow::Result<usize> {
        let at = self.region.table_space(GLOBAL_SIZE as usize);
        let at = at.context("the store is full: no room for another global")? as usize;
        self.globals.push(StoreGlobal { ty, address: self.region.state_base() + at });
        let global = self.globals.len() - 1;
        self.write_global(global, value);
        Ok(global)
    }

    pub(crate) fn global_value(&self, global: usize) -> RawVal {
        let at = std::ptr::with_exposed_provenance::<RawVal>(self.globals[global].address);
        // SAFETY: a global's slot is 16 bytes, aligned, and lives as long as the store (STORE-PINNED).
        unsafe { at.read() }
    }

    pub(crate) fn write_global(&mut self, global: usize, value: RawVal) {
        let at = std::ptr::with_exposed_provenance_mut::<RawVal>(self.globals[global].address);
        // SAFETY: as above, with the store held exclusively.
        unsafe { at.write(value) };
    }

    /// A global's type.
    pub fn global_type(&self, global: usize) -> GlobalType {
        self.globals[global].ty
    }
}

const _: () = assert!(CONTEXT_DISTANCE.is_multiple_of(65536));
