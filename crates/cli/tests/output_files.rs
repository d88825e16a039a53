//! Output files of all subcommands: whatever already has the name, and whatever fails.

use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, makedev, mknodat, setxattr};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A subcommand that writes a file.
struct Writer {
    /// The required ending of the file name.
    ending: &'static str,
    /// The words before and after the file.
    words: (&'static [&'static str], &'static [&'static str]),
    /// The exit codes if the file was and was not written. A guest's own exit code takes precedence.
    codes: (i32, i32),
    /// Whether an existing file keeps its permissions, or becomes private to this user.
    keeps_mode: bool,
}

const WRITERS: [Writer; 4] = [
    Writer { ending: ".elf", words: (&["compile", "-o"], &["guest.wat"]), codes: (0, 74), keeps_mode: true },
    Writer {
        ending: ".snap",
        words: (&["snapshot", "-o"], &["guest.wat"]),
        codes: (0, 74),
        keeps_mode: true,
    },
    Writer {
        ending: ".core",
        words: (&["run", "--coredump"], &["--invoke", "fail", "guest.wat"]),
        codes: (134, 134),
        keeps_mode: false,
    },
    Writer {
        ending: ".txt",
        words: (&["run", "--profile-frequency", "10000", "--profile"], &["--invoke", "work", "guest.wat"]),
        codes: (0, 0),
        keeps_mode: true,
    },
];

const GUEST: &str = "(module
  (memory 1)
  (data (i32.const 0) \"something to keep\")
  (func (export \"fail\") (memory.fill (i32.const 0) (i32.const 7) (i32.const 5000)) unreachable)
  (func (export \"work\") (local i32)
    (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 50000000))))))";

const OLD: &[u8] = b"what was there before";

/// A directory with a guest, and a path for the output file.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("guest.wat"), GUEST).unwrap();
        // Valid text, but rejected by the validator.
        fs::write(dir.path().join("invalid.wat"), "(module (func (result i32)))").unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self, writer: &Writer) -> String {
        format!("out{}", writer.ending)
    }

    fn command(&self, writer: &Writer, file: &str) -> Command {
        let mut command = self.belljar();
        command.args(writer.words.0).arg(file).args(writer.words.1);
        command
    }

    fn belljar(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("BELLJAR_CACHE", "off").env("HOME", self.dir.path());
        command.env("XDG_STATE_HOME", self.path("state")).env("BELLJAR_RUNTIME_DIR", self.path("runtime"));
        command
    }

    /// A shell that runs a script in which `"$@"` is the command.
    fn shell(&self, script: &str, writer: &Writer, file: &str) -> Output {
        let inner = self.command(writer, file);
        let mut shell = Command::new("sh");
        shell.current_dir(self.dir.path()).stdin(Stdio::null()).args(["-c", script, "sh"]);
        shell.arg(inner.get_program()).args(inner.get_args());
        shell.envs(inner.get_envs().map(|(name, value)| (name, value.unwrap())));
        shell.output().unwrap()
    }

    /// Checks that no draft is left.
    fn is_clean(&self, folder: &str) -> bool {
        fs::read_dir(self.path(folder)).unwrap().all(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            !name.starts_with('.')
        })
    }
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}", message(output));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_file_is_new_or_takes_the_old_ones_place() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        let path = scene.path(&name);
        assert_code(&scene.command(writer, &name).output().unwrap(), writer.codes.0);
        assert!(fs::metadata(&path).unwrap().len() > 0, "{name}");
        File::create(scene.path("plain")).unwrap();
        let usual = if writer.keeps_mode { mode(&scene.path("plain")) } else { 0o600 };
        assert_eq!(mode(&path), usual, "{name}");

        fs::write(&path, OLD).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = File::open(&path).unwrap();
        assert_code(&scene.command(writer, &name).output().unwrap(), writer.codes.0);
        assert_ne!(fs::read(&path).unwrap(), OLD);
        assert_eq!(mode(&path), if writer.keeps_mode { 0o640 } else { 0o600 });
        // A process that has the old file open still reads the old contents.
        assert_eq!(std::io::read_to_string(before).unwrap().as_bytes(), OLD);
        assert!(scene.is_clean("."));
    }
}

#[test]
fn a_fifo_is_written_through() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        let path = scene.path(&name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap()
        });
        let output = scene.command(writer, &name).output().unwrap();
        assert_code(&output, writer.codes.0);
        assert!(!reader.join().unwrap().is_empty(), "{name}");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    }
}

