//! Which items of a rival belljar has under the same name.
//!
//! An item is there if one of its public paths names an item of the same sort in belljar. A member is there if the type
//! that belljar has under one of these paths has a member of that name. Wasmtime's `Rooted<T>` dereferences to `T`, so a
//! method of `T` is called in the same way if belljar defines it for `Rooted<T>`.

use super::reasons::{Category, Reason, Reasons};
use super::rivals::Rival;
use super::scope::Group;
use super::sources::Cfg;
use super::surface::{Description, Entity, Fields, Kind, Member, Output, Receiver, Shape, Surface};
use std::collections::HashSet;

/// What belljar has of a rival.
pub(super) struct Coverage<'a> {
    pub(super) rival: &'static Rival,
    pub(super) version: String,
    /// All items, each followed by its members.
    pub(super) rows: Vec<Row<'a>>,
    /// The traits that types of the rival implement and types of belljar do not: type and trait.
    pub(super) missing_impls: Vec<(&'a str, Vec<&'a str>)>,
    /// The implementations of all types that both have.
    pub(super) impls: Count,
}

/// An item of a rival, or a member of one.
pub(super) struct Row<'a> {
    /// The item of which this is a member, or the item itself.
    pub(super) owner: &'a str,
    pub(super) path: String,
    pub(super) description: &'a Description,
    pub(super) state: State<'a>,
}

/// Whether belljar has an item.
pub(super) enum State<'a> {
    Excluded(&'static Group),
    Same,
    /// What differs.
    OtherShape(String, Option<&'a Reason>),
    Missing(Option<&'a Reason>),
}

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Count {
    pub(super) have: usize,
    pub(super) total: usize,
}

impl<'a> Coverage<'a> {
    /// Compares a rival with belljar.
    pub(super) fn new(
        rival: &'static Rival,
        version: String,
        theirs: &'a Surface,
        ours: &Surface,
        reasons: &'a Reasons,
    ) -> Self {
        let comparison = Comparison { rival, ours };
        let mut rows: Vec<Row<'_>> =
            theirs.entities.iter().flat_map(|entity| comparison.rows(entity)).collect();
        rows.sort_by_key(|row| row.owner);
        explain(&mut rows, rival, reasons);
        let (mut missing_impls, mut impls) = (Vec::new(), Count::default());
        for entity in &theirs.entities {
            let (missing, count) = comparison.impls(entity);
            impls = [impls, count].into_iter().sum();
            if !missing.is_empty() {
                missing_impls.push((entity.path(), missing));
            }
        }
        Self { rival, version, rows, missing_impls, impls }
    }

    /// Counts the rows that count.
    pub(super) fn count<'b>(rows: impl IntoIterator<Item = &'b Row<'a>>) -> Count
    where
        'a: 'b,
    {
        let mut count = Count::default();
        for row in rows {
            match row.state {
                State::Excluded(_) => {}
                State::Same | State::OtherShape(..) => {
                    count.have += 1;
                    count.total += 1;
                }
                State::Missing(_) => count.total += 1,
            }
        }
        count
    }

    /// Counts without the missing items that are unsafe.
    pub(super) fn safe_count(&self) -> Count {
        Self::count(self.rows.iter().filter(|row| !row.is_missing_and_unsafe()))
    }

    /// Counts without the missing items that are unsafe, or about what belljar does not have.
    pub(super) fn applicable_count(&self) -> Count {
        let applies = |row: &&Row<'_>| {
            !row.is_missing_and_unsafe()
                && !matches!(row.state, State::Missing(Some(reason)) if reason.category == Category::NotApplicable)
        };
        Self::count(self.rows.iter().filter(applies))
    }

    /// Counts the items that belljar has in another shape.
    pub(super) fn other_shapes(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.state, State::OtherShape(..))).count()
    }

    /// Returns the rows of each item that counts, in the order of their paths.
    pub(super) fn owners(&self) -> Vec<(&'a str, Vec<&Row<'a>>)> {
        let mut owners: Vec<(&str, Vec<&Row<'a>>)> = Vec::new();
        for row in self.rows.iter().filter(|row| !matches!(row.state, State::Excluded(_))) {
            match owners.last_mut() {
                Some((owner, rows)) if *owner == row.owner => rows.push(row),
                _ => owners.push((row.owner, vec![row])),
            }
        }
        owners
    }

    /// Returns the missing items without a reason.
    pub(super) fn unexplained(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| matches!(row.state, State::Missing(None)))
    }
}

impl Row<'_> {
    fn is_missing_and_unsafe(&self) -> bool {
        match &self.state {
            State::Missing(Some(reason)) => reason.category == Category::Unsafe || self.description.raw,
            State::Missing(None) => self.description.raw,
            _ => false,
        }
    }
}

