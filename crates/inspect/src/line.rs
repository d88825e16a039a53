//! Reading and writing one line of bytes over a socket, with bounds on length and time: a slow, silent or endless peer
//! cannot block the other side for longer.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Reads up to the first line end, which is not returned. Returns `None` if the peer sent nothing.
///
/// # Errors
///
/// Returns an error if the line is longer than `limit`, incomplete at `deadline`, or cut off.
pub(crate) fn read_line(
    mut stream: &UnixStream,
    limit: usize,
    deadline: Instant,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES.min(limit + 1)];
    loop {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        let read = match stream.read(&mut chunk) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line has no end")),
            Ok(n) => &chunk[..n],
            Err(error) if is_retryable(&error) => continue,
            Err(error) => return Err(error),
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        if line.len() > limit {
            let text = format!("expected a line of at most {limit} bytes, found a longer one");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// Writes a line, which must not contain a line end.
///
/// # Errors
///
/// Returns an error if the peer does not read it by the deadline.
pub(crate) fn write_line(stream: &UnixStream, line: &[u8], deadline: Instant) -> io::Result<()> {
    for mut rest in [line, b"\n"] {
        while !rest.is_empty() {
            stream.set_write_timeout(Some(time_left(deadline)?))?;
            // Without NOSIGNAL, the process could get a SIGPIPE that it handles or dies of.
            match send(stream, rest, SendFlags::NOSIGNAL).map_err(io::Error::from) {
                Ok(n) => rest = &rest[n..],
                Err(error) if is_retryable(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Returns whether the peer has closed the connection. A peer that only shut down its sending side has not.
pub(crate) fn has_hung_up(stream: &UnixStream) -> bool {
    let mut look = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec::default();
    poll(&mut look, Some(&now)).is_ok() && look[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Returns whether a call was interrupted or timed out, so that the deadline decides.
fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_line_arrives_and_ends_the_reading() {
        let (one, other) = UnixStream::pair().unwrap();
        write_line(&one, b"hello", later()).unwrap();
        assert_eq!(read_line(&other, 5, later()).unwrap().unwrap(), b"hello");
        write_line(&one, b"", later()).unwrap();
        assert_eq!(read_line(&other, 5, later()).unwrap().unwrap(), b"");
    }

    #[test]
    fn long_slow_and_broken_lines_are_errors() {
        let kind = |written: &[u8], close: bool| {
            let (mut one, other) = UnixStream::pair().unwrap();
            one.write_all(written).unwrap();
            let _open = (!close).then_some(one);
            read_line(&other, 4, soon()).map_err(|error| error.kind())
        };
        assert_eq!(kind(b"12345\n", false), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(b"123456789", false), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(b"123", false), Err(io::ErrorKind::TimedOut));
        assert_eq!(kind(b"", false), Err(io::ErrorKind::TimedOut));
        assert_eq!(kind(b"123", true), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(b"", true), Ok(None));
    }

    #[test]
    fn whoever_does_not_read_is_given_up() {
        let (one, other) = UnixStream::pair().unwrap();
        let large = vec![b'x'; 16 << 20];
        assert_eq!(write_line(&one, &large, soon()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!has_hung_up(&one));
        drop(other);
        assert!(has_hung_up(&one));
        assert_eq!(write_line(&one, b"x", later()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_side_that_only_listens_is_still_there() {
        let (one, other) = UnixStream::pair().unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(!has_hung_up(&one));
    }
}
