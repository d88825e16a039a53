//! The functions of requests, and of what they were sent with.

use super::interface::Interface;
use crate::ctx::WasiHttpCtxView;
use crate::fields::Fields;
use crate::messages::{IncomingRequest, OutgoingBodyState, OutgoingRequest};
use crate::outgoing_body::{Message, OutgoingBody};
use crate::request_options::RequestOptions;
use crate::types::{ErrorCode, Method, Scheme};
use belljar::Result;
use belljar::component::Resource;
use std::time::Duration;

/// Creates the body of a message, the first time.
pub(super) fn open_body(
    view: &mut WasiHttpCtxView<'_>,
    message: Message,
    headers: &Fields,
) -> Result<Option<(OutgoingBody, OutgoingBodyState)>> {
    let Ok(expected) = headers.content_length() else { return Ok(None) };
    let charge = match message {
        Message::Request => view.ctx.begin_request().map(Some),
        Message::Response => Ok(None),
    };
    let opened = charge.and_then(|charge| {
        let opened = OutgoingBody::new(message, expected, charge.clone());
        let (body, sent) = opened.map_err(|error| crate::error::of_host(&error))?;
        Ok((body, OutgoingBodyState::Open(sent, charge)))
    });
    Ok(Some(opened.unwrap_or_else(|code: ErrorCode| {
        (OutgoingBody::refused(message, code.clone()), OutgoingBodyState::Refused(code))
    })))
}

type Outgoing = Resource<OutgoingRequest>;
type Incoming = Resource<IncomingRequest>;

fn add_outgoing<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<OutgoingRequest>("outgoing-request")?;
    types.func("[constructor]outgoing-request", |view, (headers,): (Resource<Fields>,)| {
        let headers = view.table.delete(headers)?;
        let request = OutgoingRequest::new(view, headers)?;
        Ok(view.table.push(request)?)
    })?;
    types.func("[method]outgoing-request.body", |view, (request,): (Outgoing,)| {
        let of = view.table.get(&request)?;
        if !matches!(of.body, OutgoingBodyState::None) {
            return Ok(Err(()));
        }
        let headers = of.headers.clone();
        let Some((body, state)) = open_body(view, Message::Request, &headers)? else { return Ok(Err(())) };
        view.table.get_mut(&request)?.body = state;
        Ok(Ok(view.table.push(body)?))
    })?;
    types.func("[method]outgoing-request.method", |view, (request,): (Outgoing,)| {
        Ok(view.table.get(&request)?.method.clone())
    })?;
    types.func("[method]outgoing-request.set-method", |view, (request, method): (Outgoing, Method)| {
        view.table.get_mut(&request)?.set_method(method)
    })?;
    types.func("[method]outgoing-request.path-with-query", |view, (request,): (Outgoing,)| {
        Ok(view.table.get(&request)?.path_with_query.clone())
    })?;
    types.func(
        "[method]outgoing-request.set-path-with-query",
        |view, (request, path): (Outgoing, Option<String>)| {
            view.table.get_mut(&request)?.set_path_with_query(path)
        },
    )?;
    types.func("[method]outgoing-request.scheme", |view, (request,): (Outgoing,)| {
        Ok(view.table.get(&request)?.scheme.clone())
    })?;
    types.func(
        "[method]outgoing-request.set-scheme",
        |view, (request, scheme): (Outgoing, Option<Scheme>)| {
            view.table.get_mut(&request)?.set_scheme(scheme)
        },
    )?;
    types.func("[method]outgoing-request.authority", |view, (request,): (Outgoing,)| {
        Ok(view.table.get(&request)?.authority.clone())
    })?;
    types.func(
        "[method]outgoing-request.set-authority",
        |view, (request, authority): (Outgoing, Option<String>)| {
            view.table.get_mut(&request)?.set_authority(authority)
        },
    )?;
    types.func("[method]outgoing-request.headers", |view, (request,): (Outgoing,)| {
        let headers = view.table.get(&request)?.headers.clone();
        Ok(view.table.push(headers)?)
    })
}

fn add_incoming<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<IncomingRequest>("incoming-request")?;
    types.func("[method]incoming-request.method", |view, (request,): (Incoming,)| {
        Ok(view.table.get(&request)?.method.clone())
    })?;
    types.func("[method]incoming-request.path-with-query", |view, (request,): (Incoming,)| {
        Ok(view.table.get(&request)?.path_with_query.clone())
    })?;
    types.func("[method]incoming-request.scheme", |view, (request,): (Incoming,)| {
        Ok(Some(view.table.get(&request)?.scheme.clone()))
    })?;
    types.func("[method]incoming-request.authority", |view, (request,): (Incoming,)| {
        Ok(Some(view.table.get(&request)?.authority.clone()))
    })?;
    types.func("[method]incoming-request.headers", |view, (request,): (Incoming,)| {
        let headers = view.table.get(&request)?.headers.clone();
        Ok(view.table.push(headers)?)
    })?;
    types.func("[method]incoming-request.consume", |view, (request,): (Incoming,)| {
        let Some(body) = view.table.get_mut(&request)?.body.take() else { return Ok(Err(())) };
        Ok(Ok(view.table.push(body)?))
    })
}

/// The time that an option sets.
type TimeOf = fn(&mut RequestOptions) -> &mut Option<Duration>;

const TIMES: [(&str, TimeOf); 3] = [
    ("connect-timeout", |options| &mut options.connect_timeout),
    ("first-byte-timeout", |options| &mut options.first_byte_timeout),
    ("between-bytes-timeout", |options| &mut options.between_bytes_timeout),
];

fn add_options<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<RequestOptions>("request-options")?;
    types.func("[constructor]request-options", |view, (): ()| {
        Ok(view.table.push(RequestOptions::default())?)
    })?;
    for (name, time) in TIMES {
        let get = format!("[method]request-options.{name}");
        types.func(&get, move |view, (options,): (Resource<RequestOptions>,)| {
            let time = *time(view.table.get_mut(&options)?);
            // It was set as nanoseconds.
            Ok(time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
        })?;
        let set = format!("[method]request-options.set-{name}");
        types.func(&set, move |view, (options, value): (Resource<RequestOptions>, Option<u64>)| {
            *time(view.table.get_mut(&options)?) = value.map(Duration::from_nanos);
            Ok(Ok::<(), ()>(()))
        })?;
    }
    Ok(())
}

pub(super) fn add<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    add_outgoing(types)?;
    add_incoming(types)?;
    add_options(types)
}
