//! Sockets and look-ups.

use super::{Outcome, run};
use belljar_wasi::{SocketAddrUse, WasiCtxBuilder};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

fn local(builder: &mut WasiCtxBuilder) {
    builder.socket_addr_check(|address, what| address.ip().is_loopback() || what == SocketAddrUse::UdpBind);
}

fn denied(outcome: &Outcome) -> Vec<String> {
    outcome.denied.iter().map(ToString::to_string).collect()
}

#[test]
fn a_guest_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        peer.write_all(format!("got {text}").as_bytes()).unwrap();
    });
    run(&["tcp", &port], local).prints(&[
        "IpAddressFamily::Ipv4 true",
        r#"Err("closed")"#,
        r#"Ok("got ping")"#,
    ]);
    server.join().unwrap();
}

#[test]
fn nothing_is_allowed_by_default() {
    let outcome = run(&["tcp", "7"], |_| ());
    outcome.prints(&["access-denied"]);
    assert_eq!(denied(&outcome), ["a TCP connection to 127.0.0.1:7"]);
    let outcome = run(&["tcp", "7"], |builder| _ = builder.inherit_network().allow_tcp(false));
    assert_eq!(denied(&outcome), ["a TCP socket"]);
    let outcome = run(&["lookup", "localhost"], |_| ());
    outcome.prints(&["permanent-resolver-failure"]);
    assert_eq!(denied(&outcome), ["a look-up of the name localhost"]);
    let outcome = run(&["udp", "7"], |builder| _ = builder.allow_udp(false));
    assert_eq!(denied(&outcome), ["a UDP socket"]);
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    run(&["tcp", &port], local).prints(&["connection-refused"]);
}

#[test]
fn a_guest_listens() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let client = std::thread::spawn(move || {
        let mut seen = String::new();
        let mut byte = [0];
        // The third line is the port.
        while seen.matches('\n').count() < 3 {
            reader.read_exact(&mut byte).unwrap();
            seen.push(byte[0].into());
        }
        let port: u16 = seen.lines().nth(2).unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        reader.read_to_string(&mut seen).unwrap();
        (seen, echo)
    });
    let outcome = run(&["tcp-server"], |builder| {
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        builder.stdout(belljar_wasi::OutputFile::new(file));
        local(builder);
    });
    assert!(matches!(outcome.result, Ok(Ok(()))), "{:?} {}", outcome.result, outcome.stderr);
    let (seen, echo) = client.join().unwrap();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..2], ["true", "accept: would-block"]);
    assert_eq!(lines[3..], ["true", r#"Ok("hello")"#]);
    assert_eq!(&echo, b"hello");
}

#[test]
fn sockets_have_states_and_options() {
    let outcome = run(&["tcp-states"], |builder| _ = builder.inherit_network());
    outcome.prints(&[
        "finish bind: not-in-progress",
        "local: invalid-state",
        "listen: invalid-state",
        "accept: invalid-state",
        "remote: invalid-state",
        "shutdown: invalid-state",
        "other family: invalid-argument",
        "no port: invalid-argument",
        "multicast: invalid-argument",
        "foreign: address-not-bindable",
        "backlog: invalid-argument",
        "keep alive: true",
        "idle: 1000000000",
        "no idle: invalid-argument",
        "interval: 90000000000",
        "count: 127",
        "hops: 42",
        "no hops: invalid-argument",
        "receive buffer: 65536",
        "send buffer: 65536",
        "no buffer: invalid-argument",
        "bind: ()",
        "bind twice: invalid-state",
        "local before the end: concurrency-conflict",
        "finish: ()",
        "IpAddressFamily::Ipv4 false",
    ]);
}

#[test]
fn datagrams_are_exchanged() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        for _ in 0..3 {
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&[b"re: ", &buffer[..count]].concat(), from).unwrap();
        }
    });
    let outcome = run(&["udp", &port], local);
    outcome.prints(&[
        "stream before bind: invalid-state",
        "hops: 9",
        "Ok(0) true",
        "to nobody: invalid-argument",
        "send: 2",
        r#""re: one" true"#,
        r#""re: two" true"#,
        "true",
        "connected: 1",
        "to another: invalid-argument",
        r#"Ok("re: three")"#,
    ]);
    server.join().unwrap();
}

#[test]
fn names_are_looked_up() {
    let allowed = |builder: &mut WasiCtxBuilder| _ = builder.allow_ip_name_lookup(true);
    let outcome = run(&["lookup", "localhost"], allowed);
    assert!(
        outcome.stdout.contains("127, 0, 0, 1") || outcome.stdout.contains("0, 0, 0, 0, 0, 0, 0, 1"),
        "{}",
        outcome.stdout
    );
    run(&["lookup", "10.0.0.1"], allowed).prints(&["[IpAddress::Ipv4((10, 0, 0, 1))]"]);
    run(&["lookup", "not a name"], allowed).prints(&["invalid-argument"]);
}