/// A guest that exceeds its time limit ends with its program, even if nobody reads what it writes.
#[test]
fn a_fifo_that_nobody_reads_does_not_outlive_a_timeout() {
    for option in ["--coredump", "--profile"] {
        let scene = Scene::new();
        fs::write(scene.path("spin.wat"), "(module (func (export \"_start\") (loop (br 0))))").unwrap();
        let fifo = scene.path("out.txt");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let mut command = scene.belljar();
        command.args(["run", "--timeout", "50ms", option, "out.txt", "spin.wat"]);
        let output = command.output().unwrap();
        assert_code(&output, 124);
        assert!(message(&output).starts_with("error: the guest was stopped: "), "{}", message(&output));
    }
}

/// The permissions of named users are in a file's access list, which also changes the meaning of the group bits.
#[test]
fn a_file_that_is_replaced_keeps_its_access_list() {
    /// Version 2; owner, a user, group, mask, others; each with a tag, permissions and an id.
    fn list() -> Vec<u8> {
        let none = u32::MAX;
        let entries = [(1, 6, none), (2, 4, 12345), (4, 0, none), (0x10, 4, none), (0x20, 0, none)];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(permissions));
            list.extend(u32::to_le_bytes(id));
        }
        list
    }
    const ACCESS_LIST: &str = "system.posix_acl_access";
    let scene = Scene::new();
    let writer = &WRITERS[0];
    let name = scene.output(writer);
    let path = scene.path(&name);
    fs::write(&path, OLD).unwrap();
    if let Err(error) = setxattr(&path, ACCESS_LIST, &list(), XattrFlags::empty()) {
        return println!("skipped: no access lists on this file system: {error}");
    }
    assert_code(&scene.command(writer, &name).output().unwrap(), 0);
    assert_ne!(fs::read(&path).unwrap(), OLD);
    let mut kept = [0; 256];
    let length = getxattr(&path, ACCESS_LIST, &mut kept).unwrap();
    assert_eq!(kept[..length], list());
}

/// Creates a device of the test's own, so that a bug does not cost the machine its device; or uses the system's if it
/// cannot be replaced.
fn device(scene: &Scene, minor: u32, machines: &str) -> Option<PathBuf> {
    let path = scene.path("device");
    let made = mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, minor));
    if made.is_ok() && OpenOptions::new().write(true).open(&path).is_ok() {
        return Some(path);
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        println!("skipped: no device can be made here");
    }
    (!is_root).then(|| machines.into())
}

#[test]
fn a_device_is_written_through() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        let Some(null) = device(&scene, 3, "/dev/null") else { return };
        symlink(&null, scene.path(&name)).unwrap();
        assert_code(&scene.command(writer, &name).output().unwrap(), writer.codes.0);
        assert!(fs::symlink_metadata(scene.path(&name)).unwrap().is_symlink());
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
        assert_eq!(fs::metadata(&null).unwrap().rdev(), makedev(1, 3));
    }
}

#[test]
fn a_full_device_is_an_error() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        let Some(full) = device(&scene, 7, "/dev/full") else { return };
        symlink(&full, scene.path(&name)).unwrap();
        let output = scene.command(writer, &name).output().unwrap();
        assert_code(&output, writer.codes.1);
        assert!(message(&output).contains("No space left on device"), "{}", message(&output));
        assert!(fs::metadata(&full).unwrap().file_type().is_char_device());
    }
}

#[test]
fn a_symbolic_link_stays_and_leads_to_the_file() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        fs::create_dir(scene.path("elsewhere")).unwrap();
        let target = scene.path("elsewhere/real");
        // Relative to the link's directory, and through another link.
        symlink("elsewhere/link", scene.path(&name)).unwrap();
        symlink("real", scene.path("elsewhere/link")).unwrap();
        for _ in ["dangling", "to a file"] {
            assert_code(&scene.command(writer, &name).output().unwrap(), writer.codes.0);
            assert!(fs::symlink_metadata(&target).unwrap().is_file());
            assert_ne!(fs::read(&target).unwrap(), OLD);
            fs::write(&target, OLD).unwrap();
        }
        assert!(fs::symlink_metadata(scene.path(&name)).unwrap().is_symlink());
        assert!(scene.is_clean(".") && scene.is_clean("elsewhere"));
    }
}

