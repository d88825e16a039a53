//! Reads WIT: files, folders, and text in the arguments.

use crate::options::Options;
use proc_macro2::Span;
use std::path::{Path, PathBuf};
use syn::{Error, LitStr, Result};
use wit_parser::{PackageId, Resolve, WorldId};

/// A world, with everything that it refers to.
pub(crate) struct Wit {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
}

impl Wit {
    /// Reads the WIT that the options name. Paths are relative to `root`, the folder of the crate.
    ///
    /// # Errors
    ///
    /// Returns an error with the file and the line if something is wrong in it.
    pub(crate) fn read(options: &Options, root: &Path) -> Result<Self> {
        let mut resolve = Resolve { all_features: true, ..Resolve::default() };
        let mut files = Vec::new();
        let mut packages = Vec::new();
        let default = LitStr::new("wit", Span::call_site());
        let is_default = options.paths.is_empty();
        let paths = match is_default {
            true if options.inline.is_some() && !root.join(default.value()).exists() => &[],
            true => std::slice::from_ref(&default),
            false => &*options.paths,
        };
        for path in paths {
            let full = root.join(path.value());
            if is_default && !full.exists() {
                let what = "there is no WIT: the crate has no folder `wit`, and neither `path` nor `inline` is given";
                return Err(Error::new(path.span(), what));
            }
            let full = full.canonicalize().unwrap_or(full);
            let pushed = resolve.push_path(&full);
            let (package, sources) =
                pushed.map_err(|error| Error::new(path.span(), told(&resolve.render_error(&error), root)))?;
            packages.push(package);
            files.extend(sources.paths().map(Path::to_owned));
        }
        if let Some(inline) = &options.inline {
            let pushed = resolve.push_str("inline", &inline.value());
            let package = pushed
                .map_err(|error| Error::new(inline.span(), told(&resolve.render_error(&error), root)))?;
            packages = vec![package];
        }
        let world = select(&resolve, &packages, options)?;
        resolve.generate_nominal_type_ids(world);
        Ok(Self { resolve, world, files })
    }
}

/// Returns what to tell about an error: with the place in the file, as a path in the crate.
fn told(error: &str, root: &Path) -> String {
    match root.canonicalize() {
        Ok(root) => error.replace(&format!("{}/", root.to_string_lossy()), ""),
        Err(_) => error.to_owned(),
    }
}

fn select(resolve: &Resolve, packages: &[PackageId], options: &Options) -> Result<WorldId> {
    let name = options.world.as_ref();
    resolve.select_world(packages, name.map(LitStr::value).as_deref()).map_err(|error| {
        let worlds = packages.iter().flat_map(|package| {
            let names = resolve.packages[*package].worlds.keys();
            names.map(|name| format!("`{}`", resolve.id_of_name(*package, name)))
        });
        let worlds: Vec<_> = worlds.collect();
        let there_are = match worlds.is_empty() {
            true => "there are no worlds".to_owned(),
            false => format!("the worlds are {}", worlds.join(", ")),
        };
        match name {
            Some(name) => Error::new(name.span(), format!("{error:#}: {there_are}")),
            None => Error::new(Span::call_site(), format!("choose one world with `world`: {there_are}")),
        }
    })
}
