use belljar_core::{FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TagIndex};

/// The index of an item that can be imported or exported.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityIndex {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
    /// A tag.
    Tag(TagIndex),
}

/// An import. The imports of one kind are in the order of that kind's index space.
#[derive(Clone, Debug)]
pub struct Import {
    /// The module name.
    pub module: Box<str>,
    /// The field name.
    pub name: Box<str>,
    /// The imported item's index in the module.
    pub entity: EntityIndex,
}

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name.
    pub name: Box<str>,
    /// The exported item.
    pub entity: EntityIndex,
}