#[test]
fn a_draft_that_somebody_planted_is_not_followed() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let name = scene.output(writer);
        fs::write(scene.path("victim"), OLD).unwrap();
        let script = format!("ln -s victim .{name}.$$; ln -s victim .{name}.tmp; exec \"$@\"");
        assert_code(&scene.shell(&script, writer, &name), writer.codes.0);
        assert_eq!(fs::read(scene.path("victim")).unwrap(), OLD);
        assert!(fs::symlink_metadata(scene.path(&name)).unwrap().is_file());
    }
}

#[test]
fn what_cannot_be_written_is_told_before_the_work() {
    let scene = Scene::new();
    fs::create_dir(scene.path("folder.txt")).unwrap();
    fs::write(scene.path("guest.txt"), OLD).unwrap();
    symlink("loop.txt", scene.path("loop.txt")).unwrap();
    // A directory in which not even root can create files.
    for file in
        ["folder.txt", "missing/out.txt", "guest.txt/out.txt", "new.txt/", "/proc/out.txt", "loop.txt"]
    {
        for writer in &WRITERS {
            let mut command = scene.belljar();
            // The module is invalid, which would be found out later.
            command.args(writer.words.0).arg(file).arg("invalid.wat");
            let output = command.output().unwrap();
            assert_code(&output, 74);
            assert!(
                message(&output).starts_with(&format!("error: could not write {file}")),
                "{}",
                message(&output)
            );
            assert_eq!(message(&output).lines().count(), 1, "{}", message(&output));
        }
    }
    if rustix::process::geteuid().is_root() {
        return println!("skipped: root writes everywhere");
    }
    fs::create_dir(scene.path("closed")).unwrap();
    fs::set_permissions(scene.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(scene.path("guest.txt"), fs::Permissions::from_mode(0o444)).unwrap();
    for writer in &WRITERS {
        for file in ["closed/out.txt", "guest.txt"] {
            let output = scene.command(writer, file).output().unwrap();
            assert_code(&output, 74);
            assert!(message(&output).contains("Permission denied"), "{}", message(&output));
        }
    }
}

#[test]
fn an_old_file_survives_what_goes_wrong() {
    let scene = Scene::new();
    let survives = |name: &str, output: &Output| {
        assert_eq!(fs::read(scene.path(name)).unwrap(), OLD, "{}", message(output));
        assert!(scene.is_clean("."));
    };
    for writer in &WRITERS {
        let name = scene.output(writer);
        fs::write(scene.path(&name), OLD).unwrap();
        // The contents cannot be produced.
        let mut command = scene.belljar();
        command.args(writer.words.0).args([&*name, "invalid.wat"]);
        let output = command.output().unwrap();
        assert_code(&output, 65);
        survives(&name, &output);
    }
    // A snapshot needs files in memory, to which the limit applies as well, and a profile is small.
    for writer in [&WRITERS[0], &WRITERS[2]] {
        let name = scene.output(writer);
        // The write exceeds the process's limit: an error if the signal is ignored, otherwise the end of the process.
        let output = scene.shell("trap '' XFSZ; ulimit -f 1; exec \"$@\"", writer, &name);
        assert_code(&output, writer.codes.1);
        assert!(message(&output).contains("File too large"), "{}", message(&output));
        survives(&name, &output);
        let output = scene.shell("ulimit -c 0; ulimit -f 1; exec \"$@\"", writer, &name);
        survives(&name, &output);
    }
    // A guest that does not fail writes no core dump, and leaves an existing one unchanged.
    let dumper = &WRITERS[2];
    let mut command = scene.belljar();
    command.args(dumper.words.0).args(["out.core", "--invoke", "work", "guest.wat"]);
    let output = command.output().unwrap();
    assert_code(&output, 0);
    survives("out.core", &output);
}

#[test]
fn a_full_disk_is_an_error_and_the_old_file_stays() {
    for writer in &WRITERS {
        let scene = Scene::new();
        let disk = scene.path("disk");
        fs::create_dir(&disk).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4096,nr_inodes=8", "none"])
            .arg(&disk)
            .output();
        if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return println!("skipped: no file system can be mounted here");
        }
        let name = format!("disk/{}", scene.output(writer));
        // Uses up all space.
        fs::write(scene.path(&name), [7; 4096]).unwrap();
        let output = scene.command(writer, &name).output().unwrap();
        let left = fs::read(scene.path(&name));
        let is_clean = scene.is_clean("disk");
        Command::new("umount").arg(&disk).status().unwrap();
        assert_code(&output, writer.codes.1);
        assert!(message(&output).contains("No space left on device"), "{}", message(&output));
        assert_eq!(left.unwrap(), [7; 4096]);
        assert!(is_clean);
    }
}

