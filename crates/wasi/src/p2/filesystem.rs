//! `wasi:filesystem`.

use super::failure::Failure;
use super::interface::Interfaces;
use super::open_file::{DirectoryEntryStream, FileInput, FileOutput, OpenDescriptor, PIECE};
use super::streams::{DynInputStream, DynOutputStream, IoError};
use super::view::WasiCtxView;
use crate::descriptor::Descriptor;
use crate::dir::{Dir, OpenHow};
use crate::fd_flags::FdFlags;
use crate::p1::Errno;
use crate::stat::{FileKind, FileStat, NewTime};
use belljar::component::Resource;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;
use types::*;

/// The types of `wasi:filesystem/types`.
pub(super) mod types {
    pub use super::super::bindings::clocks::wall_clock::Datetime;
    use belljar::component::{ComponentType, Lift, Lower, flags};

    /// The kind of a file.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(enum)]
    pub enum DescriptorType {
        /// Another kind.
        Unknown,
        /// A block device.
        BlockDevice,
        /// A character device.
        CharacterDevice,
        /// A directory.
        Directory,
        /// A named pipe.
        Fifo,
        /// A symbolic link.
        SymbolicLink,
        /// A regular file.
        RegularFile,
        /// A socket.
        Socket,
    }

    flags! {
        /// What may be done with an open file or directory, and how it is written.
        DescriptorFlags {
            /// It may be read.
            #[component(name = "read")]
            const READ;
            /// It may be written.
            #[component(name = "write")]
            const WRITE;
            /// Data and metadata are on the disk when a write has ended.
            #[component(name = "file-integrity-sync")]
            const FILE_INTEGRITY_SYNC;
            /// Data is on the disk when a write has ended.
            #[component(name = "data-integrity-sync")]
            const DATA_INTEGRITY_SYNC;
            /// Reads wait for writes in the same way.
            #[component(name = "requested-write-sync")]
            const REQUESTED_WRITE_SYNC;
            /// What is in the directory may be changed.
            #[component(name = "mutate-directory")]
            const MUTATE_DIRECTORY;
        }
    }

    flags! {
        /// How a path is looked up.
        PathFlags {
            /// A symbolic link at its end is followed.
            #[component(name = "symlink-follow")]
            const SYMLINK_FOLLOW;
        }
    }

    flags! {
        /// How a file is opened.
        OpenFlags {
            /// It is created if it does not exist.
            #[component(name = "create")]
            const CREATE;
            /// It must be a directory.
            #[component(name = "directory")]
            const DIRECTORY;
            /// It must not exist.
            #[component(name = "exclusive")]
            const EXCLUSIVE;
            /// Its contents are removed.
            #[component(name = "truncate")]
            const TRUNCATE;
        }
    }

    /// Attributes of a file.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(record)]
    pub struct DescriptorStat {
        /// Its kind.
        #[component(name = "type")]
        pub type_: DescriptorType,
        /// The number of its names.
        pub link_count: u64,
        /// Its size in bytes.
        pub size: u64,
        /// When it was read last.
        pub data_access_timestamp: Option<Datetime>,
        /// When it was written last.
        pub data_modification_timestamp: Option<Datetime>,
        /// When its attributes were changed last.
        pub status_change_timestamp: Option<Datetime>,
    }

    /// How to change a time.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(variant)]
    pub enum NewTimestamp {
        /// Not at all.
        NoChange,
        /// To now.
        Now,
        /// To this.
        Timestamp(Datetime),
    }

    /// A name in a directory.
    #[derive(ComponentType, Lift, Lower, Clone, PartialEq, Eq, Debug)]
    #[component(record)]
    pub struct DirectoryEntry {
        /// What it stands for.
        #[component(name = "type")]
        pub type_: DescriptorType,
        /// The name.
        pub name: String,
    }

    /// How a file will be used.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(enum)]
    pub enum Advice {
        /// In no special way.
        Normal,
        /// From the beginning to the end.
        Sequential,
        /// In any order.
        Random,
        /// Soon.
        WillNeed,
        /// Not soon.
        DontNeed,
        /// Once.
        NoReuse,
    }

