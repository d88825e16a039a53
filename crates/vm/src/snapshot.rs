//! Converts a store to bytes, and back in another process, under other addresses: one with the instance of a module, or one with
//! the instances of a component.
//!
//! In: a store whose guest does not run. Out: the bytes of [`Part::Snapshot`], which a sealed artifact contains, or those of
//! an artifact of a component; from them, instances that continue where the others were. Never: bytes of unknown origin. An
//! attacker who can change them could as well change code.
//!
//! ```text
//! head: length, all numbers of 64 bits in little endian   │ contents of memories, without what is zero
//! ```
//!
//! State that holds addresses is created by linking, as for a [`Checkpoint`](crate::Checkpoint). Of the remaining
//! state, only the headers of objects depend on the process: they contain canonical ids of types, which are replaced by
//! type indices of the modules, one after the other, in these bytes.
//!
//! [`Part::Snapshot`]: belljar_abi::Part::Snapshot

use crate::checkpoint::{Skeleton, places};
use crate::code::{CodeImage, copy_in_steps};
use crate::gc::GcCheckpoint;
use crate::host_func::{HostFunc, HostName};
use crate::instantiate::{ImportValue, link_fresh};
use crate::loaded::LoadedModule;
use crate::on_demand::Damaged;
use crate::snapshot_bytes::{Reader, Writer};
use crate::store::StoreCore;
use crate::store_inner::StoreInner;
use crate::store_memory::AnyMemory;
use crate::store_mut::StoreMut;
use crate::store_region::RegionCheckpoint;
use belljar_core::{ByteCount, Context, Counted, FuncIndex, InstanceId, OutsideText, TypeId, bail, ensure};
use belljar_module::{EntityIndex, Import};
use std::ops::Range;
use std::sync::Arc;

/// Runs of zeros of this length are omitted from the contents.
const GRAIN: usize = 4096;

/// The head of a snapshot.
pub(crate) struct InstanceSnapshot<'a> {
    /// A note for the embedder.
    note: &'a [u8],
    /// The number of memories of the store, and the places of its entities: [`places`].
    memory_count: usize,
    places: Vec<u32>,
    region: RegionCheckpoint,
    memories: Vec<MemorySnapshot>,
    gc: Option<GcCheckpoint>,
    /// Those of each instance.
    segments: Vec<Vec<Option<Box<[u32]>>>>,
    /// The offset of the contents of memories.
    head: usize,
}

struct MemorySnapshot {
    length: usize,
    /// The ranges of the memory that have contents. These follow each other behind the head.
    pieces: Vec<Range<usize>>,
}

/// Checks that everything in a store belongs to its one instance, except for functions that it imports: a snapshot
/// could not describe anything else.
fn check_own(store: &StoreCore, module: &LoadedModule) -> belljar_core::Result<()> {
    let described = module.module();
    let other = described.imports().iter().find(|import| !matches!(import.entity, EntityIndex::Func(_)));
    if let Some(Import { module, name, .. }) = other {
        let (module, name) = (OutsideText::new(&**module), OutsideText::new(&**name));
        bail!(
            "the import `{module}::{name}` is not a function: a snapshot can only be restored with imports of host functions"
        );
    }
    let all = store.entities.host_funcs.iter().zip(&store.entities.host_objects);
    let (imported, others): (Vec<_>, Vec<_>) =
        all.partition(|(_, object)| store.unbound_host_func(**object).is_none());
    // An import may be of a function that the host added before: restoring needs a store with the same one.
    let is_imported = |func: &Arc<HostFunc>| imported.iter().any(|(other, _)| Arc::ptr_eq(other, func));
    let others = others.into_iter().filter(|(func, _)| !is_imported(func));
    let foreign: Vec<_> = imported
        .iter()
        .skip(described.imported_funcs())
        .copied()
        .chain(others)
        .map(|(func, _)| display_name(func))
        .collect();
    ensure!(
        foreign.is_empty(),
        "the guest may hold host functions that it did not import, which a snapshot cannot contain: {}",
        foreign.join(", ")
    );
    let now = [
        store.entities.memories.len(),
        store.entities.tables.len(),
        store.entities.globals.len(),
        store.entities.tags.len(),
    ];
    let own = [
        described.memories().len(),
        described.tables().len(),
        described.globals().len(),
        described.tags().len(),
    ];
    ensure!(
        now == own && store.host.host_caller_context.is_none(),
        "the host has created entities in the store, or has called its own functions through it, which a snapshot cannot contain"
    );
    let is_exact = |i: usize| {
        let wanted = module.sig(described.type_of_func(FuncIndex::new(i)));
        imported.get(i).is_some_and(|(func, _)| func.sig() == wanted)
    };
    ensure!(
        (0..described.imported_funcs()).all(is_exact),
        "an imported function belongs to another instance, or has a narrower type than the import"
    );
    Ok(())
}