#[test]
fn what_the_process_has_open_goes_on_where_it_is() {
    let scene = Scene::new();
    let compiler = &WRITERS[0];
    let output = scene.command(compiler, "/dev/stdout").output().unwrap();
    assert_code(&output, 0);
    assert!(output.stdout.starts_with(b"\x7fELF"));
    for (script, file) in [
        ("exec \"$@\" >> log", "/dev/stdout"),
        ("exec \"$@\" >> log", "/dev/fd/1"),
        ("exec \"$@\" 2>> log", "/proc/self/fd/2"),
        ("exec \"$@\" 3>> log", "/dev/fd/3"),
    ] {
        fs::write(scene.path("log"), OLD).unwrap();
        assert_code(&scene.shell(script, compiler, file), 0);
        let log = fs::read(scene.path("log")).unwrap();
        assert!(log.starts_with(OLD) && log[OLD.len()..].starts_with(b"\x7fELF"), "{file}");
    }
    let output = scene.command(compiler, "/dev/fd/99").output().unwrap();
    assert_code(&output, 74);
    // A file that is open for reading is not reopened for writing.
    for (script, file) in [("exec \"$@\" 3< log", "/dev/fd/3"), ("exec \"$@\" 1< log", "/dev/stdout")] {
        fs::write(scene.path("log"), OLD).unwrap();
        let output = scene.shell(script, compiler, file);
        assert_code(&output, 74);
        assert!(message(&output).contains("open for reading only"), "{}", message(&output));
        assert_eq!(fs::read(scene.path("log")).unwrap(), OLD);
    }
}

#[test]
fn a_module_does_not_become_its_own_artifact() {
    let scene = Scene::new();
    // Without another name, the artifact's name ends in `.elf`.
    fs::write(scene.path("text.elf"), GUEST).unwrap();
    symlink("guest.wat", scene.path("link")).unwrap();
    fs::hard_link(scene.path("guest.wat"), scene.path("hard")).unwrap();
    for line in [
        &["compile", "text.elf"][..],
        &["compile", "-o", "guest.wat", "guest.wat"],
        &["compile", "-o", "./guest.wat", "link"],
        &["snapshot", "-o", "hard", "guest.wat"],
    ] {
        let output = scene.belljar().args(line).output().unwrap();
        assert_code(&output, 74);
        assert!(message(&output).contains("it is the file that was read"), "{}", message(&output));
    }
    for name in ["text.elf", "guest.wat"] {
        assert_eq!(fs::read_to_string(scene.path(name)).unwrap(), GUEST);
    }
}

/// `belljar profile` is not in the table above, as it needs a running program.
#[test]
fn a_profile_of_another_process_is_written_alike() {
    let scene = Scene::new();
    fs::write(scene.path("spin.wat"), "(module (func (export \"_start\") (loop (br 0))))").unwrap();
    let mut guest = scene.belljar().args(["run", "spin.wat"]).spawn().unwrap();
    let pid = guest.id().to_string();
    let profile =
        |file: &str| scene.belljar().args(["profile", &pid, "-d", "20ms", "-o", file]).output().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !profile("first.txt").status.success() {
        assert!(Instant::now() < end, "the guest does not run");
    }
    mknodat(CWD, scene.path("fifo.txt"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let fifo = scene.path("fifo.txt");
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    let through = profile("fifo.txt");
    symlink("real.txt", scene.path("link.txt")).unwrap();
    let linked = profile("link.txt");
    let refused = profile("missing/out.txt");
    guest.kill().unwrap();
    guest.wait().unwrap();
    assert_code(&through, 0);
    reader.join().unwrap();
    assert!(fs::symlink_metadata(scene.path("fifo.txt")).unwrap().file_type().is_fifo());
    assert_code(&linked, 0);
    assert!(fs::symlink_metadata(scene.path("link.txt")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(scene.path("real.txt")).unwrap().is_file());
    assert_code(&refused, 74);
    assert!(scene.is_clean("."));
}

#[test]
fn what_is_written_elsewhere_can_be_explained() {
    let scene = Scene::new();
    let null =
        if rustix::process::geteuid().is_root() { device(&scene, 3, "") } else { Some("/dev/null".into()) };
    let Some(null) = null else { return };
    let output =
        scene.belljar().args(["compile", "--explain", "guest.wat", "-o"]).arg(null).output().unwrap();
    assert_code(&output, 0);
    assert!(output.stdout.starts_with(b"functions                              2\n"));
}
