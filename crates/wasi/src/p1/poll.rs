//! `poll_oneoff`: waiting for the first of several events.
//!
//! ```text
//! subscription:  0 userdata u64 | 8 tag u8 | 16 clock or descriptor
//!   clock:      16 id u32 | 24 timeout u64 | 32 precision u64 | 40 flags u16     (48 bytes in all)
//!   in wasi_unstable an identifier u64 stands before the id: all 8 further       (56 bytes in all)
//!   descriptor: 16 fd u32
//! event:         0 userdata u64 | 8 errno u16 | 10 tag u8 | 16 bytes u64 | 24 flags u16   (32 bytes)
//! ```
//!
//! An invalid subscription yields an event with its errno at once; the other subscriptions are not lost.

use std::sync::Arc;

use rustix::event::PollFlags;

use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::memory::GuestMemory;
use crate::p1::clock::ClockId;
use crate::p1::layout::{Version, check_flags};
use crate::p1::{Errno, Result};
use crate::wait;

const TAG_CLOCK: u8 = 0;
const TAG_FD_READ: u8 = 1;
const TAG_FD_WRITE: u8 = 2;

const ABSTIME: u32 = 1;
const HANGUP: u16 = 1;
const EVENT_SIZE: u32 = 32;

/// The most subscriptions of one call: each holds host memory while the call waits, and no guest has more
/// descriptors to wait for than this.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// Something to wait for.
struct Subscription {
    userdata: u64,
    tag: u8,
    wait: Wait,
}

enum Wait {
    /// Until the monotonic clock reaches this time.
    Monotonic(u64),
    /// Until the wall clock reaches this time; setting the clock back meanwhile lengthens the wait.
    Wall(u64),
    /// Until the descriptor is ready for the operation of the tag.
    Descriptor(Arc<Descriptor>),
    /// No wait: the subscription is invalid.
    Failed(Errno),
}

/// What occurred for a subscription.
#[derive(Clone, Copy)]
struct Event {
    errno: Errno,
    bytes: u64,
    flags: u16,
}

/// Waits until at least one subscription has an event; writes these events, in the order of the
/// subscriptions, and their number to `happened`.
///
/// A call without subscriptions is [`Errno::Inval`].
pub fn poll_oneoff(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    happened: u32,
) -> Result {
    poll(ctx, memory, subscriptions, events, count, happened, Version::Preview1)
}

