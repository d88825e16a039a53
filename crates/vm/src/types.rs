//! Canonicalization of defined types: equal types get equal ids, within one engine.
//!
//! Types come in recursion groups. Two groups are equal if their types are, where a reference to a type of the group
//! itself is compared by its position in the group, and any other by its id. Each registered type
//! has a display in a table that guest code reads ([`belljar_abi::TYPE_DISPLAY_SIZE`]): entry n is its ancestor at depth n, itself
//! last. A cast loads one entry and compares, whatever the depth of the types.

use crate::sys::{Mapping, Protection};
use crate::trampolines::TypeTrampolines;
use belljar_abi::{MAX_TYPES, TYPE_DISPLAY_SIZE};
use belljar_core::{
    CompositeType, Context, DefinedTypes, FuncType, HeapType, SubType, TypeId, TypeIndex, TypeRef,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock, RwLock};

/// The defined types that modules and host functions of an engine currently use.
#[derive(Debug, Default)]
pub(crate) struct TypeRegistry {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    groups: HashMap<Arc<[SubType]>, u32>,
    group_rows: Vec<Option<Group>>,
    free_groups: Vec<u32>,
    rows: Vec<Option<Row>>,
    free: Vec<TypeId>,
    displays: Option<Mapping>,
}

#[derive(Debug)]
struct Group {
    /// Its types, with references to each other by position and to other types by id.
    key: Arc<[SubType]>,
    ids: Box<[TypeId]>,
    users: usize,
    /// Whether the embedder is one of the users; it never stops being one.
    pinned: bool,
}

#[derive(Debug)]
struct Row {
    /// All its references are ids.
    ty: Arc<SubType>,
    group: u32,
    /// The types above it, outermost first, then itself.
    display: Box<[TypeId]>,
    /// The trampolines of a function type, once one was requested.
    trampolines: OnceLock<Arc<TypeTrampolines>>,
}

impl TypeRegistry {
    /// Registers a module's types. Their ids are valid while the result lives.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine cannot hold more types.
    pub(crate) fn register(
        self: &Arc<Self>,
        types: &[SubType],
        groups: &[Range<u32>],
    ) -> belljar_core::Result<TypeSet> {
        let mut set = TypeSet { registry: self.clone(), groups: Vec::new(), ids: Vec::new() };
        let mut inner = self.inner.write().unwrap_or_else(|e| e.into_inner());
        for range in groups {
            let key: Arc<[SubType]> = types[range.start as usize..range.end as usize]
                .iter()
                .map(|ty| {
                    ty.map(&mut |r| match r {
                        TypeRef::Index(i) if range.contains(&i.0) => TypeRef::Rec(i.0 - range.start),
                        TypeRef::Index(i) => TypeRef::Id(set.ids[i.index()]),
                        other => other,
                    })
                })
                .collect();
            let group = match inner.enter(key) {
                Ok(group) => group,
                Err(error) => {
                    // Dropping the set unregisters its groups, which takes the lock.
                    drop(inner);
                    return Err(error);
                }
            };
            set.groups.push(group);
            set.ids.extend_from_slice(&inner.group(group).ids);
        }
        drop(inner);
        Ok(set)
    }

    /// Registers a single function type. Its references are ids.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TypeRegistry::register`].
    pub(crate) fn register_func(self: &Arc<Self>, ty: &FuncType) -> belljar_core::Result<TypeSet> {
        self.register(&[SubType::plain(CompositeType::Func(ty.clone()))], std::slice::from_ref(&(0..1)))
    }

    /// Registers a single type and keeps it while the engine lives. Its references are ids.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TypeRegistry::register`].
    pub(crate) fn define(self: &Arc<Self>, ty: &SubType) -> belljar_core::Result<TypeId> {
        let set = self.register(std::slice::from_ref(ty), std::slice::from_ref(&(0..1)))?;
        self.pin(set.ids[0]);
        Ok(set.ids[0])
    }

    /// Keeps a type while the engine lives: the embedder has been shown it and may use it at any time.
    pub(crate) fn pin(&self, id: TypeId) {
        let mut inner = self.inner.write().unwrap_or_else(|e| e.into_inner());
        let Some(group) = inner.rows.get(id.index()).and_then(Option::as_ref).map(|row| row.group) else {
            return;
        };
        let group = inner.group_rows[group as usize].as_mut().expect("as in `group`");
        if !group.pinned {
            group.pinned = true;
            group.users += 1;
        }
    }

