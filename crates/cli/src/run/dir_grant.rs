//! `--dir`: a host directory that the guest may use.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use anyhow::Error;
use belljar::OutsideText;
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
        match builder.preopened_dir(&self.host, &self.guest, dirs, files) {
            Ok(_) => Ok(()),
            Err(error) => {
                let what =
                    format!("could not open the directory `{}` for --dir", OutsideText::new(&self.host));
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
        for bad in ["", "::", "a::", "::b", ":ro"] {
            assert!(bad.parse::<DirGrant>().is_err(), "{bad}");
        }
    }
}
