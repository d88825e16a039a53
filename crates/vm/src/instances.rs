//! The instances of a store: their index spaces, exports, segments and constants.

use crate::gc::Root;
use crate::instance::Entity;
use crate::interrupt::strides;
use crate::loaded::LoadedModule;
use crate::store::{StoreCore, StoreGlobal};
use crate::store_mut::StoreMut;
use crate::tables::range;
use crate::vm_ptr::VmPtr;
use belljar_abi::{CONTEXT_DISTANCE, FuncObject, GLOBAL_SIZE};
use belljar_core::{
    Context, DataIndex, ElemIndex, ExternType, FuncIndex, FuncRefId, FuncType, GlobalType, InstanceId,
    Mutability, RawVal, TagId, TagType, ValType,
};
use belljar_module::{ConstExpr, ConstOp, ElemItems, EntityIndex};
use std::any::Any;
use std::sync::Arc;

/// The number of items of element segments between two checks for an interrupt. A constant expression that allocates an
/// object takes about 100 ns.
const ITEMS: usize = 4096;

/// An intermediate value of a constant expression.
enum Operand {
    Plain(RawVal),
    Object(Root),
}

/// The stack of a constant expression. Validation bounds its depth.
#[derive(Default)]
struct Operands(Vec<Operand>);

impl Operands {
    fn pop(&mut self, store: &StoreCore) -> RawVal {
        match self.0.pop() {
            Some(Operand::Plain(value)) => value,
            Some(Operand::Object(root)) => RawVal::from_u32(store.rooted(root).unwrap_or(0)),
            None => RawVal::default(),
        }
    }
}

impl StoreCore {
    /// Returns the type of an entity of the store; for tables and memories, with their current size as minimum.
    pub fn entity_type(&self, entity: Entity) -> ExternType {
        match entity {
            Entity::Func(f) => ExternType::Func(self.func_type(f)),
            Entity::Table(t) => ExternType::Table(self.entities.tables[t].ty),
            Entity::Memory(m) => ExternType::Memory(self.memory_type(m)),
            Entity::Global(g) => ExternType::Global(self.entities.globals[g].ty),
            Entity::Tag(t) => ExternType::Tag(TagType::new(self.tag_type(t))),
        }
    }

    /// Returns the type of a tag: its parameters are the payload.
    pub fn tag_type(&self, tag: TagId) -> FuncType {
        let ty = self.runtime.types.func_type(self.entities.tags[tag.index()]);
        ty.unwrap_or_else(|| FuncType::new([], []))
    }

    /// Returns a reference to a function of an instance, one whose reference may be taken.
    pub(crate) fn instance_func(&self, id: InstanceId, func: FuncIndex) -> FuncRefId {
        let escaping = self.instance(id).module.module().escaping(func);
        self.func_object_ref(id, escaping.expect("references are taken of escaping functions only"))
    }

    /// Returns a reference to the `nth` of an instance's functions whose references may be taken.
    fn func_object_ref(&self, id: InstanceId, nth: u32) -> FuncRefId {
        let instance = self.instance(id);
        let address = instance.context.wrapping_add_signed(instance.layout().func_object(nth) as isize);
        FuncRefId((address - self.region.const_base()) as u32)
    }

    fn dropped(&self, id: InstanceId, offset: i32) -> VmPtr<u8> {
        VmPtr::at(self.instance(id).context + offset as usize)
    }

