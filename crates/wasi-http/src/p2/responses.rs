//! The functions of responses.

use super::interface::Interface;
use super::requests::open_body;
use crate::fields::Fields;
use crate::future_response::FutureIncomingResponse;
use crate::messages::{IncomingResponse, OutgoingBodyState, OutgoingResponse, ResponseOutparam};
use crate::outgoing_body::Message;
use crate::types::ErrorCode;
use belljar::Result;
use belljar::component::Resource;
use belljar_wasi::p2::subscribe;
use http::StatusCode;

type Outgoing = Resource<OutgoingResponse>;
type Incoming = Resource<IncomingResponse>;

fn add_outgoing<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<OutgoingResponse>("outgoing-response")?;
    types.func("[constructor]outgoing-response", |view, (headers,): (Resource<Fields>,)| {
        let headers = view.table.delete(headers)?;
        Ok(view.table.push(OutgoingResponse::new(headers))?)
    })?;
    types.func("[method]outgoing-response.status-code", |view, (response,): (Outgoing,)| {
        Ok(view.table.get(&response)?.status.as_u16())
    })?;
    types.func(
        "[method]outgoing-response.set-status-code",
        |view, (response, status): (Outgoing, u16)| {
            let response = view.table.get_mut(&response)?;
            Ok(StatusCode::from_u16(status).map(|status| response.status = status).map_err(|_| ()))
        },
    )?;
    types.func("[method]outgoing-response.headers", |view, (response,): (Outgoing,)| {
        let headers = view.table.get(&response)?.headers.clone();
        Ok(view.table.push(headers)?)
    })?;
    types.func("[method]outgoing-response.body", |view, (response,): (Outgoing,)| {
        let of = view.table.get(&response)?;
        if !matches!(of.body, OutgoingBodyState::None) {
            return Ok(Err(()));
        }
        let headers = of.headers.clone();
        let Some((body, state)) = open_body(view, Message::Response, &headers)? else { return Ok(Err(())) };
        view.table.get_mut(&response)?.body = state;
        Ok(Ok(view.table.push(body)?))
    })?;

    types.resource::<ResponseOutparam>("response-outparam")?;
    types.action(
        "[static]response-outparam.set",
        |view, (outparam, response): (Resource<ResponseOutparam>, Result<Outgoing, ErrorCode>)| {
            let response = match response {
                Ok(response) => Ok(view.table.delete(response)?),
                Err(code) => Err(code),
            };
            view.table.delete(outparam)?.set(response);
            Ok(())
        },
    )?;
    types.func(
        "[method]response-outparam.send-informational",
        |view, (_, status, headers): (Resource<ResponseOutparam>, u16, Resource<Fields>)| {
            view.table.delete(headers)?;
            Ok(Err::<(), _>(match status {
                100..200 => ErrorCode::internal("responses of status 1xx are not supported"),
                _ => ErrorCode::HttpProtocolError,
            }))
        },
    )
}

fn add_incoming<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<IncomingResponse>("incoming-response")?;
    types.func("[method]incoming-response.status", |view, (response,): (Incoming,)| {
        Ok(view.table.get(&response)?.status)
    })?;
    types.func("[method]incoming-response.headers", |view, (response,): (Incoming,)| {
        let headers = view.table.get(&response)?.headers.clone();
        Ok(view.table.push(headers)?)
    })?;
    types.func("[method]incoming-response.consume", |view, (response,): (Incoming,)| {
        let Some(body) = view.table.get_mut(&response)?.body.take() else { return Ok(Err(())) };
        Ok(Ok(view.table.push(body)?))
    })?;

    types.resource::<FutureIncomingResponse>("future-incoming-response")?;
    types.func(
        "[method]future-incoming-response.subscribe",
        |view, (future,): (Resource<FutureIncomingResponse>,)| subscribe(view.table, &future),
    )?;
    types.func(
        "[method]future-incoming-response.get",
        |view, (future,): (Resource<FutureIncomingResponse>,)| {
            let received = match view.table.get_mut(&future)?.take() {
                None => return Ok(None),
                Some(Err(())) => return Ok(Some(Err(()))),
                Some(Ok(Err(code))) => return Ok(Some(Ok(Err(code)))),
                Some(Ok(Ok(received))) => received,
            };
            let headers = view.received(&received.parts.headers)?;
            let status = received.parts.status.as_u16();
            let response = IncomingResponse { status, headers, body: Some(received.body) };
            Ok(Some(Ok(Ok(view.table.push(response)?))))
        },
    )
}

pub(super) fn add<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    add_outgoing(types)?;
    add_incoming(types)
}