fn places_of(store: &StoreCore) -> Vec<u32> {
    places(store).map(|place| place as u32).collect()
}

impl StoreMut<'_> {
    /// Serializes the store's only instance with all its state. `note` is kept with it.
    ///
    /// # Errors
    ///
    /// Returns an error that names the state which is meaningful only in this process, if there is any, or an error as
    /// for [`StoreMut::checkpoint`].
    pub fn serialize_instance(&mut self, note: &[u8]) -> belljar_core::Result<Vec<u8>> {
        let [instance] = &*self.entities.instances else {
            bail!(
                "a snapshot needs a store with one instance, and this one has {}",
                self.entities.instances.len()
            );
        };
        let module = instance.module().clone();
        check_own(self, &module)?;
        self.serialize_store(note)
    }

    /// Serializes all instances of the store with their state. `note` is kept with it. The caller makes sure that the store has
    /// what linking creates ([`StoreCore::is_linked_like`]).
    ///
    /// # Errors
    ///
    /// Returns an error as [`StoreMut::serialize_instance`] does.
    pub fn serialize_store(&mut self, note: &[u8]) -> belljar_core::Result<Vec<u8>> {
        let was = self.checkpoint()?;
        let types = types_of(self);
        let gc = match (&self.heap.gc, &was.gc) {
            (Some(gc), Some(was)) => {
                ensure!(
                    was.is_without_host_values(),
                    "the guest holds values of the host (externref), which a snapshot cannot contain"
                );
                let index = |id: TypeId| types.iter().position(|ty| *ty == id);
                Some(was.renamed(&gc.objects()?, index).context(
                    "the guest holds objects of the host's types, which a snapshot cannot contain",
                )?)
            }
            _ => None,
        };
        let mut contents = Vec::new();
        let mut memories = Vec::new();
        for number in 0..self.entities.memories.len() {
            let bytes = self.memory_data(number);
            let pieces = pieces(bytes);
            pieces.iter().for_each(|piece| contents.extend_from_slice(&bytes[piece.clone()]));
            memories.push(MemorySnapshot { length: bytes.len(), pieces });
        }
        let mut head = Writer::default();
        head.bytes(note);
        head.number(self.entities.memories.len() as u64);
        head.words(&places_of(self));
        was.region.write(&mut head);
        for memory in &memories {
            head.number(memory.length as u64);
            head.number(memory.pieces.len() as u64);
            for piece in &memory.pieces {
                head.number(piece.start as u64);
                head.number(piece.len() as u64);
            }
        }
        head.number(u64::from(gc.is_some()));
        if let Some(gc) = &gc {
            gc.write(&mut head);
        }
        head.number(self.entities.instances.len() as u64);
        for instance in &self.entities.instances {
            head.number(instance.segments.len() as u64);
            for segment in &instance.segments {
                head.number(u64::from(segment.is_some()));
                head.words(segment.as_deref().unwrap_or(&[]));
            }
        }
        let mut bytes = (head.0.len() as u64 + 8).to_le_bytes().to_vec();
        bytes.append(&mut head.0);
        bytes.append(&mut contents);
        // The store will not be rewound to it.
        self.checkpoints.pop();
        Ok(bytes)
    }
}

/// Returns the ids of the types of all instances, in order.
fn types_of(store: &StoreCore) -> Vec<TypeId> {
    store.entities.instances.iter().flat_map(|instance| instance.module().sigs().iter().copied()).collect()
}

impl StoreCore {
    /// Returns whether the stores have the same entities, with the same types, at the same offsets.
    pub fn is_linked_like(&self, other: &Self) -> bool {
        Skeleton::of(other).is_of(self)
    }
}

fn display_name(func: &HostFunc) -> String {
    match func.name.get() {
        Some(HostName { module, name }) => {
            format!("{}::{}", OutsideText::new(&**module), OutsideText::new(&**name))
        }
        None => "one without a name".into(),
    }
}

/// Returns the ranges of bytes that are not zero, in whole grains.
fn pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for (i, grain) in bytes.chunks(GRAIN).enumerate() {
        if grain.iter().all(|byte| *byte == 0) {
            continue;
        }
        let range = i * GRAIN..i * GRAIN + grain.len();
        match pieces.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => pieces.push(range),
        }
    }
    pieces
}