    /// Returns a registered type. All its references are ids.
    pub(crate) fn ty(&self, id: TypeId) -> Option<Arc<SubType>> {
        let inner = self.inner.read().unwrap_or_else(|e| e.into_inner());
        Some(inner.rows.get(id.index())?.as_ref()?.ty.clone())
    }

    /// Returns a registered type with its trampolines.
    pub(crate) fn trampolines(&self, id: TypeId) -> Option<(Arc<SubType>, Arc<TypeTrampolines>)> {
        let inner = self.inner.read().unwrap_or_else(|e| e.into_inner());
        let row = inner.rows.get(id.index())?.as_ref()?;
        Some((row.ty.clone(), row.trampolines.get_or_init(Arc::default).clone()))
    }

    /// Returns a registered function type.
    pub(crate) fn func_type(&self, id: TypeId) -> Option<FuncType> {
        self.ty(id)?.composite.as_func().cloned()
    }

    /// Returns an upper bound of the ids.
    pub(crate) fn count(&self) -> usize {
        self.inner.read().unwrap_or_else(|e| e.into_inner()).rows.len()
    }

    /// Returns the address of the table of displays; 0 while no type has one.
    pub(crate) fn displays(&self) -> usize {
        let inner = self.inner.read().unwrap_or_else(|e| e.into_inner());
        inner.displays.as_ref().map_or(0, Mapping::base)
    }

    /// Returns whether `a` is `b` or below it.
    pub(crate) fn is_below(&self, a: TypeId, b: TypeId) -> bool {
        if a == b {
            return true;
        }
        let inner = self.inner.read().unwrap_or_else(|e| e.into_inner());
        inner.rows.get(a.index()).and_then(Option::as_ref).is_some_and(|row| row.display.contains(&b))
    }
}

impl DefinedTypes for TypeRegistry {
    fn kind(&self, ty: TypeRef) -> HeapType {
        match ty {
            TypeRef::Id(id) => self.ty(id).map_or(HeapType::Any, |ty| HeapType::of_composite(&ty.composite)),
            TypeRef::Index(_) | TypeRef::Rec(_) => HeapType::Any,
        }
    }

    fn is_subtype(&self, a: TypeRef, b: TypeRef) -> bool {
        matches!((a, b), (TypeRef::Id(a), TypeRef::Id(b)) if self.is_below(a, b))
    }
}

impl Inner {
    fn group(&self, group: u32) -> &Group {
        self.group_rows[group as usize].as_ref().expect("a group that is in use is there")
    }

    fn row(&self, id: TypeId) -> &Row {
        self.rows[id.index()].as_ref().expect("a type that is in use is there")
    }

