//! Files and directories.

use super::{Outcome, run};
use belljar_wasi::FsPerms;
use std::path::Path;

fn in_dir(command: &[&str], dir: &Path, perms: FsPerms) -> Outcome {
    run(command, |builder| _ = builder.preopened_dir(dir, "/d", perms).unwrap())
}

#[test]
fn rusts_library_works() {
    let dir = tempfile::tempdir().unwrap();
    in_dir(&["std-files", "/d"], dir.path(), FsPerms::ReadWrite).prints(&[
        "some text",
        "more",
        r#"["b.txt", "y"] 15"#,
        "Err(NotFound)",
        "0",
    ]);
}

#[test]
fn descriptors_do_what_their_functions_say() {
    let dir = tempfile::tempdir().unwrap();
    in_dir(&["files"], dir.path(), FsPerms::ReadWrite).prints(&[
        r#"["/d"]"#,
        "again: exist",
        "flags: DescriptorFlags(READ | WRITE)",
        "type: DescriptorType::RegularFile",
        "write: 10",
        "read: ([0, 0, 48, 49], false)",
        "read at the end: ([], true)",
        "size: ()",
        r#"Ok("\0AB12345END")"#,
        r#"Ok(2) Ok(6) Err("closed")"#,
        "advise: ()",
        "sync: ()",
        "times: ()",
        "bad time: invalid",
        "DescriptorType::RegularFile 11 1 Some((1000000000, 5))",
        "directory: ()",
        "again: exist",
        "flags: DescriptorFlags(READ | MUTATE_DIRECTORY)",
        "link: ()",
        "true false",
        "true false",
        "symlink: ()",
        r#"readlink: "../f""#,
        "no link: invalid",
        "link itself: DescriptorType::SymbolicLink",
        "linked: 11",
        "rename: ()",
        "times at: ()",
        "entry DescriptorType::SymbolicLink l",
        "not empty: not-empty",
        "unlink: ()",
        "remove: ()",
        "no directory: no-entry",
        "a file: not-directory",
        "as directory: not-directory",
        "write to it: bad-descriptor",
        "stream to it: bad-descriptor",
        "of a directory: bad-descriptor",
        "directory of a file: not-directory",
    ]);
}

#[test]
fn no_path_leads_out() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(outer.path().join("x"), "secret").unwrap();
    std::fs::write(dir.join("inside"), "known").unwrap();
    std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
    let outcome = in_dir(&["escape"], &dir, FsPerms::ReadWrite);
    outcome.prints(&[
        r#""../x": not-permitted"#,
        r#""/etc/passwd": not-permitted"#,
        r#""a/../../x": no-entry"#,
        r#""link/passwd": not-permitted"#,
        r#""": no-entry"#,
        r#""a\0b": invalid"#,
        "symlink: not-permitted",
        "rename: not-permitted",
    ]);
    assert!(!outer.path().join("outside").exists());
}

#[test]
fn what_may_only_be_read_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("inside"), "known").unwrap();
    let outcome = in_dir(&["read-only"], dir.path(), FsPerms::ReadOnly);
    outcome.prints(&[
        "flags: DescriptorFlags(READ)",
        "create: not-permitted",
        "write: not-permitted",
        "truncate: not-permitted",
        "mutate: not-permitted",
        "remove: not-permitted",
        "read: ([107, 110, 111, 119, 110], false)",
        "size: not-permitted",
        "times: not-permitted",
    ]);
    assert_eq!(std::fs::read_to_string(dir.path().join("inside")).unwrap(), "known");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn open_files_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("inside"), "").unwrap();
    let outcome = run(&["open-many"], |builder| {
        builder.preopened_dir(dir.path(), "/d", FsPerms::ReadOnly).unwrap().max_descriptors(20);
    });
    // The standard streams and the directory are open already.
    outcome.prints(&["16 io", "one more: ()"]);
    assert!(outcome.limits[0].starts_with("descriptors"), "{:?}", outcome.limits);
}
