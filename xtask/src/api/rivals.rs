//! The crates that are compared, and the packages whose items they re-export.

/// A crate that belljar is compared with.
pub(super) struct Rival {
    /// As in Rust sources, in [`crate::api::reasons`] and in the tables of groups.
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// The package of belljar that takes its place.
    pub(super) ours: &'static str,
    /// Other packages whose sources are read because the crate re-exports their items or uses their macros.
    followed: &'static [&'static str],
}

pub(super) const RIVALS: &[Rival] = &[
    Rival {
        name: "wasmtime",
        package: "wasmtime",
        ours: "belljar",
        followed: &[
            "cranelift-entity",
            "wasmtime-environ",
            "wasmtime-internal-cache",
            "wasmtime-internal-core",
        ],
    },
    Rival {
        name: "wasmtime_wasi",
        package: "wasmtime-wasi",
        ours: "belljar-wasi",
        followed: &["wasmtime-wasi-io"],
    },
    Rival { name: "wasmi", package: "wasmi", ours: "belljar", followed: &["wasmi_core", "wasmi_ir"] },
    Rival { name: "wasmi_wasi", package: "wasmi_wasi", ours: "belljar-wasi", followed: &["wasi-common"] },
];

/// Packages that belljar's crates re-export items of, apart from belljar's own.
const OURS: &[&str] = &["anyhow"];

impl Rival {
    /// Returns whether the sources of a package are read for this crate.
    pub(super) fn follows(&self, package: &str) -> bool {
        self.followed.contains(&package)
    }
}

/// Returns whether the sources of a package are read for belljar's crates.
pub(super) fn ours_follow(package: &str) -> bool {
    package.starts_with("belljar") || OURS.contains(&package)
}
