//! The file formats of a profile.

use belljar_core::OutsideText;
use std::path::Path;
use std::{fmt, io};

/// A format of profiles. docs/watching.md describes what each is good for.
///
/// All builds know all formats; [`Self::ensure_supported`] checks whether this build can write one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProfileFormat {
    /// A flame graph, an SVG picture that opens in any browser. Needs the feature `flamegraph`.
    FlameGraph,
    /// JSON for <https://profiler.firefox.com>, with every sample.
    Firefox,
    /// The input of `pprof` and of services that collect profiles. Needs the feature `pprof`, which is on by default.
    Pprof,
    /// A line of text for each stack.
    Collapsed,
}

/// File name extensions and their formats.
const EXTENSIONS: [(&str, ProfileFormat); 8] = [
    (".svg", ProfileFormat::FlameGraph),
    (".json", ProfileFormat::Firefox),
    (".pb", ProfileFormat::Pprof),
    (".pb.gz", ProfileFormat::Pprof),
    (".pprof", ProfileFormat::Pprof),
    (".txt", ProfileFormat::Collapsed),
    (".collapsed", ProfileFormat::Collapsed),
    (".folded", ProfileFormat::Collapsed),
];

impl ProfileFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::FlameGraph, Self::Firefox, Self::Pprof, Self::Collapsed];

    /// Returns the format for a file name: `.svg`, `.json` (Firefox), `.pb`, `.pb.gz`, `.pprof` (pprof),
    /// `.txt`, `.collapsed`, `.folded` (collapsed stacks), in lower or upper case.
    ///
    /// # Errors
    /// Returns an error if the name ends in none of these.
    ///
    /// ```
    /// use belljar_profile::ProfileFormat;
    ///
    /// assert_eq!(ProfileFormat::of_path("out/tool.svg"), Ok(ProfileFormat::FlameGraph));
    /// assert_eq!(ProfileFormat::of_path("tool.pb.gz"), Ok(ProfileFormat::Pprof));
    /// assert!(ProfileFormat::of_path("tool.gz").unwrap_err().to_string().contains(".pb.gz"));
    /// ```
    pub fn of_path(path: impl AsRef<Path>) -> Result<Self, UnknownProfileFormat> {
        let name = path.as_ref().file_name().unwrap_or_default().to_string_lossy();
        let lower = name.to_ascii_lowercase();
        let found = EXTENSIONS.iter().find(|(extension, _)| lower.ends_with(extension));
        found.map(|(_, format)| *format).ok_or_else(|| UnknownProfileFormat { name: name.into() })
    }

    /// Checks whether this build can write the format. Call this before recording a profile.
    ///
    /// # Errors
    /// Returns an error of kind [`io::ErrorKind::Unsupported`] that names the disabled cargo feature.
    pub fn ensure_supported(self) -> io::Result<()> {
        let (what, feature) = match self {
            Self::FlameGraph if !cfg!(feature = "flamegraph") => ("flame graphs", "flamegraph"),
            Self::Pprof if !cfg!(feature = "pprof") => ("pprof's files", "pprof"),
            _ => return Ok(()),
        };
        let message = format!(
            "this build cannot write {what}: switch on the cargo feature `{feature}` of belljar-profile, or choose \
             another format"
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }
}

/// A file name that does not identify a profile's format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownProfileFormat {
    name: Box<str>,
}

impl fmt::Display for UnknownProfileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the name \"{}\" does not say which format the profile should have: it should end in .svg (flame graph), \
             .json (Firefox Profiler), .pb, .pb.gz or .pprof (pprof), .txt, .collapsed or .folded (collapsed stacks)",
            OutsideText::new(&*self.name)
        )
    }
}

impl std::error::Error for UnknownProfileFormat {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_profiles::tool;

    #[test]
    fn extensions_decide() {
        for (extension, format) in EXTENSIONS {
            assert_eq!(ProfileFormat::of_path(format!("a.b/c d{extension}")), Ok(format));
            assert_eq!(ProfileFormat::of_path(extension.to_uppercase()), Ok(format));
        }
        for name in ["", "svg", "a.svg/b", "a.svgz", "/", "..", "a.gz"] {
            let error = ProfileFormat::of_path(name).unwrap_err().to_string();
            assert!(EXTENSIONS.iter().all(|(extension, _)| error.contains(extension)), "{error}");
        }
    }
    #[test]
    fn all_formats_are_known_and_those_that_are_built_in_are_written() {
        use ProfileFormat::{Collapsed, Firefox, FlameGraph, Pprof};
        for format in ProfileFormat::ALL {
            let (built_in, feature) = match format {
                FlameGraph => (cfg!(feature = "flamegraph"), "`flamegraph`"),
                Pprof => (cfg!(feature = "pprof"), "`pprof`"),
                Firefox | Collapsed => (true, ""),
            };
            let mut out = Vec::new();
            let written = tool().write_to(format, &mut out);
            assert_eq!(format.ensure_supported().is_ok(), built_in, "{format:?}");
            if built_in {
                written.unwrap();
                assert!(!out.is_empty());
            } else {
                let error = written.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                assert!(error.to_string().contains(feature), "{error}");
                assert!(out.is_empty());
            }
        }
    }
}
