//! `wasi:http/outgoing-handler`: sends requests.

use super::interface::Interface;
use crate::ctx::WasiHttpCtxView;
use crate::future_response::FutureIncomingResponse;
use crate::incoming_body::Receiving;
use crate::messages::{OutgoingRequest, ToSend};
use crate::outgoing_body::Message;
use crate::request_options::RequestOptions;
use crate::types::ErrorCode;
use belljar::Result;
use belljar::component::Resource;

fn send(
    view: &mut WasiHttpCtxView<'_>,
    request: OutgoingRequest,
    options: RequestOptions,
) -> Result<FutureIncomingResponse, ErrorCode> {
    let ToSend { request, destination, charge } = request.into_request(view.hooks)?;
    view.ctx.check(&destination)?;
    let charge = match charge {
        Some(charge) => charge,
        None => view.ctx.begin_request()?,
    };
    let options = options.or(view.ctx.default_options());
    let how =
        Receiving { between_bytes: options.between_bytes_timeout(), ..view.receiving(Message::Response) };
    let response = view.hooks.send_request(request, options, view.ctx.network().clone());
    FutureIncomingResponse::start(response, how, view.ctx.fields().size, charge)
}

pub(super) fn add<T: 'static>(handler: &mut Interface<'_, T>) -> Result<()> {
    handler.func(
        "handle",
        |view, (request, options): (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>)| {
            let request = view.table.delete(request)?;
            let options = options.map(|options| view.table.delete(options)).transpose()?;
            Ok(match send(view, request, options.unwrap_or_default()) {
                Ok(future) => Ok(view.table.push(future)?),
                Err(code) => Err(code),
            })
        },
    )
}
