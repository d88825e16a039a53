//! Bodies that a guest reads: of responses to its requests, and of requests that it got.
//!
//! A task, the pump, takes frames from the network and puts them into a buffer, from which the guest reads:
//!
//! ```text
//! network ─▶ WasiBody ─ pump ─▶ Buffer ─▶ input-stream
//!                                   └───▶ future-trailers
//! ```
//!
//! Never: more in the buffer than [`ROOM`] bytes and a frame. A guest that does not read makes the other side wait.

use crate::budget::Charge;
use crate::fields::section_size;
use crate::outgoing_body::Message;
use crate::runtime::Task;
use crate::types::ErrorCode;
use crate::watched::{State, Watched};
use crate::{WasiBody, error};
use belljar_wasi::p2::{Event, InputStream, IoError, Pollable, StreamError, StreamResult};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How many bytes wait to be read, before the pump waits.
pub(crate) const ROOM: usize = 64 << 10;

/// What a frame in the buffer costs beside its bytes.
const FRAME_OVERHEAD: usize = 64;

type Trailers = Result<Option<HeaderMap>, ErrorCode>;

#[derive(Default)]
struct Buffer {
    frames: VecDeque<Bytes>,
    /// The size of the frames, with their overhead.
    size: usize,
    end: Option<Trailers>,
    /// Whether the guest knows of the error that the body ends with.
    is_error_known: bool,
    /// Whether the guest reads no more, and waits for the trailers.
    discards: bool,
    /// The pump if it waits for room, and whether it can go on.
    pump: Option<Waker>,
    is_pump_woken: bool,
    /// The body at its end. It holds the connection, on which the request's body may still be sent.
    done: Option<WasiBody>,
}

impl State for Buffer {
    fn is_ready(&self) -> bool {
        self.end.is_some() || (!self.discards && !self.frames.is_empty())
    }

    fn take_woken(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.is_pump_woken) { self.pump.take() } else { None }
    }
}

impl Buffer {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.size < ROOM {
            return Poll::Ready(());
        }
        self.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    fn push(&mut self, frame: Bytes) {
        if !self.discards && !frame.is_empty() {
            self.size += frame.len() + FRAME_OVERHEAD;
            self.frames.push_back(frame);
        }
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.frames.is_empty() {
            return match &self.end {
                None => Ok(Bytes::new()),
                Some(Err(code)) if !self.is_error_known => {
                    self.is_error_known = true;
                    Err(StreamError::LastOperationFailed(IoError::new(code.clone())))
                }
                Some(_) => Err(StreamError::Closed),
            };
        }
        let read = match self.frames.len() {
            1 => self.take(size),
            _ => {
                let mut read = BytesMut::new();
                while read.len() < size && !self.frames.is_empty() {
                    read.extend_from_slice(&self.take(size - read.len()));
                }
                read.freeze()
            }
        };
        // Not at once: the pump is to work on more than the few bytes that a guest may have taken.
        self.is_pump_woken = self.size <= ROOM / 2;
        Ok(read)
    }

    /// Takes bytes of the first frame.
    fn take(&mut self, size: usize) -> Bytes {
        let Some(frame) = self.frames.front_mut() else { return Bytes::new() };
        let taken = frame.split_to(size.min(frame.len()));
        self.size -= taken.len();
        if frame.is_empty() {
            self.frames.pop_front();
            self.size -= FRAME_OVERHEAD;
        }
        taken
    }

    fn discard(&mut self) {
        self.discards = true;
        self.frames.clear();
        self.size = 0;
        self.is_pump_woken = true;
    }
}

/// What a body's resources share. The pump ends with the last of them.
struct Source {
    buffer: Arc<Watched<Buffer>>,
    _pump: Option<Task>,
    /// What of the guest's budget of requests it takes.
    _request: Option<Arc<Charge>>,
}

/// How a body is received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiving {
    /// Whose body it is.
    pub(crate) message: Message,
    /// How long the next bytes may take.
    pub(crate) between_bytes: Duration,
    /// The largest size of the trailers.
    pub(crate) max_trailers: usize,
}

impl Receiving {
    async fn frame(self, body: &mut WasiBody) -> Option<Result<Frame<Bytes>, ErrorCode>> {
        let in_time = tokio::time::timeout(self.between_bytes, body.frame()).await;
        in_time.unwrap_or(Some(Err(ErrorCode::ConnectionReadTimeout)))
    }