impl Count {
    /// Returns how much there is, in per cent.
    pub(super) fn percentage(self) -> f64 {
        if self.total == 0 { 100.0 } else { self.have as f64 * 100.0 / self.total as f64 }
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, count| Self {
            have: sum.have + count.have,
            total: sum.total + count.total,
        })
    }
}

/// Finds the reasons.
fn explain<'a>(rows: &mut [Row<'a>], rival: &Rival, reasons: &'a Reasons) {
    let missing = rows.iter().filter(|row| matches!(row.state, State::Missing(_)));
    let missing: HashSet<String> = missing.map(|row| row.path.clone()).collect();
    for row in rows {
        match &mut row.state {
            State::Missing(reason) => {
                let parents = row.path.rmatch_indices("::").map(|(at, _)| &row.path[..at]);
                let parents = parents.filter(|parent| missing.contains(*parent));
                *reason = reasons.missing(rival.name, &row.path, parents);
            }
            State::OtherShape(_, reason) => *reason = reasons.other_shape(rival.name, &row.path),
            State::Excluded(_) | State::Same => {}
        }
    }
}

struct Comparison<'b> {
    rival: &'static Rival,
    ours: &'b Surface,
}

impl<'b> Comparison<'b> {
    fn rows<'a>(&self, entity: &'a Entity) -> Vec<Row<'a>> {
        let mut rows = Vec::new();
        let owner = entity.path();
        for (path, cfgs) in &entity.paths {
            let state = self.state(path, cfgs, entity, &entity.description, || {
                self.same(entity, path).next().map(|ours| &ours.description)
            });
            rows.push(Row { owner: path, path: path.clone(), description: &entity.description, state });
        }
        // Other paths of an item come after its members, so that these follow the item.
        let others = rows.split_off(1);
        for member in &entity.members {
            let path = member.path(owner);
            let cfgs: Vec<_> = entity.cfgs().iter().chain(&member.cfgs).cloned().collect();
            let mut state =
                self.state(&path, &cfgs, entity, &member.description, || self.member(entity, member));
            if matches!(state, State::Missing(_)) && self.is_operator(entity, &member.name) {
                state = State::Same;
            }
            rows.push(Row { owner, path, description: &member.description, state });
        }
        rows.extend(others);
        rows
    }

    fn state<'a, 'c>(
        &self,
        path: &str,
        cfgs: &[Cfg],
        entity: &Entity,
        theirs: &Description,
        ours: impl FnOnce() -> Option<&'c Description>,
    ) -> State<'a> {
        if let Some(group) = Group::of(&format!("{}::{path}", self.rival.name), cfgs) {
            return State::Excluded(group);
        }
        match ours() {
            None => State::Missing(None),
            Some(ours) => match difference(&theirs.kind, &ours.kind, self.usage(entity)) {
                None => State::Same,
                Some(what) => State::OtherShape(what, None),
            },
        }
    }

    /// Returns the implementations that belljar's type lacks, and counts all.
    fn impls<'a>(&self, entity: &'a Entity) -> (Vec<&'a str>, Count) {
        let group = |cfgs: &[Cfg]| Group::of(&format!("{}::{}", self.rival.name, entity.path()), cfgs);
        let same = entity.paths.iter().find_map(|(path, _)| self.same(entity, path).next());
        let Some(ours) = same.filter(|_| group(entity.cfgs()).is_none()) else { return Default::default() };
        let theirs = entity.impls.iter().filter(|theirs| {
            let own = theirs.own_trait.as_ref().map(|path| format!("{}::{path}", self.rival.name));
            group(&theirs.cfgs).is_none() && own.is_none_or(|path| Group::of(&path, &[]).is_none())
        });
        let theirs: Vec<&str> = theirs.map(|theirs| theirs.name.as_str()).collect();
        let has = |name: &&str| ours.impls.iter().any(|ours| ours.name == *name);
        let missing: Vec<&str> = theirs.iter().copied().filter(|name| !has(name)).collect();
        let count = Count { have: theirs.len() - missing.len(), total: theirs.len() };
        (missing, count)
    }

    fn usage(&self, entity: &Entity) -> Usage {
        let same = entity.paths.iter().find_map(|(path, _)| self.same(entity, path).next());
        if entity.description.kind == Kind::Trait {
            Usage::Implemented
        } else if same.is_some_and(|ours| ours.impls.iter().any(|of| of.name == "Copy")) {
            Usage::CalledOnCopies
        } else {
            Usage::Called
        }
    }

    /// Returns what belljar has under a path of an item.
    fn same(&self, entity: &Entity, path: &str) -> impl Iterator<Item = &'b Entity> + use<'b> {
        // The name space of what another crate defines is not known.
        let space = (entity.description.kind != Kind::External).then_some(entity.space);
        self.ours.named(path).filter(move |ours| space.is_none_or(|space| ours.space == space))
    }

    /// Returns what belljar has in the place of a member.
    fn member(&self, entity: &Entity, member: &Member) -> Option<&'b Description> {
        let is_method =
            matches!(&member.description.kind, Kind::Function(shape) if shape.receiver != Receiver::None);
        let found = entity.paths.iter().find_map(|(path, _)| {
            let found = self.same(entity, path).find_map(|ours| self.member_of(ours, member, is_method));
            found.or_else(|| {
                let rooted = self.ours.named("Rooted").next().filter(|_| is_method)?;
                let mut named = rooted.members.iter().filter(|ours| ours.name == member.name);
                named.find(|ours| ours.arguments.as_deref() == Some(path))
            })
        });
        found.map(|found| &found.description)
    }

    /// Returns whether belljar has an associated function as that of a trait, which is called in the same way: `T::eq(a, b)`.
    fn is_operator(&self, entity: &Entity, name: &str) -> bool {
        let mut same = entity.paths.iter().flat_map(|(path, _)| self.same(entity, path));
        name == "eq" && same.any(|ours| ours.impls.iter().any(|of| of.name == "PartialEq"))
    }

    fn member_of(&self, ours: &'b Entity, member: &Member, is_method: bool) -> Option<&'b Member> {
        let named = ours.members.iter().filter(|ours| ours.name == member.name);
        let mut named: Vec<&Member> =
            named.filter(|ours| ours.arguments.is_none() || ours.arguments == member.arguments).collect();
        // A field and a method can have one name.
        named.sort_by_key(|ours| {
            std::mem::discriminant(&ours.description.kind) != std::mem::discriminant(&member.description.kind)
        });
        let found = named.first().copied();
        found.or_else(|| self.member_of(self.ours.deref(ours).filter(|_| is_method)?, member, is_method))
    }
}

