//! `wasi:clocks`.

use super::bindings::clocks::wall_clock::Datetime;
use super::interface::Interfaces;
use super::poll::DynPollable;
use belljar::Result;
use belljar::component::{ComponentType, Lower};
use std::time::Duration;

impl From<Duration> for Datetime {
    fn from(time: Duration) -> Self {
        Self { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
    }
}

/// How times are shown at a place. The host's wall clock shows those of no place.
#[derive(ComponentType, Lower)]
#[component(record)]
struct TimezoneDisplay {
    utc_offset: i32,
    name: &'static str,
    in_daylight_saving_time: bool,
}

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> Result<()> {
    let mut monotonic = interfaces.add("wasi:clocks/monotonic-clock")?;
    monotonic.func("now", |view, (): ()| Ok(view.ctx.monotonic_clock().now()))?;
    monotonic.func("resolution", |view, (): ()| Ok(view.ctx.monotonic_clock().resolution()))?;
    monotonic
        .func("subscribe-instant", |view, (when,): (u64,)| Ok(view.table.push(DynPollable::at(when))?))?;
    monotonic.func("subscribe-duration", |view, (duration,): (u64,)| {
        let when = view.ctx.monotonic_clock().now().saturating_add(duration);
        Ok(view.table.push(DynPollable::at(when))?)
    })?;

    let mut wall = interfaces.add("wasi:clocks/wall-clock")?;
    wall.func("now", |view, (): ()| Ok(Datetime::from(view.ctx.wall_clock().now())))?;
    wall.func("resolution", |view, (): ()| Ok(Datetime::from(view.ctx.wall_clock().resolution())))?;

    let mut timezone = interfaces.add("wasi:clocks/timezone")?;
    timezone.func("display", |_, (_,): (Datetime,)| {
        Ok(TimezoneDisplay { utc_offset: 0, name: "UTC", in_daylight_saving_time: false })
    })?;
    timezone.func("utc-offset", |_, (_,): (Datetime,)| Ok(0_i32))
}