    fn check_trailers(self, trailers: HeaderMap) -> Trailers {
        let size = section_size(&trailers);
        if size <= self.max_trailers {
            return Ok(Some(trailers));
        }
        let size = u32::try_from(size).ok();
        Err(match self.message {
            Message::Request => ErrorCode::HttpRequestTrailerSectionSize(size),
            Message::Response => ErrorCode::HttpResponseTrailerSectionSize(size),
        })
    }

    /// Takes everything from a body into a buffer.
    async fn pump(self, mut body: WasiBody, into: &Watched<Buffer>) -> (Trailers, Option<WasiBody>) {
        loop {
            poll_fn(|cx| into.update(|buffer| buffer.poll_room(cx))).await;
            match self.frame(&mut body).await {
                None => return (Ok(None), Some(body)),
                Some(Err(code)) => return (Err(code), None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => into.update(|buffer| buffer.push(bytes)),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return (self.check_trailers(trailers), Some(body));
                    }
                },
            }
        }
    }
}

/// Ends a body, also where the pump is ended by a panic of a body that is the embedder's.
struct Ending(Arc<Watched<Buffer>>);

impl Ending {
    fn end(&self, end: Trailers, done: Option<WasiBody>) {
        self.0.update(|buffer| {
            if buffer.end.is_none() {
                (buffer.end, buffer.done) = (Some(end), done);
            }
        });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Err(ErrorCode::internal("the body was given up")), None);
    }
}

/// A resource `incoming-body`.
pub struct IncomingBody {
    source: Arc<Source>,
    has_stream: bool,
}

impl IncomingBody {
    /// Begins to receive a body.
    pub(crate) fn new(
        body: WasiBody,
        how: Receiving,
        request: Option<Arc<Charge>>,
    ) -> Result<Self, ErrorCode> {
        let buffer = Watched::new(Buffer::default()).map_err(|error| error::of_host(&error))?;
        let buffer = Arc::new(buffer);
        let ending = Ending(buffer.clone());
        let pump = Task::start(async move {
            let (end, done) = how.pump(body, &ending.0).await;
            ending.end(end, done);
        });
        let pump = Some(pump.map_err(|error| error::of_host(&error))?);
        let source = Arc::new(Source { buffer, _pump: pump, _request: request });
        Ok(Self { source, has_stream: false })
    }

    /// Returns the stream from which it is read; `None` if the guest has it already.
    pub(crate) fn take_stream(&mut self) -> Option<IncomingBodyStream> {
        if std::mem::replace(&mut self.has_stream, true) {
            return None;
        }
        Some(IncomingBodyStream(self.source.clone()))
    }

    /// Discards the rest, and waits for the trailers.
    pub(crate) fn finish(self) -> FutureTrailers {
        self.source.buffer.update(Buffer::discard);
        FutureTrailers { source: self.source, is_taken: false }
    }
}

/// The `input-stream` of an `incoming-body`.
pub(crate) struct IncomingBodyStream(Arc<Source>);

impl Pollable for IncomingBodyStream {
    fn ready(&self) -> Event<'_> {
        self.0.buffer.event()
    }
}

impl InputStream for IncomingBodyStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.buffer.update(|buffer| buffer.read(size))
    }
}

/// A resource `future-trailers`.
pub struct FutureTrailers {
    source: Arc<Source>,
    is_taken: bool,
}

impl FutureTrailers {
    /// Returns the trailers once they are there: `Some(Err(()))` if the guest has them already.
    pub(crate) fn take(&mut self) -> Option<Result<Trailers, ()>> {
        if self.is_taken {
            return Some(Err(()));
        }
        let trailers = self.source.buffer.update(|buffer| buffer.end.clone())?;
        self.is_taken = true;
        Some(Ok(trailers))
    }
}

