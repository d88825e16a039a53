//! The functions of bodies and trailers.

use super::interface::Interface;
use crate::fields::Fields;
use crate::incoming_body::{FutureTrailers, IncomingBody};
use crate::outgoing_body::OutgoingBody;
use crate::types::ErrorCode;
use belljar::Result;
use belljar::component::Resource;
use belljar_wasi::p2::{DynInputStream, DynOutputStream, IoError, subscribe};

fn add_incoming<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<IncomingBody>("incoming-body")?;
    types.func("[method]incoming-body.stream", |view, (body,): (Resource<IncomingBody>,)| {
        let Some(stream) = view.table.get_mut(&body)?.take_stream() else { return Ok(Err(())) };
        let stream: DynInputStream = Box::new(stream);
        Ok(Ok(view.table.push_child(stream, &body)?))
    })?;
    types.func("[static]incoming-body.finish", |view, (body,): (Resource<IncomingBody>,)| {
        // Refused while its stream is there.
        let body = view.table.delete(body)?;
        Ok(view.table.push(body.finish())?)
    })?;

    types.resource::<FutureTrailers>("future-trailers")?;
    types.func("[method]future-trailers.subscribe", |view, (future,): (Resource<FutureTrailers>,)| {
        subscribe(view.table, &future)
    })?;
    types.func("[method]future-trailers.get", |view, (future,): (Resource<FutureTrailers>,)| {
        Ok(match view.table.get_mut(&future)?.take() {
            None => None,
            Some(Err(())) => Some(Err(())),
            Some(Ok(Err(code))) => Some(Ok(Err(code))),
            Some(Ok(Ok(None))) => Some(Ok(Ok(None))),
            Some(Ok(Ok(Some(map)))) => {
                let trailers = view.received(&map)?;
                Some(Ok(Ok(Some(view.table.push(trailers)?))))
            }
        })
    })
}

fn add_outgoing<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<OutgoingBody>("outgoing-body")?;
    types.func("[method]outgoing-body.write", |view, (body,): (Resource<OutgoingBody>,)| {
        let Some(stream) = view.table.get_mut(&body)?.take_stream() else { return Ok(Err(())) };
        let stream: DynOutputStream = Box::new(stream);
        Ok(Ok(view.table.push_child(stream, &body)?))
    })?;
    types.func(
        "[static]outgoing-body.finish",
        |view, (body, trailers): (Resource<OutgoingBody>, Option<Resource<Fields>>)| {
            let trailers = trailers.map(|trailers| view.table.delete(trailers)).transpose()?;
            let trailers = trailers.map(|trailers| trailers.to_map()).transpose()?;
            // Refused while its stream is there.
            Ok(view.table.delete(body)?.finish(trailers))
        },
    )
}

pub(super) fn add<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    add_incoming(types)?;
    add_outgoing(types)?;
    types.func("http-error-code", |view, (error,): (Resource<IoError>,)| {
        Ok(view.table.get(&error)?.downcast_ref::<ErrorCode>().cloned())
    })
}
