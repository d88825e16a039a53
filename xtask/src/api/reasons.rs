//! Why belljar lacks items of its rivals: the rows of `reasons.txt`.

use super::scope::matches;
use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;

/// Why belljar lacks something, or has it in another shape.
#[derive(Debug)]
pub(super) struct Reason {
    /// [`super::rivals::Rival::name`]
    pub(super) rival: String,
    /// `Func::to_raw`. A `*` in the name of a member stands for any text.
    pub(super) path: String,
    pub(super) category: Category,
    /// What users write instead, in Markdown.
    pub(super) instead: String,
    pub(super) why: String,
    pub(super) line: usize,
    /// Whether an item needed it.
    used: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Category {
    /// It is unsafe, or belongs to raw pointers.
    Unsafe,
    /// It concerns what belljar does not have.
    NotApplicable,
    /// It is intended.
    Later,
    /// belljar has it under another name.
    OtherName,
    /// belljar has it under the same name, and it is called in another way.
    OtherShape,
}

/// The categories as they are written.
const CATEGORIES: &[(&str, Category)] = &[
    ("unsafe", Category::Unsafe),
    ("not applicable", Category::NotApplicable),
    ("later", Category::Later),
    ("other name", Category::OtherName),
    ("other shape", Category::OtherShape),
];

/// The rows of `reasons.txt`.
pub(super) struct Reasons(Vec<Reason>);

impl Reasons {
    /// Reads rows, of which the first word of each line says what it is.
    pub(super) fn new(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let reasons =
            rows.map(|(line, row)| Reason::new(row, line).with_context(|| format!("line {line}: {row}")));
        Ok(Self(reasons.collect::<Result<_>>()?))
    }

    /// Returns the reason for a missing item. `parents` are the missing items that it belongs to, the nearest first: what
    /// is the reason for a missing type is the reason for its members as well.
    pub(super) fn missing<'a>(
        &self,
        rival: &str,
        path: &str,
        mut parents: impl Iterator<Item = &'a str>,
    ) -> Option<&Reason> {
        let applies = |reason: &Reason| reason.category != Category::OtherShape;
        let own = self.find(rival, |reason| applies(reason) && reason.covers(path));
        own.or_else(|| {
            parents.find_map(|parent| self.find(rival, |reason| applies(reason) && reason.path == parent))
        })
    }

    /// Returns the reason for another shape.
    pub(super) fn other_shape(&self, rival: &str, path: &str) -> Option<&Reason> {
        self.find(rival, |reason| reason.category == Category::OtherShape && reason.covers(path))
    }

    fn find(&self, rival: &str, wanted: impl Fn(&Reason) -> bool) -> Option<&Reason> {
        let found = self.0.iter().find(|reason| reason.rival == rival && wanted(reason))?;
        found.used.set(true);
        Some(found)
    }

    /// Returns the rows that no item needed.
    pub(super) fn stale(&self) -> impl Iterator<Item = &Reason> {
        self.0.iter().filter(|reason| !reason.used.get())
    }
}

impl Reason {
    fn new(row: &str, line: usize) -> Result<Self> {
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let [rival, path, category, instead, why] = cells[..] else {
            bail!("a row has five cells with ` | ` between them, and not {}", cells.len());
        };
        let known = CATEGORIES.iter().find(|(name, _)| *name == category);
        let (_, category) = known.with_context(|| {
            let names: Vec<&str> = CATEGORIES.iter().map(|(name, _)| *name).collect();
            format!("`{category}` is no category; these are: {}", names.join(", "))
        })?;
        ensure!(super::rivals::RIVALS.iter().any(|known| known.name == rival), "`{rival}` is not compared");
        ensure!(!why.is_empty(), "the row says no reason");
        let member = path.rfind("::");
        ensure!(
            path.find('*').is_none_or(|star| member < Some(star) && member.is_some()),
            "`*` stands for names of members only"
        );
        Ok(Self {
            rival: rival.into(),
            path: path.into(),
            category: *category,
            instead: if instead == "-" { String::new() } else { instead.into() },
            why: why.into(),
            line,
            used: Cell::new(false),
        })
    }

    fn covers(&self, path: &str) -> bool {
        matches(&self.path, path)
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = CATEGORIES.iter().find(|(_, category)| category == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