impl Pollable for FutureTrailers {
    fn ready(&self) -> Event<'_> {
        self.source.buffer.event()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Empty, Full};
    use rustix::event::{PollFd, PollFlags, poll};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    const HOW: Receiving =
        Receiving { message: Message::Response, between_bytes: Duration::from_secs(600), max_trailers: 100 };

    /// A body of these frames.
    struct Frames<I>(I);

    impl<I: Iterator<Item = Result<Frame<Bytes>, ErrorCode>> + Unpin> http_body::Body for Frames<I> {
        type Data = Bytes;
        type Error = ErrorCode;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
            Poll::Ready(self.0.next())
        }
    }

    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = ErrorCode;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
            Poll::Pending
        }
    }

    fn body(
        frames: impl Iterator<Item = Result<Frame<Bytes>, ErrorCode>> + Send + Unpin + 'static,
    ) -> IncomingBody {
        IncomingBody::new(Frames(frames).boxed_unsync(), HOW, None).unwrap()
    }

    fn wait(what: &impl Pollable) {
        if let Event::Readable(fd) = what.ready() {
            poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], None).unwrap();
        }
    }

    /// Reads up to the end, or the error.
    fn read_all(stream: &mut IncomingBodyStream) -> (Vec<u8>, Option<ErrorCode>) {
        let mut all = Vec::new();
        loop {
            wait(stream);
            match stream.read(7) {
                Ok(bytes) => all.extend(bytes),
                Err(StreamError::Closed) => return (all, None),
                Err(StreamError::LastOperationFailed(error)) => {
                    assert!(matches!(stream.read(1), Err(StreamError::Closed)));
                    return (all, error.downcast_ref().cloned());
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn trailers(body: IncomingBody) -> Trailers {
        let mut future = body.finish();
        wait(&future);
        let trailers = future.take().unwrap().unwrap();
        assert!(matches!(future.take(), Some(Err(()))));
        trailers
    }

    #[test]
    fn a_body_is_read_up_to_its_trailers() {
        let mut map = HeaderMap::new();
        map.insert("a", http::HeaderValue::from_static("b"));
        let frames = [Frame::data("bell ".into()), Frame::data("jar".into()), Frame::trailers(map.clone())];
        let mut body = body(frames.into_iter().map(Ok));
        let mut stream = body.take_stream().unwrap();
        assert!(body.take_stream().is_none());
        assert_eq!(read_all(&mut stream), (b"bell jar".to_vec(), None));
        drop(stream);
        assert_eq!(trailers(body), Ok(Some(map)));

        let empty = Empty::<Bytes>::new().map_err(ErrorCode::from).boxed_unsync();
        assert_eq!(trailers(IncomingBody::new(empty, HOW, None).unwrap()), Ok(None));
    }

    #[test]
    fn what_is_not_read_is_not_received() {
        let taken = Arc::new(AtomicUsize::new(0));
        let of_body = taken.clone();
        let frames = std::iter::from_fn(move || {
            (of_body.fetch_add(1, SeqCst) < 1000).then(|| Ok(Frame::data(vec![1; 4096].into())))
        });
        let mut body = body(frames);
        let mut stream = body.take_stream().unwrap();
        wait(&stream);
        std::thread::sleep(Duration::from_millis(50));
        let before = taken.load(SeqCst);
        assert!(before <= ROOM / 4096 + 1, "{before}");
        let mut count = 0;
        while count < 100 * 4096 {
            wait(&stream);
            count += stream.read(usize::MAX).unwrap().len();
        }
        drop(stream);
        // The rest is discarded without anybody to read it.
        assert_eq!(trailers(body), Ok(None));
        assert_eq!(taken.load(SeqCst), 1001);
    }

    #[test]
    fn errors_come_after_what_was_received() {
        let frames = [Ok(Frame::data("bell".into())), Err(ErrorCode::HttpResponseIncomplete)];
        let mut body = body(frames.into_iter());
        let mut stream = body.take_stream().unwrap();
        assert_eq!(read_all(&mut stream), (b"bell".to_vec(), Some(ErrorCode::HttpResponseIncomplete)));
        drop(stream);
        assert_eq!(trailers(body), Err(ErrorCode::HttpResponseIncomplete));
    }

    #[test]
    fn trailers_and_times_are_limited() {
        let mut map = HeaderMap::new();
        map.insert("a", http::HeaderValue::from_bytes(&[b'x'; 100]).unwrap());
        let large = body([Ok(Frame::trailers(map))].into_iter());
        assert_eq!(trailers(large), Err(ErrorCode::HttpResponseTrailerSectionSize(Some(133))));

        let never = Never.boxed_unsync();
        let soon = Receiving { between_bytes: Duration::from_millis(1), ..HOW };
        let late = IncomingBody::new(never, soon, None).unwrap();
        assert_eq!(trailers(late), Err(ErrorCode::ConnectionReadTimeout));
    }

    #[test]
    fn a_panic_of_the_embedders_body_ends_it() {
        let frames = std::iter::from_fn(|| panic!("as a test"));
        assert_eq!(trailers(body(frames)), Err(ErrorCode::internal("the body was given up")));
        let full = Full::new(Bytes::from_static(b"other bodies go on")).map_err(ErrorCode::from);
        assert_eq!(trailers(IncomingBody::new(full.boxed_unsync(), HOW, None).unwrap()), Ok(None));
    }
}
