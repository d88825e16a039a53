//! What a crate offers to its users: its public items under the paths that users write, with their members.
//!
//! In: [`Sources`]. Out: a [`Surface`]. An item is reachable if `pub` modules and `pub use` declarations lead to it from
//! the root of the crate. Its members are its public fields, its variants, the items of a trait, and the public
//! functions and constants of its `impl` blocks, in whatever module these are. Items with `#[doc(hidden)]` and names that
//! start with an underscore do not belong to it.

mod exports;
mod impls;
mod members;
mod signature;

use super::sources::{Cfg, CrateId, DefinitionId, NameSpace, Sources, Target};
use std::collections::{BTreeMap, HashMap};

/// The public items of a crate.
pub(super) struct Surface {
    /// In the order of their paths.
    pub(super) entities: Vec<Entity>,
    /// The entities that public paths name.
    paths: BTreeMap<String, Vec<usize>>,
    /// Paths of `pub use` declarations and of types of `impl` blocks that name nothing known.
    pub(super) unresolved: Vec<String>,
}

/// A public item.
pub(super) struct Entity {
    /// Its public paths, the shortest first, each with its conditions.
    pub(super) paths: Vec<(String, Vec<Cfg>)>,
    pub(super) space: NameSpace,
    pub(super) description: Description,
    pub(super) members: Vec<Member>,
    /// Implemented traits, as `From<i32>`.
    pub(super) impls: Vec<Implementation>,
    /// The public type that this one dereferences to.
    deref: Option<usize>,
}

/// Something that belongs to a type or a trait.
pub(super) struct Member {
    pub(super) name: String,
    /// The arguments of the type, if only some instances of a generic type have this member.
    pub(super) arguments: Option<String>,
    pub(super) description: Description,
    pub(super) cfgs: Vec<Cfg>,
}

/// A trait that a type implements.
pub(super) struct Implementation {
    /// The trait with its arguments, and the arguments of the type, if any: `From<i32>`.
    pub(super) name: String,
    /// The path of the trait, if it is one of the crate.
    pub(super) own_trait: Option<String>,
    pub(super) cfgs: Vec<Cfg>,
}

/// What an item or a member is.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) kind: Kind,
    /// As in the source, on one line.
    pub(super) signature: String,
    /// Is an `unsafe` function or trait or a union, or its signature has raw pointers.
    pub(super) raw: bool,
}

/// The kind of an item or a member, with what callers must agree with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Type,
    Trait,
    Module,
    Macro,
    Constant,
    Function(Shape),
    Variant(Fields),
    Field,
    AssociatedType,
    /// An item of a crate whose sources are not read.
    External,
}

/// How a function is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) receiver: Receiver,
    /// Without the receiver.
    pub(super) parameters: usize,
    pub(super) output: Output,
}

/// What a function returns, as far as callers unwrap it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Result,
    Option,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receiver {
    /// No method.
    None,
    Value,
    Reference,
    MutableReference,
    /// `self: Arc<Self>` and the like.
    Other,
}

/// The fields of a variant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fields {
    Unit,
    Tuple(usize),
    Named(Vec<String>),
}

impl Surface {
    /// Collects what a crate offers.
    pub(super) fn new(sources: &Sources, krate: CrateId) -> Self {
        let mut unresolved = Vec::new();
        let (mut entities, mut by_definition) =
            exports::entities(sources, sources.krate(krate).root, &mut unresolved);
        let mut order: Vec<usize> = (0..entities.len()).collect();
        order.sort_by(|&a, &b| {
            (&entities[a].paths[0].0, entities[a].space).cmp(&(&entities[b].paths[0].0, entities[b].space))
        });
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &old)| places[old] = place);
        by_definition.values_mut().for_each(|index| *index = places[*index]);
        let mut taken: Vec<Option<Entity>> = entities.drain(..).map(Some).collect();
        entities.extend(order.iter().filter_map(|&old| taken[old].take()));

        members::add(sources, &by_definition, &mut entities, &mut unresolved);
        impls::add(sources, &by_definition, &mut entities);
        let mut paths: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, entity) in entities.iter().enumerate() {
            for (path, _) in &entity.paths {
                paths.entry(path.clone()).or_default().push(index);
            }
        }
        Self { entities, paths, unresolved }
    }

    /// Returns the items that a path names.
    pub(super) fn named<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Entity> + use<'a> {
        self.paths.get(path).into_iter().flatten().map(|&index| &self.entities[index])
    }

    /// Returns the type that another one dereferences to.
    pub(super) fn deref(&self, entity: &Entity) -> Option<&Entity> {
        entity.deref.map(|index| &self.entities[index])
    }
}

impl Entity {
    /// Returns the shortest public path.
    pub(super) fn path(&self) -> &str {
        &self.paths[0].0
    }

    /// Returns the conditions of the shortest public path.
    pub(super) fn cfgs(&self) -> &[Cfg] {
        &self.paths[0].1
    }
}

impl Member {
    /// Returns the path of this member of an item: `Func::call`, `Rooted<EqRef>::to_anyref`.
    pub(super) fn path(&self, owner: &str) -> String {
        match &self.arguments {
            Some(arguments) => format!("{owner}<{arguments}>::{}", self.name),
            None => format!("{owner}::{}", self.name),
        }
    }
}

/// The entities of definitions.
type ByDefinition = HashMap<DefinitionId, usize>;

/// Returns the entity of a path in a module, and its definition.
fn entity_of(
    sources: &Sources,
    by_definition: &ByDefinition,
    module: super::sources::ModuleId,
    path: &syn::Path,
    space: NameSpace,
) -> Option<usize> {
    match sources.resolve(module, &path_names(path), space)? {
        Target::Definition(id) => by_definition.get(&id).copied(),
        Target::Module(_) | Target::External(_) => None,
    }
}

/// Returns the names of a path. One that starts with `::` has an empty first name.
fn path_names(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.map(|_| String::new());
    leading.into_iter().chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect()
}

/// Returns the type arguments of a path that are not among the parameters of its `impl` block.
fn concrete_arguments(path: &syn::Path, generics: &syn::Generics) -> Option<String> {
    let syn::PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    let is_parameter = |name: &syn::Ident| generics.type_params().any(|parameter| parameter.ident == *name);
    let concrete = arguments.args.iter().filter_map(|argument| match argument {
        syn::GenericArgument::Type(syn::Type::Infer(_)) => None,
        // `T`, and `T::Data`.
        syn::GenericArgument::Type(syn::Type::Path(ty))
            if ty.path.segments.first().is_some_and(|first| is_parameter(&first.ident)) =>
        {
            None
        }
        syn::GenericArgument::Type(ty) => Some(signature::short(ty)),
        _ => None,
    });
    let concrete: Vec<String> = concrete.collect();
    (!concrete.is_empty()).then(|| concrete.join(", "))
}
