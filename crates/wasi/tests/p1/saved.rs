//! Descriptors that one guest left open, restored for another guest before it starts.

use std::fs;
use std::os::unix::fs::MetadataExt;

use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{DirPerms, FilePerms, SavedDescriptors, WasiCtxBuilder};
use tempfile::TempDir;

use crate::guest::{APPEND, CREAT, DIRECTORY, Guest, NONBLOCK, READ, TRUNC, WRITE, errno, guest_with_dir};

fn whole(dir: &TempDir) -> Guest {
    Guest::in_dir(dir, DirPerms::all(), FilePerms::all())
}

/// Creates a guest of the same directory with another guest's descriptors, passed as text as in a snapshot.
fn like(guest: &Guest, dir: &TempDir) -> Guest {
    let saved = serde_json::to_string(&guest.ctx.save_descriptors().unwrap()).unwrap();
    let saved: SavedDescriptors = serde_json::from_str(&saved).unwrap();
    let other = whole(dir);
    other.ctx.restore_descriptors(&saved).unwrap();
    assert_eq!(other.ctx.save_descriptors().unwrap(), saved);
    other
}

fn problem(guest: &Guest) -> String {
    guest.ctx.save_descriptors().unwrap_err().to_string()
}

#[test]
fn files_and_directories_are_open_again_where_they_were() {
    let (dir, mut guest) = guest_with_dir();
    assert!(guest.ctx.save_descriptors().unwrap().are_as_given());
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/text"), "begin, go on").unwrap();
    let a = guest.open(3, "a", DIRECTORY, READ, 0).unwrap();
    let b = guest.open(a, "b", DIRECTORY, READ, 0).unwrap();
    let text = guest.open(b, "./text", 0, READ, 0).unwrap();
    let log = guest.open(3, "log", CREAT | TRUNC, WRITE, APPEND).unwrap();
    assert_eq!(guest.read(text, 7).unwrap(), b"begin, ");
    guest.write(log, &[b"one "]).unwrap();
    // The numbers between them are free.
    guest.close(b).unwrap();
    assert!(!guest.ctx.save_descriptors().unwrap().are_as_given());

    let mut other = like(&guest, &dir);
    assert_eq!(other.read(text, 100).unwrap(), b"go on");
    assert_eq!(errno(other.write(text, &[b"?"])), Errno::Badf);
    other.write(log, &[b"two"]).unwrap();
    assert_eq!(fs::read(dir.path().join("log")).unwrap(), b"one two");
    assert_eq!(other.open(a, "b/text", 0, READ, 0).unwrap(), b, "the lowest free number");
    assert_eq!(other.tell(b).unwrap(), 0);
    assert_eq!(guest.tell(text).unwrap(), 7, "the other's cursor is its own");
}

#[test]
fn what_was_given_can_be_closed_moved_and_set() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("in"), "from a file").unwrap();
    let file = guest.open(3, "in", 0, READ, 0).unwrap();
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, file, 0)).unwrap();
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, 2, 1)).unwrap();
    guest.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, 1, NONBLOCK)).unwrap();
    // The directory that contains the file.
    guest.close(3).unwrap();

    let mut other = like(&guest, &dir);
    assert_eq!(other.read(0, 100).unwrap(), b"from a file");
    assert_eq!(errno(other.write(2, &[b"x"])), Errno::Badf);
    assert_eq!(other.write(1, &[b"x"]).unwrap(), 1);
    other.call(|ctx, memory| p1::fd_fdstat_get(ctx, memory, 1, 0x100)).unwrap();
    assert_eq!(u32::from(u16::from_le_bytes(other.get(0x102))), NONBLOCK);
    assert_eq!(errno(other.open(3, "in", 0, READ, 0)), Errno::Badf);
}

#[test]
fn what_cannot_be_had_again_is_named() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("gone"), "").unwrap();
    fs::write(dir.path().join("replaced"), "").unwrap();
    fs::create_dir(dir.path().join("moved")).unwrap();
    for path in ["gone", "replaced"] {
        guest.open(3, path, 0, READ, 0).unwrap();
    }
    guest.open(3, "moved", DIRECTORY, READ, 0).unwrap();
    assert_eq!(problem_count(&guest), 0);
    guest.unlink(3, "gone").unwrap();
    fs::write(dir.path().join("new"), "").unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("replaced")).unwrap();
    guest.rename(3, "moved", 3, "elsewhere").unwrap();
    assert_eq!(
        problem(&guest),
        "descriptor 4 is the open file `gone`, which is no longer there by that name, \
         descriptor 5 is the open file `replaced`, which is no longer there by that name, \
         descriptor 6 is the open directory `moved`, which is no longer there by that name"
    );
    for fd in 4..7 {
        guest.close(fd).unwrap();
    }
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_ne!(fs::metadata(&pipe).unwrap().mode() & 0o10000, 0);
    guest.open(3, "pipe", 0, READ | WRITE, 0).unwrap();
    assert_eq!(problem(&guest), "descriptor 4 is `pipe`, which is a pipe or a device");
}

fn problem_count(guest: &Guest) -> usize {
    guest.ctx.save_descriptors().map_or_else(|error| error.problems().len(), |_| 0)
}

#[test]
fn nothing_is_opened_that_the_new_context_does_not_allow() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("text"), "text").unwrap();
    guest.open(3, "text", 0, READ | WRITE, 0).unwrap();
    let saved = guest.ctx.save_descriptors().unwrap();
    let told = |guest: &Guest| {
        let told = guest.ctx.restore_descriptors(&saved).unwrap_err().to_string();
        assert!(guest.ctx.save_descriptors().unwrap().are_as_given(), "nothing has changed");
        told
    };
    let reader = Guest::in_dir(&dir, DirPerms::READ, FilePerms::READ);
    let refused = "descriptor 4, `text`, cannot be opened again: Operation not permitted (os error 1)";
    assert_eq!(told(&reader), refused);

    let empty = tempfile::tempdir().unwrap();
    assert!(told(&whole(&empty)).starts_with("descriptor 4, `text`, cannot be opened again: No such file"));
    fs::create_dir(empty.path().join("text")).unwrap();
    assert!(told(&whole(&empty)).ends_with("it is no longer a regular file"));

    assert_eq!(
        told(&Guest::new(WasiCtxBuilder::new().build())),
        "the saved guest was granted 4 descriptors, this one 3"
    );
    let mut few = WasiCtxBuilder::new();
    few.preopened_dir(dir.path(), "/", (DirPerms::all(), FilePerms::all())).unwrap().max_descriptors(4);
    assert_eq!(told(&Guest::new(few.build())), "the saved guest had 5 descriptors, this one may have 4");
}

#[test]
fn data_that_nobody_saved_is_refused() {
    let (dir, _) = guest_with_dir();
    for (text, wanted) in [
        (
            r#"{"given":4,"descriptors":[{"given":{"number":9,"flags":0}}]}"#,
            "descriptor 0 was granted as number 9",
        ),
        (r#"{"given":4,"descriptors":[{"dir":{"preopen":1,"path":"a"}}]}"#, "is not a directory"),
        (r#"{"given":4,"descriptors":[{"dir":{"preopen":3,"path":"../.."}}]}"#, "cannot be opened again"),
        (r#"{"given":4,"descriptors":[{"dir":{"preopen":3,"path":"/etc"}}]}"#, "cannot be opened again"),
    ] {
        let saved: SavedDescriptors = serde_json::from_str(text).unwrap();
        let told = whole(&dir).ctx.restore_descriptors(&saved).unwrap_err().to_string();
        assert!(told.contains(wanted), "{told}");
    }
}
