//! A guest's descriptors as data, from which another context opens the same ones, as a snapshot needs.
//!
//! In: a context whose guest has opened and closed descriptors. Out: which numbers are open, by which paths below which
//! preopened directories, and where their cursors stand. Never: the contents of files, or a file that the new context's
//! grants do not allow.

use std::fmt;
use std::io;
use std::sync::Arc;

use belljar::{Counted, OutsideText};
use rustix::fs::SeekFrom;
use serde::{Deserialize, Serialize};

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::dir::{OpenHow, Opened};
use crate::fd_flags::FdFlags;
use crate::file::File;
use crate::stat::{FileKind, FileStat};
use crate::table::{DescriptorTable, Origin, Slot};

/// A guest's open descriptors as data: created by [`WasiCtx::save_descriptors`], used by [`WasiCtx::restore_descriptors`].
///
/// ```
/// use belljar_wasi::{FsPerms, SavedDescriptors, WasiCtx, WasiCtxBuilder};
///
/// let context = || -> std::io::Result<WasiCtx> {
///     let mut builder = WasiCtxBuilder::new();
///     builder.preopened_dir(".", "/data", FsPerms::ReadOnly)?;
///     Ok(builder.build())
/// };
/// let saved: SavedDescriptors = context()?.save_descriptors()?;
/// context()?.restore_descriptors(&saved)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedDescriptors {
    /// How many descriptors the host had granted.
    given: u32,
    /// The descriptors by number.
    descriptors: Vec<Option<SavedDescriptor>>,
}

/// One descriptor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedDescriptor {
    /// The descriptor that the host granted under this number.
    Given { number: u32, flags: u16 },
    /// A file below the directory that the host granted under this number.
    File { preopen: u32, path: Box<str>, read: bool, write: bool, flags: u16, offset: u64 },
    /// A directory below it.
    Dir { preopen: u32, path: Box<str> },
}

impl SavedDescriptors {
    /// Returns whether the descriptors are exactly those that the host granted.
    pub fn are_as_given(&self) -> bool {
        let given = (0..self.given).map(|number| Some(SavedDescriptor::Given { number, flags: 0 }));
        self.descriptors.iter().cloned().eq(given)
    }
}

/// The reasons why descriptors cannot be saved or restored.
#[derive(Clone, Debug)]
pub struct DescriptorsError {
    problems: Vec<String>,
}

impl DescriptorsError {
    /// Returns a phrase for each descriptor that is a problem.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for DescriptorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join(", "))
    }
}

impl std::error::Error for DescriptorsError {}