    /// Adds a user to a group, which is created if it is new.
    fn enter(&mut self, key: Arc<[SubType]>) -> belljar_core::Result<u32> {
        if let Some(&group) = self.groups.get(&key) {
            self.group_rows[group as usize].as_mut().expect("as in `group`").users += 1;
            return Ok(group);
        }
        // Before anything is changed: a type of another engine could be mistaken for one of ours, or be unknown.
        let mut unknown = None;
        for ty in &*key {
            ty.for_each_ref(|r| match r {
                TypeRef::Rec(_) => {}
                TypeRef::Id(id) if self.rows.get(id.index()).is_some_and(Option::is_some) => {}
                other => unknown = Some(other),
            });
        }
        if let Some(unknown) = unknown {
            belljar_core::bail!("a type refers to type {unknown}, which the engine does not know");
        }
        let needs_displays =
            key.iter().any(|ty| !ty.is_final || !matches!(ty.composite, CompositeType::Func(_)));
        if needs_displays && self.displays.is_none() {
            let mapping = Mapping::new(MAX_TYPES * TYPE_DISPLAY_SIZE, Protection::ReadWrite);
            self.displays = Some(mapping.context("no address space for the engine's types")?);
            let known: Vec<_> = self.rows.iter().flatten().map(|row| row.display.clone()).collect();
            known.iter().for_each(|display| self.write_display(display));
        }
        belljar_core::ensure!(
            self.rows.len().max(1) - self.free.len() + key.len() <= MAX_TYPES,
            "the engine's modules define more than the {MAX_TYPES} different types that it can hold"
        );
        let ids: Box<[TypeId]> = key.iter().map(|_| self.new_id()).collect();
        let group = self.free_groups.pop().unwrap_or_else(|| {
            self.group_rows.push(None);
            self.group_rows.len() as u32 - 1
        });
        for (id, ty) in ids.iter().zip(&*key) {
            let ty = ty.map(&mut |r| match r {
                TypeRef::Rec(i) => TypeRef::Id(ids[i as usize]),
                other => other,
            });
            let mut display = match ty.supertype {
                Some(TypeRef::Id(above)) => self.row(above).display.to_vec(),
                _ => Vec::new(),
            };
            display.push(*id);
            self.write_display(&display);
            self.rows[id.index()] =
                Some(Row { ty: Arc::new(ty), group, display: display.into(), trampolines: OnceLock::new() });
        }
        self.for_each_foreign(&key, |other| other.users += 1);
        self.group_rows[group as usize] = Some(Group { key: key.clone(), ids, users: 1, pinned: false });
        self.groups.insert(key, group);
        Ok(group)
    }

    fn new_id(&mut self) -> TypeId {
        self.free.pop().unwrap_or_else(|| {
            // Id 0 is never assigned: the headers of host values, which have no type, contain it, and code looks up its
            // display.
            self.rows.resize_with(self.rows.len().max(1) + 1, || None);
            TypeId::new(self.rows.len() - 1)
        })
    }

    /// Visits the groups of all types outside a group that the group refers to.
    fn for_each_foreign(&mut self, key: &[SubType], mut f: impl FnMut(&mut Group)) {
        for ty in key {
            ty.for_each_ref(|r| {
                if let TypeRef::Id(id) = r {
                    let group = self.row(id).group;
                    f(self.group_rows[group as usize].as_mut().expect("as in `group`"));
                }
            });
        }
    }

    /// Writes the row of the last type of a display.
    fn write_display(&mut self, display: &[TypeId]) {
        let (Some(displays), Some(id)) = (&self.displays, display.last()) else { return };
        let mut row = [u32::MAX; TYPE_DISPLAY_SIZE / 4];
        row.iter_mut().zip(display).for_each(|(slot, id)| *slot = id.0);
        let at = id.index() * TYPE_DISPLAY_SIZE;
        // SAFETY: the mapping is writable and the registry's (OWNED-MAPPING), and rows are aligned in it; no code reads
        // the row of an id that was not assigned yet.
        unsafe { displays.range(at..at + TYPE_DISPLAY_SIZE).cast().write(row) };
    }

    /// Removes a user from a group. An unused group is freed, and its uses of other groups with it. This is iterative,
    /// since a module's types can refer to each other in arbitrarily long chains.
    fn leave(&mut self, group: u32) {
        let mut left = vec![group];
        while let Some(group) = left.pop() {
            let row = self.group_rows[group as usize].as_mut().expect("as in `group`");
            row.users -= 1;
            if row.users > 0 {
                continue;
            }
            let Some(gone) = self.group_rows[group as usize].take() else { continue };
            self.groups.remove(&gone.key);
            self.free_groups.push(group);
            for ty in &*gone.key {
                ty.for_each_ref(|r| {
                    if let TypeRef::Id(id) = r {
                        left.push(self.row(id).group);
                    }
                });
            }
            for id in &gone.ids {
                self.rows[id.index()] = None;
                self.free.push(*id);
            }
        }
    }
}

/// Registered types, in the order in which they were given. Unregistered on drop.
#[derive(Debug)]
pub(crate) struct TypeSet {
    registry: Arc<TypeRegistry>,
    groups: Vec<u32>,
    ids: Vec<TypeId>,
}

impl TypeSet {
    /// Returns the ids.
    pub(crate) fn ids(&self) -> &[TypeId] {
        &self.ids
    }

