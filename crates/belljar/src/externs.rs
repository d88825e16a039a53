//! Things that are imported and exported: one enum over the kinds.

use crate::{AsContext, ExternType, Func, Global, Memory, Table, Tag};
use belljar_vm::{Entity, StoreId};

/// Something that an instance exports or imports.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
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
        crate::store::check_store(self.store(), core, "Extern");
        crate::types::shown(core.entity_type(self.entity()), core.runtime())
    }

    pub(crate) fn from_entity(store: StoreId, entity: Entity) -> Self {
        match entity {
            Entity::Func(id) => Self::Func(Func::from_id(store, id)),
            Entity::Global(id) => Self::Global(Global::from_id(store, id)),
            Entity::Table(id) => Self::Table(Table::from_id(store, id)),
            Entity::Memory(id) => Self::Memory(Memory::from_id(store, id)),
            Entity::Tag(id) => Self::Tag(Tag::from_id(store, id)),
        }
    }

    pub(crate) fn entity(&self) -> Entity {
        match self {
            Self::Func(it) => Entity::Func(it.id()),
            Self::Global(it) => Entity::Global(it.id()),
            Self::Table(it) => Entity::Table(it.id()),
            Self::Memory(it) => Entity::Memory(it.id()),
            Self::Tag(it) => Entity::Tag(it.id()),
        }
    }

    pub(crate) fn store(&self) -> StoreId {
        match self {
            Self::Func(it) => it.store(),
            Self::Global(it) => it.store(),
            Self::Table(it) => it.store(),
            Self::Memory(it) => it.store(),
            Self::Tag(it) => it.store(),
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