impl From<String> for DescriptorsError {
    fn from(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl WasiCtx {
    /// Returns what the guest has open now: what it was granted, and what it opened below its preopened directories.
    ///
    /// # Errors
    ///
    /// Returns an error that lists every descriptor that cannot be reopened, by number and name: files that are no
    /// longer where they were opened, pipes and devices, connections.
    pub fn save_descriptors(&self) -> Result<SavedDescriptors, DescriptorsError> {
        let table = self.table();
        let (mut descriptors, mut problems) = (Vec::new(), Vec::new());
        for (slot, fd) in table.slots().iter().zip(0..) {
            let Some(slot) = slot else {
                descriptors.push(None);
                continue;
            };
            match save(slot, &table) {
                Ok(saved) => descriptors.push(Some(saved)),
                Err(problem) => problems.push(format!("descriptor {fd} is {problem}")),
            }
        }
        if problems.is_empty() {
            Ok(SavedDescriptors { given: table.given(), descriptors })
        } else {
            Err(DescriptorsError { problems })
        }
    }

    /// Gives a guest that has not started the descriptors that another guest had: reopens files and directories by
    /// their paths, below this guest's preopened directories and with its permissions, and sets their cursors. Nothing
    /// is created or truncated. The contents of the files may have changed.
    ///
    /// # Errors
    ///
    /// Returns an error for the first descriptor that cannot be reopened, by number and name; nothing has changed then.
    pub fn restore_descriptors(&self, saved: &SavedDescriptors) -> Result<(), DescriptorsError> {
        let mut table = self.table();
        if saved.given != table.given() {
            let problem = format!(
                "the saved guest was granted {}, this one {}",
                Counted(saved.given.into(), "descriptor"),
                table.given()
            );
            return Err(problem.into());
        }
        let needed = saved.descriptors.len();
        if needed > table.limit() {
            return Err(format!(
                "the saved guest had {}, this one may have {}",
                Counted::of(needed, "descriptor"),
                table.limit()
            )
            .into());
        }
        let mut slots = Vec::with_capacity(needed);
        for (saved, fd) in saved.descriptors.iter().zip(0..) {
            let slot = saved.as_ref().map(|saved| restore(saved, fd, &table)).transpose()?;
            slots.push(slot);
        }
        for (saved, slot) in saved.descriptors.iter().zip(&slots) {
            if let (Some(SavedDescriptor::Given { flags, .. }), Some(slot)) = (saved, slot) {
                let flags = FdFlags::from_bits_truncate(*flags);
                match &*slot.descriptor {
                    Descriptor::Input(stream) => stream.set_flags(flags),
                    Descriptor::Output(stream) => stream.set_flags(flags),
                    _ => {}
                }
            }
        }
        let now = table.with_slots(slots);
        let before = std::mem::replace(&mut *table, now);
        // Closing may block, so it happens after the table's lock is released.
        drop(table);
        drop(before);
        Ok(())
    }
}

/// Converts a descriptor to data, or says why it cannot be reopened.
fn save(slot: &Slot, table: &DescriptorTable) -> Result<SavedDescriptor, String> {
    let shown = match &slot.origin {
        Origin::Opened { path, .. } => OutsideText::new(&**path),
        Origin::Given(_) | Origin::Accepted => OutsideText::new(""),
    };
    match (&slot.origin, &*slot.descriptor) {
        (Origin::Given(number), descriptor) => {
            let flags = match descriptor {
                Descriptor::Input(stream) => stream.flags(),
                Descriptor::Output(stream) => stream.flags(),
                _ => FdFlags::empty(),
            };
            Ok(SavedDescriptor::Given { number: *number, flags: flags.bits() })
        }
        (Origin::Opened { preopen, path }, Descriptor::Dir(dir)) => {
            let again = table.preopen(*preopen).ok_or("below a descriptor that is not a directory")?;
            let how = OpenHow { follow: true, directory: true, ..OpenHow::default() };
            let same =
                matches!(again.open(path, how), Ok(Opened::Dir(again)) if is_same(again.stat(), dir.stat()));
            if !same {
                return Err(format!("the open directory `{shown}`, which is no longer there by that name"));
            }
            Ok(SavedDescriptor::Dir { preopen: *preopen, path: path.clone() })
        }
        (Origin::Opened { preopen, path }, Descriptor::File(file)) => {
            if file.kind != FileKind::RegularFile {
                return Err(format!("`{shown}`, which is a pipe or a device"));
            }
            let again = table.preopen(*preopen).ok_or("below a descriptor that is not a directory")?;
            let same = is_same(again.stat_at(path, true), file.stat());
            if !same {
                return Err(format!("the open file `{shown}`, which is no longer there by that name"));
            }
            let offset = file
                .tell()
                .map_err(|error| format!("the open file `{shown}`, whose cursor is unknown: {error}"))?;
            let (read, write) = (file.readable, file.writable);
            let (preopen, path, flags) = (*preopen, path.clone(), file.flags().bits());
            Ok(SavedDescriptor::File { preopen, path, read, write, flags, offset })
        }
        (Origin::Opened { .. }, _) => Err(format!("`{shown}`, which is neither a file nor a directory")),
        (Origin::Accepted, _) => Err("a connection".into()),
    }
}

fn is_same(one: io::Result<FileStat>, other: io::Result<FileStat>) -> bool {
    let identity = |stat: FileStat| (stat.device, stat.inode);
    matches!((one, other), (Ok(one), Ok(other)) if identity(one) == identity(other))
}

/// Opens the descriptor that the data describes.
fn restore(saved: &SavedDescriptor, fd: u32, table: &DescriptorTable) -> Result<Slot, DescriptorsError> {
    let below = |preopen: u32| {
        table
            .preopen(preopen)
            .ok_or_else(|| format!("descriptor {preopen}, which {fd} is below, is not a directory"))
    };
    let failed = |path: &str, what: &dyn fmt::Display| {
        format!("descriptor {fd}, `{}`, cannot be opened again: {what}", OutsideText::new(path))
    };
    match saved {
        SavedDescriptor::Given { number, .. } => {
            let slot = table.slot(*number).filter(|slot| slot.origin == Origin::Given(*number));
            let gone = || {
                format!("descriptor {fd} was granted as number {number}, which this guest was not granted")
            };
            Ok(slot.cloned().ok_or_else(gone)?)
        }
        SavedDescriptor::Dir { preopen, path } => {
            let how = OpenHow { follow: true, directory: true, ..OpenHow::default() };
            let origin = Origin::Opened { preopen: *preopen, path: path.clone() };
            match below(*preopen)?.open(path, how) {
                Ok(Opened::Dir(dir)) => Ok(Slot { descriptor: Arc::new(Descriptor::Dir(dir)), origin }),
                Ok(Opened::File(_)) => Err(failed(path, &"it is no longer a directory").into()),
                Err(error) => Err(failed(path, &error).into()),
            }
        }
        SavedDescriptor::File { preopen, path, read, write, flags, offset } => {
            let flags = FdFlags::from_bits_truncate(*flags);
            let how = OpenHow { follow: true, read: *read, write: *write, flags, ..OpenHow::default() };
            let dir = below(*preopen)?;
            // Opening a pipe would wait for a peer at its other end.
            let kind = dir.stat_at(path, true).map(|stat| stat.kind);
            let file = match kind {
                Ok(FileKind::RegularFile) => dir.open(path, how),
                Ok(_) => return Err(failed(path, &"it is no longer a regular file").into()),
                Err(error) => Err(error),
            };
            let opened = match file {
                Ok(Opened::File(file)) => file.seek(SeekFrom::Start(*offset)).map(|_| file),
                Ok(Opened::Dir(_)) => return Err(failed(path, &"it is now a directory").into()),
                Err(error) => Err(error),
            };
            let file: File = opened.map_err(|error| failed(path, &error))?;
            let origin = Origin::Opened { preopen: *preopen, path: path.clone() };
            Ok(Slot { descriptor: Arc::new(Descriptor::File(file)), origin })
        }
    }
}
