//! Walks the public modules of a crate from its root.

use super::members::describe;
use super::{ByDefinition, Description, Entity, Kind};
use crate::api::sources::{Binding, Cfg, ModuleId, NameSpace, Sources, Target};
use std::collections::{HashMap, HashSet, VecDeque};

/// A public name of a module.
struct Export {
    target: Target,
    cfgs: Vec<Cfg>,
}

type Exports = HashMap<(String, NameSpace), Export>;

/// Returns the public items, without members, and which definitions they are.
pub(super) fn entities(
    sources: &Sources,
    root: ModuleId,
    unresolved: &mut Vec<String>,
) -> (Vec<Entity>, ByDefinition) {
    let mut entities: Vec<Entity> = Vec::new();
    let mut known: HashMap<Target, usize> = HashMap::new();
    let mut waiting = VecDeque::from([(root, String::new(), Vec::new())]);
    // Nearest to the root first, so that the first path of an item is its shortest.
    while let Some((module, prefix, cfgs)) = waiting.pop_front() {
        let mut exports: Vec<_> = exports(sources, module, unresolved).into_iter().collect();
        exports.sort_by(|(a, _), (b, _)| a.cmp(b));
        for ((name, space), export) in exports {
            let path = if prefix.is_empty() { name } else { format!("{prefix}::{name}") };
            let mut cfgs: Vec<Cfg> = cfgs.iter().cloned().chain(export.cfgs).collect();
            if let Target::Definition(id) = export.target {
                cfgs.extend(sources.definition(id).cfgs.iter().cloned());
            }
            if let Some(&index) = known.get(&export.target) {
                entities[index].paths.push((path, cfgs));
                continue;
            }
            let description = match &export.target {
                Target::Definition(id) => describe(sources.definition(*id)),
                Target::Module(inside) => match sources.crate_of_root(*inside) {
                    Some(krate) => external(&krate.name),
                    None => {
                        waiting.push_back((*inside, path.clone(), cfgs.clone()));
                        Description { kind: Kind::Module, signature: format!("mod {path}"), raw: false }
                    }
                },
                Target::External(path) => external(path),
            };
            known.insert(export.target, entities.len());
            let paths = vec![(path, cfgs)];
            entities.push(Entity { paths, space, description, members: vec![], impls: vec![], deref: None });
        }
    }
    let definition = |(target, index)| match target {
        Target::Definition(id) => Some((id, index)),
        Target::Module(_) | Target::External(_) => None,
    };
    (entities, known.into_iter().filter_map(definition).collect())
}

fn external(path: &str) -> Description {
    Description { kind: Kind::External, signature: format!("use {path}"), raw: false }
}

fn exports(sources: &Sources, module: ModuleId, unresolved: &mut Vec<String>) -> Exports {
    let mut exports = Exports::new();
    add_exports(sources, module, &[], &mut exports, &mut HashSet::new(), unresolved);
    exports
}

fn add_exports(
    sources: &Sources,
    module: ModuleId,
    cfgs: &[Cfg],
    exports: &mut Exports,
    visited: &mut HashSet<ModuleId>,
    unresolved: &mut Vec<String>,
) {
    if !visited.insert(module) {
        return;
    }
    let this = sources.module(module);
    for name in &this.names {
        if !name.access.public || name.access.hidden || name.name.starts_with('_') {
            continue;
        }
        let mut targets = targets(sources, module, &name.binding);
        if let (Binding::Use(path), true) = (&name.binding, targets.is_empty()) {
            // It is there, but not what it is.
            let path = path.join("::");
            unresolved.push(format!("pub use {path}"));
            targets.push((NameSpace::Type, Target::External(path)));
        }
        for (space, target) in targets {
            if matches!(target, Target::Definition(id) if sources.definition(id).hidden) {
                continue;
            }
            let cfgs = cfgs.iter().chain(&name.access.cfgs).cloned().collect();
            exports.entry((name.name.clone(), space)).or_insert(Export { target, cfgs });
        }
    }
    // Names of the module itself hide those of globs.
    for glob in this.globs.iter().filter(|glob| glob.access.public && !glob.access.hidden) {
        match sources.resolve(module, &glob.path, NameSpace::Type) {
            Some(Target::Module(inside)) => {
                let cfgs: Vec<Cfg> = cfgs.iter().chain(&glob.access.cfgs).cloned().collect();
                add_exports(sources, inside, &cfgs, exports, visited, unresolved);
            }
            _ => unresolved.push(format!("pub use {}::*", glob.path.join("::"))),
        }
    }
}

fn targets(sources: &Sources, module: ModuleId, binding: &Binding) -> Vec<(NameSpace, Target)> {
    match binding {
        Binding::Definition(id) => vec![(sources.definition(*id).name_space(), Target::Definition(*id))],
        Binding::Module(id) => vec![(NameSpace::Type, Target::Module(*id))],
        Binding::Use(path) => {
            let mut targets: Vec<(NameSpace, Target)> = Vec::new();
            for space in [NameSpace::Type, NameSpace::Value, NameSpace::Macro] {
                // What is in another crate is found in each name space.
                if let Some(target) = sources.resolve(module, path, space)
                    && targets.iter().all(|(_, known)| *known != target)
                {
                    targets.push((space, target));
                }
            }
            targets
        }
    }
}
