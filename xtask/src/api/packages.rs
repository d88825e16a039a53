//! Where the sources of packages are, according to `cargo metadata`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package and where its sources are.
pub(super) struct Package {
    /// Tells versions of a package apart.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// The file that its library starts with.
    pub(super) root: PathBuf,
    /// The ids of the packages that it depends on, by the names that its sources use.
    pub(super) dependencies: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    version: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` if it is neither for tests nor for the build script.
    kind: Option<String>,
}

/// Returns the packages that a workspace uses. They are fetched if they are not in cargo's registry.
pub(super) fn packages(manifest: &Path) -> Result<Vec<Package>> {
    let metadata = metadata(manifest, &["--offline"]).or_else(|_| metadata(manifest, &[]))?;
    let mut nodes: HashMap<String, Node> =
        metadata.resolve.nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
    let package = |package: MetadataPackage| {
        let library = package.targets.into_iter().find(|target| {
            target.kind.iter().any(|kind| matches!(kind.as_str(), "lib" | "rlib" | "cdylib" | "proc-macro"))
        })?;
        let used = |dependency: &Dependency| dependency.dep_kinds.iter().any(|each| each.kind.is_none());
        let dependencies = nodes.remove(&package.id)?.deps.into_iter().filter(used);
        Some(Package {
            name: package.name,
            version: package.version,
            root: library.src_path,
            dependencies: dependencies.map(|dependency| (dependency.name, dependency.pkg)).collect(),
            id: package.id,
        })
    };
    Ok(metadata.packages.into_iter().filter_map(package).collect())
}

fn metadata(manifest: &Path, options: &[&str]) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .args(options);
    let output = command.stdin(Stdio::null()).output().context("cargo does not start")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {}", errors.trim());
    serde_json::from_slice(&output.stdout).context("the answer of cargo metadata")
}
