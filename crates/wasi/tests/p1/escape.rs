//! Attempts to leave a preopened directory, all of which must fail: paths, links, renames and races.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{DirPerms, FilePerms, WasiCtxBuilder};
use tempfile::TempDir;

use crate::guest::*;

/// `jail` is granted to the guest, `outside` is not: it holds `secret` and the empty directory `empty`.
struct Prison {
    _root: TempDir,
    jail: PathBuf,
    outside: PathBuf,
    guest: Guest,
}

fn prison() -> Prison {
    let root = tempfile::tempdir().unwrap();
    let (jail, outside) = (root.path().join("jail"), root.path().join("outside"));
    fs::create_dir(&jail).unwrap();
    fs::create_dir_all(outside.join("empty")).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(&jail, "/", (DirPerms::all(), FilePerms::all())).unwrap();
    Prison { jail, outside, guest: Guest::new(builder.build()), _root: root }
}

/// Checks that nothing outside has changed.
fn assert_intact(outside: &Path) {
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 2);
    assert_eq!(fs::read_dir(outside.join("empty")).unwrap().count(), 0);
    assert!(
        fs::symlink_metadata(outside.join("secret")).unwrap().modified().unwrap().elapsed().unwrap()
            < Duration::from_secs(600)
    );
}

/// Tries every call on a file, a new name and an empty directory; returns those that succeeded.
fn fs_calls(guest: &mut Guest, secret: &str, new: &str, empty: &str) -> Vec<bool> {
    vec![
        guest.open(3, secret, 0, READ, 0).is_ok(),
        guest.open(3, secret, TRUNC, READ | WRITE, 0).is_ok(),
        guest.open_with(3, 0, secret, 0, READ, 0).is_ok(),
        guest.open(3, new, CREAT, WRITE, 0).is_ok(),
        guest.open(3, empty, DIRECTORY, READ, 0).is_ok(),
        guest.stat(3, FOLLOW, secret).is_ok(),
        guest.stat(3, 0, secret).is_ok(),
        guest.set_times(3, FOLLOW, secret, (1, 1), 0b0101).is_ok(),
        guest.set_times(3, 0, secret, (1, 1), 0b0101).is_ok(),
        guest.mkdir(3, new).is_ok(),
        guest.rmdir(3, empty).is_ok(),
        guest.unlink(3, secret).is_ok(),
        guest.symlink("x", 3, new).is_ok(),
        guest.readlink(3, secret, 100).is_ok(),
        guest.link(3, 0, secret, 3, "stolen").is_ok(),
        guest.link(3, 0, "mine", 3, new).is_ok(),
        guest.rename(3, secret, 3, "stolen").is_ok(),
        guest.rename(3, "mine", 3, new).is_ok(),
    ]
}

#[test]
fn paths_do_not_lead_out() {
    let Prison { _root, outside, mut guest, jail } = prison();
    fs::write(jail.join("mine"), "").unwrap();
    fs::create_dir(jail.join("d")).unwrap();
    let absolute = outside.to_str().unwrap();
    for way in [
        "../outside",
        "d/../../outside",
        "./../outside",
        "d/.././../outside",
        "..//outside",
        "/../outside",
        absolute,
    ] {
        let paths = ["secret", "new", "empty"].map(|name| format!("{way}/{name}"));
        let ok = fs_calls(&mut guest, &paths[0], &paths[1], &paths[2]);
        assert!(!ok.contains(&true), "{way}: {ok:?}");
    }
    for path in ["..", "../", "../.", "d/../..", "/", "//", "/etc/passwd"] {
        assert_eq!(errno(guest.open(3, path, 0, READ, 0)), Errno::Perm, "{path}");
        assert_eq!(errno(guest.stat(3, FOLLOW, path).map(|_| ())), Errno::Perm, "{path}");
        assert!(guest.rmdir(3, path).is_err());
    }
    assert_intact(&outside);
}

#[test]
fn the_parent_of_a_subdirectory_is_out_of_reach_too() {
    let (_dir, mut guest) = guest_with_dir();
    guest.mkdir(3, "d").unwrap();
    let d = guest.open(3, "d", DIRECTORY, READ, 0).unwrap();
    assert_eq!(errno(guest.open(d, "..", 0, READ, 0)), Errno::Perm);
    assert_eq!(errno(guest.open(d, "../d", 0, READ, 0)), Errno::Perm);
}

