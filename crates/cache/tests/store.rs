//! The store within one process: what is found, what is evicted first, which files are left alone.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use belljar_cache::{Cache, CacheConfig, CacheError, ENTRY_SUFFIX, Key, Misplaced};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn key(n: u8) -> Key {
    Key([n; 32])
}

fn open(directory: &Path, size_limit: u64) -> Cache {
    Cache::open(CacheConfig::at(directory).with_size_limit(size_limit).clone()).unwrap()
}

fn path_of(cache: &Cache, key: Key) -> PathBuf {
    cache.directory().join("v1").join(format!("{key}{ENTRY_SUFFIX}"))
}

fn contents(cache: &Cache, key: Key) -> Option<Vec<u8>> {
    let mut entry = cache.find(&key)?;
    let mut bytes = Vec::new();
    entry.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(entry.length, bytes.len() as u64);
    Some(bytes)
}

fn set_age(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

fn age(path: &Path) -> Duration {
    fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap_or_default()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn keys(cache: &Cache) -> Vec<u8> {
    cache.entries().unwrap().map(|entry| entry.key.0[0]).collect()
}

#[test]
fn what_was_inserted_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("a/b"), 1000);
    assert!(cache.find(&key(1)).is_none());
    cache.insert(&key(1), b"one").unwrap();
    cache.insert(&key(2), b"").unwrap();
    assert_eq!(contents(&cache, key(1)).unwrap(), b"one");
    assert_eq!(contents(&cache, key(2)).unwrap(), b"");
    cache.insert(&key(1), b"another").unwrap();
    let again = open(&dir.path().join("a/b"), 1000);
    assert_eq!(contents(&again, key(1)).unwrap(), b"another");
    assert_eq!(fs::read_dir(cache.directory().join("v1")).unwrap().count(), 2, "no temporary file is left");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(cache.directory()), 0o700);
    assert_eq!(mode(&cache.directory().join("v1")), 0o700);
    assert_eq!(mode(&path_of(&cache, key(1))), 0o600);
}

#[test]
fn an_open_entry_stays_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    cache.insert(&key(1), b"first").unwrap();
    let mut entry = cache.find(&key(1)).unwrap();
    cache.insert(&key(1), b"second").unwrap();
    cache.clear().unwrap();
    let mut bytes = Vec::new();
    entry.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"first");
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 100);
    for n in 1..=5 {
        cache.insert(&key(n), &[n; 20]).unwrap();
        set_age(&path_of(&cache, key(n)), HOUR * (10 - u32::from(n)));
    }
    assert_eq!(keys(&cache), [1, 2, 3, 4, 5], "100 bytes are not over the limit");
    // The first entry is used, so the second is evicted, and the third as well, since a tenth of the limit is freed.
    assert!(cache.find(&key(1)).is_some());
    cache.insert(&key(6), &[6; 20]).unwrap();
    let mut left = keys(&cache);
    left.sort();
    assert_eq!(left, [1, 4, 5, 6]);
}

#[test]
fn what_was_just_inserted_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 100);
    for n in 1..=4 {
        cache.insert(&key(n), &[n; 20]).unwrap();
        // As if the clock had been wrong.
        File::open(path_of(&cache, key(n))).unwrap().set_modified(SystemTime::now() + HOUR).unwrap();
    }
    cache.insert(&key(9), &[9; 95]).unwrap();
    assert_eq!(keys(&cache), [9]);
    cache.insert(&key(8), &[8; 100]).unwrap();
    assert_eq!(keys(&cache), [8]);
}

