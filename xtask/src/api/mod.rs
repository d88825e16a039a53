//! How much of the public interfaces of Wasmtime and Wasmi belljar has under the same names.
//!
//! In: the sources of the crates, where cargo keeps them; nothing is compiled. Out: tables of what is there and what is
//! missing, and `docs/migration.md`. Each missing item needs a row in `reasons.txt`. Never: a comparison of types. Two
//! functions are the same if their names, receivers and numbers of parameters are.
//!
//! ```text
//! packages ─▶ sources ─▶ surface ─┐
//!                        surface ─┴▶ coverage ─▶ report, docs/migration.md
//!                        of belljar    ▲ groups that do not count, reasons
//! ```

mod coverage;
mod migration;
mod packages;
mod reasons;
mod report;
mod rivals;
mod scope;
mod sources;
mod surface;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};
use clap::Args;
use coverage::{Coverage, State};
use packages::Package;
use reasons::Reasons;
use rivals::{RIVALS, Rival};
use sources::Sources;
use std::path::{Path, PathBuf};
use surface::Surface;

/// The options of `cargo xtask api-coverage`.
#[derive(Args)]
pub(crate) struct Options {
    /// Fail if an item is missing without a reason, a reason is stale, or docs/migration.md is not up to date
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write docs/migration.md
    #[arg(long)]
    write: bool,
    /// Print only the missing items without a reason, of one type or of all: path, crate and signature, with tabs between
    #[arg(long, value_name = "TYPE", num_args = 0..=1, default_missing_value = "")]
    missing: Option<String>,
    /// Print only all items: what became of each (a group that does not count, same, other shape, missing), path, crate
    /// and signature, with tabs between
    #[arg(long)]
    list: bool,
    /// Also list macros that were not expanded, and paths that name nothing known
    #[arg(long)]
    verbose: bool,
}

/// Where the parts of the comparison lie in the repository.
struct Paths {
    root: PathBuf,
    reasons: PathBuf,
    intro: PathBuf,
    document: PathBuf,
}

