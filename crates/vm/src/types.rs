//! Function types made canonical: equal types get equal ids, within one engine.

use belljar_core::{FuncType, SigId};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The function types that modules and host functions of an engine use now.
#[derive(Debug, Default)]
pub(crate) struct TypeRegistry {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<FuncType, SigId>,
    rows: Vec<Row>,
    free: Vec<SigId>,
}

#[derive(Debug)]
struct Row {
    ty: Option<FuncType>,
    users: usize,
}

impl TypeRegistry {
    /// Enters types; their ids are valid while the result lives.
    pub(crate) fn register(self: &Arc<Self>, types: &[FuncType]) -> TypeSet {
        let mut inner = self.inner.write().unwrap_or_else(|e| e.into_inner());
        let ids = types.iter().map(|ty| inner.enter(ty)).collect();
        TypeSet { registry: self.clone(), ids }
    }

    /// The type of a registered id.
    pub(crate) fn ty(&self, id: SigId) -> Option<FuncType> {
        self.inner.read().unwrap_or_else(|e| e.into_inner()).rows.get(id.index())?.ty.clone()
    }
}

impl Inner {
    fn enter(&mut self, ty: &FuncType) -> SigId {
        if let Some(&id) = self.ids.get(ty) {
            self.rows[id.index()].users += 1;
            return id;
        }
        let row = Row { ty: Some(ty.clone()), users: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.rows[id.index()] = row;
                id
            }
            None => {
                self.rows.push(row);
                SigId::new(self.rows.len() - 1)
            }
        };
        self.ids.insert(ty.clone(), id);
        id
    }

    fn leave(&mut self, id: SigId) {
        let row = &mut self.rows[id.index()];
        row.users -= 1;
        if row.users == 0
            && let Some(ty) = row.ty.take()
        {
            self.ids.remove(&ty);
            self.free.push(id);
        }
    }
}

/// Registered types, in the order in which they were given. Unregistered on drop.
#[derive(Debug)]
pub(crate) struct TypeSet {
    registry: Arc<TypeRegistry>,
    ids: Box<[SigId]>,
}

impl TypeSet {
    /// The ids.
    pub(crate) fn ids(&self) -> &[SigId] {
        &self.ids
    }
}

impl Drop for TypeSet {
    fn drop(&mut self) {
        let mut inner = self.registry.inner.write().unwrap_or_else(|e| e.into_inner());
        self.ids.iter().for_each(|id| inner.leave(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_core::ValType;

    #[test]
    fn ids_are_shared_by_equal_types_and_reused_after_the_last_user() {
        let registry = Arc::new(TypeRegistry::default());
        let unary = FuncType::new([ValType::I32], []);
        let nullary = FuncType::new([], []);
        let first = registry.register(&[unary.clone(), nullary.clone()]);
        let second = registry.register(std::slice::from_ref(&unary));
        assert_eq!(first.ids()[0], second.ids()[0]);
        assert_ne!(first.ids()[0], first.ids()[1]);
        let id = first.ids()[1];
        drop(first);
        assert_eq!(registry.ty(id), None);
        assert_eq!(registry.ty(second.ids()[0]), Some(unary));
        let third = registry.register(&[FuncType::new([ValType::F32], [])]);
        assert_eq!(third.ids()[0], id);
    }
}