#[test]
fn what_is_larger_than_the_cache_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 100);
    cache.insert(&key(1), &[1; 60]).unwrap();
    let error = cache.insert(&key(2), &[2; 101]).unwrap_err();
    assert!(matches!(error, CacheError::TooLarge { bytes: 101, limit: 100 }), "{error}");
    assert_eq!(keys(&cache), [1]);
    // Nor is it found if something else puts it there; but it is listed, and can be removed.
    File::options().write(true).open(path_of(&cache, key(1))).unwrap().set_len(101).unwrap();
    assert!(cache.find(&key(1)).is_none());
    assert_eq!((keys(&cache), cache.stats().unwrap().bytes), (vec![1], 101));
    assert!(cache.remove(&key(1)).unwrap());
}

#[test]
fn a_use_is_noted_once_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    cache.insert(&key(1), b"one").unwrap();
    let path = path_of(&cache, key(1));
    set_age(&path, HOUR / 2);
    cache.find(&key(1)).unwrap();
    assert!(age(&path) > HOUR / 3);
    set_age(&path, HOUR * 2);
    cache.find(&key(1)).unwrap();
    assert!(age(&path) < HOUR / 3);
    File::open(&path).unwrap().set_modified(SystemTime::now() + HOUR * 1000).unwrap();
    cache.find(&key(1)).unwrap();
    assert!(fs::metadata(&path).unwrap().modified().unwrap() < SystemTime::now() + HOUR);
}

#[test]
fn old_temporary_files_go_and_young_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    let entries = cache.directory().join("v1");
    for (name, age) in [(".tmp-1-0-00", HOUR * 2), (".tmp-2-0-00", HOUR / 2)] {
        fs::write(entries.join(name), [0; 30]).unwrap();
        set_age(&entries.join(name), age);
    }
    let stats = cache.stats().unwrap();
    assert_eq!((stats.temporary_files, stats.temporary_bytes, stats.entries), (2, 60, 0));
    cache.insert(&key(1), b"one").unwrap();
    assert!(!entries.join(".tmp-1-0-00").exists());
    assert!(entries.join(".tmp-2-0-00").exists());
}

#[test]
fn stats_tell_what_is_there_and_clear_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    let empty = cache.stats().unwrap();
    assert_eq!((empty.entries, empty.bytes, empty.size_limit), (0, 0, 1000));
    assert_eq!((empty.oldest_use, empty.newest_use), (None, None));
    for n in 1..=3 {
        cache.insert(&key(n), &[n; 10]).unwrap();
        set_age(&path_of(&cache, key(n)), HOUR * u32::from(n));
    }
    let temporary = cache.directory().join("v1/.tmp-1-0-00");
    fs::write(&temporary, [0; 5]).unwrap();
    set_age(&temporary, HOUR / 30);
    let full = cache.stats().unwrap();
    assert_eq!((full.entries, full.bytes, full.temporary_files, full.temporary_bytes), (3, 30, 1, 5));
    let uses: Vec<SystemTime> = cache.entries().unwrap().map(|entry| entry.last_use).collect();
    assert_eq!((full.oldest_use, full.newest_use), (Some(uses[0]), Some(uses[2])));
    assert_eq!(keys(&cache), [3, 2, 1]);
    assert_eq!(cache.clear().unwrap(), full);
    assert!(cache.find(&key(1)).is_none());
    // A file that may still be written to is left alone.
    fs::write(&temporary, [0; 5]).unwrap();
    assert_eq!(cache.clear().unwrap(), empty);
    assert!(temporary.exists());
}

#[test]
fn an_entry_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    cache.insert(&key(1), b"one").unwrap();
    assert!(cache.remove(&key(1)).unwrap());
    assert!(!cache.remove(&key(1)).unwrap());
    assert!(cache.find(&key(1)).is_none());
}

#[test]
fn what_is_no_regular_file_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "not from here").unwrap();
    symlink(&elsewhere, path_of(&cache, key(1))).unwrap();
    fs::create_dir(path_of(&cache, key(2))).unwrap();
    let pipe = path_of(&cache, key(3));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for n in 1..=3 {
        assert!(cache.find(&key(n)).is_none());
    }
    assert_eq!(cache.stats().unwrap().entries, 0);
    assert_eq!(keys(&cache), []);
    // The link is replaced, not written through.
    for n in 1..=3 {
        cache.insert(&key(n), b"mine").unwrap();
        assert_eq!(contents(&cache, key(n)).unwrap(), b"mine");
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), b"not from here");
    assert_eq!(fs::read_dir(cache.directory().join("v1")).unwrap().count(), 3, "no temporary file is left");
}