#[test]
fn links_do_not_lead_out() {
    let Prison { _root, outside, mut guest, jail } = prison();
    fs::write(jail.join("mine"), "").unwrap();
    // The guest cannot create absolute links; it can create relative ones, but not follow them.
    assert_eq!(errno(guest.symlink("/etc/passwd", 3, "abs")), Errno::Perm);
    guest.symlink("../outside", 3, "up").unwrap();
    guest.symlink("../outside/secret", 3, "file").unwrap();
    guest.symlink("up", 3, "twice").unwrap();
    // Links which the host made.
    symlink(&outside, jail.join("host")).unwrap();
    symlink("/proc/self/root", jail.join("proc")).unwrap();
    symlink("/proc/self/cwd", jail.join("cwd")).unwrap();
    for way in ["up", "twice", "host", "up/../outside", "host/../outside"] {
        let paths = ["secret", "new", "empty"].map(|name| format!("{way}/{name}"));
        let ok = fs_calls(&mut guest, &paths[0], &paths[1], &paths[2]);
        assert!(!ok.contains(&true), "{way}: {ok:?}");
    }
    for path in ["file", "file/", "up", "up/", "up/.", "proc", "proc/etc/passwd", "cwd/Cargo.toml"] {
        assert_eq!(errno(guest.open(3, path, 0, READ, 0)), Errno::Perm, "{path}");
        assert_eq!(errno(guest.stat(3, FOLLOW, path).map(|_| ())), Errno::Perm, "{path}");
    }
    assert_eq!(errno(guest.open(3, "file", CREAT | TRUNC, WRITE, 0)), Errno::Perm);
    assert_eq!(errno(guest.readlink(3, "host", 100)), Errno::Perm);
    // The guest may remove and rename the links themselves.
    guest.rename(3, "up", 3, "renamed").unwrap();
    guest.unlink(3, "renamed").unwrap();
    guest.unlink(3, "host").unwrap();
    assert_intact(&outside);
}

#[test]
fn hostile_names_are_errors() {
    let (dir, mut guest) = guest_with_dir();
    let long = "x".repeat(256);
    let endless = "d/".repeat(3000);
    let too_long = "x/".repeat(20_000);
    assert_eq!(errno(guest.open(3, &long, CREAT, WRITE, 0)), Errno::Nametoolong);
    assert_eq!(errno(guest.open(3, &endless, 0, READ, 0)), Errno::Nametoolong);
    assert_eq!(errno(guest.mkdir(3, &long)), Errno::Nametoolong);
    assert_eq!(errno(guest.stat(3, 0, &too_long[..16_000]).map(|_| ())), Errno::Nametoolong);
    for path in ["a\0b", "\0", "a\0"] {
        assert_eq!(errno(guest.open(3, path, CREAT, WRITE, 0)), Errno::Inval);
        assert_eq!(errno(guest.symlink(path, 3, "l")), Errno::Inval);
        assert_eq!(errno(guest.rename(3, path, 3, "l")), Errno::Inval);
    }
    guest.put(0x100, b"\xff\xfe");
    let result = guest.call(|ctx, memory| p1::path_create_directory(ctx, memory, 3, 0x100, 2));
    assert_eq!(errno(result), Errno::Ilseq);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // A huge length is checked before anything is allocated.
    let result = guest.call(|ctx, memory| p1::path_create_directory(ctx, memory, 3, 0x100, u32::MAX));
    assert_eq!(errno(result), Errno::Fault);
}

