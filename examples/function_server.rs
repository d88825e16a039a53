//! A function server: each HTTP request is a call of a guest in a clean sandbox of a pool. Without arguments it sends itself a
//! few requests and ends; with an address it serves until it is stopped.
//!
//! `cargo run -p belljar-examples --example function_server [127.0.0.1:8080]`

use belljar::{
    Burst, Engine, GuestAlloc, Killed, Limits, Linker, Module, PoolConfig, PoolExhausted, Result,
    SandboxPool, SandboxTemplate,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Reverses the letters of its request, and counts requests: in its sandbox each is the first.
const FUNCTION: &str = r#"(module $function
    (memory (export "memory") 1) (global $next (mut i32) (i32.const 4096)) (global $count (mut i32) (i32.const 0))
    (func (export "malloc") (param $size i32) (result i32) (local $at i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 15)) (i32.const -16)))
        (loop $more (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (then
            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (return (i32.const 0))))
            (br $more))))
        (local.get $at))
    (func (export "free") (param i32))
    (func (export "handle") (param $at i32) (param $length i32) (result i32)
        (local $left i32) (local $right i32) (local $byte i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        ;; "spin" is a request that never ends.
        (if (i32.eq (local.get $length) (i32.const 4)) (then
            (if (i32.eq (i32.load (local.get $at)) (i32.const 0x6e697073)) (then (loop $again (br $again))))))
        (local.set $left (local.get $at))
        (local.set $right (i32.add (local.get $at) (i32.sub (local.get $length) (i32.const 1))))
        (block $done (loop $swap
            (br_if $done (i32.ge_s (local.get $left) (local.get $right)))
            (local.set $byte (i32.load8_u (local.get $left)))
            (i32.store8 (local.get $left) (i32.load8_u (local.get $right)))
            (i32.store8 (local.get $right) (local.get $byte))
            (local.set $left (i32.add (local.get $left) (i32.const 1)))
            (local.set $right (i32.sub (local.get $right) (i32.const 1)))
            (br $swap)))
        (global.get $count)))"#;

/// The largest request.
const MOST: usize = 1 << 20;
/// Threads that serve requests.
const THREADS: usize = 4;

/// Makes one call: the request goes into memory from the guest's allocator.
fn handle(pool: &SandboxPool<()>, request: &[u8]) -> Result<(u32, Vec<u8>)> {
    let mut session = pool.session()?;
    let instance = session.instance();
    let alloc = GuestAlloc::find(session.store(), instance)?;
    let buffer = alloc.alloc_bytes(session.store(), request)?;
    let (at, length) = (buffer.ptr() as i32, buffer.len() as i32);
    let count: u32 = session.call("handle", (at, length))?;
    let reply = buffer.bytes(session.store())?.to_vec();
    Ok((count, reply))
}

fn answer(pool: &SandboxPool<()>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new((&stream).take((MOST + 65536) as u64));
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(usize::MAX);
        }
    }
    let (status, count, body) = if length > MOST {
        ("413 Content Too Large", 0, format!("at most {MOST} bytes\n").into_bytes())
    } else {
        let mut request = vec![0; length];
        reader.read_exact(&mut request)?;
        match handle(pool, &request) {
            Ok((count, reply)) => ("200 OK", count, reply),
            Err(error) if error.is::<PoolExhausted>() => {
                ("503 Service Unavailable", 0, format!("{error}\n").into_bytes())
            }
            Err(error) if error.is::<Killed>() => {
                ("504 Gateway Timeout", 0, b"the function ran for too long\n".to_vec())
            }
            Err(error) => {
                ("500 Internal Server Error", 0, format!("{:#}\n", error.root_cause()).into_bytes())
            }
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Count: {count}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(&body)
}

/// Serves a number of requests.
fn serve(pool: &SandboxPool<()>, listener: &TcpListener, requests: usize) {
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while taken.fetch_add(1, Ordering::Relaxed) < requests {
                    // A client that has disconnected needs no answer.
                    let _ = listener.accept().and_then(|(stream, _)| answer(pool, stream));
                }
            });
        }
    });
}

/// Sends a request, and returns the answer.
fn ask(listener: &TcpListener, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    write!(stream, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, FUNCTION)?)?;
    let limits = Limits::default().memory(16 << 20).wall(Duration::from_millis(200));
    let template = SandboxTemplate::new(pre, || Ok(())).limits(limits);
    let config = PoolConfig::new().max_sandboxes(64).on_burst(Burst::Wait(Duration::from_secs(1)));
    let pool = template.pool(config)?;
    if let Some(address) = std::env::args().nth(1) {
        let listener = TcpListener::bind(&address)?;
        println!("serving on http://{}", listener.local_addr()?);
        serve(&pool, &listener, usize::MAX);
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let bodies = ["hello", "belljar", "spin", "", "clean again"];
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| serve(&pool, &listener, bodies.len()));
        for body in &bodies {
            let answer = ask(&listener, body)?;
            let (head, reply) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.lines().next().unwrap_or_default();
            let count = head.lines().find(|line| line.starts_with("X-Count")).unwrap_or_default();
            println!("{body:?}: {status}, {count}: {reply:?}");
        }
        Ok(())
    })?;
    let told = pool.statistics();
    println!("{} sessions in {} sandboxes, {} discarded", told.sessions, told.sandboxes, told.discarded);
    Ok(())
}