/// Puts something of each kind that is not a file under names of entries. Returns what each is, in the order of keys.
fn misplace(cache: &Cache, target: &Path, depth: usize) -> Vec<&'static str> {
    let (directory, link) = (path_of(cache, key(1)), path_of(cache, key(2)));
    let mut deep = directory.clone();
    fs::create_dir(&deep).unwrap();
    let mut at = rustix::fs::open(&deep, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::from_raw_mode(0o700)).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    deep.push("d");
    fs::create_dir(deep.join("empty")).unwrap();
    fs::write(deep.join("file"), "x").unwrap();
    symlink(target, deep.join("link to a directory")).unwrap();
    symlink(target.join("file"), deep.join("link to a file")).unwrap();
    symlink(target, link).unwrap();
    symlink(target.join("nothing"), path_of(cache, key(3))).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path_of(cache, key(4)), mode).unwrap();
    drop(UnixListener::bind(path_of(cache, key(5))).unwrap());
    vec!["a directory", "a symbolic link", "a symbolic link", "a pipe", "a socket"]
}

#[test]
fn what_is_no_file_is_told_and_cleared_and_what_it_leads_to_stays() {
    // The path of a socket must be short.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "precious").unwrap();
    let cache = open(&dir.path().join("c"), 1000);
    let entries = cache.directory().join("v1");
    // More levels than a process can usually have files open.
    let whats = misplace(&cache, &target, 1200);
    cache.insert(&key(6), b"one").unwrap();
    let found = cache.misplaced().unwrap();
    let paths: Vec<_> = (1..=5).map(|n| path_of(&cache, key(n))).collect();
    assert_eq!(found.iter().map(|found| &found.path).collect::<Vec<_>>(), paths.iter().collect::<Vec<_>>());
    assert_eq!(found.iter().map(|found| found.what).collect::<Vec<_>>(), whats);
    assert_eq!((cache.stats().unwrap().misplaced, cache.stats().unwrap().entries), (5, 1));
    let removed = cache.clear().unwrap();
    assert_eq!((removed.misplaced, removed.entries), (5, 1));
    assert_eq!(fs::read_dir(&entries).unwrap().count(), 0);
    assert_eq!(fs::read(target.join("file")).unwrap(), b"precious");

    // The same one by one.
    misplace(&cache, &target, 3);
    for found in &found {
        assert!(cache.remove_misplaced(found).unwrap(), "{found:?}");
        assert!(!cache.remove_misplaced(found).unwrap(), "{found:?}");
    }
    let elsewhere = Misplaced { path: target.clone(), what: "a directory" };
    assert!(!cache.remove_misplaced(&elsewhere).unwrap());
    assert_eq!(fs::read_dir(&entries).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_place_of_the_entries_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (place, target) = (dir.path().join("cache"), dir.path().join("target"));
    fs::create_dir(&target).unwrap();
    set_mode(&target, 0o700);
    fs::write(target.join(".tmp-1-0-00"), "precious").unwrap();
    fs::create_dir(&place).unwrap();
    set_mode(&place, 0o700);
    symlink(&target, place.join("v1")).unwrap();
    assert!(matches!(Cache::open(CacheConfig::at(&place)), Err(CacheError::NotADirectory { .. })));
    // The cache's directory itself may be a link.
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    Cache::open(CacheConfig::at(&link)).unwrap().insert(&key(1), b"one").unwrap();
    assert!(target.join("v1").is_dir());
}

#[test]
fn a_cache_below_a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (above, place) = (dir.path().join("a"), dir.path().join("a/b/cache"));
    drop(open(&place, 1000));
    for mode in [0o775, 0o757, 0o777] {
        set_mode(&above, mode);
        let error = Cache::open(CacheConfig::at(&place)).unwrap_err();
        assert!(matches!(&error, CacheError::NotPrivate { path, .. } if *path == above), "{error}");
        let text = error.to_string();
        assert!(text.contains("chmod go-w") && text.contains(&format!("mode {mode:04o}")), "{text}");
    }
    // In sticky directories such as /tmp, other users cannot move this user's files.
    set_mode(&above, 0o1777);
    drop(open(&place, 1000));
    set_mode(&above, 0o755);
    // The owner of a link's directory decides where the link leads.
    let (shared, link) = (dir.path().join("shared"), dir.path().join("shared/link"));
    fs::create_dir(&shared).unwrap();
    symlink("../a", &link).unwrap();
    drop(open(&link.join("b/cache"), 1000));
    set_mode(&shared, 0o777);
    let error = Cache::open(CacheConfig::at(link.join("b/cache"))).unwrap_err();
    assert!(matches!(&error, CacheError::NotPrivate { path, .. } if *path == shared), "{error}");
    if std::os::unix::fs::chown(&above, Some(12345), None).is_err() {
        eprintln!("skipped: only root can give directories away");
        return;
    }
    let error = Cache::open(CacheConfig::at(&place)).unwrap_err().to_string();
    assert!(error.contains("belongs to user 12345"), "{error}");
}