pub(crate) fn poll(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    happened: u32,
    version: Version,
) -> Result {
    if count == 0 {
        return Err(Errno::Inval.into());
    }
    let size = match version {
        Version::Preview1 => 48,
        Version::Unstable => 56,
    };
    memory.check(subscriptions, u64::from(count) * u64::from(size))?;
    memory.check(events, u64::from(count) * u64::from(EVENT_SIZE))?;
    memory.check(happened, 4)?;
    if count > MAX_SUBSCRIPTIONS {
        return Err(Errno::Nomem.into());
    }
    let list = (0..count)
        .map(|i| read_subscription(ctx, memory, subscriptions + i * size, version))
        .collect::<Result<Vec<_>>>()?;
    let outcome = wait_for(ctx, &list)?;
    let mut written = 0;
    for (subscription, happened) in list.iter().zip(outcome) {
        if let Some(happened) = happened {
            let mut bytes = [0; EVENT_SIZE as usize];
            bytes[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
            bytes[8..10].copy_from_slice(&(happened.errno as u16).to_le_bytes());
            bytes[10] = subscription.tag;
            bytes[16..24].copy_from_slice(&happened.bytes.to_le_bytes());
            bytes[24..26].copy_from_slice(&happened.flags.to_le_bytes());
            memory.write_bytes(events + written * EVENT_SIZE, &bytes)?;
            written += 1;
        }
    }
    memory.write_u32(happened, written)?;
    Ok(())
}

fn read_subscription(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    at: u32,
    version: Version,
) -> Result<Subscription> {
    let userdata = memory.read_u64(at)?;
    let tag = memory.read_u8(at + 8)?;
    let wait = match tag {
        TAG_CLOCK => {
            let clock = at + if version == Version::Unstable { 24 } else { 16 };
            let id = memory.read_u32(clock)?;
            let timeout = memory.read_u64(clock + 8)?;
            let flags = memory.read_u16(clock + 24)?;
            clock_wait(ctx, id, timeout, flags.into())
        }
        TAG_FD_READ | TAG_FD_WRITE => descriptor_wait(ctx, memory.read_u32(at + 16)?, tag),
        _ => Err(Errno::Inval),
    };
    Ok(Subscription { userdata, tag, wait: wait.unwrap_or_else(Wait::Failed) })
}

fn clock_wait(ctx: &WasiCtx, id: u32, timeout: u64, flags: u32) -> Result<Wait, Errno> {
    let absolute = check_flags(flags, ABSTIME)? != 0;
    match (ClockId::try_from(id)?, absolute) {
        (ClockId::Monotonic, true) => Ok(Wait::Monotonic(timeout)),
        (ClockId::Realtime, true) => Ok(Wait::Wall(timeout)),
        (ClockId::Monotonic | ClockId::Realtime, false) => {
            Ok(Wait::Monotonic(ctx.monotonic_clock().now().saturating_add(timeout)))
        }
        // CPU time stands still while a guest waits for it.
        (ClockId::ProcessCpu | ClockId::ThreadCpu, _) => Err(Errno::Notsup),
    }
}

fn descriptor_wait(ctx: &WasiCtx, fd: u32, tag: u8) -> Result<Wait, Errno> {
    let descriptor = ctx.descriptor(fd)?;
    let possible = match &*descriptor {
        Descriptor::Input(_) => tag == TAG_FD_READ,
        Descriptor::Output(_) => tag == TAG_FD_WRITE,
        Descriptor::File(_) => true,
        Descriptor::Socket(socket) => !socket.listening || tag == TAG_FD_READ,
        Descriptor::Dir(_) => false,
    };
    if possible { Ok(Wait::Descriptor(descriptor)) } else { Err(Errno::Badf) }
}

/// Waits, and returns the event of each subscription that has one.
fn wait_for(ctx: &WasiCtx, list: &[Subscription]) -> Result<Vec<Option<Event>>> {
    let events: Vec<_> = list.iter().map(Subscription::event).collect();
    let happened = wait::wait(ctx, &events)?;
    let one = |(subscription, state): (&Subscription, Option<PollFlags>)| match &subscription.wait {
        Wait::Failed(errno) => Some(Event { errno: *errno, bytes: 0, flags: 0 }),
        Wait::Descriptor(descriptor) => Some(descriptor_event(descriptor, subscription.tag, state?)),
        Wait::Monotonic(_) | Wait::Wall(_) => {
            state.map(|_| Event { errno: Errno::Success, bytes: 0, flags: 0 })
        }
    };
    Ok(list.iter().zip(happened).map(one).collect())
}

impl Subscription {
    fn event(&self) -> wait::Event<'_> {
        match &self.wait {
            Wait::Monotonic(until) => wait::Event::Monotonic(*until),
            Wait::Wall(until) => wait::Event::Wall(*until),
            Wait::Failed(_) => wait::Event::Now,
            Wait::Descriptor(descriptor) => {
                let event =
                    if self.tag == TAG_FD_READ { wait::Event::Readable } else { wait::Event::Writable };
                descriptor.poll_fd().map_or(wait::Event::Now, event)
            }
        }
    }
}

/// Returns the event of a descriptor in this state, which is empty for one that is always ready.
fn descriptor_event(descriptor: &Descriptor, tag: u8, state: PollFlags) -> Event {
    if state.contains(PollFlags::NVAL) {
        return Event { errno: Errno::Badf, bytes: 0, flags: 0 };
    }
    // Guests take zero bytes for "nothing to read", so a ready descriptor reports at least one (maybe the end).
    let bytes = if tag == TAG_FD_READ { descriptor.available().max(1) } else { 1 };
    let flags = if state.contains(PollFlags::HUP) { HANGUP } else { 0 };
    Event { errno: Errno::Success, bytes, flags }
}
