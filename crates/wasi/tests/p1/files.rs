//! Files and directories: what each call does, and which errno it returns on failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{DirPerms, FilePerms, WasiCtxBuilder};

use crate::guest::*;

#[test]
fn descriptors_take_the_lowest_free_number() {
    let (_dir, mut guest) = guest_with_dir();
    assert_eq!(guest.open(3, "a", CREAT, READ | WRITE, 0), Ok(4));
    assert_eq!(guest.open(3, "b", CREAT, READ | WRITE, 0), Ok(5));
    guest.close(4).unwrap();
    assert_eq!(guest.open(3, "c", CREAT, READ | WRITE, 0), Ok(4));
    guest.close(1).unwrap();
    assert_eq!(guest.open(3, "d", CREAT, READ | WRITE, 0), Ok(1));
    assert_eq!(errno(guest.close(9)), Errno::Badf);
    assert_eq!(errno(guest.close(u32::MAX)), Errno::Badf);
}

#[test]
fn the_table_has_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(dir.path(), "/", (DirPerms::all(), FilePerms::all())).unwrap();
    let mut guest = Guest::new(builder.max_descriptors(5).build());
    assert_eq!(guest.open(3, "a", CREAT, WRITE, 0), Ok(4));
    assert_eq!(errno(guest.open(3, "b", CREAT, WRITE, 0)), Errno::Mfile);
    guest.close(4).unwrap();
    assert_eq!(guest.open(3, "b", CREAT, WRITE, 0), Ok(4));
}

#[test]
fn renumbering_replaces() {
    let (_dir, mut guest) = guest_with_dir();
    let a = guest.open(3, "a", CREAT, WRITE, 0).unwrap();
    let b = guest.open(3, "b", CREAT, WRITE, 0).unwrap();
    guest.write(a, &[b"a"]).unwrap();
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, a, b)).unwrap();
    assert_eq!(guest.tell(b), Ok(1));
    assert_eq!(errno(guest.tell(a)), Errno::Badf);
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, b, a))), Errno::Badf);
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, b, b)).unwrap();
    assert_eq!(guest.open(3, "c", CREAT, WRITE, 0), Ok(a));
}

#[test]
fn opening_follows_its_flags() {
    let (dir, mut guest) = guest_with_dir();
    assert_eq!(errno(guest.open(3, "f", 0, READ, 0)), Errno::Noent);
    let fd = guest.open(3, "f", CREAT | EXCL, READ | WRITE, 0).unwrap();
    guest.write(fd, &[b"hello"]).unwrap();
    assert_eq!(errno(guest.open(3, "f", CREAT | EXCL, READ | WRITE, 0)), Errno::Exist);
    assert_eq!(errno(guest.open(3, "f", DIRECTORY, READ, 0)), Errno::Notdir);
    assert_eq!(errno(guest.open(3, "d", DIRECTORY | CREAT, READ, 0)), Errno::Inval);
    assert_eq!(errno(guest.open(3, "f", 16, READ, 0)), Errno::Inval);
    assert_eq!(errno(guest.open(3, "f", 0, READ, 32)), Errno::Inval);
    assert_eq!(errno(guest.open(3, "f", 0, READ, 1 << 20)), Errno::Inval);
    assert_eq!(errno(guest.open_with(3, 2, "f", 0, READ, 0)), Errno::Inval);
    assert_eq!(errno(guest.open(fd, "f", 0, READ, 0)), Errno::Notdir);
    assert_eq!(errno(guest.open(0, "f", 0, READ, 0)), Errno::Badf);
    assert_eq!(errno(guest.open(3, "", 0, READ, 0)), Errno::Noent);
    guest.open(3, "f", TRUNC, WRITE, 0).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"");
    // Writing needs the right; a directory cannot be written.
    let fd = guest.open(3, "f", 0, READ, 0).unwrap();
    assert_eq!(errno(guest.write(fd, &[b"x"])), Errno::Badf);
    let fd = guest.open(3, "f", 0, WRITE, 0).unwrap();
    assert_eq!(errno(guest.read(fd, 1)), Errno::Badf);
    assert_eq!(errno(guest.open(3, ".", 0, WRITE, 0)), Errno::Isdir);
}