#[test]
fn a_file_of_another_user_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    cache.insert(&key(1), b"one").unwrap();
    if std::os::unix::fs::chown(path_of(&cache, key(1)), Some(12345), None).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    assert!(cache.find(&key(1)).is_none());
    cache.insert(&key(1), b"mine").unwrap();
    assert_eq!(contents(&cache, key(1)).unwrap(), b"mine");
}

#[test]
fn foreign_names_are_let_be() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 10);
    let entries = cache.directory().join("v1");
    let upper = format!("{}{ENTRY_SUFFIX}", "AB".repeat(32));
    let names = ["notes.txt", ENTRY_SUFFIX, upper.as_str(), "00.artifact"];
    for name in names {
        fs::write(entries.join(name), [0; 100]).unwrap();
    }
    cache.insert(&key(1), b"one").unwrap();
    cache.clear().unwrap();
    for name in names {
        assert!(entries.join(name).exists(), "{name}");
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for below in ["", "v1"] {
        let place = dir.path().join(below);
        for mode in [0o720, 0o702, 0o1777] {
            fs::create_dir_all(&place).unwrap();
            set_mode(&place, mode);
            let error = Cache::open(CacheConfig::at(dir.path())).unwrap_err();
            assert!(matches!(&error, CacheError::NotPrivate { path, .. } if *path == place), "{error}");
            let text = error.to_string();
            assert!(text.contains("chmod go-w") && text.contains(&format!("mode {mode:04o}")), "{text}");
        }
        set_mode(&place, 0o755);
        Cache::open(CacheConfig::at(dir.path())).unwrap();
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("cache");
    fs::create_dir(&place).unwrap();
    if std::os::unix::fs::chown(&place, Some(12345), None).is_err() {
        eprintln!("skipped: only root can give directories away");
        return;
    }
    let error = Cache::open(CacheConfig::at(&place)).unwrap_err().to_string();
    assert!(error.contains("belongs to user 12345"), "{error}");
}

#[test]
fn a_file_in_the_place_of_a_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Cache::open(CacheConfig::at(&file)), Err(CacheError::NotADirectory { .. })));
    assert!(matches!(Cache::open(CacheConfig::at(file.join("below"))), Err(CacheError::Io { .. })));
    let place = dir.path().join("cache");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("v1"), "").unwrap();
    assert!(matches!(Cache::open(CacheConfig::at(&place)), Err(CacheError::NotADirectory { .. })));
}