    /// Converts a reference by index of the module whose types these are to one by id.
    pub(crate) fn resolve(&self, ty: TypeRef) -> TypeRef {
        match ty {
            TypeRef::Index(TypeIndex(i)) => TypeRef::Id(self.ids[i as usize]),
            other => other,
        }
    }
}

impl Drop for TypeSet {
    fn drop(&mut self) {
        let mut inner = self.registry.inner.write().unwrap_or_else(|e| e.into_inner());
        self.groups.iter().for_each(|group| inner.leave(*group));
    }
}

#[cfg(test)]
// Groups are ranges of indices, and a module may have only one.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use belljar_core::{FieldType, Mutability, RefType, StorageType, StructType, ValType};

    fn func(params: &[ValType]) -> SubType {
        SubType::plain(CompositeType::Func(FuncType::new(params.iter().copied(), [])))
    }

    /// Returns an open struct type below another one, with a reference to a type as its field.
    fn link(above: Option<u32>, to: u32) -> SubType {
        let index = |i| TypeRef::Index(TypeIndex(i));
        let to = ValType::Ref(RefType::new(true, HeapType::Defined(index(to))));
        let field = FieldType::new(Mutability::Var, StorageType::Val(to));
        let composite = CompositeType::Struct(StructType::new([field]));
        SubType { is_final: false, supertype: above.map(index), composite }
    }

    #[test]
    fn ids_are_shared_by_equal_types_and_reused_after_the_last_user() {
        let registry = Arc::new(TypeRegistry::default());
        let first = registry.register(&[func(&[ValType::I32]), func(&[])], &[0..1, 1..2]).unwrap();
        let second = registry.register_func(&FuncType::new([ValType::I32], [])).unwrap();
        assert_eq!(first.ids()[0], second.ids()[0]);
        assert_ne!(first.ids()[0], first.ids()[1]);
        assert!(!first.ids().contains(&TypeId(0)), "host values are of no type");
        let id = first.ids()[1];
        drop(first);
        assert_eq!(registry.ty(id), None);
        assert_eq!(registry.func_type(second.ids()[0]), Some(FuncType::new([ValType::I32], [])));
        let third = registry.register(&[func(&[ValType::F32])], &[0..1]).unwrap();
        assert_eq!(third.ids()[0], id);
    }

    #[test]
    fn groups_are_equal_by_structure() {
        let registry = Arc::new(TypeRegistry::default());
        // The same pair, once after another type and once by itself.
        let first = registry.register(&[func(&[]), link(None, 2), link(Some(1), 1)], &[0..1, 1..3]).unwrap();
        let second = registry.register(&[link(None, 1), link(Some(0), 0)], &[0..2]).unwrap();
        assert_eq!(first.ids()[1..], *second.ids());
        assert!(registry.is_below(second.ids()[1], second.ids()[0]));
        assert!(!registry.is_below(second.ids()[0], second.ids()[1]));
        // A group of one is another type than the same in a group of two.
        let third = registry.register(&[link(None, 0)], &[0..1]).unwrap();
        assert!(!second.ids().contains(&third.ids()[0]));
    }

    #[test]
    fn a_type_keeps_those_that_it_refers_to() {
        let registry = Arc::new(TypeRegistry::default());
        let below = registry.register(&[link(None, 0), link(Some(0), 0)], &[0..1, 1..2]).unwrap();
        let (above, id) = (below.ids()[0], below.ids()[1]);
        let again = registry.register(&[link(None, 0), link(Some(0), 0)], &[0..1, 1..2]).unwrap();
        drop(below);
        assert!(registry.is_below(id, above));
        drop(again);
        assert_eq!((registry.ty(id), registry.ty(above)), (None, None));
        assert_eq!(registry.inner.read().unwrap().groups.len(), 0);
    }

    #[test]
    fn types_that_refer_to_each_other_in_a_long_chain_go_together() {
        let registry = Arc::new(TypeRegistry::default());
        let chain: Vec<_> = (0..200_000_u32).map(|i| link(None, i.saturating_sub(1))).collect();
        let groups: Vec<_> = (0..200_000).map(|i| i..i + 1).collect();
        drop(registry.register(&chain, &groups).unwrap());
        assert_eq!(registry.inner.read().unwrap().groups.len(), 0);
    }
}