#[test]
fn appending_and_its_change() {
    let (dir, mut guest) = guest_with_dir();
    let fd = guest.open(3, "f", CREAT, READ | WRITE, APPEND).unwrap();
    guest.write(fd, &[b"one"]).unwrap();
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, &[b"two"]).unwrap();
    assert_eq!(guest.tell(fd), Ok(6));
    assert_eq!(guest.fdstat(fd).unwrap().1, APPEND as u16);
    guest.set_flags(fd, NONBLOCK).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().1, NONBLOCK as u16);
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, &[b"ONE"]).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"ONEtwo");
    assert_eq!(errno(guest.set_flags(fd, 16)), Errno::Inval);
    assert_eq!(errno(guest.set_flags(fd, 64)), Errno::Inval);
    assert_eq!(errno(guest.set_flags(3, 0)), Errno::Badf);
    // Append mode does not grant write access.
    let fd = guest.open(3, "f", 0, READ, APPEND).unwrap();
    assert_eq!(errno(guest.write(fd, &[b"x"])), Errno::Badf);
    // Synchronising flags are kept and reported.
    let fd = guest.open(3, "f", 0, WRITE, 2).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().1, 2);
}

#[test]
fn positions() {
    let (_dir, mut guest) = guest_with_dir();
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    assert_eq!(guest.write(fd, &[b"0123", b"", b"456789"]), Ok(10));
    assert_eq!(guest.tell(fd), Ok(10));
    assert_eq!(guest.pread(fd, 3, 4), Ok(b"456".to_vec()));
    assert_eq!(guest.pwrite(fd, b"abc", 1), Ok(3));
    assert_eq!(guest.tell(fd), Ok(10));
    assert_eq!(guest.seek(fd, -8, 1), Ok(2));
    assert_eq!(guest.read(fd, 4), Ok(b"bc45".to_vec()));
    assert_eq!(guest.seek(fd, -1, 2), Ok(9));
    assert_eq!(guest.read(fd, 4), Ok(b"9".to_vec()));
    assert_eq!(guest.read(fd, 4), Ok(vec![]));
    assert_eq!(errno(guest.seek(fd, -1, 0)), Errno::Inval);
    assert_eq!(errno(guest.seek(fd, -11, 2)), Errno::Inval);
    assert_eq!(errno(guest.seek(fd, 0, 3)), Errno::Inval);
    assert_eq!(errno(guest.seek(3, 0, 0)), Errno::Badf);
    assert_eq!(errno(guest.seek(0, 0, 0)), Errno::Spipe);
    assert_eq!(errno(guest.pread(fd, 1, u64::MAX)), Errno::Inval);
    assert_eq!(errno(guest.read(3, 1)), Errno::Badf);
}

#[test]
fn bad_pointers_are_faults_and_change_nothing() {
    let (dir, mut guest) = guest_with_dir();
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    let end = guest.bytes.len() as u32;
    let (list, len) = guest.buffers(&[b"data"]);
    let result = guest.call(|ctx, memory| p1::fd_write(ctx, memory, fd, list, len, end - 3));
    assert_eq!(errno(result), Errno::Fault);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"");
    for (list, count) in [(end - 7, 1), (0, u32::MAX), (u32::MAX, 1), (8, 1 << 29)] {
        let result = guest.call(|ctx, memory| p1::fd_write(ctx, memory, fd, list, count, 0));
        assert_eq!(errno(result), Errno::Fault);
    }
    let result =
        guest.call(|ctx, memory| p1::path_open(ctx, memory, 3, 0, end - 1, 2, CREAT, WRITE, 0, 0, 0));
    assert_eq!(errno(result), Errno::Fault);
    let result = guest.call(|ctx, memory| p1::random_get(ctx, memory, 1, end));
    assert_eq!(errno(result), Errno::Fault);
    let result = guest.call(|ctx, memory| p1::fd_readdir(ctx, memory, 3, end - 4, 5, 0, 0));
    assert_eq!(errno(result), Errno::Fault);
    let result = guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, 0, 0, end - 7));
    assert_eq!(errno(result), Errno::Fault);
}