    pub(crate) fn is_data_dropped(&self, id: InstanceId, segment: DataIndex) -> bool {
        let at = self.dropped(id, self.instance(id).layout().dropped_data(segment.0));
        // SAFETY: the layout has a byte for each segment (IN-BOUNDS).
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

    /// Marks all data segments except these as dropped.
    pub(crate) fn drop_data_except(&mut self, id: InstanceId, kept: impl Iterator<Item = DataIndex>) {
        let count = self.instance(id).module.module().data_count();
        if count == 0 {
            return;
        }
        let at = self.dropped(id, self.instance(id).layout().dropped_data(0));
        // SAFETY: as above, with the store held exclusively; the bytes of all segments lie side by side.
        unsafe { at.slice_mut(count).fill(1) };
        for segment in kept {
            // SAFETY: as above.
            unsafe { at.byte_add(segment.index()).write(0) };
        }
    }

    pub(crate) fn drop_elem(&mut self, id: InstanceId, segment: ElemIndex) {
        let at = self.dropped(id, self.instance(id).layout().dropped_elem(segment.0));
        // SAFETY: as above, with the store held exclusively.
        unsafe { at.write(1) };
        if let Some(items) = self.entities.instances[id.index()].segments.get_mut(segment.index()) {
            *items = None;
        }
    }

    /// Returns the module of an instance.
    pub fn instance_module(&self, id: InstanceId) -> &Arc<LoadedModule> {
        self.instance(id).module()
    }

    /// Returns the module of an instance as the embedding layer knows it, if it was set.
    pub fn instance_embedder(&self, id: InstanceId) -> Option<&(dyn Any + Send + Sync)> {
        self.instance(id).embedder.as_deref()
    }

    /// Sets [`StoreCore::instance_embedder`].
    pub fn set_instance_embedder(&mut self, id: InstanceId, module: Box<dyn Any + Send + Sync>) {
        self.entities.instances[id.index()].embedder = Some(module);
    }

    /// Returns the entity at an index of an instance.
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

    /// Returns an export of an instance.
    pub fn instance_export(&self, id: InstanceId, name: &str) -> Option<Entity> {
        let export = self.instance(id).module.module().export(name)?;
        Some(self.instance_entity(id, export.entity))
    }

    /// Creates a tag of the host, for exceptions whose payload is the parameters of a function type.
    ///
    /// # Errors
    ///
    /// Returns an error if the function type has results, or the engine has no room for another type.
    pub fn new_tag(&mut self, ty: &FuncType) -> belljar_core::Result<TagId> {
        belljar_core::ensure!(ty.results().is_empty(), "the type of a tag must have no results, found {ty}");
        let types = self.runtime.types.register_func(ty)?;
        self.entities.tags.push(types.ids()[0]);
        self.entities.host_types.push(Arc::new(types));
        Ok(TagId::new(self.entities.tags.len() - 1))
    }

    /// Creates a global of the host.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is full.
    pub(crate) fn push_global(&mut self, ty: GlobalType, value: RawVal) -> belljar_core::Result<usize> {
        let at = self.region.table_space(GLOBAL_SIZE as usize);
        let at = at.context("the store is full: no room for another global")? as usize;
        let slot = VmPtr::at(self.region.state_base() + at);
        self.entities.globals.push(StoreGlobal { ty, slot, traced: self.is_traced(ty.content()) });
        let global = self.entities.globals.len() - 1;
        self.write_global(global, value);
        Ok(global)
    }

    #[inline]
    pub(crate) fn global_value(&self, global: usize) -> RawVal {
        // SAFETY: a global's slot is 16 bytes, aligned, and lives as long as the store (STORE-PINNED).
        unsafe { self.entities.globals[global].slot.read() }
    }

    #[inline]
    pub(crate) fn write_global(&mut self, global: usize, value: RawVal) {
        // SAFETY: as above, with the store held exclusively.
        unsafe { self.entities.globals[global].slot.write(value) };
    }

    /// Returns the lower 32 bits of a global. Only these are read: a guest may have written no more of them just before.
    #[inline]
    pub fn global_bits(&self, global: usize) -> u32 {
        // SAFETY: as in `global_value`; the slot begins with these bits.
        unsafe { self.entities.globals[global].slot.cast::<u32>().read() }
    }

    /// Writes a global of type `i32` that is mutable; nothing happens to others.
    #[inline]
    pub fn set_global_bits(&mut self, global: usize, bits: u32) {
        let ty = self.global_type(global);
        if ty.content() == ValType::I32 && ty.mutability() == Mutability::Var {
            // SAFETY: as in `write_global`; numbers of 32 bits lie at the start of their slots.
            unsafe { self.entities.globals[global].slot.cast::<u32>().write(bits) };
        }
    }

    /// Returns a global's type.
    #[inline]
    pub fn global_type(&self, global: usize) -> GlobalType {
        self.entities.globals[global].ty
    }
}

const _: () = assert!(CONTEXT_DISTANCE.is_multiple_of(65536));

impl StoreMut<'_> {
    /// Evaluates a constant expression in an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if the store has no room for the objects that the expression allocates.
    pub(crate) fn evaluate(&mut self, id: InstanceId, expr: &ConstExpr) -> belljar_core::Result<RawVal> {
        if let [ConstOp::Value(value)] = *expr.ops() {
            return Ok(value);
        }
        let scope = self.enter_roots();
        let value = self.evaluate_in_scope(id, expr);
        self.leave_roots(scope);
        value
    }

    /// Evaluates a constant expression. Its objects are rooted, since allocating the next may move them.
    fn evaluate_in_scope(&mut self, id: InstanceId, expr: &ConstExpr) -> belljar_core::Result<RawVal> {
        let mut stack = Operands::default();
        for op in expr.ops() {
            self.check_interrupt()?;
            let value = match *op {
                ConstOp::Value(v) => v,
                ConstOp::GlobalGet(g) => {
                    let global = self.instance(id).global(g);
                    let value = self.global_value(global);
                    if self.entities.globals[global].traced {
                        let root = self.root(value.u32());
                        stack.0.push(Operand::Object(root));
                        continue;
                    }
                    value
                }
                ConstOp::RefFunc(f) => RawVal::from_u32(self.instance_func(id, f).0),
                ConstOp::RefNull => RawVal::default(),
                ConstOp::I32(arithmetic) => {
                    let (b, a) = (stack.pop(self), stack.pop(self));
                    RawVal::from_u32(arithmetic.apply(a.u64(), b.u64()) as u32)
                }
                ConstOp::I64(arithmetic) => {
                    let (b, a) = (stack.pop(self), stack.pop(self));
                    RawVal::from_u64(arithmetic.apply(a.u64(), b.u64()))
                }
                ConstOp::RefI31 => RawVal::from_u32(stack.pop(self).u32() << 1 | 1),
                ConstOp::Convert => continue,
                ConstOp::StructNew(_)
                | ConstOp::StructNewDefault(_)
                | ConstOp::ArrayNew(_)
                | ConstOp::ArrayNewDefault(_)
                | ConstOp::ArrayNewFixed(..) => {
                    let object = self.evaluate_object(id, *op, &mut stack)?;
                    let root = self.root(object);
                    stack.0.push(Operand::Object(root));
                    continue;
                }
            };
            stack.0.push(Operand::Plain(value));
        }
        Ok(stack.pop(self))
    }