/// Returns the note that a snapshot was taken with.
///
/// # Errors
///
/// Returns an error if the snapshot is damaged.
pub fn snapshot_note(image: &CodeImage) -> belljar_core::Result<Option<Vec<u8>>> {
    let Some(bytes) = image.snapshot() else { return Ok(None) };
    Ok(Some(Source { bytes, image: Some(image) }.read()?.note.to_vec()))
}

/// Returns the note of bytes of [`StoreMut::serialize_store`], which have been checked.
///
/// # Errors
///
/// Returns an error if they are damaged.
pub fn stored_note(bytes: &[u8]) -> belljar_core::Result<Vec<u8>> {
    Ok(Source { bytes, image: None }.read()?.note.to_vec())
}

/// Creates an instance in a store that has none, and restores the state of the snapshot in `image`. Nothing runs.
///
/// # Errors
///
/// Returns the errors of [`crate::instantiate()`], or an error if the store has other entities than the one that the snapshot
/// was taken from, or if the snapshot is damaged. The store is unusable then.
pub fn restore_instance<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Arc<LoadedModule>,
    imports: &[ImportValue<'_>],
    image: &CodeImage,
) -> belljar_core::Result<InstanceId> {
    let bytes = image.snapshot().context("the module has no snapshot")?;
    ensure!(
        store.core().instance_count() == 0,
        "a module with a snapshot must be the first of its store, and this store has instances already"
    );
    let source = Source { bytes, image: Some(image) };
    let frozen = source.read()?;
    let id = link_fresh(store, module, imports)?;
    let done = check_own(store.core(), module).and_then(|()| restore_state(store, source, frozen));
    usable_if(store, done).map(|()| id)
}

/// Restores the state of [`StoreMut::serialize_store`] into instances that have just been linked. Nothing runs. The bytes have been
/// checked.
///
/// # Errors
///
/// Returns an error as [`restore_instance`] does. The store is unusable then.
pub fn restore_store<T: 'static>(store: &mut StoreInner<T>, bytes: &[u8]) -> belljar_core::Result<()> {
    let source = Source { bytes, image: None };
    let done = source.read().and_then(|frozen| restore_state(store, source, frozen));
    usable_if(store, done)
}

/// Makes a store unusable that could not be restored. Its contents are inconsistent: they must not be run or collected.
fn usable_if<T: 'static>(
    store: &mut StoreInner<T>,
    restored: belljar_core::Result<()>,
) -> belljar_core::Result<()> {
    if restored.is_err() {
        store.core_mut().make_unusable("its snapshot could not be loaded");
    }
    restored
}

/// The bytes of a snapshot.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    /// The image that they are in, whose parts are checked when they are first used. `None` if they have been checked.
    image: Option<&'a CodeImage>,
}

impl<'a> Source<'a> {
    fn load(self, part: &[u8]) -> belljar_core::Result<()> {
        self.image.map_or(Ok(()), |image| image.load_part(part)).map_err(damaged)
    }

    fn copy(self, contents: &[u8], to: &mut [u8]) -> Result<(), Damaged> {
        match self.image {
            Some(image) => image.copy_part(contents, to),
            None => {
                copy_in_steps(contents, to);
                Ok(())
            }
        }
    }

    /// Reads the head.
    fn read(self) -> belljar_core::Result<InstanceSnapshot<'a>> {
        let start = self.bytes.get(..8).context(DAMAGED)?;
        self.load(start)?;
        let head = Reader(start).number().and_then(|length| usize::try_from(length).ok()).context(DAMAGED)?;
        let head = self.bytes.get(..head).context(DAMAGED)?;
        self.load(head)?;
        parse(head).context(DAMAGED)
    }
}

