//! Instantiation: a loaded module and imports become an instance of a store.
//!
//! In: a module and values for its imports. Out: an instance whose every slot is written, with its active segments
//! copied and its start function run. Never: a slot written before its type was checked.

use crate::builtins;
use crate::checkpoint::Checkpoint;
use crate::exit::{Exit, RaisedTrap};
use crate::growth_limiter::GrowthLimiter;
use crate::host_func::HostFunc;
use crate::instance::{Entity, Instance, Spaces};
use crate::interrupt::{STRIDE, strides};
use crate::loaded::{LoadedModule, SharedImages};
use crate::memory::MemoryImage;
use crate::on_demand::Damaged;
use crate::quota::Limit;
use crate::shared_memory::SharedMemory;
use crate::store::{StoreCore, StoreGlobal};
use crate::store_inner::StoreInner;
use crate::store_mut::StoreMut;
use crate::vm_ptr::VmPtr;
use belljar_abi::{ConstHeader, FuncObject, MemoryRef, TablePlace, VmLayout};
use belljar_core::{
    Context, Counted, ElemIndex, ExternType, FuncIndex, FuncRefId, GlobalIndex, InstanceId, MemoryIndex,
    MemoryType, OutsideText, TableIndex, TagId, TagIndex, Trap, TypeIndex,
};
use belljar_module::{ConstOp, EntityIndex, Import, Module, SegmentMode};
use std::collections::HashMap;
use std::sync::Arc;

/// The value of an import.
#[derive(Clone, Copy, Debug)]
pub enum ImportValue<'a> {
    /// An entity of the store.
    Entity(Entity),
    /// A host function, which is added to the store.
    Host(&'a Arc<HostFunc>),
    /// A memory that other stores share, which is added to the store.
    Shared(&'a SharedMemory),
}

/// Creates an instance and runs its start function.
///
/// # Errors
///
/// Returns an error if an import has another type than the module requires, a limit is reached, an active segment does
/// not fit (a trap), or the start function does not return.
pub fn instantiate<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Arc<LoadedModule>,
    imports: &[ImportValue<'_>],
) -> Result<InstanceId, Exit> {
    store.core().check_usable()?;
    let plain = |error: belljar_core::Error| Exit::Error { error, stack: Default::default() };
    let images = module.images();
    let contents = Contents::Module(images);
    let builder = store.limited(|core, growth_limiter| core.build(module, imports, contents, growth_limiter));
    let builder = builder.map_err(plain)?;
    let id = builder.id;
    store.core_mut().link(&builder, imports).map_err(plain)?;
    let begin = |store: &mut StoreInner<T>| {
        // Allocating objects asks the limiter, which `build` borrows.
        store.erased().initialize(&builder).map_err(Exit::of_error)?;
        // First, so that nothing of an instance whose images are damaged can be observed.
        store.core_mut().fill_memories(id, images)?;
        store.erased().run_segments(id, images)?;
        if let Some(start) = module.module().start() {
            let func = store.core().instance_func(id, start);
            crate::call::call_values(store, func, &[], &mut Vec::new())?;
        }
        Ok(id)
    };
    match may_take_long(module.module()) {
        true => store.run_work(id, begin),
        false => begin(store),
    }
}

/// Returns whether an instance's initialization may take longer than reading the module. Start functions, objects of
/// constant expressions and filled tables can, although they take only a few bytes of the module.
fn may_take_long(module: &Module) -> bool {
    let tables = module.imported_tables()..module.tables().len();
    let fills = |table| !matches!(module.table_init(table).ops(), [ConstOp::Value(_) | ConstOp::RefNull]);
    module.start().is_some() || module.uses_heap() || tables.map(TableIndex::new).any(fills)
}

/// Creates an instance as [`instantiate`] does, but without its values: its store will adopt them from a checkpoint.
/// Nothing runs.
///
/// # Errors
///
/// Returns the errors of [`instantiate`].
pub fn link_only<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Arc<LoadedModule>,
    imports: &[ImportValue<'_>],
    like: &Checkpoint,
) -> belljar_core::Result<InstanceId> {
    let builder = store
        .limited(|core, growth_limiter| core.build(module, imports, Contents::Of(like), growth_limiter))?;
    store.core_mut().link(&builder, imports)?;
    Ok(builder.id)
}

/// Creates an instance as [`link_only`] does, with memories that are zero: for a snapshot that is restored.
///
/// # Errors
///
/// Returns the errors of [`link_only`].
pub fn link_fresh<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Arc<LoadedModule>,
    imports: &[ImportValue<'_>],
) -> belljar_core::Result<InstanceId> {
    let builder = store.limited(|core, growth_limiter| {
        core.build(module, imports, Contents::Module(None), growth_limiter)
    })?;
    store.core_mut().link(&builder, imports)?;
    Ok(builder.id)
}

/// The source of the initial contents of an instance's memories, as far as they are mapped.
#[derive(Clone, Copy)]
enum Contents<'a> {
    /// The module; without images they are copied.
    Module(Option<&'a SharedImages>),
    /// The checkpoint of a store with the same skeleton.
    Of(&'a Checkpoint),
}

impl<'a> Contents<'a> {
    /// Returns the image of the module's memory that becomes the store's memory of this number, and its length if it
    /// has grown.
    fn of_memory(self, memory: MemoryIndex, number: usize) -> (Option<&'a Arc<MemoryImage>>, Option<usize>) {
        match self {
            Self::Module(images) => (images.and_then(|images| images.mapped[memory.index()].as_ref()), None),
            Self::Of(checkpoint) => match checkpoint.memory(number) {
                Some(memory) => (memory.image(), Some(memory.length())),
                None => (None, None),
            },
        }
    }
}

/// An instance under construction, whose slots are written.
struct Builder<'a> {
    module: &'a Arc<LoadedModule>,
    id: InstanceId,
    context: usize,
    contents: Contents<'a>,
}

impl Builder<'_> {
    fn described(&self) -> &Module {
        self.module.module()
    }

    /// Writes a value at an offset from the context.
    fn write<V>(&self, offset: i32, value: V) {
        let at = self.context.wrapping_add_signed(offset as isize);
        // SAFETY: offsets come from the module's layout, for which the block at the context was allocated (IN-BOUNDS);
        // no code of the instance runs yet.
        unsafe { VmPtr::at(at).write(value) };
    }
}

