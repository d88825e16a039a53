//! State that the network's thread changes and a guest waits for.
//!
//! In: changes, made under a lock by either side. Out: an eventfd that is readable exactly while the state is ready, so that
//! a guest waits for it in the same `poll` as for everything else. Never: a wait of this module's own.

use belljar_wasi::p2::Event;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// What is watched.
pub(crate) trait State {
    /// Returns whether a guest that waits can go on.
    fn is_ready(&self) -> bool;

    /// Takes the task that a change lets go on, if there is one.
    fn take_woken(&mut self) -> Option<Waker> {
        None
    }
}

/// A state, and the descriptor that shows whether it is ready.
pub(crate) struct Watched<S> {
    inner: Mutex<Inner<S>>,
    /// `None` if the state is ready for good.
    fd: Option<OwnedFd>,
}

struct Inner<S> {
    state: S,
    /// Whether the descriptor is readable.
    is_shown: bool,
}

impl<S: State> Watched<S> {
    /// Begins to watch a state.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has no descriptor left.
    pub(crate) fn new(state: S) -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let watched = Self { inner: Mutex::new(Inner { state, is_shown: false }), fd: Some(fd) };
        watched.update(|_| ());
        Ok(watched)
    }

    /// Wraps a state that is ready, and stays so.
    pub(crate) fn always_ready(state: S) -> Self {
        Self { inner: Mutex::new(Inner { state, is_shown: true }), fd: None }
    }

    /// Changes the state, or looks at it.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let (result, woken) = self.update_locked(change);
        // Without the lock: what a waker does is not known.
        if let Some(waker) = woken {
            waker.wake();
        }
        result
    }

    fn update_locked<R>(&self, change: impl FnOnce(&mut S) -> R) -> (R, Option<Waker>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut inner.state);
        let is_ready = inner.state.is_ready();
        if let Some(fd) = &self.fd
            && is_ready != inner.is_shown
        {
            inner.is_shown = is_ready;
            // Neither fails: the counter is 0 or 1, and changes only here.
            let mut count = [0; 8];
            let _ = match is_ready {
                true => rustix::io::write(fd, &1_u64.to_ne_bytes()),
                false => rustix::io::read(fd, &mut count),
            };
        }
        (result, inner.state.take_woken())
    }

    /// Returns the event that the state is ready.
    pub(crate) fn event(&self) -> Event<'_> {
        match &self.fd {
            Some(fd) => Event::Readable(fd.as_fd()),
            None => Event::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    struct Count(u32);

    impl State for Count {
        fn is_ready(&self) -> bool {
            self.0 > 0
        }
    }

    #[test]
    fn the_descriptor_is_readable_while_the_state_is_ready() {
        let watched = Watched::new(Count(1)).unwrap();
        let is_readable = || {
            let Event::Readable(fd) = watched.event() else { panic!("it has a descriptor") };
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&now)).unwrap() == 1
        };
        assert!(is_readable());
        watched.update(|count| count.0 += 1);
        assert!(is_readable());
        watched.update(|count| count.0 = 0);
        assert!(!is_readable());
        watched.update(|count| count.0 = 3);
        assert!(is_readable());
        assert!(matches!(Watched::always_ready(Count(1)).event(), Event::Now));
    }
}
