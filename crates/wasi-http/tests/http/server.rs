//! Servers on a thread of the test, which say exactly what the test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A request as it was received.
pub(crate) struct Request {
    /// The first line and the headers.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl BufRead) -> Option<Self> {
        let head: Vec<String> = lines(from);
        head.first()?;
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
        let mut body = Vec::new();
        if let Some(length) = header("content-length: ") {
            from.take(length.parse().unwrap()).read_to_end(&mut body).unwrap();
        } else if header("transfer-encoding: chunked").is_some() {
            loop {
                let mut size = String::new();
                from.read_line(&mut size).unwrap();
                let Ok(size) = u64::from_str_radix(size.trim(), 16) else { return None };
                from.take(size).read_to_end(&mut body).unwrap();
                // The end of the chunk, or the trailers.
                lines(from);
                if size == 0 {
                    break;
                }
            }
        }
        Some(Self { head, body })
    }
}

/// Reads lines up to an empty one.
fn lines(from: &mut impl BufRead) -> Vec<String> {
    let lines = from.lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect()
}

/// Starts a server that answers each connection with `answer`. Returns its address.
pub(crate) fn serve(answer: impl Fn(Request, &mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = Request::read(&mut BufReader::new(stream.try_clone().unwrap()));
            if let Some(request) = request {
                answer(request, &mut stream);
            }
        }
    });
    address
}

/// Writes a response with this head and body. The other side may be gone.
pub(crate) fn respond(to: &mut TcpStream, head: &str, body: &str) {
    let _ = write!(to, "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}
