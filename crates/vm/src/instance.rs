//! An instance of a store with its index spaces.

use crate::loaded::LoadedModule;
use belljar_abi::VmLayout;
use belljar_core::{FuncRefId, GlobalIndex, MemoryIndex, TableIndex, TagId, TagIndex};
use std::any::Any;
use std::sync::Arc;

/// An entity of a store that can be exported and imported, by its number in the store.
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
    pub(crate) module: Arc<LoadedModule>,
    pub(crate) context: usize,
    pub(crate) spaces: Spaces,
    /// Items of element segments whose evaluation allocated objects, until the segments are dropped.
    pub(crate) segments: Vec<Option<Box<[u32]>>>,
    /// The module, as the embedding layer knows it.
    pub(crate) embedder: Option<Box<dyn Any + Send + Sync>>,
}

/// The index spaces of an instance: for each index, the number of the entity in the store.
#[derive(Debug)]
pub(crate) struct Spaces {
    pub(crate) memories: Box<[u32]>,
    pub(crate) tables: Box<[u32]>,
    pub(crate) globals: Box<[u32]>,
    pub(crate) tags: Box<[TagId]>,
}

impl Instance {
    pub(crate) fn new(module: Arc<LoadedModule>, context: usize, spaces: Spaces) -> Self {
        Self { module, context, spaces, segments: Vec::new(), embedder: None }
    }

    pub(crate) fn module(&self) -> &Arc<LoadedModule> {
        &self.module
    }

    /// Returns the address of its context.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    pub(crate) fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    pub(crate) fn memory(&self, memory: MemoryIndex) -> usize {
        self.spaces.memories[memory.index()] as usize
    }

    pub(crate) fn table(&self, table: TableIndex) -> usize {
        self.spaces.tables[table.index()] as usize
    }

    pub(crate) fn global(&self, global: GlobalIndex) -> usize {
        self.spaces.globals[global.index()] as usize
    }

    pub(crate) fn tag(&self, tag: TagIndex) -> TagId {
        self.spaces.tags[tag.index()]
    }

    pub(crate) fn layout(&self) -> &VmLayout {
        self.module.module().layout()
    }
}