impl StoreCore {
    /// Creates everything of an instance except its values.
    fn build<'m>(
        &mut self,
        module: &'m Arc<LoadedModule>,
        imports: &[ImportValue<'_>],
        contents: Contents<'m>,
        growth_limiter: &mut GrowthLimiter<'_>,
    ) -> belljar_core::Result<Builder<'m>> {
        belljar_core::ensure!(
            module.is_of(&self.runtime),
            "the module belongs to another engine than the store: create both with the same Engine"
        );
        module.code_image().check_runs_here()?;
        growth_limiter.check_count(Limit::Instances, self.entities.instances.len())?;
        let described = module.module();
        belljar_core::ensure!(
            imports.len() == described.imports().len(),
            "the module has {}, but the list of imports has {}: give all in the order of Module::imports, or use a Linker",
            Counted::of(described.imports().len(), "import"),
            Counted::of(imports.len(), "element")
        );
        for (import, value) in described.imports().iter().zip(imports) {
            self.check_import(module, import, value)?;
        }
        let layout = described.layout();
        let gc_base = if described.uses_heap() { self.gc_base()? } else { 0 };
        let block = self
            .region
            .block(layout.const_size(), layout.state_size())
            .context("the store is full: no room for another instance")?;
        let id = InstanceId::new(self.entities.instances.len());
        let context = self.region.state_base() + block;
        let builder = Builder { module, id, context, contents };
        builder.write(
            VmLayout::header(0),
            ConstHeader {
                store_context: self.context_address(),
                const_base: self.region.const_base(),
                text_base: module.text_base(),
                builtins: builtins::stubs_address(),
                gc_base,
                type_displays: self.runtime.types.displays(),
                instance: id.0,
                reserved: 0,
            },
        );
        for (i, sig) in module.sigs().iter().enumerate() {
            builder.write(layout.type_id(TypeIndex::new(i)), *sig);
        }
        let spaces = self.entities(&builder, imports, growth_limiter)?;
        self.entities.instances.push(Instance::new(module.clone(), builder.context, spaces));
        self.monitor.add_instance(described);
        Ok(builder)
    }

    /// Creates the instance's memories, tables and globals, and records the imported ones.
    fn entities(
        &mut self,
        builder: &Builder<'_>,
        imports: &[ImportValue<'_>],
        growth_limiter: &mut GrowthLimiter<'_>,
    ) -> belljar_core::Result<Spaces> {
        let described = builder.described();
        let layout = described.layout();
        let mut memories = Vec::with_capacity(described.memories().len());
        let mut tables = Vec::with_capacity(described.tables().len());
        let mut globals = Vec::with_capacity(described.globals().len());
        let mut tags = Vec::with_capacity(described.tags().len());
        let mut resolve = builder.module.resolve();
        for value in imports {
            match value {
                ImportValue::Entity(Entity::Memory(i)) => memories.push(*i as u32),
                ImportValue::Shared(memory) => memories.push(self.enter_shared(memory)? as u32),
                ImportValue::Entity(Entity::Table(i)) => {
                    let slot = layout.table(TableIndex::new(tables.len()));
                    if let TablePlace::Imported(offset) = slot {
                        builder.write(offset, self.entities.tables[*i].header.address());
                    }
                    tables.push(*i as u32);
                }
                ImportValue::Entity(Entity::Global(i)) => {
                    let offset = layout.imported_global(GlobalIndex::new(globals.len()));
                    builder.write(offset, self.entities.globals[*i].slot.address());
                    globals.push(*i as u32);
                }
                ImportValue::Entity(Entity::Tag(tag)) => tags.push(*tag),
                ImportValue::Entity(Entity::Func(_)) | ImportValue::Host(_) => {}
            }
        }
        let reserve = builder.module.reserves();
        for i in memories.len()..described.memories().len() {
            let (image, length) =
                builder.contents.of_memory(MemoryIndex::new(i), self.entities.memories.len());
            let made = self.push_memory(described.memories()[i], image, length, growth_limiter, reserve)?;
            if builder.module.needs_reserved(MemoryIndex::new(i)) && !self.memory_is_reserved(made) {
                self.entities.memories.pop();
                return Err(NeedsChecks.into());
            }
            memories.push(made as u32);
        }
        for (i, memory) in memories.iter().enumerate() {
            let memory = &self.entities.memories[*memory as usize];
            let value = MemoryRef { base: memory.memory.base(), def: memory.def.address() };
            builder.write(layout.memory(MemoryIndex::new(i)), value);
        }
        for i in tables.len()..described.tables().len() {
            let table = TableIndex::new(i);
            let place = match layout.table(table) {
                TablePlace::Fixed { elements, .. } => {
                    Some((builder.context + elements as usize - self.region.state_base()) as u32)
                }
                _ => None,
            };
            let header = builder.context + layout.table_header(table) as usize;
            let ty = described.tables()[i].map(&mut resolve);
            let made = self.push_table(ty, 0, Some(header), place, growth_limiter)?;
            tables.push(made as u32);
        }
        for i in globals.len()..described.globals().len() {
            let slot = builder.context + layout.defined_global(GlobalIndex::new(i)) as usize;
            let ty = described.globals()[i].map(&mut resolve);
            let traced = self.is_traced(ty.content());
            self.entities.globals.push(StoreGlobal { ty, slot: VmPtr::at(slot), traced });
            globals.push(self.entities.globals.len() as u32 - 1);
        }
        for ty in &described.tags()[tags.len()..] {
            self.entities.tags.push(builder.module.sig(*ty));
            tags.push(TagId::new(self.entities.tags.len() - 1));
        }
        for (i, tag) in tags.iter().enumerate() {
            builder.write(layout.tag_id(TagIndex::new(i)), *tag);
        }
        Ok(Spaces {
            memories: memories.into(),
            tables: tables.into(),
            globals: globals.into(),
            tags: tags.into(),
        })
    }

    /// Returns an imported function. A function that the host added to the store on its own gets to know who imports it, so
    /// that it can look at its caller's exports. `bound` contains those that do; an instance may import one often.
    fn imported_by(
        &mut self,
        importer: InstanceId,
        func: FuncRefId,
        bound: &mut HashMap<FuncRefId, FuncRefId>,
    ) -> belljar_core::Result<FuncRefId> {
        let Some(host) = self.unbound_host_func(func) else { return Ok(func) };
        if let Some(known) = bound.get(&func) {
            return Ok(*known);
        }
        let made = self.new_host_func(&host, Some(importer))?;
        bound.insert(func, made);
        Ok(made)
    }

    /// Writes functions, which hold addresses and need the instance to exist.
    fn link(&mut self, builder: &Builder<'_>, imports: &[ImportValue<'_>]) -> belljar_core::Result<()> {
        let described = builder.described();
        let layout = described.layout();
        let mut imported = Vec::with_capacity(described.imported_funcs());
        let mut bound = HashMap::new();
        for value in imports {
            let func = match value {
                ImportValue::Entity(Entity::Func(func)) => self.imported_by(builder.id, *func, &mut bound)?,
                ImportValue::Host(host) => self.new_host_func(host, Some(builder.id))?,
                ImportValue::Entity(_) | ImportValue::Shared(_) => continue,
            };
            let callee = self.callee_words(func);
            builder.write(layout.imported_func(FuncIndex::new(imported.len())), callee);
            imported.push(func);
        }
        for (nth, func) in described.escaping_funcs().enumerate() {
            let offset = layout.func_object(nth as u32);
            match described.defined_func(func) {
                None => self.copy_object(imported[func.index()], builder, offset),
                Some(defined) => {
                    let sig = builder.module.sig(described.type_of_func(func));
                    let code = builder.module.func_address(defined);
                    builder.write(offset, (code, builder.context, [sig.0, func.0, builder.id.0, 0]));
                }
            }
        }
        Ok(())
    }

    /// Returns the code and the context of a function: the contents of an import slot.
    fn callee_words(&self, func: FuncRefId) -> [usize; 2] {
        let object = self.object(func);
        // SAFETY: the id names an object of this store (STORE-PINNED), which starts with these two words.
        unsafe { object.cast().read() }
    }

    fn copy_object(&self, func: FuncRefId, builder: &Builder<'_>, offset: i32) {
        type Words = [u64; FuncObject::GUEST_SIZE / 8];
        let object = self.object(func);
        // SAFETY: the id names an object of this store, which has at least these bytes. A host function's context is
        // its own object, so the copy refers to that.
        let words = unsafe { object.cast::<Words>().read() };
        builder.write(offset, words);
    }

    fn check_import(
        &self,
        module: &LoadedModule,
        import: &Import,
        value: &ImportValue<'_>,
    ) -> belljar_core::Result<()> {
        let described = module.module();
        let types = &self.runtime.types;
        let fits = match (import.entity, value) {
            (EntityIndex::Func(i), ImportValue::Entity(Entity::Func(f))) => {
                types.is_below(self.func_sig(*f), module.sig(described.type_of_func(i)))
            }
            (EntityIndex::Func(i), ImportValue::Host(host)) => {
                let wanted = module.sig(described.type_of_func(i));
                host.is_of(&self.runtime) && types.is_below(host.sig(), wanted)
            }
            (EntityIndex::Table(i), ImportValue::Entity(Entity::Table(t))) => {
                let want = described.tables()[i.index()].map(&mut module.resolve());
                let have = self.entities.tables[*t].ty;
                let size = u64::from(self.table_size(*t));
                want.element() == have.element()
                    && want.is_64() == have.is_64()
                    && limits_fit(want.minimum(), want.maximum(), size, have.maximum())
            }
            (EntityIndex::Memory(i), ImportValue::Entity(Entity::Memory(m))) => {
                let memory = &self.entities.memories[*m].memory;
                memory_fits(module, i, memory.ty(), memory.length(), memory.is_reserved())?
            }
            (EntityIndex::Memory(i), ImportValue::Shared(memory)) => {
                memory_fits(module, i, memory.ty(), memory.length(), memory.is_reserved())?
            }
            (EntityIndex::Global(i), ImportValue::Entity(Entity::Global(g))) => {
                let want = described.globals()[i.index()].map(&mut module.resolve());
                self.entities.globals[*g].ty.matches(&want, &**types)
            }
            (EntityIndex::Tag(i), ImportValue::Entity(Entity::Tag(t))) => {
                self.entities.tags[t.index()] == module.sig(described.tags()[i.index()])
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let found = match value {
            ImportValue::Host(host) => ExternType::Func(host.ty().clone()),
            ImportValue::Shared(memory) => ExternType::Memory(memory.ty()),
            ImportValue::Entity(entity) => self.entity_type(*entity),
        };
        belljar_core::bail!(
            "incompatible import type for `{}::{}`: the module wants {}, and was given {found}",
            OutsideText::new(&*import.module),
            OutsideText::new(&*import.name),
            described.entity_type(import.entity),
        )
    }

    /// Copies the known initial contents of memories that are not mapped.
    fn fill_memories(&mut self, id: InstanceId, shared: Option<&SharedImages>) -> Result<(), Exit> {
        let module = self.instance(id).module().clone();
        let Some(images) = module.module().known_images() else { return Ok(()) };
        for piece in images.pieces() {
            if shared.is_some_and(|shared| shared.mapped[piece.memory.index()].is_some()) {
                continue;
            }
            self.check_interrupt().map_err(Exit::of_trap)?;
            let bytes = images.piece(piece);
            let filled = self.fill_fresh_memory(id, piece.memory, piece.offset, module.code_image(), bytes);
            filled.map_err(|Damaged| Exit::of_trap(Trap::ArtifactDamaged))?;
        }
        Ok(())
    }
}

impl StoreMut<'_> {
    /// Evaluates the initial values of globals, tables and segments.
    fn initialize(&mut self, builder: &Builder<'_>) -> belljar_core::Result<()> {
        let described = builder.described();
        let layout = described.layout();
        for i in described.imported_globals()..described.globals().len() {
            let global = GlobalIndex::new(i);
            let value = self.evaluate(builder.id, described.global_init(global))?;
            builder.write(layout.defined_global(global), value);
        }
        self.evaluate_segments(builder.id)?;
        for i in described.imported_tables()..described.tables().len() {
            let init = self.evaluate(builder.id, described.table_init(TableIndex::new(i)))?.u32();
            if init != 0 {
                let table = self.instance(builder.id).table(TableIndex::new(i));
                for piece in strides(self.elements_mut(table).len(), STRIDE / size_of::<u32>(), false) {
                    self.check_interrupt()?;
                    self.elements_mut(table)[piece].fill(init);
                }
            }
        }
        Ok(())
    }

    /// Copies the active segments that no image holds, in order, element segments first. Afterwards all active segments
    /// count as dropped.
    fn run_segments(&mut self, id: InstanceId, shared: Option<&SharedImages>) -> Result<(), Exit> {
        let module = self.instance(id).module().clone();
        let described = module.module();
        for (i, elem) in described.elems().iter().enumerate() {
            self.check_interrupt().map_err(Exit::of_trap)?;
            let index = ElemIndex::new(i);
            if let SegmentMode::Active(table, offset) = &elem.mode {
                let start = self.evaluate(id, offset).map_err(Exit::of_error)?.u64();
                let items = self.elem_items(id, index, 0, elem.items.len() as u32).map_err(Exit::of_error)?;
                let table = self.instance(id).table(*table);
                self.init_table(table, start, &items).map_err(Exit::of_trap)?;
            }
            if elem.mode != SegmentMode::Passive {
                self.drop_elem(id, index);
            }
        }
        let others = shared.map(|shared| &*shared.other_data);
        let active = described.active_data();
        for i in 0..others.map_or(active.len(), <[_]>::len) {
            let data = &active[others.map_or(i, |others| others[i])];
            if described.known_images().is_some_and(|images| images.holds(data)) {
                continue;
            }
            self.check_interrupt().map_err(Exit::of_trap)?;
            let start = self.evaluate(id, &data.offset).map_err(Exit::of_error)?.u64();
            let length = data.bytes.len() as u32;
            self.init_memory(id, data.memory, data.index, start, 0, length).map_err(RaisedTrap::into_exit)?;
            self.drop_data(id, data.index);
        }
        self.drop_data_except(id, described.passive_data());
        Ok(())
    }
}

