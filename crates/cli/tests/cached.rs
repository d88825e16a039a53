//! The cache as users see it: a file under an entry's name is never accepted as anything that it is not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A user with their own directories.
struct User {
    home: TempDir,
}

/// Its `f` returns 1, and 666 after `warm`.
const MODULE: &str = r#"(module (global $g (mut i32) (i32.const 1))
    (func (export "warm") (global.set $g (i32.const 666)))
    (func (export "f") (result i32) (global.get $g)))"#;

impl User {
    fn new() -> Self {
        let user = Self { home: tempfile::tempdir().unwrap() };
        user.write("m.wat", MODULE);
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn belljar(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
        command.env_remove("BELLJAR_CACHE").env("XDG_CACHE_HOME", self.path("c"));
        command.env("XDG_STATE_HOME", self.path("s")).env("XDG_CONFIG_HOME", self.path("g"));
        command.current_dir(self.home.path()).stdin(Stdio::null()).args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed. Returns its output.
    fn message(&self, arguments: &[&str]) -> String {
        let output = self.belljar(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{err}");
        out
    }

    /// Returns the cache's entries.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("c/belljar/v1")).unwrap();
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    /// Runs a module. Returns the cache entry that this creates.
    fn entry_of(&self, module: &str, options: &[&str]) -> PathBuf {
        let before = self.entries_or_none();
        self.message(&[&["run"], options, &["--invoke", "f", module]].concat());
        let new: Vec<_> = self.entries().into_iter().filter(|entry| !before.contains(entry)).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        new[0].clone()
    }

    fn entries_or_none(&self) -> Vec<PathBuf> {
        if self.path("c/belljar/v1").exists() { self.entries() } else { Vec::new() }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn key_of(entry: &Path) -> String {
    entry.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_snapshot_over_its_modules_entry_is_not_taken_for_it() {
    let user = User::new();
    let entry = user.entry_of("m.wat", &[]);
    user.message(&["snapshot", "--invoke", "warm", "-o", "m.warm", "m.wat"]);
    assert_eq!(user.message(&["run", "--invoke", "f", "m.warm"]), "666\n");
    let right = fs::read(&entry).unwrap();

    fs::copy(user.path("m.warm"), &entry).unwrap();
    let verified = user.belljar(&["cache", "verify"]);
    let (key, message) = (key_of(&entry), text(&verified.stdout));
    let named = format!("the key {:.16}…", key);
    assert_eq!(
        message,
        format!(
            "{key}: expected an entry of a cache with {named}, found a snapshot with {named}: removed\n0 good, 1 damaged\n"
        )
    );
    assert_eq!(verified.status.code(), Some(65));
    assert!(!entry.exists());

    fs::copy(user.path("m.warm"), &entry).unwrap();
    let run = user.belljar(&["run", "--invoke", "f", "m.wat"]);
    assert_eq!((text(&run.stdout), run.status.code()), ("1\n".into(), Some(0)));
    assert!(text(&run.stderr).contains("could not be used and is replaced"), "{}", text(&run.stderr));
    assert!(fs::read(&entry).unwrap() == right, "it is again what it was");
    assert_eq!(user.message(&["cache", "verify"]), "1 good, 0 damaged\n");
}

/// Every kind of sealed file under every other's name: a file found in the cache is only ever accepted as that entry.
#[test]
fn no_sealed_file_is_taken_for_another() {
    let user = User::new();
    user.write("other.wat", r#"(module (func (export "f") (result i32) (i32.const 99)))"#);
    let (entry, other) = (user.entry_of("m.wat", &[]), user.entry_of("other.wat", &[]));
    let with_fuel = user.entry_of("m.wat", &["--fuel", "1000"]);
    user.message(&["snapshot", "--invoke", "warm", "-o", "warm", "m.wat"]);
    user.message(&["compile", "-o", "m.elf", "m.wat"]);
    user.message(&["compile", "--embed-source", "-o", "whole.elf", "m.wat"]);
    user.message(&["compile", "-o", "other.elf", "other.wat"]);
    fs::copy(&other, user.path("other.entry")).unwrap();
    fs::copy(&with_fuel, user.path("fuel.entry")).unwrap();
    fs::copy(&entry, user.path("entry")).unwrap();
    let right = fs::read(&entry).unwrap();
    for name in ["warm", "m.elf", "whole.elf", "other.elf", "other.entry", "fuel.entry"] {
        fs::copy(user.path(name), &entry).unwrap();
        let verified = text(&user.belljar(&["cache", "verify"]).stdout);
        assert!(
            verified.starts_with(&key_of(&entry)) && verified.contains("2 good, 1 damaged"),
            "{name}: {verified}"
        );
        fs::copy(user.path(name), &entry).unwrap();
        let run = user.belljar(&["run", "--invoke", "f", "m.wat"]);
        assert_eq!(text(&run.stdout), "1\n", "{name}: {}", text(&run.stderr));
        assert!(fs::read(&entry).unwrap() == right, "{name}");
    }
    // An entry is useless without its source.
    let alone = user.belljar(&["run", "--invoke", "f", "entry"]);
    assert_eq!(alone.status.code(), Some(65));
    assert!(text(&alone.stderr).contains("is an entry of a cache"), "{}", text(&alone.stderr));
    for (name, kind) in [("entry", "entry of a cache"), ("warm", "snapshot"), ("m.elf", "compiled module")] {
        let message = user.message(&["inspect", name]);
        assert!(message.starts_with(&format!("{name}: {kind}, ")), "{message}");
    }
}

#[test]
fn what_is_no_file_is_told_by_verify_and_cleared() {
    let user = User::new();
    let entry = user.entry_of("m.wat", &[]);
    let key = key_of(&entry);
    let precious = user.path("precious");
    let put = || {
        fs::create_dir_all(precious.join("sub")).unwrap();
        fs::write(precious.join("sub/file"), "x").unwrap();
        fs::remove_file(&entry).unwrap();
        fs::create_dir(&entry).unwrap();
        fs::write(entry.join("file"), "x").unwrap();
        symlink(&precious, entry.join("link")).unwrap();
        symlink(&precious, entry.with_file_name(format!("{}.artifact", "0".repeat(64)))).unwrap();
    };
    put();
    let verified = user.belljar(&["cache", "verify"]);
    let expected = format!(
        "{}: expected a file, found a symbolic link: removed\n{key}: expected a file, found a directory: removed\n0 good, 2 damaged\n",
        "0".repeat(64)
    );
    assert_eq!((text(&verified.stdout), verified.status.code()), (expected, Some(65)));
    assert_eq!(user.entries(), [] as [PathBuf; 0]);

    user.entry_of("m.wat", &[]);
    put();
    let cleared = user.message(&["cache", "clear"]);
    assert_eq!(cleared, "removed 0 modules, 0 bytes, and 2 things that are not files\n");
    assert_eq!(user.entries(), [] as [PathBuf; 0]);
    assert!(precious.join("sub/file").exists());

    // A run replaces whatever has the entry's name.
    user.entry_of("m.wat", &[]);
    put();
    assert_eq!(user.message(&["run", "--invoke", "f", "m.wat"]), "1\n");
    assert!(entry.is_file());
}

/// A sparse file can claim any length: no memory is allocated for an unverified size.
#[test]
fn an_entry_of_enormous_length_is_a_miss() {
    let user = User::new();
    let entry = user.entry_of("m.wat", &[]);
    let grow = |length| fs::File::options().write(true).open(&entry).unwrap().set_len(length).unwrap();
    grow(0);
    grow(1 << 30);
    let output = user.belljar(&["run", "--invoke", "f", "m.wat"]);
    assert_eq!(text(&output.stdout), "1\n");
    // The file was not read as a whole, or another error would come first.
    assert!(text(&output.stderr).contains("expected a seal in the last 256 bytes"), "{output:?}");
    grow(1 << 40);
    assert_eq!(user.message(&["run", "--invoke", "f", "m.wat"]), "1\n");
    grow(1 << 40);
    let output = user.belljar(&["cache", "verify"]);
    assert!(text(&output.stdout).contains("expected at most 2 GiB, found 1024 GiB: removed"), "{output:?}");
    assert!(user.entries().is_empty());
}

#[test]
fn a_cache_or_a_list_of_keys_that_others_could_replace_is_not_used() {
    let user = User::new();
    user.message(&["key", "new", "ada"]);
    user.message(&["key", "trust", "ada.pub"]);
    user.message(&["compile", "--sign", "ada.key", "-o", "m.elf", "m.wat"]);
    // As another user, who trusts the key.
    fs::rename(user.path("s"), user.path("s.away")).unwrap();
    assert_eq!(user.message(&["run", "--invoke", "f", "m.elf"]), "1\n");
    let set_mode =
        |name: &str, mode| fs::set_permissions(user.path(name), fs::Permissions::from_mode(mode)).unwrap();
    set_mode("g", 0o777);
    let refused = user.belljar(&["run", "--invoke", "f", "m.elf"]);
    assert_eq!(refused.status.code(), Some(65), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("which is not trusted"), "{}", text(&refused.stderr));
    set_mode("g", 0o755);
    assert_eq!(user.message(&["run", "--invoke", "f", "m.elf"]), "1\n");

    set_mode("c", 0o777);
    let run = user.belljar(&["run", "--invoke", "f", "m.wat"]);
    assert_eq!((text(&run.stdout), run.status.code()), ("1\n".into(), Some(0)));
    let message = text(&run.stderr);
    assert!(message.contains("continuing without a cache") && message.contains("chmod go-w"), "{message}");
    assert_eq!(user.belljar(&["cache", "verify"]).status.code(), Some(69));
    set_mode("c", 0o755);
    assert_eq!(user.message(&["cache", "verify"]), "0 good, 0 damaged\n");
}

/// As when root runs with another user's `HOME`: nothing is created that this user could not use.
#[test]
fn nothing_is_made_below_the_directories_of_another_user() {
    let user = User::new();
    let names = ["c", "s", "g"];
    for name in names {
        fs::create_dir(user.path(name)).unwrap();
        if chown(user.path(name), Some(12345), None).is_err() {
            return eprintln!("skipped: only root can give directories away");
        }
    }
    user.message(&["key", "new", "ada"]);
    // An existing directory is no more usable than a missing one.
    for made_by_its_owner in [false, true] {
        if made_by_its_owner {
            fs::create_dir(user.path("s/belljar")).unwrap();
            chown(user.path("s/belljar"), Some(12345), None).unwrap();
        }
        assert_eq!(user.message(&["run", "--invoke", "f", "m.wat"]), "1\n");
        assert_eq!(user.belljar(&["compile", "m.wat"]).status.code(), Some(69));
        let refused = user.belljar(&["key", "trust", "ada.pub"]);
        assert_eq!(refused.status.code(), Some(74));
        let message = text(&refused.stderr);
        assert!(message.contains("belongs to user 12345") && !message.contains("chmod"), "{message}");
        for name in names {
            let left = fs::read_dir(user.path(name)).unwrap().map(|entry| entry.unwrap().path());
            let left: Vec<_> =
                left.filter(|path| !made_by_its_owner || !path.ends_with("s/belljar")).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
    assert_eq!(fs::read_dir(user.path("s/belljar")).unwrap().count(), 0);
}
