//! What a guest can wait for: `wasi:io/poll`.

use super::failure::ends;
use super::view::WasiCtxView;
use crate::wait::{self, Event};
use belljar::Result;
use belljar::component::{Resource, ResourceTable, ResourceTableError};

/// Something that becomes ready.
pub trait Pollable: Send + 'static {
    /// Returns the event on which it is ready.
    fn ready(&self) -> Event<'_>;
}

impl<P: Pollable + ?Sized> Pollable for Box<P> {
    fn ready(&self) -> Event<'_> {
        (**self).ready()
    }
}

type ReadyOf = for<'a> fn(&'a ResourceTable, u32) -> Result<Event<'a>, ResourceTableError>;

/// A resource `pollable`: a time, or another resource that becomes ready.
#[derive(Debug)]
pub struct DynPollable(Source);

#[derive(Debug)]
enum Source {
    Time(u64),
    Resource { rep: u32, ready: ReadyOf },
}

impl DynPollable {
    /// Returns one that is ready when the monotonic clock reaches a time.
    pub(super) fn at(time: u64) -> Self {
        Self(Source::Time(time))
    }

    fn event<'a>(&self, table: &'a ResourceTable) -> Result<Event<'a>, ResourceTableError> {
        match &self.0 {
            Source::Time(time) => Ok(Event::Monotonic(*time)),
            Source::Resource { rep, ready } => ready(table, *rep),
        }
    }
}

/// Creates a `pollable` that is ready when a resource is. It is a child of the resource, which cannot be dropped before it.
///
/// # Errors
///
/// Returns an error if there is no such resource, or the table is full.
pub fn subscribe<T: Pollable>(
    table: &mut ResourceTable,
    resource: &Resource<T>,
) -> Result<Resource<DynPollable>> {
    // Whether it is there.
    table.get(resource)?;
    let ready: ReadyOf = |table, rep| table.get(&Resource::<T>::new_borrow(rep)).map(T::ready);
    let pollable = DynPollable(Source::Resource { rep: resource.rep(), ready });
    Ok(table.push_child(pollable, resource)?)
}

/// Waits until one of these is ready. Returns which are.
pub(super) fn poll(view: &mut WasiCtxView<'_>, list: &[Resource<DynPollable>]) -> Result<Vec<u32>> {
    belljar::ensure!(!list.is_empty(), "`poll` was called without anything to wait for");
    let event = |pollable: &Resource<DynPollable>| {
        view.table.get(pollable).and_then(|pollable| pollable.event(view.table))
    };
    let events = list.iter().map(event).collect::<Result<Vec<_>, _>>()?;
    let happened = wait::wait(view.ctx, &events).map_err(ends)?;
    Ok(happened.iter().zip(0..).filter(|(state, _)| state.is_some()).map(|(_, index)| index).collect())
}

/// Returns whether it is ready.
pub(super) fn is_ready(view: &mut WasiCtxView<'_>, pollable: &Resource<DynPollable>) -> Result<bool> {
    Ok(view.table.get(pollable)?.event(view.table)?.has_occurred(view.ctx))
}
