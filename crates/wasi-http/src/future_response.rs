//! The response to a request that was sent, once there is one.

use crate::budget::Charge;
use crate::error;
use crate::fields::section_size;
use crate::incoming_body::{IncomingBody, Receiving};
use crate::network::ResponseFuture;
use crate::runtime::Task;
use crate::types::ErrorCode;
use crate::watched::{State, Watched};
use belljar_wasi::p2::{Event, Pollable};
use http::response::Parts;
use std::sync::Arc;

/// A response whose status and headers were received.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) body: IncomingBody,
}

enum Progress {
    Waiting,
    Done(Box<Result<Received, ErrorCode>>),
    Taken,
}

impl State for Progress {
    fn is_ready(&self) -> bool {
        !matches!(self, Self::Waiting)
    }
}

/// A resource `future-incoming-response`. If it is dropped before there is a response, the request is given up.
pub struct FutureIncomingResponse {
    progress: Arc<Watched<Progress>>,
    _task: Task,
}

/// Ends the wait, also where the future is ended by a panic of hooks that are the embedder's.
struct Ending(Arc<Watched<Progress>>);

impl Ending {
    fn end(&self, result: Result<Received, ErrorCode>) {
        self.0.update(|progress| {
            if let Progress::Waiting = progress {
                *progress = Progress::Done(Box::new(result));
            }
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Err(ErrorCode::internal("the request was given up")));
    }
}

impl FutureIncomingResponse {
    /// Begins to wait for a response.
    pub(crate) fn start(
        response: ResponseFuture,
        how: Receiving,
        max_headers: usize,
        request: Arc<Charge>,
    ) -> Result<Self, ErrorCode> {
        let progress = Watched::new(Progress::Waiting).map_err(|error| error::of_host(&error))?;
        let progress = Arc::new(progress);
        let ending = Ending(progress.clone());
        let task = Task::start(async move {
            ending.end(match response.await {
                Ok(response) => receive(response, how, max_headers, request),
                Err(code) => Err(code),
            });
        });
        Ok(Self { progress, _task: task.map_err(|error| error::of_host(&error))? })
    }

    /// Returns the response once it is there: `Some(Err(()))` if the guest has it already.
    pub(crate) fn take(&mut self) -> Option<Result<Result<Received, ErrorCode>, ()>> {
        self.progress.update(|progress| match progress {
            Progress::Waiting => None,
            Progress::Taken => Some(Err(())),
            Progress::Done(_) => match std::mem::replace(progress, Progress::Taken) {
                Progress::Done(result) => Some(Ok(*result)),
                _ => Some(Err(())),
            },
        })
    }
}

fn receive(
    response: http::Response<crate::WasiBody>,
    how: Receiving,
    max_headers: usize,
    request: Arc<Charge>,
) -> Result<Received, ErrorCode> {
    let (parts, body) = response.into_parts();
    let size = section_size(&parts.headers);
    if size > max_headers {
        return Err(ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(size).ok()));
    }
    Ok(Received { parts, body: IncomingBody::new(body, how, Some(request))? })
}

impl Pollable for FutureIncomingResponse {
    fn ready(&self) -> Event<'_> {
        self.progress.event()
    }
}
