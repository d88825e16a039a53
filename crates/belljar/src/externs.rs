//! Imported and exported items.

use crate::context::Caller;
use crate::engine::engine_of;
use crate::{AsContext, ExternType, Func, FuncType, Global, Memory, SharedMemory, Table, Tag};
use belljar_vm::{Entity, ImportValue, StoreCore, StoreId};

/// An item that an instance exports or imports.
#[derive(Clone, Debug)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A shared memory, which stores on other threads may use as well.
    SharedMemory(SharedMemory),
    /// A tag.
    Tag(Tag),
}

macro_rules! kinds {
    ($($into:ident $variant:ident;)*) => {
        impl Extern {
            $(
                #[doc = concat!("Returns the `", stringify!($variant), "`, if it is one.")]
                pub fn $into(self) -> Option<$variant> {
                    match self {
                        Self::$variant(it) => Some(it),
                        _ => None,
                    }
                }
            )*
        }

        $(impl From<$variant> for Extern {
            fn from(it: $variant) -> Self {
                Self::$variant(it)
            }
        })*
    };
}

kinds! {
    into_func Func;
    into_global Global;
    into_table Table;
    into_memory Memory;
    into_shared_memory SharedMemory;
    into_tag Tag;
}

impl Extern {
    /// Returns the item's type. The limits of tables and memories are those declared, not the current size.
    ///
    /// # Panics
    ///
    /// Panics if the item belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        let core = store.as_context().0.core();
        self.check_store(core, "Extern");
        match self.as_import() {
            ImportValue::Entity(entity) => ExternType::from_core(core.entity_type(entity), engine_of(core)),
            ImportValue::Shared(memory) => ExternType::Memory(memory.ty()),
            ImportValue::Host(host) => ExternType::Func(FuncType::from_core(host.ty(), engine_of(core))),
        }
    }

    /// Returns what it is, as a noun.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Func(_) => "function",
            Self::Global(_) => "global",
            Self::Table(_) => "table",
            Self::Memory(_) => "memory",
            Self::SharedMemory(_) => "shared memory",
            Self::Tag(_) => "tag",
        }
    }

    pub(crate) fn from_entity(core: &StoreCore, entity: Entity) -> Self {
        let store = core.id();
        match entity {
            Entity::Func(id) => Self::Func(Func::from_id(store, id)),
            Entity::Global(id) => Self::Global(Global::from_id(store, id)),
            Entity::Table(id) => Self::Table(Table::from_id(store, id)),
            Entity::Memory(id) => match core.shared_memory(id) {
                Some(memory) => Self::SharedMemory(SharedMemory::from_vm(memory.clone())),
                None => Self::Memory(Memory::from_id(store, id)),
            },
            Entity::Tag(id) => Self::Tag(Tag::from_id(store, id)),
        }
    }

    /// Returns the item as the value of an import.
    pub(crate) fn as_import(&self) -> ImportValue<'_> {
        ImportValue::Entity(match self {
            Self::Func(it) => Entity::Func(it.id()),
            Self::Global(it) => Entity::Global(it.id()),
            Self::Table(it) => Entity::Table(it.id()),
            Self::Memory(it) => Entity::Memory(it.id()),
            Self::SharedMemory(it) => return ImportValue::Shared(it.vm()),
            Self::Tag(it) => Entity::Tag(it.id()),
        })
    }

    /// Returns the item's store, or `None` for a shared memory, which all stores may use.
    fn store(&self) -> Option<StoreId> {
        match self {
            Self::Func(it) => Some(it.store()),
            Self::Global(it) => Some(it.store()),
            Self::Table(it) => Some(it.store()),
            Self::Memory(it) => Some(it.store()),
            Self::SharedMemory(_) => None,
            Self::Tag(it) => Some(it.store()),
        }
    }

    /// Panics if the item does not belong to the store.
    #[track_caller]
    pub(crate) fn check_store(&self, core: &StoreCore, what: &str) {
        if let Some(store) = self.store() {
            crate::context::check_store(store, core, what);
        }
    }
}

/// An export of an instance, with its name.
#[derive(Clone, Debug)]
pub struct Export<'instance> {
    pub(crate) name: &'instance str,
    pub(crate) item: Extern,
}

impl<'instance> Export<'instance> {
    /// Returns the export's name.
    pub fn name(&self) -> &'instance str {
        self.name
    }

    /// Returns the type of the exported item.
    ///
    /// # Panics
    ///
    /// Panics if it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.item.ty(store)
    }

    /// Returns the exported item.
    pub fn into_extern(self) -> Extern {
        self.item
    }

    /// Returns the function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.item.into_func()
    }

    /// Returns the memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.item.into_memory()
    }

    /// Returns the shared memory, if it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        self.item.into_shared_memory()
    }

    /// Returns the table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.item.into_table()
    }

    /// Returns the global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.item.into_global()
    }

    /// Returns the tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        self.item.into_tag()
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Returns an export of the instance that imported the host function. Returns `None` if there is no such export, or
    /// if no instance imported the function: the host called it, or gave it to the guest as a reference.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let core = self.store.0.core();
        let entity = core.instance_export(self.instance?, name)?;
        Some(Extern::from_entity(core, entity))
    }
}
