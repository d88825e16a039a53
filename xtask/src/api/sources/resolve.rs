//! Finds what paths name: through modules, `use` declarations with and without a new name, globs and other crates.

use super::{Binding, CrateId, ModuleId, NameSpace, Sources, Target};

/// The names that are being looked up, so that circles of `use` declarations end.
type Visited = Vec<(ModuleId, String, NameSpace)>;

impl Sources {
    /// Returns what a path in a module names. Names that are private are found as well.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String], space: NameSpace) -> Option<Target> {
        self.resolve_path(module, path, space, &mut Visited::new())
    }

    fn resolve_path(
        &self,
        module: ModuleId,
        path: &[String],
        space: NameSpace,
        visited: &mut Visited,
    ) -> Option<Target> {
        let this = self.module(module);
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Target::Module(self.krate(this.krate).root),
            "self" => Target::Module(module),
            "super" => Target::Module(this.parent?),
            // A path that starts with `::`.
            "" => {
                let (name, others) = rest.split_first()?;
                rest = others;
                self.dependency(this.krate, name)?
            }
            name => {
                let space = if rest.is_empty() { space } else { NameSpace::Type };
                let found = self.resolve_name(module, name, space, visited);
                found.or_else(|| self.dependency(this.krate, name))?
            }
        };
        while let Some((name, others)) = rest.split_first() {
            let space = if others.is_empty() { space } else { NameSpace::Type };
            at = match at {
                Target::Module(inside) if name == "super" => Target::Module(self.module(inside).parent?),
                Target::Module(inside) => self.resolve_name(inside, name, space, visited)?,
                Target::External(path) => Target::External(format!("{path}::{name}")),
                Target::Definition(_) => return None,
            };
            rest = others;
        }
        Some(at)
    }

    /// Returns a crate by the name that another one uses for it.
    fn dependency(&self, from: CrateId, name: &str) -> Option<Target> {
        if matches!(name, "std" | "core" | "alloc") {
            return Some(Target::External(name.to_owned()));
        }
        let package = self.krate(from).dependencies.get(name)?;
        let read = self.crates.iter().find(|krate| krate.package == *package);
        Some(read.map_or_else(|| Target::External(name.to_owned()), |krate| Target::Module(krate.root)))
    }

    fn resolve_name(
        &self,
        module: ModuleId,
        name: &str,
        space: NameSpace,
        visited: &mut Visited,
    ) -> Option<Target> {
        let visit = (module, name.to_owned(), space);
        if visited.contains(&visit) {
            return None;
        }
        visited.push(visit);
        let named = self.named(module, name, space, visited);
        let found = named.or_else(|| self.through_globs(module, name, space, visited));
        visited.pop();
        found
    }

    fn named(&self, module: ModuleId, name: &str, space: NameSpace, visited: &mut Visited) -> Option<Target> {
        let candidates = self.module(module).names.iter().filter(|candidate| candidate.name == name);
        candidates.into_iter().find_map(|candidate| match &candidate.binding {
            Binding::Definition(id) => {
                (self.definition(*id).name_space() == space).then_some(Target::Definition(*id))
            }
            Binding::Module(id) => (space == NameSpace::Type).then_some(Target::Module(*id)),
            Binding::Use(path) => self.resolve_path(module, path, space, visited),
        })
    }

    fn through_globs(
        &self,
        module: ModuleId,
        name: &str,
        space: NameSpace,
        visited: &mut Visited,
    ) -> Option<Target> {
        self.module(module).globs.iter().find_map(|glob| {
            match self.resolve_path(module, &glob.path, NameSpace::Type, visited)? {
                Target::Module(inside) => self.resolve_name(inside, name, space, visited),
                Target::Definition(_) | Target::External(_) => None,
            }
        })
    }
}
