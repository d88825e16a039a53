//! The side that looks.
//!
//! In: the sockets of a directory. Out: reports. Never: asking whoever is not the process that the socket is named after, run by the
//! directory's user; or trusting what it says. An answer is bounded in size, time and depth.

use crate::directory::RuntimeDirectory;
use crate::error::AskError;
use crate::line::{read_line, write_line};
use crate::message::{Request, Response};
use crate::peer::{Peer, ROOT, our_uid};
use crate::report::ProcessReport;
use crate::subject::{Detail, ProfileRequest};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt};
use rustix::process::{Pid, test_kill_process};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a process may take to take a connection. Only one that is stopped, or asked by very many, lets others wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take of which a list of processes is made.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for stacks: those of many stores with debugging information take a while.
const STACKS_TIMEOUT: Duration = Duration::from_secs(20);

/// What a profile may take beyond its duration: to be gathered, named and sent.
const PROFILE_OVERHEAD: Duration = Duration::from_secs(60);

/// A process that lets others look at its guests.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    socket: PathBuf,
    /// Whose directory the socket is in, and whose process it must be.
    owner: u32,
}

/// The processes that this user can look at: its own ones, and for root those of everybody. By their numbers. Sockets of processes
/// that are gone are removed by the way.
///
/// # Errors
///
/// Where this user's own directory cannot be trusted or read.
pub fn processes() -> io::Result<Vec<Process>> {
    let mut found = BTreeMap::new();
    for (place, directory) in RuntimeDirectory::all()?.iter().enumerate() {
        match processes_in(directory) {
            Ok(processes) => {
                for process in processes {
                    found.entry(process.pid).or_insert(process);
                }
            }
            Err(error) if place == 0 => return Err(error),
            // Somebody else's, or one that is not in use: whoever made it like this must not keep us from the others.
            Err(_) => {}
        }
    }
    Ok(found.into_values().collect())
}

/// The processes with a socket in this directory, by their numbers.
///
/// # Errors
///
/// Where the directory cannot be trusted or read.
pub fn processes_in(directory: &RuntimeDirectory) -> io::Result<Vec<Process>> {
    let mut pids = directory.pids()?;
    pids.sort_unstable();
    Ok(pids.into_iter().filter_map(|pid| Process::reachable(directory, pid).ok()).collect())
}

/// Removes the sockets of processes that are gone.
pub(crate) fn remove_stale(directory: &RuntimeDirectory) {
    // Looking at them is what removes them.
    let _ = processes_in(directory);
}

impl Process {
    /// The process of this number, if it lets this user look.
    ///
    /// # Errors
    ///
    /// Where it does not; the reason why is told as far as it can be known.
    pub fn find(pid: u32) -> Result<Self, AskError> {
        let directories = RuntimeDirectory::all().map_err(AskError::Directory)?;
        Self::find_in(&directories, pid)
    }

    pub(crate) fn find_in(directories: &[RuntimeDirectory], pid: u32) -> Result<Self, AskError> {
        let mut problem = None;
        for (place, directory) in directories.iter().enumerate() {
            match directory.exists() {
                Ok(true) => match Self::reachable(directory, pid) {
                    Ok(process) => return Ok(process),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => problem = problem.or(Some(AskError::NoResponse { pid, error })),
                },
                Ok(false) => {}
                Err(error) if place == 0 => problem = Some(AskError::Directory(error)),
                Err(_) => {}
            }
        }
        match owner_of(pid) {
            None => Err(AskError::NoProcess { pid }),
            Some(uid) if our_uid() != ROOT && uid != our_uid() => Err(AskError::OtherUser { pid, uid }),
            Some(_) => Err(problem.unwrap_or(AskError::NotServed { pid })),
        }
    }

