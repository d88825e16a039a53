//! Things that are imported and exported: one enum over the kinds.

use crate::context::Caller;
use crate::{AsContext, ExternType, Func, Global, Memory, SharedMemory, Table, Tag};
use belljar_vm::{Entity, ImportValue, StoreCore, StoreId};

/// Something that an instance exports or imports.
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
    /// A memory that other stores, on other threads, may use as well.
    SharedMemory(SharedMemory),
    /// A tag.
    Tag(Tag),
}

macro_rules! kinds {
    ($($into:ident $variant:ident;)*) => {
        impl Extern {
            $(
                #[doc = concat!("The `", stringify!($variant), "`, if it is one.")]
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
    /// Its type. Of tables and memories: as declared, not as grown.
    ///
    /// # Panics
    ///
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        let core = store.as_context().0.core();
        self.check_store(core, "Extern");
        match self.as_import() {
            ImportValue::Entity(entity) => crate::types::shown(core.entity_type(entity), core.runtime()),
            ImportValue::Shared(memory) => ExternType::Memory(memory.ty()),
            ImportValue::Host(host) => ExternType::Func(crate::types::shown_func(host.ty(), core.runtime())),
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

    /// What an import is satisfied with by it.
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

    /// Its store; none of what all stores may use.
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

    /// Holds it against the store that it is used with.
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
    /// Its name.
    pub fn name(&self) -> &'instance str {
        self.name
    }

    /// What is exported.
    pub fn into_extern(self) -> Extern {
        self.item
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.item.into_func()
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.item.into_memory()
    }

    /// The shared memory, if it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        self.item.into_shared_memory()
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.item.into_table()
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.item.into_global()
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        self.item.into_tag()
    }
}

impl<T: 'static> Caller<'_, T> {
    /// An export of the instance that imported the function. `None` too if the function reached the guest
    /// otherwise, as a reference that the host handed out.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let core = self.store.0.core();
        let entity = core.instance_export(self.instance?, name)?;
        Some(Extern::from_entity(core, entity))
    }
}
