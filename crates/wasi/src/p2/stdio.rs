//! The embedder's streams, as a guest's standard streams.

use super::poll::Pollable;
use super::streams::{InputStream, OutputStream, StreamError, StreamResult};
use crate::stream::{InputStream as HostInput, OutputStream as HostOutput};
use crate::wait::{Event, is_readable, is_writable};
use bytes::Bytes;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::sync::Arc;

/// How many bytes a guest may read, or write, at once.
const CHUNK: usize = 64 << 10;

/// How many bytes a pipe takes without blocking, when it takes any: `PIPE_BUF` of POSIX, as Linux has it.
const NEVER_BLOCKS: usize = 4096;

/// Standard input.
pub(super) struct StandardInput(pub(super) Arc<dyn HostInput>);

impl Pollable for StandardInput {
    fn ready(&self) -> Event<'_> {
        self.0.poll_fd().map_or(Event::Now, Event::Readable)
    }
}

impl InputStream for StandardInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 || self.0.poll_fd().is_some_and(|fd| !is_readable(fd)) {
            return Ok(Bytes::new());
        }
        let mut bytes = vec![0; size.min(CHUNK)];
        match self.0.read(&mut [IoSliceMut::new(&mut bytes)]) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                // The embedder's stream may return any number.
                bytes.truncate(count);
                Ok(bytes.into())
            }
            Err(error) if will_try_again(&error) => Ok(Bytes::new()),
            Err(error) => Err(error.into()),
        }
    }
}

fn will_try_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

/// Standard output or error. What the host's stream does not take at once waits here.
pub(super) struct StandardOutput {
    stream: Arc<dyn HostOutput>,
    waiting: Bytes,
}

impl StandardOutput {
    pub(super) fn new(stream: Arc<dyn HostOutput>) -> Self {
        Self { stream, waiting: Bytes::new() }
    }

    /// Passes on what waits, as far as the host takes it without blocking.
    fn pass_on(&mut self) -> StreamResult<()> {
        while !self.waiting.is_empty() {
            let piece = match self.stream.poll_fd() {
                Some(fd) if !is_writable(fd) => return Ok(()),
                Some(_) => &self.waiting[..self.waiting.len().min(NEVER_BLOCKS)],
                None => &self.waiting[..],
            };
            match self.stream.write(&[IoSlice::new(piece)]) {
                Ok(0) => return Err(StreamError::Closed),
                Ok(count) => drop(self.waiting.split_to(count.min(self.waiting.len()))),
                Err(error) if will_try_again(&error) => return Ok(()),
                Err(error) => {
                    self.waiting.clear();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

impl Pollable for StandardOutput {
    fn ready(&self) -> Event<'_> {
        self.stream.poll_fd().map_or(Event::Now, Event::Writable)
    }
}

impl OutputStream for StandardOutput {
    fn check_write(&mut self) -> StreamResult<usize> {
        self.pass_on()?;
        let is_ready = self.waiting.is_empty() && self.stream.poll_fd().is_none_or(is_writable);
        Ok(if is_ready { CHUNK } else { 0 })
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.waiting = bytes;
        self.pass_on()
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.pass_on()
    }
}
