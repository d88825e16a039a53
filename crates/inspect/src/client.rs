//! The client.
//!
//! In: the sockets of a directory. Out: reports. A client never sends a request to a process other than the one that
//! the socket is named after, run by the directory's user, and never trusts a response: responses are bounded in size,
//! time and depth.

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

/// The timeout for connecting. Only a stopped process, or one with very many clients, makes others wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The timeout for a response in a list of processes.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout for stacks: those of many stores with debugging information take a while.
const STACKS_TIMEOUT: Duration = Duration::from_secs(20);

/// The time that a profile may take beyond its duration, to be collected, symbolized and sent.
const PROFILE_OVERHEAD: Duration = Duration::from_secs(60);

/// A process whose guests can be inspected.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    socket: PathBuf,
    /// The owner of the socket's directory, who must also own the process.
    owner: u32,
}

/// Returns the processes that this user can inspect, sorted by process id: the user's own ones, and for root those of
/// all users. Also removes the sockets of processes that no longer exist.
///
/// # Errors
///
/// Returns an error if this user's own directory cannot be trusted or read.
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
            // A directory of another user, or an unused one: its problems must not hide the other directories.
            Err(_) => {}
        }
    }
    Ok(found.into_values().collect())
}

/// Returns the processes with a socket in this directory, sorted by process id.
///
/// # Errors
///
/// Returns an error if the directory cannot be trusted or read.
pub fn processes_in(directory: &RuntimeDirectory) -> io::Result<Vec<Process>> {
    let mut pids = directory.pids()?;
    pids.sort_unstable();
    Ok(pids.into_iter().filter_map(|pid| Process::reachable(directory, pid).ok()).collect())
}

/// Removes the sockets of processes that no longer exist.
pub(crate) fn remove_stale(directory: &RuntimeDirectory) {
    // Listing the processes removes stale sockets.
    let _ = processes_in(directory);
}

impl Process {
    /// Finds the process with this id.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be inspected, with the most specific reason that is known.
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

    /// Connects to the socket. If that fails because the process no longer exists, removes the socket.
    fn reachable(directory: &RuntimeDirectory, pid: u32) -> io::Result<Self> {
        let socket = directory.socket(pid)?;
        if !directory.has_socket(&socket) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let connected = connect(&socket);
        let problem = match &connected {
            // A fork of the process still has the socket open, but serves no requests.
            Ok(stream) if Peer::of(stream).is_ok_and(|peer| peer.pid == pid) && !exists(pid) => {
                Some(io::ErrorKind::ConnectionRefused)
            }
            Ok(_) => None,
            // Busy or stopped, but alive.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(error.kind()),
        };
        if let Some(kind) = problem {
            // Another user's directory could be replaced between two accesses, and root would remove another file. And
            // between bind and listen, a live process refuses connections for a moment.
            let is_stale = kind == io::ErrorKind::ConnectionRefused && !exists(pid);
            if is_stale && directory.owner() == our_uid() {
                let _ = fs::remove_file(&socket);
            }
            return Err(connected.err().unwrap_or_else(|| kind.into()));
        }
        Ok(Self { pid, socket, owner: directory.owner() })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Requests a report of the process's stores.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no valid response in time.
    pub fn ask_stores(&self, detail: Detail) -> Result<ProcessReport, AskError> {
        let timeout = match detail {
            Detail::Innermost => LIST_TIMEOUT,
            Detail::Stacks { .. } => STACKS_TIMEOUT,
        };
        let line = self.ask(&Request::Stores { detail }, timeout)?;
        let report: ProcessReport = self.read(&line)?;
        // The pid in the report may be that of another namespace, or wrong on purpose.
        Ok(ProcessReport { pid: self.pid, ..report })
    }

    /// Requests a profile and waits for it. Returns one JSON value for each subject of the process that recorded one.
    /// If this process ends early, the other one stops recording.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no valid response in time.
    pub fn profiles(&self, wanted: &ProfileRequest) -> Result<Vec<Vec<u8>>, AskError> {
        let timeout = wanted.duration.saturating_add(PROFILE_OVERHEAD);
        let line = self.ask(&Request::Profile(wanted.clone()), timeout)?;
        let profiles: Vec<&RawValue> = self.read(&line)?;
        Ok(profiles.into_iter().map(|profile| profile.get().as_bytes().to_vec()).collect())
    }

    /// Kills the guest of a store, or those of all stores. Returns how many were running.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no valid response in time.
    pub fn kill(&self, store: Option<u64>, reason: &str) -> Result<usize, AskError> {
        let line = self.ask(&Request::Kill { store, reason: reason.into() }, STACKS_TIMEOUT)?;
        self.read(&line)
    }

    /// Sends a request. Returns the line of the response.
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
        // An overflow of the clock is not a reason to fail.
        let deadline = Instant::now().checked_add(timeout).unwrap_or_else(|| Instant::now() + LIST_TIMEOUT);
        let written = write_line(&stream, &line, deadline);
        // The process may have sent a refusal before it read the request.
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

/// Connects with a timeout: [`UnixStream::connect`] would block for as long as the listener's queue is full.
///
/// # Errors
///
/// Returns `WouldBlock` if the queue stayed full.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(CONNECT_TIMEOUT))?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(socket.into())
}

/// Returns whether a process with this id exists.
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Returns the user of a process; `None` if there is no such process.
fn owner_of(pid: u32) -> Option<u32> {
    if !exists(pid) {
        return None;
    }
    // Without /proc, assume that it belongs to this user.
    Some(fs::metadata(format!("/proc/{pid}")).map_or_else(|_| our_uid(), |found| found.uid()))
}