/// What the sources say.
struct Interfaces {
    rivals: Vec<(&'static Rival, String, Surface)>,
    ours: Vec<(&'static str, Surface)>,
    unexpanded: Vec<sources::Unexpanded>,
    unresolved: Vec<String>,
}

/// Compares, and does what the options say.
pub(crate) fn run(options: &Options) -> Result<()> {
    let paths = Paths::new()?;
    let interfaces = Interfaces::read(&paths, &paths.rivals()?)?;
    let reasons = paths.reasons()?;
    let coverages = interfaces.compare(&reasons)?;
    if options.verbose {
        for each in &interfaces.unexpanded {
            eprintln!("not expanded: {}!, in {}: {}", each.name, each.module, each.why);
        }
        interfaces.unresolved.iter().for_each(|path| eprintln!("not resolved: {path}"));
    }
    if let Some(owner) = &options.missing {
        print_missing(&coverages, owner);
        return Ok(());
    }
    if options.list {
        print_list(&coverages);
        return Ok(());
    }
    let document = migration::document(&paths.intro()?, &coverages);
    if options.write {
        std::fs::write(&paths.document, &document).with_context(|| paths.document.display().to_string())?;
    } else if !options.check {
        coverages.iter().for_each(report::print);
    }
    coverages.iter().for_each(report::print_totals);
    let mut problems = stale(&reasons);
    if options.check {
        problems.extend(unexplained(&coverages));
        problems.extend(paths.outdated(&document));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn print_missing(coverages: &[Coverage<'_>], owner: &str) {
    for coverage in coverages {
        for row in coverage.unexplained().filter(|row| owner.is_empty() || row.owner == owner) {
            println!("{}\t{}\t{}", row.path, coverage.rival.name, row.description.signature);
        }
    }
}

fn print_list(coverages: &[Coverage<'_>]) {
    for coverage in coverages {
        for row in &coverage.rows {
            let state = match &row.state {
                State::Excluded(group) => group.name,
                State::Same => "same",
                State::OtherShape(..) => "other shape",
                State::Missing(_) => "missing",
            };
            println!("{state}\t{}\t{}\t{}", row.path, coverage.rival.name, row.description.signature);
        }
    }
}

/// Returns a problem for each row of the reasons that no item needs.
fn stale(reasons: &Reasons) -> Vec<String> {
    let problem = |reason: &reasons::Reason| {
        format!(
            "reasons.txt:{}: {} has no `{}` that belljar lacks{}",
            reason.line,
            reason.rival,
            reason.path,
            if reason.category == reasons::Category::OtherShape { " or has in another shape" } else { "" }
        )
    };
    reasons.stale().map(problem).collect()
}

/// Returns a problem for each missing item without a reason.
fn unexplained(coverages: &[Coverage<'_>]) -> Vec<String> {
    let of = |coverage: &Coverage<'_>| {
        let problem = |row: &coverage::Row<'_>| {
            format!("{}::{} is missing without a reason", coverage.rival.name, row.path)
        };
        coverage.unexplained().map(problem).collect::<Vec<_>>()
    };
    coverages.iter().flat_map(of).collect()
}

impl Paths {
    fn new() -> Result<Self> {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = xtask.parent().context("xtask lies in the repository")?.to_owned();
        let own = xtask.join("src/api");
        Ok(Self {
            reasons: own.join("reasons.txt"),
            intro: own.join("migration_intro.md"),
            document: root.join("docs/migration.md"),
            root,
        })
    }

    /// Returns the packages of the rivals.
    fn rivals(&self) -> Result<Vec<Package>> {
        packages::packages(&self.root.join("rivals/Cargo.toml"))
    }

    fn reasons(&self) -> Result<Reasons> {
        Reasons::new(&read(&self.reasons)?).with_context(|| self.reasons.display().to_string())
    }

    fn intro(&self) -> Result<String> {
        read(&self.intro)
    }

    /// Returns a problem if the file does not hold this document.
    fn outdated(&self, document: &str) -> Option<String> {
        let current = std::fs::read_to_string(&self.document).unwrap_or_default();
        let command = "`cargo xtask api-coverage --write` writes it";
        (current != document).then(|| format!("docs/migration.md is not up to date: {command}"))
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn find<'a>(packages: &'a [Package], name: &str) -> Result<&'a Package> {
    let found = packages.iter().find(|package| package.name == name);
    found.with_context(|| format!("no workspace uses {name}"))
}

impl Interfaces {
    fn read(paths: &Paths, packages: &[Package]) -> Result<Self> {
        let mut interfaces = Self { rivals: vec![], ours: vec![], unexpanded: vec![], unresolved: vec![] };
        for rival in RIVALS {
            let package = find(packages, rival.package)?;
            let surface = interfaces.surface(package, packages, &|name| rival.follows(name))?;
            interfaces.rivals.push((rival, package.version.clone(), surface));
        }
        let packages = packages::packages(&paths.root.join("Cargo.toml"))?;
        for name in ["belljar", "belljar-wasi"] {
            let surface = interfaces.surface(find(&packages, name)?, &packages, &rivals::ours_follow)?;
            interfaces.ours.push((name, surface));
        }
        Ok(interfaces)
    }

    fn surface(
        &mut self,
        package: &Package,
        packages: &[Package],
        follow: &dyn Fn(&str) -> bool,
    ) -> Result<Surface> {
        let mut sources = Sources::default();
        let krate = sources.read(package, packages, follow)?;
        let surface = Surface::new(&sources, krate);
        self.unresolved.extend(surface.unresolved.iter().map(|path| format!("{}: {path}", package.name)));
        self.unexpanded.extend(sources.into_unexpanded());
        Ok(surface)
    }

    fn compare<'a>(&'a self, reasons: &'a Reasons) -> Result<Vec<Coverage<'a>>> {
        let compare = |(rival, version, theirs): &'a (&'static Rival, String, Surface)| {
            let ours = self.ours.iter().find(|(package, _)| *package == rival.ours);
            let (_, ours) = ours.with_context(|| format!("{} is not read", rival.ours))?;
            Ok(Coverage::new(rival, version.clone(), theirs, ours, reasons))
        };
        self.rivals.iter().map(compare).collect()
    }
}