/// Restores a snapshot's state into instances that have just been linked.
fn restore_state<T: 'static>(
    store: &mut StoreInner<T>,
    source: Source<'_>,
    frozen: InstanceSnapshot<'_>,
) -> belljar_core::Result<()> {
    let bytes = source.bytes;
    let core = store.core();
    ensure!(
        places_of(core) == frozen.places && core.region.has_pieces_of(&frozen.region),
        "the store differs from the one that the snapshot was taken from: create it with nothing but the module's imports, and \
         link those as they were linked then"
    );
    ensure!(core.entities.memories.len() == frozen.memory_count, DAMAGED);
    let mut at = frozen.head;
    for (number, memory) in frozen.memories.iter().enumerate() {
        let page = store.core().memory_type(number).page_size();
        let now = store.core().memory_data(number).len();
        let more = memory.length.checked_sub(now).context(DAMAGED)? as u64 / page;
        let grown = more == 0 || store.memory_grow(number, more)?.is_some();
        ensure!(
            grown,
            "the snapshot has {} in memory {number}, and the limits do not allow it",
            ByteCount(memory.length as u64)
        );
        let AnyMemory::Own(own) = &mut store.core_mut().entities.memories[number].memory else {
            bail!("memory {number} is shared with others");
        };
        ensure!(own.length() == memory.length, DAMAGED);
        for piece in &memory.pieces {
            let end = at.checked_add(piece.len()).context(DAMAGED)?;
            let contents = bytes.get(at..end).context(DAMAGED)?;
            own.fill_fresh(piece.clone(), |to| source.copy(contents, to)).map_err(damaged)?;
            at = end;
        }
    }
    let core = store.core_mut();
    ensure!(frozen.region.fits(&core.region), "the snapshot's tables are larger than this machine allows");
    core.region.rewind(&frozen.region)?;
    for table in 0..core.entities.tables.len() {
        let (size, maximum) =
            (store.core().table_size(table) as usize, store.core().table_type(table).maximum());
        let maximum = maximum.map(|most| most as usize);
        let allowed = store.limited(|_, growth_limiter| {
            // Its elements are counted already.
            growth_limiter.limiter().map_or(Ok(true), |limiter| limiter.table_growing(size, size, maximum))
        })?;
        let size = Counted::of(size, "element");
        ensure!(allowed, "the snapshot has {size} in table {table}, and the limits do not allow it");
    }
    if let Some(gc) = &frozen.gc {
        store.core_mut().gc_base()?;
        let granted = gc.granted();
        let allowed = store.limited(|_, growth_limiter| match growth_limiter.limiter() {
            Some(limiter) if granted > 0 => limiter.gc_heap_growing(0, granted),
            _ => Ok(true),
        })?;
        let granted = ByteCount(granted as u64);
        ensure!(allowed, "the snapshot has objects of {granted}, and the limits do not allow it");
        let core = store.core_mut();
        ensure!(gc.fits(core.gc()?), DAMAGED);
        core.rewind_gc(gc);
        core.commit_group();
        let types = types_of(core);
        core.gc()?.rename(|index| types.get(index).copied()).context(DAMAGED)?;
    }
    let core = store.core_mut();
    ensure!(core.entities.instances.len() == frozen.segments.len(), DAMAGED);
    for (instance, segments) in core.entities.instances.iter_mut().zip(frozen.segments) {
        instance.segments = segments;
    }
    (0..core.entities.memories.len()).for_each(|memory| core.publish_memory(memory));
    core.publish_memory_size();
    Ok(())
}

const DAMAGED: &str = "the snapshot is damaged, or was made by another release";

fn damaged(_: Damaged) -> belljar_core::Error {
    belljar_core::Error::msg(DAMAGED)
}

fn parse(head: &[u8]) -> Option<InstanceSnapshot<'_>> {
    let mut reader = Reader(head.get(8..)?);
    let note = reader.bytes()?;
    let memory_count = reader.size()?;
    let places = reader.words()?;
    let region = RegionCheckpoint::read(&mut reader)?;
    let mut memories = Vec::new();
    for _ in 0..memory_count {
        let length = reader.size()?;
        let pieces = reader.size()?;
        let mut memory = MemorySnapshot { length, pieces: Vec::new() };
        let mut last = 0;
        for _ in 0..pieces {
            let start = reader.size()?;
            let end = start.checked_add(reader.size()?)?;
            if start < last || end > length {
                return None;
            }
            last = end;
            memory.pieces.push(start..end);
        }
        memories.push(memory);
    }
    let gc = match reader.number()? {
        0 => None,
        _ => Some(GcCheckpoint::read(&mut reader)?),
    };
    let mut segments = Vec::new();
    for _ in 0..reader.number()? {
        let mut of_instance = Vec::new();
        for _ in 0..reader.number()? {
            let is_there = reader.number()? != 0;
            let words = reader.words()?;
            of_instance.push(is_there.then(|| words.into()));
        }
        segments.push(of_instance);
    }
    reader.0.is_empty().then_some(InstanceSnapshot {
        note,
        memory_count,
        places,
        region,
        memories,
        gc,
        segments,
        head: head.len(),
    })
}