#[test]
fn trailing_slashes_mean_directories() {
    let (dir, mut guest) = guest_with_dir();
    fs::write(dir.path().join("f"), "").unwrap();
    assert_eq!(errno(guest.open(3, "f/", 0, READ, 0)), Errno::Notdir);
    assert_eq!(errno(guest.stat(3, 0, "f/").map(|_| ())), Errno::Notdir);
    assert!(guest.open(3, "new/", CREAT, WRITE, 0).is_err());
    assert!(guest.symlink("f", 3, "new/").is_err());
    assert!(guest.link(3, 0, "f", 3, "new/").is_err());
    assert!(guest.rename(3, "f/", 3, "g").is_err());
    guest.mkdir(3, "d///").unwrap();
    guest.open(3, "d//", DIRECTORY, READ, 0).unwrap();
    guest.rmdir(3, "d/").unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn between_preopens_files_move_but_paths_do_not() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(a.path().join("f"), "f").unwrap();
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(a.path(), "/a", (DirPerms::all(), FilePerms::all())).unwrap();
    builder.preopened_dir(b.path(), "/b", (DirPerms::all(), FilePerms::all())).unwrap();
    let mut guest = Guest::new(builder.build());
    let across = format!("../{}/f", b.path().file_name().unwrap().to_str().unwrap());
    assert_eq!(errno(guest.rename(3, "f", 3, &across)), Errno::Perm);
    assert_eq!(errno(guest.rename(3, "f", 4, "../f")), Errno::Perm);
    guest.rename(3, "f", 4, "g").unwrap();
    assert_eq!(fs::read(b.path().join("g")).unwrap(), b"f");
    guest.link(4, 0, "g", 3, "h").unwrap();
    assert_eq!(fs::read(a.path().join("h")).unwrap(), b"f");
}

/// Another thread swaps a directory and a link that leads out, as fast as it can, while the guest uses
/// the name: it may reach its own directory or fail, but never reach anything outside.
#[test]
fn a_race_does_not_lead_out() {
    let Prison { _root, outside, mut guest, jail } = prison();
    fs::write(jail.join("mine"), "").unwrap();
    // The guest's own tree has the same names, so only contents tell where a path led.
    let own = jail.join("own");
    fs::create_dir_all(own.join("empty")).unwrap();
    fs::write(own.join("secret"), "public").unwrap();
    symlink("../outside", jail.join("link")).unwrap();
    fs::rename(&own, jail.join("d")).unwrap();
    let stop = AtomicBool::new(false);
    let mut reads = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(jail.join("d"), &own);
                let _ = fs::rename(jail.join("link"), jail.join("d"));
                let _ = fs::rename(jail.join("d"), jail.join("link"));
                let _ = fs::rename(&own, jail.join("d"));
            }
        });
        let end = Instant::now() + Duration::from_millis(700);
        while Instant::now() < end {
            if let Ok(fd) = guest.open(3, "d/secret", 0, READ, 0) {
                assert_eq!(guest.read(fd, 100), Ok(b"public".to_vec()));
                guest.close(fd).unwrap();
                reads += 1;
            }
            let _ = guest.open(3, "d/new", CREAT | EXCL, WRITE, 0).map(|fd| guest.close(fd));
            let _ = guest.unlink(3, "d/new");
            let _ = guest.mkdir(3, "d/newdir");
            let _ = guest.rmdir(3, "d/newdir");
            let _ = guest.rmdir(3, "d/empty");
            let _ = guest.mkdir(3, "d/empty");
            let _ = guest.symlink("x", 3, "d/newlink");
            let _ = guest.unlink(3, "d/newlink");
            let _ = guest.rename(3, "mine", 3, "d/mine");
            let _ = guest.rename(3, "d/mine", 3, "mine");
            let _ = guest.link(3, 0, "d/secret", 3, "copy");
            if let Ok(fd) = guest.open(3, "copy", 0, READ, 0) {
                assert_eq!(guest.read(fd, 100), Ok(b"public".to_vec()));
                guest.close(fd).unwrap();
            }
            let _ = guest.unlink(3, "copy");
            let _ = guest.set_times(3, FOLLOW, "d/secret", (1, 1), 0b0101);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads > 0);
    assert_intact(&outside);
}

#[test]
fn the_calls_work_inside() {
    // What the tests above rely on: the same calls succeed where they are allowed.
    let Prison { _root, jail, mut guest, .. } = prison();
    fs::create_dir(jail.join("empty")).unwrap();
    fs::write(jail.join("secret"), "x").unwrap();
    fs::write(jail.join("mine"), "").unwrap();
    let ok = fs_calls(&mut guest, "secret", "new", "empty");
    assert!(ok.iter().filter(|&&ok| ok).count() > 10, "{ok:?}");
}
