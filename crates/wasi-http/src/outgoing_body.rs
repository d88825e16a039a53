//! Bodies that a guest writes: of requests that it sends, and of responses to requests that it got.
//!
//! In: bytes, as far as there is room, and the end. Out: a [`WasiBody`] that is sent. Never: more than [`ROOM`] bytes at once;
//! more or fewer bytes than `content-length` says; an end where the guest has not written one: then the message is aborted.

use crate::WasiBody;
use crate::budget::Charge;
use crate::types::ErrorCode;
use crate::watched::{State, Watched};
use belljar_wasi::p2::{Event, IoError, OutputStream, Pollable, StreamError, StreamResult};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// How many bytes wait to be sent at most.
pub(crate) const ROOM: usize = 64 << 10;

/// Whose body it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    Request,
    Response,
}

impl Message {
    /// Returns the error that a body has another size than its header says.
    fn wrong_size(self, size: u64) -> ErrorCode {
        match self {
            Self::Request => ErrorCode::HttpRequestBodySize(Some(size)),
            Self::Response => ErrorCode::HttpResponseBodySize(Some(size)),
        }
    }
}

/// What lies between the guest and whoever sends the body.
struct Pipe {
    waiting: BytesMut,
    /// How many bytes the guest has written.
    written: u64,
    /// How many bytes were taken to be sent.
    taken: u64,
    /// How many bytes `content-length` says.
    expected: Option<u64>,
    end: Option<End>,
    /// Whether the guest knows of the error that the body ends with.
    is_error_known: bool,
    reader_is_gone: bool,
    /// The task that waits for bytes, and whether it can go on.
    reader: Option<Waker>,
    is_reader_woken: bool,
}

enum End {
    Finished(Option<HeaderMap>),
    Aborted(ErrorCode),
}

impl State for Pipe {
    fn is_ready(&self) -> bool {
        self.reader_is_gone || self.end.is_some() || self.waiting.len() < ROOM
    }

    fn take_woken(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.is_reader_woken) { self.reader.take() } else { None }
    }
}

impl Pipe {
    fn new(expected: Option<u64>, end: Option<End>) -> Self {
        Self {
            waiting: BytesMut::new(),
            written: 0,
            taken: 0,
            expected,
            end,
            is_error_known: false,
            reader_is_gone: false,
            reader: None,
            is_reader_woken: false,
        }
    }

    fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.is_reader_woken = true;
    }

    /// Returns how many bytes the guest may write.
    fn room(&mut self) -> StreamResult<usize> {
        match &self.end {
            Some(End::Aborted(code)) if !self.is_error_known => {
                self.is_error_known = true;
                Err(failed(code.clone()))
            }
            None if !self.reader_is_gone => Ok(ROOM.saturating_sub(self.waiting.len())),
            _ => Err(StreamError::Closed),
        }
    }

    fn write(&mut self, message: Message, bytes: &[u8]) -> StreamResult<()> {
        self.room()?;
        let written = self.written.saturating_add(bytes.len() as u64);
        if self.expected.is_some_and(|expected| written > expected) {
            self.finish(End::Aborted(message.wrong_size(written)));
            return self.room().map(drop);
        }
        self.written = written;
        self.waiting.extend_from_slice(bytes);
        self.is_reader_woken = true;
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match &mut self.end {
            Some(End::Aborted(code)) => Poll::Ready(Some(Err(code.clone()))),
            _ if !self.waiting.is_empty() => {
                let bytes = std::mem::take(&mut self.waiting).freeze();
                self.taken += bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(End::Finished(trailers)) => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            None => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn failed(code: ErrorCode) -> StreamError {
    StreamError::LastOperationFailed(IoError::new(code))
}

/// A resource `outgoing-body`. If it is dropped before it is finished, the message is aborted.
pub struct OutgoingBody {
    pipe: Arc<Watched<Pipe>>,
    message: Message,
    has_stream: bool,
    /// What of the guest's budget of requests it takes, while it belongs to one.
    _request: Option<Arc<Charge>>,
}

impl OutgoingBody {
    /// Creates a body, and what is sent.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has no descriptor left.
    pub(crate) fn new(
        message: Message,
        expected: Option<u64>,
        request: Option<Arc<Charge>>,
    ) -> io::Result<(Self, WasiBody)> {
        let pipe = Arc::new(Watched::new(Pipe::new(expected, None))?);
        let reader = Reader(pipe.clone()).boxed_unsync();
        Ok((Self { pipe, message, has_stream: false, _request: request }, reader))
    }

    /// Creates a body that takes nothing, because the request will fail.
    pub(crate) fn refused(message: Message, code: ErrorCode) -> Self {
        let pipe = Arc::new(Watched::always_ready(Pipe::new(None, Some(End::Aborted(code)))));
        Self { pipe, message, has_stream: false, _request: None }
    }

    /// Returns the stream on which it is written; `None` if the guest has it already.
    pub(crate) fn take_stream(&mut self) -> Option<OutgoingBodyStream> {
        if std::mem::replace(&mut self.has_stream, true) {
            return None;
        }
        Some(OutgoingBodyStream { pipe: self.pipe.clone(), message: self.message })
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// Returns an error, and aborts the message, if it has another size than `content-length` says.
    pub(crate) fn finish(self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        self.pipe.update(|pipe| {
            if let Some(End::Aborted(code)) = &pipe.end {
                return Err(code.clone());
            }
            match pipe.expected {
                Some(expected) if expected != pipe.written => {
                    let code = self.message.wrong_size(pipe.written);
                    pipe.finish(End::Aborted(code.clone()));
                    Err(code)
                }
                _ => {
                    pipe.finish(End::Finished(trailers));
                    Ok(())
                }
            }
        })
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.pipe.update(|pipe| pipe.finish(End::Aborted(ErrorCode::HttpProtocolError)));
    }
}

/// The `output-stream` of an `outgoing-body`.
pub(crate) struct OutgoingBodyStream {
    pipe: Arc<Watched<Pipe>>,
    message: Message,
}

impl Pollable for OutgoingBodyStream {
    fn ready(&self) -> Event<'_> {
        self.pipe.event()
    }
}

impl OutputStream for OutgoingBodyStream {
    fn check_write(&mut self) -> StreamResult<usize> {
        self.pipe.update(Pipe::room)
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.pipe.update(|pipe| pipe.write(self.message, &bytes))
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What was written is on its way. Waiting until it is sent would block a guest that has not sent its request yet.
        self.check_write().map(drop)
    }
}

/// What is sent.
struct Reader(Arc<Watched<Pipe>>);

impl Body for Reader {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.0.update(|pipe| pipe.poll(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.update(|pipe| pipe.waiting.is_empty() && matches!(pipe.end, Some(End::Finished(None))))
    }

    fn size_hint(&self) -> SizeHint {
        self.0.update(|pipe| match (pipe.expected, &pipe.end) {
            (Some(expected), _) => SizeHint::with_exact(expected.saturating_sub(pipe.taken)),
            (None, Some(End::Finished(None))) => SizeHint::with_exact(pipe.waiting.len() as u64),
            _ => SizeHint::default(),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.update(|pipe| {
            pipe.reader_is_gone = true;
            pipe.waiting = BytesMut::new();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Collected;

    fn body(expected: Option<u64>) -> (OutgoingBody, OutgoingBodyStream, WasiBody) {
        let (mut body, sent) = OutgoingBody::new(Message::Request, expected, None).unwrap();
        let stream = body.take_stream().unwrap();
        assert!(body.take_stream().is_none());
        (body, stream, sent)
    }

    fn collect(body: WasiBody) -> Result<Collected<Bytes>, ErrorCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(body.collect())
    }

    fn code(error: StreamError) -> Option<ErrorCode> {
        match error {
            StreamError::LastOperationFailed(error) => error.downcast_ref().cloned(),
            _ => None,
        }
    }

    #[test]
    fn what_is_written_is_sent_with_trailers() {
        let (body, mut stream, sent) = body(None);
        assert_eq!(stream.check_write().unwrap(), ROOM);
        stream.write(Bytes::from_static(b"bell ")).unwrap();
        stream.write(Bytes::from_static(b"jar")).unwrap();
        assert_eq!(stream.check_write().unwrap(), ROOM - 8);
        assert_eq!(sent.size_hint().exact(), None);
        let mut trailers = HeaderMap::new();
        trailers.insert("a", http::HeaderValue::from_static("b"));
        body.finish(Some(trailers)).unwrap();
        let sent = collect(sent).unwrap();
        assert_eq!(sent.trailers().unwrap()["a"], "b");
        assert_eq!(sent.to_bytes(), "bell jar");
        assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    }

    #[test]
    fn a_body_that_waits_takes_no_more_than_there_is_room_for() {
        let (body, mut stream, mut sent) = body(None);
        stream.write(vec![1; ROOM].into()).unwrap();
        assert_eq!(stream.check_write().unwrap(), 0);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut sent).poll_frame(&mut cx).is_ready());
        assert_eq!(stream.check_write().unwrap(), ROOM);
        assert!(Pin::new(&mut sent).poll_frame(&mut cx).is_pending());
        drop(sent);
        assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
        assert!(matches!(stream.write(Bytes::from_static(b"a")), Err(StreamError::Closed)));
        body.finish(None).unwrap();
    }

    #[test]
    fn sizes_are_those_of_the_header() {
        let (just_enough, mut stream, sent) = body(Some(3));
        assert_eq!(sent.size_hint().exact(), Some(3));
        stream.write(Bytes::from_static(b"abc")).unwrap();
        just_enough.finish(None).unwrap();
        assert_eq!(collect(sent).unwrap().to_bytes(), "abc");

        let (too_few, mut stream, sent) = body(Some(3));
        stream.write(Bytes::from_static(b"ab")).unwrap();
        let error = ErrorCode::HttpRequestBodySize(Some(2));
        assert_eq!(too_few.finish(None), Err(error.clone()));
        assert_eq!(collect(sent).err(), Some(error));

        let (too_many, mut stream, sent) = body(Some(3));
        stream.write(Bytes::from_static(b"ab")).unwrap();
        let error = ErrorCode::HttpRequestBodySize(Some(4));
        assert_eq!(code(stream.write(Bytes::from_static(b"cd")).unwrap_err()), Some(error.clone()));
        assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
        assert_eq!(too_many.finish(None), Err(error.clone()));
        assert_eq!(collect(sent).err(), Some(error));
    }

    #[test]
    fn a_body_without_an_end_is_aborted() {
        let (body, stream, sent) = body(None);
        drop((body, stream));
        assert_eq!(collect(sent).err(), Some(ErrorCode::HttpProtocolError));
        let mut refused = OutgoingBody::refused(Message::Request, ErrorCode::ConnectionLimitReached);
        let mut stream = refused.take_stream().unwrap();
        assert_eq!(code(stream.check_write().unwrap_err()), Some(ErrorCode::ConnectionLimitReached));
        assert_eq!(refused.finish(None), Err(ErrorCode::ConnectionLimitReached));
    }
}