    /// A number that is the same for the same file with the same contents, as far as known.
    #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
    #[component(record)]
    pub struct MetadataHashValue {
        /// Its lower half.
        pub lower: u64,
        /// Its upper half.
        pub upper: u64,
    }

    macro_rules! error_codes {
        ($($name:ident $errno:ident, $text:literal;)*) => {
            /// Why an operation failed.
            #[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, Debug)]
            #[component(enum)]
            pub enum ErrorCode {
                $(
                    #[doc = concat!("The ", $text, ".")]
                    $name,
                )*
            }

            impl From<crate::p1::Errno> for ErrorCode {
                /// Converts a number of WASI 0.1; one without a counterpart becomes [`ErrorCode::Io`].
                fn from(errno: crate::p1::Errno) -> Self {
                    match errno {
                        $(crate::p1::Errno::$errno => Self::$name,)*
                        crate::p1::Errno::Notcapable => Self::NotPermitted,
                        _ => Self::Io,
                    }
                }
            }
        };
    }

    error_codes! {
        Access Acces, "file's permissions forbid it";
        WouldBlock Again, "call would have to wait";
        Already Already, "operation has begun already";
        BadDescriptor Badf, "descriptor is none for this";
        Busy Busy, "file is in use";
        Deadlock Deadlk, "call would wait for ever";
        Quota Dquot, "quota is used up";
        Exist Exist, "file exists already";
        FileTooLarge Fbig, "file would be too large";
        IllegalByteSequence Ilseq, "name is not UTF-8";
        InProgress Inprogress, "operation is in progress";
        Interrupted Intr, "call was interrupted";
        Invalid Inval, "argument is invalid";
        Io Io, "device has failed";
        IsDirectory Isdir, "path is that of a directory";
        Loop Loop, "path has too many symbolic links";
        TooManyLinks Mlink, "file has too many names";
        MessageSize Msgsize, "message is too large";
        NameTooLong Nametoolong, "name is too long";
        NoDevice Nodev, "device does not exist";
        NoEntry Noent, "file does not exist";
        NoLock Nolck, "system has no more locks";
        InsufficientMemory Nomem, "system has no more memory";
        InsufficientSpace Nospc, "device is full";
        NotDirectory Notdir, "path is not that of a directory";
        NotEmpty Notempty, "directory is not empty";
        NotRecoverable Notrecoverable, "state cannot be recovered";
        Unsupported Notsup, "operation is not supported";
        NoTty Notty, "file is no terminal";
        NoSuchDevice Nxio, "device or address does not exist";
        Overflow Overflow, "number is too large";
        NotPermitted Perm, "operation is not permitted";
        Pipe Pipe, "pipe has no reader";
        ReadOnly Rofs, "file system can only be read";
        InvalidSeek Spipe, "file has no positions";
        TextFileBusy Txtbsy, "program runs";
        CrossDevice Xdev, "files are on different devices";
    }
}

type Outcome<T = ()> = Result<T, Failure<ErrorCode>>;
type Handle = Resource<OpenDescriptor>;

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Unknown => Self::Unknown,
            FileKind::BlockDevice => Self::BlockDevice,
            FileKind::CharacterDevice => Self::CharacterDevice,
            FileKind::Directory => Self::Directory,
            FileKind::RegularFile => Self::RegularFile,
            FileKind::SocketStream => Self::Socket,
            FileKind::SymbolicLink => Self::SymbolicLink,
        }
    }
}

impl From<FileStat> for DescriptorStat {
    fn from(stat: FileStat) -> Self {
        let time = |nanoseconds| Some(Datetime::from(Duration::from_nanos(nanoseconds)));
        Self {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: time(stat.accessed),
            data_modification_timestamp: time(stat.modified),
            status_change_timestamp: time(stat.changed),
        }
    }
}

fn new_time(time: NewTimestamp) -> Result<NewTime, Errno> {
    Ok(match time {
        NewTimestamp::NoChange => NewTime::Keep,
        NewTimestamp::Now => NewTime::Now,
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
            let whole = seconds.checked_mul(1_000_000_000);
            let at = whole.and_then(|whole| whole.checked_add(nanoseconds.into()));
            match nanoseconds {
                0..1_000_000_000 => NewTime::At(at.ok_or(Errno::Overflow)?),
                _ => return Err(Errno::Inval),
            }
        }
    })
}

