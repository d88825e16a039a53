//! The names in a directory at one moment, and a budget for the host memory of such lists.
//!
//! A guest decides how many names there are and how many lists it leaves half read, so all lists of a context
//! share one budget. A list that exceeds the rest of the budget is not kept, and one larger than the whole budget is refused.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::stat::{FileKind, FileStat};

/// Bytes that the lists of one context may hold: some four million names.
const BUDGET: usize = 256 << 20;

/// One name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct DirEntry {
    pub(crate) name: Box<[u8]>,
    pub(crate) inode: u64,
    pub(crate) kind: FileKind,
}

impl DirEntry {
    fn bytes(&self) -> usize {
        size_of::<DirEntry>() + self.name.len()
    }
}

/// Host memory used by the lists of one context. Clones share the budget.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListingBudget {
    used: Arc<AtomicUsize>,
}

impl ListingBudget {
    fn charge(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Relaxed);
        used.saturating_add(bytes) <= BUDGET
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// The names in a directory: `.` and `..` first, the others sorted, so that runs are reproducible.
#[derive(Debug)]
pub(crate) struct Listing {
    entries: Vec<DirEntry>,
    bytes: usize,
    budget: ListingBudget,
    /// Whether the list fits the budget and may be kept.
    pub(crate) may_keep: bool,
}

impl Listing {
    /// Lists the directory, whose own number is `inode`.
    ///
    /// # Errors
    /// Returns the system's errors, and [`Errno::INTR`] as soon as `must_end` returns true, which is checked periodically.
    pub(crate) fn of(
        dir: impl AsFd,
        inode: u64,
        budget: &ListingBudget,
        must_end: &dyn Fn() -> bool,
    ) -> io::Result<Listing> {
        let dir = dir.as_fd();
        // The parent may lie outside the preopen: its inode number must stay hidden, as its names do.
        let dots = [b".".as_slice(), b".."];
        let mut entries: Vec<DirEntry> = Vec::new();
        let mut bytes = 0;
        let mut runs = Vec::new();
        // The handle of a preopen only allows look-ups, so listing needs a handle of its own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
        for entry in rustix::fs::Dir::new(own)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if dots.contains(&name) {
                continue;
            }
            let mut kind = FileKind::from(entry.file_type());
            // Some file systems do not report the kind, and a name may have been removed meanwhile: the kind stays unknown.
            if entry.file_type() == rustix::fs::FileType::Unknown
                && let Ok(stat) = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            {
                kind = FileStat::from(stat).kind;
            }
            let entry = DirEntry { name: name.into(), inode: entry.ino(), kind };
            bytes += entry.bytes();
            if bytes > BUDGET {
                return Err(Errno::NOMEM.into());
            }
            entries.push(entry);
            if entries.len() >= RUN {
                check(must_end)?;
                runs.push(sorted_run(&mut entries));
            }
        }
        runs.push(sorted_run(&mut entries));
        let mut all = Vec::with_capacity(2 + runs.iter().map(Vec::len).sum::<usize>());
        all.extend(dots.map(|name| DirEntry { name: name.into(), inode, kind: FileKind::Directory }));
        merge(runs, &mut all, must_end)?;
        let entries = all;
        Ok(Listing { entries, bytes, budget: budget.clone(), may_keep: budget.charge(bytes) })
    }
}

/// Names that are read or sorted between two checks whether the guest must end: some 2 ms.
const RUN: usize = 4096;

fn check(must_end: &dyn Fn() -> bool) -> io::Result<()> {
    if must_end() { Err(Errno::INTR.into()) } else { Ok(()) }
}

fn sorted_run(entries: &mut Vec<DirEntry>) -> Vec<DirEntry> {
    let mut run = std::mem::take(entries);
    // In reverse order, because the merge takes entries from the end.
    run.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    run
}

/// Merges runs, each of which is sorted in reverse.
fn merge(
    mut runs: Vec<Vec<DirEntry>>,
    into: &mut Vec<DirEntry>,
    must_end: &dyn Fn() -> bool,
) -> io::Result<()> {
    let first = |run: &mut Vec<DirEntry>, number| run.pop().map(|entry| Reverse(Next(entry, number)));
    let mut next: BinaryHeap<_> =
        runs.iter_mut().enumerate().filter_map(|(number, run)| first(run, number)).collect();
    while let Some(Reverse(Next(entry, number))) = next.pop() {
        next.extend(first(&mut runs[number], number));
        into.push(entry);
        if into.len().is_multiple_of(RUN) {
            check(must_end)?;
        }
    }
    Ok(())
}

/// Returns the first remaining entry of a run, by name.
struct Next(DirEntry, usize);

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

impl Deref for Listing {
    type Target = [DirEntry];

    fn deref(&self) -> &[DirEntry] {
        &self.entries
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_directories_are_sorted_and_listing_them_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..2 * RUN + 10 {
            std::fs::write(dir.path().join(format!("{:x}", i * 7919 % 10007)), "").unwrap();
        }
        let handle = std::fs::File::open(dir.path()).unwrap();
        let budget = ListingBudget::default();
        let listing = Listing::of(&handle, 7, &budget, &|| false).unwrap();
        assert_eq!(listing.len(), 2 + 2 * RUN + 10);
        assert!(listing[2..].is_sorted_by(|a, b| a.name < b.name));
        let asked = std::cell::Cell::new(0);
        let ask = || asked.replace(asked.get() + 1) == 1;
        assert_eq!(Listing::of(&handle, 7, &budget, &ask).unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn lists_give_their_memory_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("name"), "").unwrap();
        let handle = std::fs::File::open(dir.path()).unwrap();
        let budget = ListingBudget::default();
        let listing = Listing::of(&handle, 7, &budget, &|| false).unwrap();
        assert_eq!(listing.len(), 3);
        assert!(listing.may_keep);
        assert_eq!(budget.used.load(Relaxed), size_of::<DirEntry>() + 4);
        assert!(budget.charge(BUDGET - 1000));
        let second = Listing::of(&handle, 7, &budget, &|| false).unwrap();
        assert!(second.may_keep);
        assert!(!budget.charge(1000));
        assert!(!Listing::of(&handle, 7, &budget, &|| false).unwrap().may_keep);
        drop((listing, second));
        budget.release(BUDGET);
        assert_eq!(budget.used.load(Relaxed), 0);
    }
}
