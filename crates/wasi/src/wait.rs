//! Waiting for the first of several events: times, and descriptors of the host that become ready.
//!
//! In: events. Out: which of them have occurred. Never: a thread of its own. A wait is one `poll` of the operating
//! system, which a signal ends when the guest is killed.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::time::Timespec;

use crate::clocks::in_nanoseconds;
use crate::ctx::WasiCtx;
use crate::p1::Error;

/// Something that a guest can wait for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has occurred.
    Now,
    /// The monotonic clock reaches this time, in nanoseconds.
    Monotonic(u64),
    /// The wall clock reaches this time, in nanoseconds since 1970. Setting the clock back meanwhile lengthens the wait.
    Wall(u64),
    /// There is something to read from a descriptor of the host, or it is at its end or has failed.
    Readable(BorrowedFd<'a>),
    /// Something can be written to a descriptor of the host, or it has failed.
    Writable(BorrowedFd<'a>),
}

/// Waits until at least one event has occurred. Returns for each whether it has: the state of a descriptor, which is empty
/// for other events.
///
/// # Errors
///
/// Returns an error if the guest must end, or the system's error.
pub(crate) fn wait(ctx: &WasiCtx, events: &[Event<'_>]) -> Result<Vec<Option<PollFlags>>, Error> {
    let mut fds: Vec<PollFd<'_>> = events.iter().filter_map(Event::poll_fd).collect();
    loop {
        let remaining: Vec<Option<u64>> = events.iter().map(|event| remaining(ctx, event)).collect();
        // The shortest; it is zero if an event is already there, and then the descriptors are only checked.
        let timeout = remaining.iter().copied().flatten().min();
        let advanced = wait_for_fds(ctx, &mut fds, timeout)?;
        let outcome = collect(ctx, events, &remaining, advanced, &fds);
        if outcome.iter().any(Option::is_some) {
            return Ok(outcome);
        }
    }
}

impl<'a> Event<'a> {
    /// Returns what to ask the host; `None` if the event is not the host's.
    fn poll_fd(&self) -> Option<PollFd<'a>> {
        match self {
            Event::Readable(fd) => Some(PollFd::from_borrowed_fd(*fd, PollFlags::IN)),
            Event::Writable(fd) => Some(PollFd::from_borrowed_fd(*fd, PollFlags::OUT)),
            Event::Now | Event::Monotonic(_) | Event::Wall(_) => None,
        }
    }

    /// Returns whether it has occurred.
    pub(crate) fn has_occurred(&self, ctx: &WasiCtx) -> bool {
        match self.poll_fd() {
            Some(fd) => poll_fds(&mut [fd], Some(0)).is_ok_and(|count| count > 0),
            None => remaining(ctx, self) == Some(0),
        }
    }
}

/// Returns whether something can be read from a descriptor of the host without waiting.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, PollFlags::IN)
}

/// Returns whether something can be written to a descriptor of the host without waiting.
pub(crate) fn is_writable(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, PollFlags::OUT)
}

/// Returns whether a descriptor of the host is in one of these states now, or has failed.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    poll_fds(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(0)).is_ok_and(|count| count > 0)
}

/// Returns the nanoseconds until the event, as far as is known without asking the host about descriptors.
fn remaining(ctx: &WasiCtx, event: &Event<'_>) -> Option<u64> {
    match event {
        Event::Now => Some(0),
        Event::Monotonic(until) => Some(until.saturating_sub(ctx.monotonic_clock().now())),
        Event::Wall(until) => Some(until.saturating_sub(in_nanoseconds(ctx.wall_clock().now()))),
        Event::Readable(_) | Event::Writable(_) => None,
    }
}

/// Asks the host about the descriptors, waiting for at most `timeout` nanoseconds. Returns by how much a virtual
/// clock advanced itself instead.
fn wait_for_fds(ctx: &WasiCtx, fds: &mut [PollFd<'_>], timeout: Option<u64>) -> Result<u64, Error> {
    let start = ctx.monotonic_clock().now();
    let mut left = timeout;
    ctx.restart(|| {
        if poll_fds(fds, Some(0))? > 0 || left == Some(0) {
            return Ok(0);
        }
        if let Some(by) = left
            && ctx.monotonic_clock().advance(Duration::from_nanos(by))
        {
            return Ok(by);
        }
        let result = poll_fds(fds, left);
        if let Some(total) = timeout {
            // After an interruption by a signal, only the rest of the time is waited for.
            left = Some(total.saturating_sub(ctx.monotonic_clock().now().saturating_sub(start)));
        }
        result.map(|_| 0)
    })
}

fn poll_fds(fds: &mut [PollFd<'_>], timeout: Option<u64>) -> io::Result<usize> {
    let timeout = timeout
        .map(|ns| Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ });
    if fds.is_empty() && timeout.is_some_and(|time| time == Timespec::default()) {
        return Ok(0);
    }
    Ok(rustix::event::poll(fds, timeout.as_ref())?)
}

/// Returns the events that have occurred by now. `before` holds the times that were left before a virtual clock advanced; `fds`
/// are those of the events that have one, in order.
fn collect(
    ctx: &WasiCtx,
    events: &[Event<'_>],
    before: &[Option<u64>],
    advanced: u64,
    fds: &[PollFd<'_>],
) -> Vec<Option<PollFlags>> {
    let mut fds = fds.iter();
    let one = |(event, before): (&Event<'_>, &Option<u64>)| match event {
        Event::Now => Some(PollFlags::empty()),
        Event::Readable(_) | Event::Writable(_) => {
            fds.next().map(PollFd::revents).filter(|state| !state.is_empty())
        }
        clock => {
            let past = remaining(ctx, clock) == Some(0) || before.is_some_and(|ns| ns <= advanced);
            past.then_some(PollFlags::empty())
        }
    };
    events.iter().zip(before).map(one).collect()
}