fn stat(descriptor: &Descriptor) -> std::io::Result<FileStat> {
    match descriptor {
        Descriptor::Dir(dir) => dir.stat(),
        Descriptor::File(file) => file.stat(),
        _ => Ok(FileStat::of_stream(FileKind::Unknown)),
    }
}

/// Returns a number for a file's identity, which does not tell it.
fn metadata_hash(stat: &FileStat) -> MetadataHashValue {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, stat.device, stat.inode, stat.size, stat.modified, stat.changed).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: half(0), upper: half(1) }
}

fn follow(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn descriptor_flags(descriptor: &Descriptor) -> DescriptorFlags {
    let mut flags = DescriptorFlags::empty();
    let mut set = |flag, on: bool| {
        if on {
            flags |= flag;
        }
    };
    match descriptor {
        Descriptor::File(file) => {
            let host = file.flags();
            set(DescriptorFlags::READ, file.readable);
            set(DescriptorFlags::WRITE, file.writable);
            set(DescriptorFlags::FILE_INTEGRITY_SYNC, host.contains(FdFlags::SYNC));
            set(DescriptorFlags::DATA_INTEGRITY_SYNC, host.contains(FdFlags::DSYNC));
            set(DescriptorFlags::REQUESTED_WRITE_SYNC, host.contains(FdFlags::RSYNC));
        }
        Descriptor::Dir(dir) => {
            set(DescriptorFlags::READ, true);
            set(DescriptorFlags::MUTATE_DIRECTORY, dir.may_mutate());
        }
        _ => {}
    }
    flags
}

fn open_at(
    view: &mut WasiCtxView<'_>,
    (parent, path_flags, path, open, flags): (Handle, PathFlags, String, OpenFlags, DescriptorFlags),
) -> Outcome<Handle> {
    let ctx = &*view.ctx;
    let parent = view.table.get(&parent)?;
    let dir = parent.dir()?;
    if flags.contains(DescriptorFlags::MUTATE_DIRECTORY) && !dir.may_mutate() {
        return Err(Errno::Perm.into());
    }
    let mut host = FdFlags::empty();
    host.set(FdFlags::SYNC, flags.contains(DescriptorFlags::FILE_INTEGRITY_SYNC));
    host.set(FdFlags::DSYNC, flags.contains(DescriptorFlags::DATA_INTEGRITY_SYNC));
    host.set(FdFlags::RSYNC, flags.contains(DescriptorFlags::REQUESTED_WRITE_SYNC));
    let how = OpenHow {
        follow: follow(path_flags),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncate: open.contains(OpenFlags::TRUNCATE),
        directory: open.contains(OpenFlags::DIRECTORY),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
        flags: host,
    };
    // This comes first, because opening may create or truncate the file.
    let counted = ctx.open_resource()?;
    let opened = ctx.restart(|| dir.open(&path, how))?;
    Ok(view.table.push(OpenDescriptor::opened(opened, counted))?)
}

fn read(view: &mut WasiCtxView<'_>, (file, length, offset): (Handle, u64, u64)) -> Outcome<(Vec<u8>, bool)> {
    let ctx = &*view.ctx;
    let file = view.table.get(&file)?.file()?;
    if !file.readable {
        return Err(Errno::Badf.into());
    }
    let wanted = length.min(PIECE as u64);
    let Some(quota) = ctx.read_quota().reserve_count(wanted) else {
        // The end may still be reported.
        return match ctx.restart(|| file.read_bytes(1, offset))?.is_empty() {
            true => Ok((Vec::new(), true)),
            false => Err(ctx.read_quota_exceeded().into()),
        };
    };
    let bytes = ctx.restart(|| file.read_bytes(quota.count() as usize, offset))?;
    quota.commit(bytes.len());
    let at_end = bytes.is_empty() && wanted > 0;
    Ok((bytes, at_end))
}

fn write(view: &mut WasiCtxView<'_>, (file, bytes, offset): (Handle, Vec<u8>, u64)) -> Outcome<u64> {
    let ctx = &*view.ctx;
    let file = view.table.get(&file)?.file()?;
    if !file.writable {
        return Err(Errno::Badf.into());
    }
    let Some(quota) = ctx.write_quota().reserve_count(bytes.len() as u64) else {
        return if bytes.is_empty() { Ok(0) } else { Err(ctx.write_quota_exceeded().into()) };
    };
    let bytes = &bytes[..(quota.count() as usize).min(PIECE)];
    let count = ctx.restart(|| file.write_at(&[std::io::IoSlice::new(bytes)], offset))?;
    quota.commit(count);
    Ok(count as u64)
}

/// Calls a function with a directory, and repeats it while signals interrupt it.
fn in_dir<R>(
    view: &mut WasiCtxView<'_>,
    dir: &Handle,
    call: impl Fn(&Dir) -> std::io::Result<R>,
) -> Outcome<R> {
    let dir = view.table.get(dir)?.dir()?;
    Ok(view.ctx.restart(|| call(dir))?)
}

/// Calls a function with a directory and another one.
fn in_dirs(
    view: &mut WasiCtxView<'_>,
    (dir, other): (&Handle, &Handle),
    call: impl Fn(&Dir, &Dir) -> std::io::Result<()>,
) -> Outcome {
    let (dir, other) = (view.table.get(dir)?.dir()?, view.table.get(other)?.dir()?);
    Ok(view.ctx.restart(|| call(dir, other))?)
}

/// Calls a function with an open file or directory.
fn with<R>(
    view: &mut WasiCtxView<'_>,
    handle: &Handle,
    call: impl Fn(&Descriptor) -> std::io::Result<R>,
) -> Outcome<R> {
    let descriptor = view.table.get(handle)?.descriptor();
    Ok(view.ctx.restart(|| call(descriptor))?)
}

fn read_via_stream(
    view: &mut WasiCtxView<'_>,
    (file, offset): (Handle, u64),
) -> Outcome<Resource<DynInputStream>> {
    let file = view.table.get(&file)?.clone();
    if !file.file()?.readable {
        return Err(Errno::Badf.into());
    }
    let stream: DynInputStream = Box::new(FileInput::new(file, offset));
    Ok(view.table.push(stream)?)
}

fn output(
    view: &mut WasiCtxView<'_>,
    file: &Handle,
    position: Option<u64>,
) -> Outcome<Resource<DynOutputStream>> {
    let file = view.table.get(file)?.clone();
    if !file.file()?.writable {
        return Err(Errno::Badf.into());
    }
    let stream: DynOutputStream = Box::new(FileOutput::new(file, position));
    Ok(view.table.push(stream)?)
}

fn read_directory(view: &mut WasiCtxView<'_>, (dir,): (Handle,)) -> Outcome<Resource<DirectoryEntryStream>> {
    let entries = DirectoryEntryStream::new(view.ctx, view.table.get(&dir)?.dir()?);
    // An interruption is the guest's end.
    view.ctx.check_interrupt()?;
    Ok(view.table.push(entries?)?)
}

fn read_directory_entry(
    view: &mut WasiCtxView<'_>,
    (stream,): (Resource<DirectoryEntryStream>,),
) -> Outcome<Option<DirectoryEntry>> {
    let Some(entry) = view.table.get_mut(&stream)?.next() else { return Ok(None) };
    let name = std::str::from_utf8(&entry.name).map_err(|_| Errno::Ilseq)?;
    Ok(Some(DirectoryEntry { type_: entry.kind.into(), name: name.into() }))
}

fn readlink_at(view: &mut WasiCtxView<'_>, (dir, path): (Handle, String)) -> Outcome<String> {
    let target = in_dir(view, &dir, |dir| dir.read_link(&path))?;
    Ok(String::from_utf8(target).map_err(|_| Errno::Ilseq)?)
}

/// Returns the error code of an error of a stream, if it is one of a file.
pub(super) fn error_code(error: &IoError) -> Option<ErrorCode> {
    error.errno().map(ErrorCode::from)
}

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> belljar::Result<()> {
    let mut fs = interfaces.add("wasi:filesystem/types")?;
    fs.resource::<OpenDescriptor>("descriptor")?;
    fs.resource::<DirectoryEntryStream>("directory-entry-stream")?;
    fs.fallible("[method]descriptor.read-via-stream", read_via_stream)?;
    fs.fallible("[method]descriptor.write-via-stream", |view, (file, offset): (Handle, u64)| {
        output(view, &file, Some(offset))
    })?;
    fs.fallible("[method]descriptor.append-via-stream", |view, (file,): (Handle,)| {
        output(view, &file, None)
    })?;
    fs.fallible(
        "[method]descriptor.advise",
        |view, (file, offset, length, advice): (Handle, u64, u64, Advice)| {
            let advice = match advice {
                Advice::Normal => rustix::fs::Advice::Normal,
                Advice::Sequential => rustix::fs::Advice::Sequential,
                Advice::Random => rustix::fs::Advice::Random,
                Advice::WillNeed => rustix::fs::Advice::WillNeed,
                Advice::DontNeed => rustix::fs::Advice::DontNeed,
                Advice::NoReuse => rustix::fs::Advice::NoReuse,
            };
            let file = view.table.get(&file)?.file()?;
            Ok::<_, Failure<ErrorCode>>(view.ctx.restart(|| file.advise(offset, length, advice))?)
        },
    )?;
    fs.fallible("[method]descriptor.sync-data", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| match descriptor {
            Descriptor::File(file) => file.sync_data(),
            Descriptor::Dir(dir) => dir.sync(),
            _ => Ok(()),
        })
    })?;
    fs.fallible("[method]descriptor.sync", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| match descriptor {
            Descriptor::File(file) => file.sync(),
            Descriptor::Dir(dir) => dir.sync(),
            _ => Ok(()),
        })
    })?;
    fs.fallible("[method]descriptor.get-flags", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| Ok(descriptor_flags(descriptor)))
    })?;
    fs.fallible("[method]descriptor.get-type", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| Ok(DescriptorType::from(stat(descriptor)?.kind)))
    })?;
    fs.fallible("[method]descriptor.set-size", |view, (file, size): (Handle, u64)| {
        let file = view.table.get(&file)?.file()?;
        Ok::<_, Failure<ErrorCode>>(view.ctx.restart(|| file.set_size(size))?)
    })?;
    type Times = (Handle, NewTimestamp, NewTimestamp);
    fs.fallible("[method]descriptor.set-times", |view, (handle, accessed, modified): Times| {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        with(view, &handle, |descriptor| match descriptor {
            Descriptor::File(file) => file.set_times(accessed, modified),
            Descriptor::Dir(dir) => dir.set_times(accessed, modified),
            _ => Ok(()),
        })
    })?;
    fs.fallible("[method]descriptor.read", read)?;
    fs.fallible("[method]descriptor.write", write)?;
    fs.fallible("[method]descriptor.read-directory", read_directory)?;
    fs.fallible("[method]descriptor.create-directory-at", |view, (dir, path): (Handle, String)| {
        in_dir(view, &dir, |dir| dir.create_dir(&path))
    })?;
    fs.fallible("[method]descriptor.stat", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| Ok(DescriptorStat::from(stat(descriptor)?)))
    })?;
    fs.fallible("[method]descriptor.stat-at", |view, (dir, flags, path): (Handle, PathFlags, String)| {
        in_dir(view, &dir, |dir| Ok(DescriptorStat::from(dir.stat_at(&path, follow(flags))?)))
    })?;
    type TimesAt = (Handle, PathFlags, String, NewTimestamp, NewTimestamp);
    fs.fallible(
        "[method]descriptor.set-times-at",
        |view, (dir, flags, path, accessed, modified): TimesAt| {
            let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
            in_dir(view, &dir, |dir| dir.set_times_at(&path, follow(flags), accessed, modified))
        },
    )?;
    type LinkAt = (Handle, PathFlags, String, Handle, String);
    fs.fallible("[method]descriptor.link-at", |view, (dir, flags, old, other, new): LinkAt| {
        if follow(flags) {
            return Err(Errno::Inval.into());
        }
        in_dirs(view, (&dir, &other), |dir, other| dir.hard_link(&old, other, &new))
    })?;
    fs.fallible("[method]descriptor.open-at", open_at)?;
    fs.fallible("[method]descriptor.readlink-at", readlink_at)?;
    fs.fallible("[method]descriptor.remove-directory-at", |view, (dir, path): (Handle, String)| {
        in_dir(view, &dir, |dir| dir.remove_dir(&path))
    })?;
    fs.fallible(
        "[method]descriptor.rename-at",
        |view, (dir, old, other, new): (Handle, String, Handle, String)| {
            in_dirs(view, (&dir, &other), |dir, other| dir.rename(&old, other, &new))
        },
    )?;
    fs.fallible("[method]descriptor.symlink-at", |view, (dir, target, path): (Handle, String, String)| {
        in_dir(view, &dir, |dir| dir.symlink(&target, &path))
    })?;
    fs.fallible("[method]descriptor.unlink-file-at", |view, (dir, path): (Handle, String)| {
        in_dir(view, &dir, |dir| dir.remove_file(&path))
    })?;
    fs.func("[method]descriptor.is-same-object", |view, (one, other): (Handle, Handle)| {
        let identity = |handle: &Handle| -> belljar::Result<_> {
            let found = stat(view.table.get(handle)?.descriptor());
            Ok(found.ok().map(|stat| (stat.device, stat.inode)))
        };
        let (one, other) = (identity(&one)?, identity(&other)?);
        Ok(one.is_some() && one == other)
    })?;
    fs.fallible("[method]descriptor.metadata-hash", |view, (handle,): (Handle,)| {
        with(view, &handle, |descriptor| Ok(metadata_hash(&stat(descriptor)?)))
    })?;
    fs.fallible(
        "[method]descriptor.metadata-hash-at",
        |view, (dir, flags, path): (Handle, PathFlags, String)| {
            in_dir(view, &dir, |dir| Ok(metadata_hash(&dir.stat_at(&path, follow(flags))?)))
        },
    )?;
    fs.fallible("[method]directory-entry-stream.read-directory-entry", read_directory_entry)?;
    fs.func("filesystem-error-code", |view, (error,): (Resource<IoError>,)| {
        Ok(error_code(view.table.get(&error)?))
    })?;

    interfaces.add("wasi:filesystem/preopens")?.func("get-directories", |view, (): ()| {
        let granted: Vec<_> = view.ctx.table().preopens().cloned().collect();
        let directory = |of: std::sync::Arc<Descriptor>| {
            let name = match &*of {
                Descriptor::Dir(Dir { preopen: Some(name), .. }) => name.to_string(),
                _ => String::new(),
            };
            Ok((view.table.push(OpenDescriptor::granted(of))?, name))
        };
        granted.into_iter().map(directory).collect::<belljar::Result<Vec<_>>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p1;

    #[test]
    fn every_number_of_a_system_call_has_a_code() {
        assert_eq!(ErrorCode::from(Errno::Noent), ErrorCode::NoEntry);
        assert_eq!(ErrorCode::from(Errno::Proto), ErrorCode::Io);
        assert_eq!(ErrorCode::from(Errno::Notcapable), ErrorCode::NotPermitted);
        let codes: std::collections::HashSet<_> =
            Errno::ALL.iter().map(|errno| format!("{:?}", ErrorCode::from(*errno))).collect();
        assert_eq!(codes.len(), 37, "each code stands for at least one number");
    }

    #[test]
    fn times_are_checked() {
        let at = |seconds, nanoseconds| new_time(NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }));
        assert_eq!(at(2, 5), Ok(NewTime::At(2_000_000_005)));
        assert_eq!(at(0, 1_000_000_000), Err(Errno::Inval));
        assert_eq!(at(u64::MAX, 0), Err(Errno::Overflow));
    }

    #[test]
    fn p1_errors_end_guests_only_if_they_must() {
        assert!(matches!(
            Failure::<ErrorCode>::from(p1::Error::Errno(Errno::Noent)),
            Failure::Code(ErrorCode::NoEntry)
        ));
        assert!(matches!(Failure::<ErrorCode>::from(p1::Error::Trap("x".into())), Failure::Trap(_)));
    }
}