    fn evaluate_object(
        &mut self,
        id: InstanceId,
        op: ConstOp,
        stack: &mut Operands,
    ) -> belljar_core::Result<u32> {
        let type_id = |store: &StoreCore, ty| store.instance(id).module.sig(ty);
        match op {
            ConstOp::StructNew(ty) | ConstOp::StructNewDefault(ty) => {
                let ty = type_id(self, ty);
                let object = self.new_struct(ty)?;
                if matches!(op, ConstOp::StructNew(_)) {
                    for field in (0..self.field_count(ty)).rev() {
                        let value = stack.pop(self);
                        self.write_field(object, field, value)?;
                    }
                }
                Ok(object)
            }
            ConstOp::ArrayNewFixed(ty, length) => {
                let array = self.gc_alloc_array(type_id(self, ty), length)?;
                for i in (0..length).rev() {
                    let value = stack.pop(self);
                    self.write_element(array, i, value)?;
                }
                Ok(array)
            }
            ConstOp::ArrayNew(ty) | ConstOp::ArrayNewDefault(ty) => {
                let length = stack.pop(self).u32();
                let array = self.gc_alloc_array(type_id(self, ty), length)?;
                if matches!(op, ConstOp::ArrayNew(_)) {
                    let value = stack.pop(self);
                    for piece in strides(length as usize, ITEMS, false) {
                        self.check_interrupt()?;
                        for i in piece {
                            self.write_element(array, i as u32, value)?;
                        }
                    }
                }
                Ok(array)
            }
            _ => belljar_core::bail!("belljar bug: {op:?} allocates no object"),
        }
    }

    /// Evaluates the element segments that allocate objects, once.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreMut::evaluate`].
    pub(crate) fn evaluate_segments(&mut self, id: InstanceId) -> belljar_core::Result<()> {
        let module = self.instance(id).module().clone();
        for (i, elem) in module.module().elems().iter().enumerate() {
            let ElemItems::Exprs(exprs) = &elem.items else { continue };
            if !exprs.iter().any(ConstExpr::makes_objects) {
                continue;
            }
            let segments = &mut self.entities.instances[id.index()].segments;
            segments.resize_with(segments.len().max(i + 1), || None);
            segments[i] = Some(vec![0; exprs.len()].into());
            for (nth, expr) in exprs.iter().enumerate() {
                let value = self.evaluate(id, expr)?.u32();
                if let Some(items) = &mut self.entities.instances[id.index()].segments[i] {
                    items[nth] = value;
                }
            }
        }
        Ok(())
    }

    /// Returns a range of an element segment's items; a dropped segment has none.
    ///
    /// # Errors
    ///
    /// Returns [`belljar_core::Trap::TableOutOfBounds`] if the segment is too short, or an error of [`StoreMut::evaluate`].
    pub(crate) fn elem_items(
        &mut self,
        id: InstanceId,
        segment: ElemIndex,
        start: u32,
        length: u32,
    ) -> belljar_core::Result<Vec<u32>> {
        let of = |count: usize| range(start.into(), length.into(), count);
        if self.is_elem_dropped(id, segment) {
            return Ok(of(0).map(|_| Vec::new())?);
        }
        if let Some(Some(items)) = self.instance(id).segments.get(segment.index()) {
            return Ok(items[of(items.len())?].to_vec());
        }
        let module = self.instance(id).module().clone();
        let items = &module.module().elems()[segment.index()].items;
        let wanted = of(items.len())?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut made = Vec::with_capacity(wanted.len());
        let first = match items {
            ElemItems::Funcs(_) => self.func_object_ref(id, 0).0,
            ElemItems::Exprs(_) => 0,
        };
        for piece in strides(wanted.len(), ITEMS, false) {
            self.check_interrupt()?;
            let piece = wanted.start + piece.start..wanted.start + piece.end;
            match items {
                ElemItems::Funcs(funcs) => {
                    let places = funcs.places().skip(piece.start).take(piece.len());
                    made.extend(places.map(|place| first + place * FuncObject::GUEST_SIZE as u32));
                }
                ElemItems::Exprs(exprs) => {
                    for expr in &exprs[piece] {
                        made.push(self.evaluate(id, expr)?.u32());
                    }
                }
            }
        }
        Ok(made)
    }
}
