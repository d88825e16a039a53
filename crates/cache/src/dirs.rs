//! The user's directories, by the XDG Base Directory Specification, version 0.8.
//!
//! In: a function that looks up environment variables, so that nothing here depends on the process. Out: paths. No
//! directory is created or accessed.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The name of belljar's directory below the user's.
const DIRECTORY_NAME: &str = "belljar";

/// The variable that names the cache directory, or disables the cache; see [`CacheChoice`].
pub const CACHE_VARIABLE: &str = "BELLJAR_CACHE";

/// The error if neither variable that could name a directory holds an absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDirectory {
    /// What the directory is for.
    purpose: &'static str,
    /// The variable that names it.
    variable: &'static str,
}

impl fmt::Display for NoDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { purpose, variable } = self;
        write!(
            f,
            "no directory is known for {purpose}: expected an absolute path in {variable} or HOME, found \
             none: set one of them"
        )
    }
}

impl std::error::Error for NoDirectory {}

/// A base directory of the specification.
struct XdgDirectory {
    purpose: &'static str,
    variable: &'static str,
    /// The path below the home directory if the variable is unset.
    below_home: &'static str,
}

const CACHE: XdgDirectory =
    XdgDirectory { purpose: "the cache", variable: "XDG_CACHE_HOME", below_home: ".cache" };
const STATE: XdgDirectory =
    XdgDirectory { purpose: "this user's key", variable: "XDG_STATE_HOME", below_home: ".local/state" };
const CONFIG: XdgDirectory =
    XdgDirectory { purpose: "trusted keys", variable: "XDG_CONFIG_HOME", below_home: ".config" };

impl XdgDirectory {
    fn find(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoDirectory> {
        // "All paths set in these environment variables must be absolute. If an implementation encounters a
        // relative path […] it should consider the path invalid and ignore it." An empty one is relative.
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute(self.variable)
            .or_else(|| absolute("HOME").map(|home| home.join(self.below_home)))
            .map(|base| base.join(DIRECTORY_NAME))
            .ok_or(NoDirectory { purpose: self.purpose, variable: self.variable })
    }
}

/// Returns where artifacts are cached: `$XDG_CACHE_HOME/belljar` or `~/.cache/belljar`.
///
/// ```
/// use belljar_cache::cache_directory;
///
/// let home = |name: &str| (name == "HOME").then(|| "/home/ada".into());
/// assert_eq!(cache_directory(home)?.to_str(), Some("/home/ada/.cache/belljar"));
/// # Ok::<(), belljar_cache::NoDirectory>(())
/// ```
///
/// # Errors
/// Returns an error if neither variable holds an absolute path.
pub fn cache_directory(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoDirectory> {
    CACHE.find(variable)
}

/// Returns where [`UserKey::of`](crate::UserKey::of) keeps the user's key: `$XDG_STATE_HOME/belljar` or
/// `~/.local/state/belljar`.
///
/// # Errors
/// Returns an error if neither variable holds an absolute path.
pub fn state_directory(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoDirectory> {
    STATE.find(variable)
}

/// Returns where [`TrustedKeys::load`](crate::TrustedKeys::load) looks: `$XDG_CONFIG_HOME/belljar` or
/// `~/.config/belljar`.
///
/// # Errors
/// Returns an error if neither variable holds an absolute path.
pub fn config_directory(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoDirectory> {
    CONFIG.find(variable)
}

/// The user's choice of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheChoice {
    /// The cache is in its default directory.
    #[default]
    Default,
    /// There is no cache.
    Off,
    /// The cache is in this directory.
    At(PathBuf),
}

impl CacheChoice {
    /// Reads the choice from `BELLJAR_CACHE`: `off`, or a directory (write `./off` for a directory of that name). An
    /// unset or empty variable means the default.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> CacheChoice {
        match variable(CACHE_VARIABLE) {
            None => Self::Default,
            Some(text) if text.is_empty() => Self::Default,
            Some(text) if text == "off" => Self::Off,
            Some(text) => Self::At(text.into()),
        }
    }

    /// Returns the chosen directory, or `None` if there is no cache.
    ///
    /// # Errors
    /// Returns an error if the default directory is chosen and not known; see [`cache_directory`].
    pub fn directory(
        self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<PathBuf>, NoDirectory> {
        match self {
            Self::Off => Ok(None),
            Self::At(path) => Ok(Some(path)),
            Self::Default => cache_directory(variable).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + Copy + 'a {
        move |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
    }

    #[test]
    fn variables_come_before_the_home_directory() {
        let both = from(&[
            ("HOME", "/home/ada"),
            ("XDG_CACHE_HOME", "/c"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "/f"),
        ]);
        assert_eq!(cache_directory(both), Ok("/c/belljar".into()));
        assert_eq!(state_directory(both), Ok("/s/belljar".into()));
        assert_eq!(config_directory(both), Ok("/f/belljar".into()));
        let home = from(&[("HOME", "/home/ada")]);
        assert_eq!(cache_directory(home), Ok("/home/ada/.cache/belljar".into()));
        assert_eq!(state_directory(home), Ok("/home/ada/.local/state/belljar".into()));
        assert_eq!(config_directory(home), Ok("/home/ada/.config/belljar".into()));
    }

    #[test]
    fn relative_and_empty_values_count_as_unset() {
        let relative = from(&[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "")]);
        assert_eq!(cache_directory(relative), Ok("/home/ada/.cache/belljar".into()));
        assert_eq!(state_directory(relative), Ok("/home/ada/.local/state/belljar".into()));
        let nowhere = from(&[("HOME", "home/ada"), ("XDG_CACHE_HOME", "")]);
        let error = cache_directory(nowhere).unwrap_err().to_string();
        assert!(error.contains("XDG_CACHE_HOME or HOME"), "{error}");
        assert!(config_directory(from(&[])).is_err());
    }

    #[test]
    fn the_cache_can_be_moved_and_switched_off() {
        let home = from(&[("HOME", "/home/ada")]);
        let choice = |value| CacheChoice::of(from(&[(CACHE_VARIABLE, value)]));
        assert_eq!(CacheChoice::of(home), CacheChoice::Default);
        assert_eq!(choice(""), CacheChoice::Default);
        assert_eq!(choice("off"), CacheChoice::Off);
        assert_eq!(choice("./off"), CacheChoice::At("./off".into()));
        assert_eq!(choice("/fast"), CacheChoice::At("/fast".into()));
        assert_eq!(choice("off").directory(home), Ok(None));
        assert_eq!(choice("/fast").directory(home), Ok(Some("/fast".into())));
        assert_eq!(choice("").directory(home), Ok(Some("/home/ada/.cache/belljar".into())));
        assert!(choice("").directory(from(&[])).is_err());
    }
}
