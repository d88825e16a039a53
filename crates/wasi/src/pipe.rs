//! Streams in the host's memory: input provided in advance, output captured.

use bytes::{Bytes, BytesMut};
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::stream::{InputStream, OutputStream};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An input stream that returns bytes provided in advance, then ends. Clones share the position.
#[derive(Debug, Clone)]
pub struct MemoryInputPipe {
    bytes: Arc<[u8]>,
    position: Arc<Mutex<usize>>,
}

impl MemoryInputPipe {
    /// Creates a stream of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> MemoryInputPipe {
        MemoryInputPipe { bytes: bytes.as_ref().into(), position: Arc::default() }
    }

    /// Returns whether the guest has read everything.
    pub fn is_empty(&self) -> bool {
        self.available() == 0
    }
}

impl InputStream for MemoryInputPipe {
    fn read(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut position = lock(&self.position);
        let start = *position;
        for buffer in buffers {
            let rest = &self.bytes[*position..];
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            *position += len;
        }
        Ok(*position - start)
    }

    fn available(&self) -> u64 {
        (self.bytes.len() - *lock(&self.position)) as u64
    }
}

/// An output stream that captures output, up to a limit. Clones share the contents.
///
/// ```
/// use belljar_wasi::{MemoryOutputPipe, WasiCtxBuilder};
///
/// let stdout = MemoryOutputPipe::new(4096);
/// let ctx = WasiCtxBuilder::new().stdout(stdout.clone()).build();
/// // ... run the guest ...
/// assert!(stdout.contents().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct MemoryOutputPipe {
    capacity: usize,
    bytes: Arc<Mutex<BytesMut>>,
}

impl MemoryOutputPipe {
    /// Creates a stream that keeps at most `capacity` bytes; writing more fails with "no space left".
    pub fn new(capacity: usize) -> MemoryOutputPipe {
        MemoryOutputPipe { capacity, bytes: Arc::default() }
    }

    /// Returns a copy of everything written so far.
    pub fn contents(&self) -> Bytes {
        Bytes::copy_from_slice(&lock(&self.bytes))
    }

    /// Returns everything written so far if no other clone is left (the context is gone), else `None`.
    pub fn try_into_inner(self) -> Option<BytesMut> {
        Arc::into_inner(self.bytes).map(|bytes| bytes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputStream for MemoryOutputPipe {
    fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = lock(&self.bytes);
        let start = bytes.len();
        for buffer in buffers {
            let room = self.capacity.saturating_sub(bytes.len());
            bytes.extend_from_slice(&buffer[..buffer.len().min(room)]);
        }
        let written = bytes.len() - start;
        if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            return Err(Errno::NOSPC.into());
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_stops_at_its_capacity() {
        let pipe = MemoryOutputPipe::new(5);
        assert_eq!(pipe.write(&[IoSlice::new(b"abc"), IoSlice::new(b"defg")]).unwrap(), 5);
        assert_eq!(pipe.write(&[IoSlice::new(b"")]).unwrap(), 0);
        assert!(pipe.write(&[IoSlice::new(b"h")]).is_err());
        assert_eq!(pipe.contents(), &b"abcde"[..]);
        assert_eq!(pipe.try_into_inner(), Some(BytesMut::from("abcde")));
    }

    #[test]
    fn input_ends() {
        let pipe = MemoryInputPipe::new("hello");
        let (mut a, mut b) = ([0; 2], [0; 9]);
        let read = pipe.read(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]);
        assert_eq!(read.unwrap(), 5);
        assert_eq!((&a, &b[..3]), (b"he", &b"llo"[..]));
        assert_eq!(pipe.read(&mut [IoSliceMut::new(&mut a)]).unwrap(), 0);
        assert!(pipe.is_empty());
    }
}