/// The error of instantiating code without checks that imports a memory which needs them. The engine compiles the
/// module again.
#[derive(Clone, Copy, Debug)]
pub struct NeedsChecks;

impl std::fmt::Display for NeedsChecks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a memory is not fully reserved: the module must be compiled with explicit checks")
    }
}

impl std::error::Error for NeedsChecks {}

/// Checks that a memory satisfies a module's import.
///
/// # Errors
///
/// Returns an error if the module's code needs checks to use it.
fn memory_fits(
    module: &LoadedModule,
    import: MemoryIndex,
    have: MemoryType,
    length: usize,
    is_reserved: bool,
) -> Result<bool, NeedsChecks> {
    let want = module.module().memories()[import.index()];
    let pages = length as u64 / have.page_size();
    let fits = want.is_64() == have.is_64()
        && want.is_shared() == have.is_shared()
        && want.page_size() == have.page_size()
        && limits_fit(want.minimum(), want.maximum(), pages, have.maximum());
    if fits && module.needs_reserved(import) && !is_reserved {
        return Err(NeedsChecks);
    }
    Ok(fits)
}

fn limits_fit(want_min: u64, want_max: Option<u64>, size: u64, have_max: Option<u64>) -> bool {
    size >= want_min
        && match (want_max, have_max) {
            (None, _) => true,
            (Some(want), Some(have)) => have <= want,
            (Some(_), None) => false,
        }
}