    /// Whether somebody listens. If nobody does and the process is gone, its socket is removed.
    fn reachable(directory: &RuntimeDirectory, pid: u32) -> io::Result<Self> {
        let socket = directory.socket(pid)?;
        if !directory.has_socket(&socket) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let connected = connect(&socket);
        let problem = match &connected {
            // A fork of it still has the socket, and answers nobody.
            Ok(stream) if Peer::of(stream).is_ok_and(|peer| peer.pid == pid) && !exists(pid) => {
                Some(io::ErrorKind::ConnectionRefused)
            }
            Ok(_) => None,
            // Busy or stopped, but there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(error.kind()),
        };
        if let Some(kind) = problem {
            // Another user's directory could become another one between two looks, and root would remove something else. And
            // there is a moment between bind and listen in which nobody listens yet.
            let is_stale = kind == io::ErrorKind::ConnectionRefused && !exists(pid);
            if is_stale && directory.owner() == our_uid() {
                let _ = fs::remove_file(&socket);
            }
            return Err(connected.err().unwrap_or_else(|| kind.into()));
        }
        Ok(Self { pid, socket, owner: directory.owner() })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks what its stores do.
    ///
    /// # Errors
    ///
    /// Where it does not answer properly and in time.
    pub fn ask_stores(&self, detail: Detail) -> Result<ProcessReport, AskError> {
        let timeout = match detail {
            Detail::Innermost => LIST_TIMEOUT,
            Detail::Stacks { .. } => STACKS_TIMEOUT,
        };
        let line = self.ask(&Request::Stores { detail }, timeout)?;
        let report: ProcessReport = self.read(&line)?;
        // Its own opinion of its number is that of its namespace, if not a lie.
        Ok(ProcessReport { pid: self.pid, ..report })
    }

    /// Asks for a profile, and waits for it: as JSON, one for each subject of the process that has something to tell. When this
    /// process ends meanwhile, the other one stops recording.
    ///
    /// # Errors
    ///
    /// Where it does not answer properly and in time.
    pub fn profiles(&self, wanted: &ProfileRequest) -> Result<Vec<Vec<u8>>, AskError> {
        let timeout = wanted.duration.saturating_add(PROFILE_OVERHEAD);
        let line = self.ask(&Request::Profile(wanted.clone()), timeout)?;
        let profiles: Vec<&RawValue> = self.read(&line)?;
        Ok(profiles.into_iter().map(|profile| profile.get().as_bytes().to_vec()).collect())
    }

    /// Has the guest of a store killed, or those of all stores. How many were running.
    ///
    /// # Errors
    ///
    /// Where it does not answer properly and in time.
    pub fn kill(&self, store: Option<u64>, reason: &str) -> Result<usize, AskError> {
        let line = self.ask(&Request::Kill { store, reason: reason.into() }, STACKS_TIMEOUT)?;
        self.read(&line)
    }

    /// The line that it answers.
    fn ask(&self, question: &Request, timeout: Duration) -> Result<Vec<u8>, AskError> {
        let pid = self.pid;
        let no_response = |error: io::Error| AskError::NoResponse { pid, error };
        let stream = connect(&self.socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if !exists(pid) => {
                AskError::NoProcess { pid }
            }
            _ => no_response(error),
        })?;
        let expected = Peer { pid, uid: self.owner };
        if Peer::of(&stream).ok() != Some(expected) {
            return Err(AskError::WrongPeer { pid });
        }
        let line = question.to_line().map_err(|error| no_response(error.into()))?;
        // The clock of a process that lives for centuries is no reason to fail.
        let deadline = Instant::now().checked_add(timeout).unwrap_or_else(|| Instant::now() + LIST_TIMEOUT);
        let written = write_line(&stream, &line, deadline);
        // It may have said why before it heard the question.
        match read_line(&stream, question.max_response_bytes(), deadline) {
            Ok(Some(answer)) => Ok(answer),
            read => Err(no_response(match (written, read) {
                (Err(error), _) | (Ok(()), Err(error)) => error,
                _ => io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"),
            })),
        }
    }

    fn read<'a, T: Deserialize<'a>>(&self, line: &'a [u8]) -> Result<T, AskError> {
        match serde_json::from_slice(line) {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Error(reason)) => Err(AskError::Refused { pid: self.pid, reason }),
            Err(error) => Err(AskError::InvalidResponse { pid: self.pid, problem: error.to_string() }),
        }
    }
}

/// Connects, in a bounded time: [`UnixStream::connect`] would wait as long as the other side's queue is full.
///
/// # Errors
///
/// `WouldBlock` where it was full all the time.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(CONNECT_TIMEOUT))?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(socket.into())
}

/// Whether there is a process of this number.
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Whose process it is; `None` if there is none.
fn owner_of(pid: u32) -> Option<u32> {
    if !exists(pid) {
        return None;
    }
    // Without /proc it is nobody else's as far as anybody knows.
    Some(fs::metadata(format!("/proc/{pid}")).map_or_else(|_| our_uid(), |found| found.uid()))
}
