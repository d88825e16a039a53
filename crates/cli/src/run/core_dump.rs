//! `--coredump`: writes the state of a guest that failed to a file.

use super::guest::Guest;
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::output::complain;
use crate::output_file::{Readers, cannot_write, check, write};
use belljar::error::Context;
use belljar::{Error, OutsideText, Result, Store, WasmCoreDump};
use belljar_wasi::I32Exit;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The file to write a core dump to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CoreDumpFile {
    path: PathBuf,
}

/// Replaces each `%p` with the id of this process.
impl From<OsString> for CoreDumpFile {
    fn from(text: OsString) -> Self {
        let number = std::process::id().to_string();
        let mut path = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            match rest.strip_prefix(b"%p") {
                Some(after) => {
                    path.extend_from_slice(number.as_bytes());
                    rest = after;
                }
                None => {
                    path.push(*first);
                    rest = after;
                }
            }
        }
        Self { path: OsString::from_vec(path).into() }
    }
}

impl CoreDumpFile {
    /// Refuses a file that could not be written later.
    ///
    /// # Errors
    ///
    /// Returns an error if its directory does not exist or is not writable, or if it is itself a directory.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let cannot = || format!("{} for --coredump", cannot_write(&self.path));
        check(&self.path).with_context(cannot).map_err(|error| Failure::new(ExitCode::Unwritable, error))
    }

    /// Writes a core dump if the error is a failure of the guest, and reports it.
    pub(super) fn write_after(&self, error: &Error, store: &Store<Guest>, program: &Path) {
        let Some(dump) = error.downcast_ref::<WasmCoreDump>().filter(|_| !error.is::<I32Exit>()) else {
            return;
        };
        match self.write(dump, store, program) {
            Ok((size, 0)) => {
                complain(&format!("note: core dump in {} ({size})", OutsideText::new(&self.path)))
            }
            Ok((size, left_out)) => complain(&format!(
                "note: core dump in {} ({size}); {} of memory did not fit",
                OutsideText::new(&self.path),
                ByteSize(left_out)
            )),
            Err(error) => complain(&format!("note: no core dump was written: {}", chain(&error))),
        }
    }

    /// Writes the file, readable only by this user: memories may hold secrets. Returns its size, and how many bytes of
    /// memories were left out.
    fn write(&self, dump: &WasmCoreDump, store: &Store<Guest>, program: &Path) -> Result<(ByteSize, u64)> {
        let name = program.to_string_lossy();
        let written = write(&self.path, Readers::Owner, |mut out| dump.write_to(store, &name, &mut out));
        let (left_out, size) = written.with_context(|| cannot_write(&self.path))?;
        Ok((ByteSize(size), left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_number_is_put_in() {
        let path = |text: &str| CoreDumpFile::from(OsString::from(text)).path;
        let number = std::process::id();
        assert_eq!(path("a/core.%p"), Path::new(&format!("a/core.{number}")));
        assert_eq!(path("%p%p"), Path::new(&format!("{number}{number}")));
        assert_eq!(path("100%.%x%%p"), Path::new(&format!("100%.%x%{number}")));
    }
}