/// What users do with the functions of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Called,
    /// Taking the value is as good as taking a reference.
    CalledOnCopies,
    Implemented,
}

/// Returns how two items differ for their users.
fn difference(theirs: &Kind, ours: &Kind, usage: Usage) -> Option<String> {
    match (theirs, ours) {
        (Kind::Function(theirs), Kind::Function(ours)) => shape_difference(theirs, ours, usage),
        (Kind::Variant(theirs), Kind::Variant(ours)) => {
            (theirs != ours).then(|| format!("{}, here {}", fields(theirs), fields(ours)))
        }
        // What another crate defines is not known.
        (Kind::External, _) | (_, Kind::External) => None,
        _ => (theirs != ours).then(|| format!("{}, here {}", kind(theirs), kind(ours))),
    }
}

fn shape_difference(theirs: &Shape, ours: &Shape, usage: Usage) -> Option<String> {
    let mut differences = Vec::new();
    if theirs.parameters != ours.parameters {
        let plural = if theirs.parameters == 1 { "" } else { "s" };
        differences.push(format!("{} parameter{plural}, here {}", theirs.parameters, ours.parameters));
    }
    // Callers that have `&mut self`, or own the value, can call what takes less.
    let compatible = match (theirs.receiver, ours.receiver) {
        (theirs, ours) if theirs == ours => true,
        (Receiver::MutableReference | Receiver::Value, Receiver::Reference) => usage != Usage::Implemented,
        (Receiver::MutableReference | Receiver::Reference, Receiver::Value) => usage == Usage::CalledOnCopies,
        _ => false,
    };
    if !compatible {
        differences.push(format!("{}, here {}", receiver(theirs.receiver), receiver(ours.receiver)));
    }
    if theirs.output != ours.output {
        differences.push(format!("returns {}, here {}", output(theirs.output), output(ours.output)));
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

fn output(output: Output) -> &'static str {
    match output {
        Output::Result => "`Result`",
        Output::Option => "`Option`",
        Output::Other => "another type",
    }
}

fn receiver(receiver: Receiver) -> &'static str {
    match receiver {
        Receiver::None => "no `self`",
        Receiver::Value => "`self`",
        Receiver::Reference => "`&self`",
        Receiver::MutableReference => "`&mut self`",
        Receiver::Other => "`self: …`",
    }
}

fn fields(fields: &Fields) -> String {
    match fields {
        Fields::Unit => "no fields".into(),
        Fields::Tuple(1) => "one field".into(),
        Fields::Tuple(count) => format!("{count} fields"),
        Fields::Named(names) => format!("fields {}", names.join(", ")),
    }
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Type => "type",
        Kind::Trait => "trait",
        Kind::Module => "module",
        Kind::Macro => "macro",
        Kind::Constant => "constant",
        Kind::Function(_) => "function",
        Kind::Variant(_) => "variant",
        Kind::Field => "field",
        Kind::AssociatedType => "associated type",
        Kind::External => "item of another crate",
    }
}