#[test]
fn attributes() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("f"), "hello").unwrap();
    guest.symlink("f", 3, "l").unwrap();
    let (f, l) = (guest.stat(3, FOLLOW, "l").unwrap(), guest.stat(3, 0, "l").unwrap());
    assert_eq!((f.kind, f.size, f.links), (4, 5, 1));
    assert_eq!((l.kind, l.size), (7, 1));
    assert_ne!(f.inode, l.inode);
    assert_eq!(guest.stat(3, 0, ".").unwrap().kind, 3);
    guest.link(3, 0, "f", 3, "g").unwrap();
    assert_eq!(guest.stat(3, 0, "f").unwrap().links, 2);
    assert_eq!(errno(guest.link(3, FOLLOW, "l", 3, "h")), Errno::Inval);

    let fd = guest.open(3, "f", 0, READ | WRITE, 0).unwrap();
    guest.call(|ctx, memory| p1::fd_filestat_set_size(ctx, memory, fd, 2)).unwrap();
    assert_eq!(guest.fstat(fd).unwrap().size, 2);
    assert_eq!(
        errno(guest.call(|ctx, memory| p1::fd_filestat_set_size(ctx, memory, fd, u64::MAX))),
        Errno::Inval
    );
    guest
        .call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, fd, 5, 1_500_000_000_000_000_007, 0b0101))
        .unwrap();
    let stat = guest.fstat(fd).unwrap();
    assert_eq!((stat.accessed, stat.modified), (5, 1_500_000_000_000_000_007));
    guest.set_times(3, 0, "l", (0, 77), 0b0100).unwrap();
    assert_eq!(guest.stat(3, 0, "l").unwrap().modified, 77);
    assert_ne!(guest.stat(3, FOLLOW, "l").unwrap().modified, 77);
    guest.set_times(3, FOLLOW, "l", (0, 78), 0b0100).unwrap();
    assert_eq!(guest.fstat(fd).unwrap().modified, 78);
    guest.set_times(3, FOLLOW, "l", (0, 0), 0b1000).unwrap();
    assert!(guest.fstat(fd).unwrap().modified > 1_500_000_000_000_000_000);
    assert_eq!(errno(guest.set_times(3, 0, "l", (0, 0), 0b0011)), Errno::Inval);
    assert_eq!(errno(guest.set_times(3, 0, "l", (0, 0), 0b10000)), Errno::Inval);
    guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, 3, 5, 6, 0b0101)).unwrap();
    assert_eq!(guest.fstat(3).unwrap().modified, 6);
}

#[test]
fn small_calls() {
    let (_dir, mut guest) = guest_with_dir();
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    guest.call(|ctx, memory| p1::fd_sync(ctx, memory, fd)).unwrap();
    guest.call(|ctx, memory| p1::fd_datasync(ctx, memory, fd)).unwrap();
    guest.call(|ctx, memory| p1::fd_advise(ctx, memory, fd, 0, 0, 3)).unwrap();
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_advise(ctx, memory, fd, 0, 0, 6))), Errno::Inval);
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_allocate(ctx, memory, fd, 0, 1))), Errno::Notsup);
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_allocate(ctx, memory, 3, 0, 1))), Errno::Badf);
    assert_eq!(
        errno(guest.call(|ctx, memory| p1::fd_fdstat_set_rights(ctx, memory, fd, 0, 0))),
        Errno::Notsup
    );
    assert_eq!(errno(guest.call(|ctx, memory| p1::proc_raise(ctx, memory, 2))), Errno::Notsup);
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_prestat_get(ctx, memory, 0, 0))), Errno::Badf);
    assert_eq!(
        errno(guest.call(|ctx, memory| p1::fd_prestat_dir_name(ctx, memory, fd, 0, 9))),
        Errno::Notdir
    );
    assert_eq!(
        errno(guest.call(|ctx, memory| p1::fd_prestat_dir_name(ctx, memory, 3, 0, 0))),
        Errno::Nametoolong
    );
    guest.call(|ctx, memory| p1::fd_prestat_dir_name(ctx, memory, 3, 0, 9)).unwrap();
    assert_eq!(guest.bytes[0], b'/');
    let exit = guest.call(|ctx, memory| p1::proc_exit(ctx, memory, 300));
    assert_eq!(exit, Err(p1::Error::Exit(belljar_wasi::I32Exit(300))));
}

