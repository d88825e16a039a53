//! Reading the four clocks.

use crate::clocks::in_nanoseconds;
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::p1::{Errno, Result};

/// WASI 0.1's `clockid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockId {
    Realtime,
    Monotonic,
    ProcessCpu,
    ThreadCpu,
}

impl TryFrom<u32> for ClockId {
    type Error = Errno;

    fn try_from(id: u32) -> Result<ClockId, Errno> {
        match id {
            0 => Ok(ClockId::Realtime),
            1 => Ok(ClockId::Monotonic),
            2 => Ok(ClockId::ProcessCpu),
            3 => Ok(ClockId::ThreadCpu),
            _ => Err(Errno::Inval),
        }
    }
}

/// Writes the resolution of a clock in nanoseconds.
pub fn clock_res_get(ctx: &WasiCtx, memory: &mut GuestMemory<'_>, id: u32, resolution: u32) -> Result {
    let value = match ClockId::try_from(id)? {
        ClockId::Realtime => in_nanoseconds(ctx.wall_clock().resolution()),
        ClockId::Monotonic => ctx.monotonic_clock().resolution(),
        ClockId::ProcessCpu | ClockId::ThreadCpu => ctx.cpu_clock().resolution(),
    };
    memory.write_u64(resolution, value)?;
    Ok(())
}

/// Writes the time of a clock in nanoseconds, always with the host's full precision.
pub fn clock_time_get(
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    _precision: u64,
    time: u32,
) -> Result {
    let value = match ClockId::try_from(id)? {
        ClockId::Realtime => in_nanoseconds(ctx.wall_clock().now()),
        ClockId::Monotonic => ctx.monotonic_clock().now(),
        ClockId::ProcessCpu => ctx.cpu_clock().process(),
        ClockId::ThreadCpu => ctx.cpu_clock().thread(),
    };
    memory.write_u64(time, value)?;
    Ok(())
}
