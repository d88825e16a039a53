//! The index spaces of a module, for printing the types of imports and exports.

use wasmparser::{
    CompositeInnerType, ExternalKind, FuncType, GlobalType, MemoryType, SubType, TableType, TypeRef, ValType,
};

/// Types by index, as far as known.
#[derive(Default)]
pub(super) struct Entities {
    types: Vec<Option<FuncType>>,
    pub(super) funcs: Vec<u32>,
    pub(super) tables: Vec<TableType>,
    pub(super) memories: Vec<MemoryType>,
    pub(super) globals: Vec<GlobalType>,
    pub(super) tags: Vec<u32>,
}

impl Entities {
    pub(super) fn push_type(&mut self, ty: SubType) {
        self.types.push(match ty.composite_type.inner {
            CompositeInnerType::Func(func) => Some(func),
            _ => None,
        });
    }

    pub(super) fn type_count(&self) -> u32 {
        self.types.len() as u32
    }

    /// Adds an import.
    pub(super) fn push_import(&mut self, ty: TypeRef) {
        match ty {
            TypeRef::Func(i) | TypeRef::FuncExact(i) => self.funcs.push(i),
            TypeRef::Table(ty) => self.tables.push(ty),
            TypeRef::Memory(ty) => self.memories.push(ty),
            TypeRef::Global(ty) => self.globals.push(ty),
            TypeRef::Tag(ty) => self.tags.push(ty.func_type_idx),
        }
    }

    /// Formats an import's type.
    pub(super) fn import(&self, ty: TypeRef) -> String {
        match ty {
            TypeRef::Func(i) | TypeRef::FuncExact(i) => format!("func {}", self.func(i)),
            TypeRef::Table(ty) => table(&ty),
            TypeRef::Memory(ty) => memory(&ty),
            TypeRef::Global(ty) => global(&ty),
            TypeRef::Tag(ty) => format!("tag {}", self.func(ty.func_type_idx)),
        }
    }

    /// Returns the function type with this index.
    pub(super) fn func_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(index as usize)?.as_ref()
    }

    /// Formats an export's type.
    pub(super) fn export(&self, kind: ExternalKind, index: u32) -> String {
        let i = index as usize;
        let text = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                self.funcs.get(i).map(|ty| format!("func {}", self.func(*ty)))
            }
            ExternalKind::Table => self.tables.get(i).map(table),
            ExternalKind::Memory => self.memories.get(i).map(memory),
            ExternalKind::Global => self.globals.get(i).map(global),
            ExternalKind::Tag => self.tags.get(i).map(|ty| format!("tag {}", self.func(*ty))),
        };
        text.unwrap_or_else(|| format!("{kind:?} {index}, which does not exist"))
    }

    fn func(&self, ty: u32) -> String {
        match self.func_type(ty) {
            Some(ty) => func(ty),
            None => format!("of type {ty}"),
        }
    }
}

/// Formats a function type as the engine does: `(i32, f64) -> i32`.
pub(super) fn func(ty: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [one] => format!("({}) -> {one}", list(ty.params())),
        many => format!("({}) -> ({})", list(ty.params()), list(many)),
    }
}

pub(super) fn table(ty: &TableType) -> String {
    let wide = if ty.table64 { "i64 " } else { "" };
    format!("table {wide}{} {}", limits(ty.initial, ty.maximum), ty.element_type)
}

pub(super) fn memory(ty: &MemoryType) -> String {
    let wide = if ty.memory64 { "i64 " } else { "" };
    let shared = if ty.shared { " shared" } else { "" };
    let page = match ty.page_size_log2 {
        Some(log2) => format!(" pagesize {}", 1_u64.checked_shl(log2).unwrap_or(0)),
        None => String::new(),
    };
    format!("memory {wide}{}{shared}{page}", limits(ty.initial, ty.maximum))
}

fn global(ty: &GlobalType) -> String {
    match ty.mutable {
        true => format!("global (mut {})", ty.content_type),
        false => format!("global {}", ty.content_type),
    }
}

fn limits(minimum: u64, maximum: Option<u64>) -> String {
    match maximum {
        Some(maximum) => format!("{minimum}..{maximum}"),
        None => minimum.to_string(),
    }
}