#[test]
fn listing_a_directory() {
    let (dir, mut guest) = guest_with_dir();
    for name in ["b", "a", "c"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    fs::create_dir(dir.path().join("d")).unwrap();
    guest.symlink("nowhere", 3, "e").unwrap();
    let (entries, used) = guest.readdir(3, 4096, 0).unwrap();
    assert!(used < 4096);
    let names: Vec<_> = entries.iter().map(|entry| (entry.3.as_str(), entry.2)).collect();
    assert_eq!(names, [(".", 3), ("..", 3), ("a", 4), ("b", 4), ("c", 4), ("d", 3), ("e", 7)]);
    assert_eq!(entries[2].1, guest.stat(3, 0, "a").unwrap().inode);
    assert_eq!(entries[0].1, guest.fstat(3).unwrap().inode);
    // Reads one entry at a time and removes each: none is skipped.
    let (mut cookie, mut seen) = (0, vec![]);
    loop {
        let (entries, used) = guest.readdir(3, 40, cookie).unwrap();
        let Some(entry) = entries.first() else { break };
        cookie = entry.0;
        seen.push(entry.3.clone());
        if entry.2 != 3 {
            guest.unlink(3, &entry.3).unwrap();
        }
        assert!(used <= 40);
    }
    assert_eq!(seen, [".", "..", "a", "b", "c", "d", "e"]);
    let (entries, _) = guest.readdir(3, 4096, 0).unwrap();
    assert_eq!(entries.len(), 3);
    // The last entry is truncated to the buffer.
    assert_eq!(guest.readdir(3, 26, 0).unwrap().1, 26);
    assert_eq!(guest.readdir(3, 0, 0).unwrap().1, 0);
    assert_eq!(guest.readdir(3, 100, u64::MAX).unwrap().1, 0);
    assert_eq!(errno(guest.readdir(0, 100, 0)), Errno::Badf);
}

#[test]
fn moving_and_removing() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("f"), "").unwrap();
    guest.mkdir(3, "d").unwrap();
    assert_eq!(errno(guest.mkdir(3, "d")), Errno::Exist);
    guest.mkdir(3, "d/sub/").unwrap();
    assert_eq!(errno(guest.rmdir(3, "d")), Errno::Notempty);
    assert_eq!(errno(guest.rmdir(3, "f")), Errno::Notdir);
    assert_eq!(errno(guest.unlink(3, "d")), Errno::Isdir);
    assert_eq!(errno(guest.unlink(3, "f/")), Errno::Notdir);
    let sub = guest.open(3, "d/sub", DIRECTORY, READ, 0).unwrap();
    guest.rename(3, "f", sub, "g").unwrap();
    assert!(dir.path().join("d/sub/g").exists());
    assert_eq!(errno(guest.rename(3, "f", sub, "g")), Errno::Noent);
    guest.unlink(sub, "g").unwrap();
    guest.rmdir(3, "d/sub").unwrap();
    assert_eq!(errno(guest.open(sub, "x", CREAT, WRITE, 0)), Errno::Noent);
}

#[test]
fn links() {
    let (dir, mut guest) = guest_with_dir();
    guest.symlink("target", 3, "l").unwrap();
    assert_eq!(guest.readlink(3, "l", 100), Ok(b"target".to_vec()));
    assert_eq!(guest.readlink(3, "l", 3), Ok(b"tar".to_vec()));
    assert_eq!(guest.readlink(3, "l", 0), Ok(vec![]));
    fs::write(dir.path().join("f"), "").unwrap();
    assert_eq!(errno(guest.readlink(3, "f", 100)), Errno::Inval);
    assert_eq!(errno(guest.open_with(3, 0, "l", 0, READ, 0)), Errno::Loop);
    assert_eq!(errno(guest.open(3, "l", 0, READ, 0)), Errno::Noent);
    guest.symlink("loop", 3, "loop").unwrap();
    assert_eq!(errno(guest.open(3, "loop", 0, READ, 0)), Errno::Loop);
    guest.unlink(3, "loop").unwrap();
}

