//! What has to be known of a type before it can be written: whether it is borrowed, copied, or an error.

use std::collections::HashMap;
use wit_parser::{Function, LiveTypes, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

/// Returns where a type is defined that `use` and aliases may give other names.
pub(crate) fn definition(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(of)) = resolve.types[id].kind {
        id = of;
    }
    id
}

/// Facts about a type.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Facts {
    /// It is passed to a function that the guest exports.
    pub(crate) borrowed: bool,
    /// It is passed to the host, or returned by either side.
    pub(crate) owned: bool,
    /// It is the error of a function.
    pub(crate) error: bool,
    /// It has a list or string somewhere within.
    pub(crate) has_list: bool,
    /// It has a handle somewhere within.
    pub(crate) has_handle: bool,
}

impl Facts {
    pub(crate) fn is_copy(self) -> bool {
        !self.has_list && !self.has_handle
    }

    pub(crate) fn is_clone(self) -> bool {
        !self.has_handle
    }

    fn and(self, other: Self) -> Self {
        Self {
            has_list: self.has_list || other.has_list,
            has_handle: self.has_handle || other.has_handle,
            ..self
        }
    }
}

/// The facts about all types.
pub(crate) struct AllFacts(HashMap<TypeId, Facts>);

impl AllFacts {
    pub(crate) fn new(resolve: &Resolve, world: WorldId) -> Self {
        let mut all = Self(HashMap::new());
        // A type comes after those that it consists of.
        for (id, ty) in resolve.types.iter() {
            all.within(resolve, id, &ty.kind);
        }
        let world = &resolve.worlds[world];
        for (items, imported) in [(&world.imports, true), (&world.exports, false)] {
            for item in items.values() {
                match item {
                    WorldItem::Function(func) => all.add_uses(resolve, func, imported),
                    WorldItem::Interface { id, .. } => {
                        let functions = resolve.interfaces[*id].functions.values();
                        functions.for_each(|func| all.add_uses(resolve, func, imported));
                    }
                    WorldItem::Type { .. } => {}
                }
            }
        }
        // A type that no function uses can consist of types that are only borrowed, so it has to borrow as well.
        all.0.values_mut().filter(|facts| !facts.owned).for_each(|facts| facts.borrowed = true);
        all
    }

    pub(crate) fn of(&self, id: TypeId) -> Facts {
        self.0.get(&id).copied().unwrap_or_default()
    }

    fn of_type(&mut self, resolve: &Resolve, ty: &Type) -> Facts {
        match ty {
            Type::String => Facts { has_list: true, ..Facts::default() },
            Type::Id(id) => self.within(resolve, *id, &resolve.types[*id].kind),
            _ => Facts::default(),
        }
    }

    fn within(&mut self, resolve: &Resolve, id: TypeId, kind: &TypeDefKind) -> Facts {
        if let Some(known) = self.0.get(&id) {
            return *known;
        }
        let mut parts = Vec::new();
        let mut facts = Facts::default();
        match kind {
            TypeDefKind::Record(record) => parts.extend(record.fields.iter().map(|field| field.ty)),
            TypeDefKind::Tuple(tuple) => parts.extend(&tuple.types),
            TypeDefKind::Variant(variant) => parts.extend(variant.cases.iter().filter_map(|case| case.ty)),
            TypeDefKind::Option(ty) | TypeDefKind::Type(ty) | TypeDefKind::FixedLengthList(ty, _) => {
                parts.push(*ty);
            }
            TypeDefKind::Result(result) => parts.extend(result.ok.iter().chain(&result.err)),
            TypeDefKind::List(ty) => {
                facts.has_list = true;
                parts.push(*ty);
            }
            TypeDefKind::Map(key, value) => {
                facts.has_list = true;
                parts.extend([*key, *value]);
            }
            TypeDefKind::Handle(_) => facts.has_handle = true,
            // Futures and streams are refused before.
            TypeDefKind::Flags(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Resource
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => {}
        }
        for part in parts {
            facts = facts.and(self.of_type(resolve, &part));
        }
        self.0.insert(id, facts);
        facts
    }

    /// Adds how a function uses the types of its parameters and its result.
    fn add_uses(&mut self, resolve: &Resolve, func: &Function, imported: bool) {
        let mut mark = |ty: &Type, borrowed: bool| {
            let mut live = LiveTypes::default();
            live.add_type(resolve, ty);
            for id in live.iter().filter(|id| resolve.types[*id].name.is_some()) {
                let facts = self.0.entry(id).or_default();
                match borrowed {
                    true => facts.borrowed = true,
                    false => facts.owned = true,
                }
            }
        };
        func.params.iter().for_each(|param| mark(&param.ty, !imported));
        func.result.iter().for_each(|ty| mark(ty, false));
        if let Some(Type::Id(result)) = func.result
            && let TypeDefKind::Result(result) = &resolve.types[result].kind
            && let Some(Type::Id(error)) = result.err
        {
            self.0.entry(definition(resolve, error)).or_default().error = true;
        }
    }
}
