//! Look-ups of names, on threads that wait for the system's resolver.
//!
//! The resolver of the C library blocks, and nothing can interrupt it. So a look-up has a thread while it lasts; there are at
//! most [`MAX_THREADS`] in the process.

use super::{NetworkPolicy, Result, SocketError};
use crate::wait::Event;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

/// How many look-ups a process has at once. Beyond that, guests are told to try again.
const MAX_THREADS: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Counts a thread as long as it lives.
struct Thread;

impl Thread {
    fn new() -> Option<Self> {
        let one_more = |count| (count < MAX_THREADS).then_some(count + 1);
        THREADS.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Self)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Relaxed);
    }
}

/// The addresses of a name.
pub(crate) enum Lookup {
    Running(Arc<Running>),
    Done(vec::IntoIter<IpAddr>),
    Failed(SocketError),
}

pub(crate) struct Running {
    outcome: Mutex<Option<Result<Vec<IpAddr>>>>,
    /// Readable when there is an outcome.
    done: OwnedFd,
}

impl Lookup {
    /// Begins to look a name up, which can also be an address.
    pub(crate) fn new(policy: &NetworkPolicy, name: &str) -> Result<Self> {
        if let Some(ip) = address(name) {
            policy.check_lookup(name)?;
            return Ok(Self::Done(vec![ip].into_iter()));
        }
        let name = idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::URL)
            .map_err(|_| SocketError::InvalidArgument)?;
        if name.is_empty() || name.len() > 254 {
            return Err(SocketError::InvalidArgument);
        }
        policy.check_lookup(&name)?;
        let thread = Thread::new().ok_or(SocketError::TemporaryResolverFailure)?;
        let done = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let running = Arc::new(Running { outcome: Mutex::new(None), done });
        let (of_thread, name) = (running.clone(), name.into_owned());
        let look_up = move || {
            let found = resolve(&name);
            *of_thread.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            // Fails only if the number overflows, and it is 1.
            let _ = rustix::io::write(&of_thread.done, &1_u64.to_ne_bytes());
            drop(thread);
        };
        std::thread::Builder::new()
            .name("name look-up".into())
            .stack_size(256 << 10)
            .spawn(look_up)
            .map_err(|_| SocketError::TemporaryResolverFailure)?;
        Ok(Self::Running(running))
    }

    /// Returns the next address, or `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<IpAddr>> {
        if let Self::Running(running) = self {
            let outcome = running.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
            *self = match outcome {
                None => return Err(SocketError::WouldBlock),
                Some(Ok(found)) => Self::Done(found.into_iter()),
                Some(Err(error)) => Self::Failed(error),
            };
        }
        match self {
            Self::Done(rest) => Ok(rest.next()),
            Self::Failed(error) => Err(*error),
            Self::Running(_) => Err(SocketError::WouldBlock),
        }
    }

    pub(crate) fn ready(&self) -> Event<'_> {
        match self {
            Self::Running(running) => Event::Readable(running.done.as_fd()),
            Self::Done(_) | Self::Failed(_) => Event::Now,
        }
    }
}

/// Returns the address that a name is: IPv6 addresses may stand in brackets.
fn address(name: &str) -> Option<IpAddr> {
    if let Ok(ip) = Ipv4Addr::from_str(name) {
        return Some(ip.into());
    }
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    Ipv6Addr::from_str(inner).ok().map(IpAddr::from)
}

fn resolve(name: &str) -> Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => SocketError::TemporaryResolverFailure,
        _ => SocketError::NameUnresolvable,
    })?;
    let mut all: Vec<IpAddr> = Vec::new();
    for ip in found.map(|found| found.ip().to_canonical()) {
        if !all.contains(&ip) {
            all.push(ip);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_addresses() {
        assert_eq!(address("127.0.0.1"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(address("::1"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("[::1]"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("localhost"), None);
    }

    #[test]
    fn names_are_looked_up_without_blocking() {
        let mut policy = NetworkPolicy::default();
        policy.name_lookup = Box::new(|_| true);
        let mut lookup = Lookup::new(&policy, "localhost").unwrap();
        let Event::Readable(_) = lookup.ready() else { panic!("it cannot be done yet") };
        let ctx = crate::WasiCtxBuilder::new().build();
        crate::wait::wait(&ctx, &[lookup.ready()]).unwrap();
        let ip = lookup.next().unwrap().unwrap();
        assert!(ip.is_loopback(), "{ip}");
        for bad in ["", "a b", "exa<mple", &"a".repeat(300)] {
            assert_eq!(Lookup::new(&policy, bad).err(), Some(SocketError::InvalidArgument), "{bad}");
        }
        let denied = NetworkPolicy::default();
        assert_eq!(Lookup::new(&denied, "example.com").err(), Some(SocketError::PermanentResolverFailure));
        assert_eq!(denied.denied()[0].to_string(), "a look-up of the name example.com");
    }
}