#[test]
fn a_directory_that_cannot_be_written_fails_only_when_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1000);
    cache.insert(&key(1), b"one").unwrap();
    set_mode(&dir.path().join("v1"), 0o500);
    let again = open(dir.path(), 1000);
    assert_eq!(contents(&again, key(1)).unwrap(), b"one");
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can write everywhere");
    } else {
        assert!(matches!(again.insert(&key(2), b"two"), Err(CacheError::Io { .. })));
    }
    set_mode(&dir.path().join("v1"), 0o700);
}

#[test]
fn a_directory_that_goes_away_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("cache"), 1000);
    fs::remove_dir_all(cache.directory()).unwrap();
    assert!(cache.find(&key(1)).is_none());
    assert_eq!(cache.stats().unwrap().entries, 0);
    assert!(!cache.remove(&key(1)).unwrap());
    cache.insert(&key(1), b"one").unwrap();
    assert_eq!(contents(&cache, key(1)).unwrap(), b"one");
    // A directory that another user created in the meantime is not used either.
    fs::remove_dir_all(cache.directory()).unwrap();
    fs::create_dir(cache.directory()).unwrap();
    set_mode(cache.directory(), 0o777);
    assert!(matches!(cache.insert(&key(1), b"one"), Err(CacheError::NotPrivate { .. })));
    fs::remove_dir_all(cache.directory()).unwrap();
    fs::write(cache.directory(), "").unwrap();
    assert!(cache.insert(&key(1), b"one").is_err());
}

#[test]
fn a_file_configures_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (file, at) = (dir.path().join("cache.toml"), dir.path().join("entries"));
    let text = format!("[cache]\ndirectory = '{}'\nfiles-total-size-soft-limit = \"7Mi\"\n", at.display());
    fs::write(&file, text).unwrap();
    let cache = Cache::from_file(Some(&file)).unwrap();
    assert_eq!((cache.directory(), cache.size_limit()), (&*at, 7 << 20));
    cache.insert(&key(1), b"one").unwrap();
    assert!(cache.find(&key(1)).is_some() && cache.find(&key(2)).is_none());

    let config = CacheConfig::from_file(Some(&file)).unwrap();
    assert_eq!(config, *CacheConfig::new().with_directory(&at).with_size_limit(7 << 20));
    assert_eq!((config.directory(), config.size_limit()), (Some(&at), 7 << 20));
    assert_eq!(CacheConfig::default().directory(), None);

    fs::write(&file, "[cache]\n\nenabled = true").unwrap();
    let error = Cache::from_file(Some(&file)).unwrap_err();
    assert_eq!(error.to_string(), format!("{}:3: unknown key `enabled`", file.display()));
    for contents in [vec![0xff], [b"[cache]\n", &[b'\n'; 1 << 20][..]].concat()] {
        fs::write(&file, contents).unwrap();
        assert!(matches!(Cache::from_file(Some(&file)), Err(CacheError::Io { .. })));
    }
    fs::write(&file, [0xff]).unwrap();
    assert!(matches!(Cache::from_file(Some(&file)), Err(CacheError::Io { .. })));
    let missing = dir.path().join("missing.toml");
    assert!(matches!(Cache::from_file(Some(&missing)), Err(CacheError::Io { .. })));
}

#[test]
fn searches_are_counted_for_all_clones() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(CacheConfig::at(dir.path())).unwrap();
    cache.insert(&key(1), b"one").unwrap();
    let clone = cache.clone();
    for i in 1..4 {
        clone.find(&key(i));
    }
    cache.find(&key(1));
    assert_eq!((cache.cache_hits(), cache.cache_misses()), (2, 2));
    assert_eq!((clone.cache_hits(), clone.cache_misses()), (2, 2));
    let other = Cache::new(CacheConfig::at(dir.path())).unwrap();
    assert_eq!((other.cache_hits(), other.cache_misses()), (0, 0));
}
