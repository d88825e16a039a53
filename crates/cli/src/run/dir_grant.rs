//! `--dir`: a host directory that the guest may use.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use belljar::{Error, OutsideText};
use belljar_wasi::{DirPerms, FilePerms, WasiCtxBuilder};
use std::str::FromStr;

/// `HOST[::GUEST][:ro]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DirGrant {
    host: String,
    guest: String,
    read_only: bool,
}

impl FromStr for DirGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (host, guest) = rest.split_once("::").unwrap_or((rest, rest));
        // A path that ends like this is unlikely; with `/` at its end it is told apart.
        if let Some((_, suffix)) = guest.rsplit_once(':').filter(|(_, suffix)| !suffix.contains('/')) {
            return Err(format!(
                "there is no suffix `:{}`: `:ro` makes the directory read-only, and without a suffix it can be written",
                OutsideText::new(suffix)
            ));
        }
        if host.is_empty() || guest.is_empty() {
            return Err(format!(
                "expected HOST, HOST::GUEST or either with `:ro` at its end, found `{}`",
                OutsideText::new(text)
            ));
        }
        Ok(Self { host: host.into(), guest: guest.into(), read_only })
    }
}

impl DirGrant {
    /// Returns the guest's name for the directory.
    pub(crate) fn guest(&self) -> &str {
        &self.guest
    }

    /// Refuses two directories with the same guest name, of which the guest would see only one.
    ///
    /// # Errors
    ///
    /// Returns an error that names both.
    pub(crate) fn check_names(grants: &[Self]) -> Result<(), Failure> {
        for (i, grant) in grants.iter().enumerate() {
            let Some(other) = grants[..i].iter().find(|other| other.path() == grant.path()) else { continue };
            let [host, other] = [&grant.host, &other.host].map(|host| OutsideText::new(&**host));
            return Err(Failure::usage(format!(
                "--dir gives `{other}` and `{host}` the same name in the guest, `{}`: name one of them differently, as HOST::GUEST",
                OutsideText::new(&*grant.guest)
            )));
        }
        Ok(())
    }

    /// Returns the guest's name as the guest compares it: without `./` before and `/` after it.
    fn path(&self) -> &str {
        let path = self.guest.trim_end_matches('/');
        let path = path.strip_prefix("./").unwrap_or(path);
        match path {
            "" if self.guest.starts_with('/') => "/",
            "" => ".",
            path => path,
        }
    }

    /// Opens the directory and adds it to the guest's preopened directories.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be opened.
    pub(crate) fn grant(&self, builder: &mut WasiCtxBuilder) -> Result<(), Failure> {
        let (dirs, files) = match self.read_only {
            true => (DirPerms::READ, FilePerms::READ),
            false => (DirPerms::all(), FilePerms::all()),
        };
        match builder.preopened_dir(&self.host, &self.guest, (dirs, files)) {
            Ok(_) => Ok(()),
            Err(error) => {
                let host = OutsideText::new(&self.host);
                let advice = match self.host.contains(':') {
                    true => " (two colons separate HOST from GUEST)",
                    false => "",
                };
                let what = format!("could not open the directory `{host}` for --dir{advice}");
                Err(Failure::new(ExitCode::Unreadable, Error::new(error).context(what)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String, bool) {
        let grant: DirGrant = text.parse().unwrap();
        (grant.host, grant.guest, grant.read_only)
    }

    #[test]
    fn grants_are_read() {
        assert_eq!(read("."), (".".into(), ".".into(), false));
        assert_eq!(read("/a/b::/c"), ("/a/b".into(), "/c".into(), false));
        assert_eq!(read("a::b:ro"), ("a".into(), "b".into(), true));
        assert_eq!(read("a:ro"), ("a".into(), "a".into(), true));
        assert_eq!(read("a:b/::c"), ("a:b/".into(), "c".into(), false));
        for bad in ["", "::", "a::", "::b", ":ro", "a:rw", "a::b:rw", "a:", "a::b::c", "a:ro:ro"] {
            assert!(bad.parse::<DirGrant>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let check = |texts: &[&str]| {
            let grants: Vec<DirGrant> = texts.iter().map(|text| text.parse().unwrap()).collect();
            DirGrant::check_names(&grants).is_ok()
        };
        assert!(check(&[".", "a", "a::b", "/a", "/"]));
        for same in [["a", "b::a"], ["a", "./a/"], [".", "b::./"], ["/", "a:://"], ["a/b", "a/b:ro"]] {
            assert!(!check(&same), "{same:?}");
        }
    }
}