#[test]
fn a_read_only_preopen_refuses_every_change() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "data").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let mut guest = Guest::in_dir(&dir, DirPerms::READ, FilePerms::READ);
    let fd = guest.open(3, "f", 0, READ, 0).unwrap();
    assert_eq!(guest.read(fd, 9), Ok(b"data".to_vec()));
    let sub = guest.open(3, "d", DIRECTORY, READ, 0).unwrap();
    for dir in [3, sub] {
        assert_eq!(errno(guest.open(dir, "f", 0, WRITE, 0)), Errno::Perm);
        assert_eq!(errno(guest.open(dir, "f", 0, READ | WRITE, 0)), Errno::Perm);
        assert_eq!(errno(guest.open(dir, "f", TRUNC, READ, 0)), Errno::Perm);
        assert_eq!(errno(guest.open(dir, "n", CREAT, READ, 0)), Errno::Perm);
        assert_eq!(errno(guest.mkdir(dir, "n")), Errno::Perm);
        assert_eq!(errno(guest.rmdir(dir, "d")), Errno::Perm);
        assert_eq!(errno(guest.unlink(dir, "f")), Errno::Perm);
        assert_eq!(errno(guest.symlink("f", dir, "n")), Errno::Perm);
        assert_eq!(errno(guest.link(dir, 0, "f", dir, "n")), Errno::Perm);
        assert_eq!(errno(guest.rename(dir, "f", dir, "n")), Errno::Perm);
        assert_eq!(errno(guest.set_times(dir, 0, "f", (1, 1), 0b0101)), Errno::Perm);
    }
    for fd in [3, fd, sub] {
        let result = guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, fd, 1, 1, 0b0101));
        assert_eq!(errno(result), Errno::Perm);
    }
    assert_eq!(errno(guest.call(|ctx, memory| p1::fd_filestat_set_size(ctx, memory, fd, 0))), Errno::Perm);
    assert_eq!(errno(guest.write(fd, &[b"x"])), Errno::Badf);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"data");
    assert_eq!(guest.readdir(3, 4096, 0).unwrap().0.len(), 4);
}

#[test]
fn permissions_do_not_widen_by_moving() {
    let (writable, readable) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(readable.path().join("f"), "data").unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(writable.path(), "/w", (DirPerms::all(), FilePerms::all())).unwrap();
    builder.preopened_dir(readable.path(), "/r", (DirPerms::all(), FilePerms::READ)).unwrap();
    let mut guest = Guest::new(builder.build());
    assert_eq!(errno(guest.link(4, 0, "f", 3, "f")), Errno::Perm);
    assert_eq!(errno(guest.rename(4, "f", 3, "f")), Errno::Perm);
    assert_eq!(errno(guest.open(4, "f", 0, WRITE, 0)), Errno::Perm);
}

#[test]
fn write_only_files_stay_unread() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "secret").unwrap();
    let mut guest = Guest::in_dir(&dir, DirPerms::all(), FilePerms::WRITE);
    assert_eq!(errno(guest.open(3, "f", 0, READ, 0)), Errno::Perm);
    assert_eq!(errno(guest.open(3, "f", 0, 0, 0)), Errno::Perm);
    assert_eq!(errno(guest.open(3, "f", TRUNC, READ, 0)), Errno::Perm);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"secret");
    guest.open(3, ".", DIRECTORY, READ, 0).unwrap();
    guest.open(3, "f", 0, WRITE, 0).unwrap();
}

#[test]
fn host_permissions_are_reported() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("f"), "").unwrap();
    fs::set_permissions(dir.path().join("f"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read anything.
    if fs::read(dir.path().join("f")).is_err() {
        assert_eq!(errno(guest.open(3, "f", 0, READ, 0)), Errno::Acces);
    }
    fs::set_permissions(dir.path().join("f"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn rights_are_those_c_libraries_expect() {
    let (_dir, mut guest) = guest_with_dir();
    let (seek, tell, readdir) = (1 << 2, 1 << 5, 1 << 14);
    let (kind, _, base, inheriting) = guest.fdstat(3).unwrap();
    assert_eq!((kind, base & readdir, base & (READ | WRITE | seek)), (3, readdir, 0));
    assert_eq!(inheriting & (READ | WRITE | seek | tell), READ | WRITE | seek | tell);
    let fd = guest.open(3, "f", CREAT, READ | WRITE, 0).unwrap();
    let (kind, _, base, _) = guest.fdstat(fd).unwrap();
    assert_eq!((kind, base & (READ | WRITE | seek | tell)), (4, READ | WRITE | seek | tell));
    let fd = guest.open(3, "f", 0, WRITE, 0).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().2 & (READ | WRITE), WRITE);
    let fd = guest.open(3, ".", DIRECTORY, READ, 0).unwrap();
    let (kind, _, base, inheriting) = guest.fdstat(fd).unwrap();
    assert_eq!((kind, base & readdir, base & seek, inheriting & WRITE), (3, readdir, 0, WRITE));
}
