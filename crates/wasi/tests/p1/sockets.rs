//! Sockets that the embedder preopened.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use belljar_wasi::p1::{self, Errno};
use belljar_wasi::{DirPerms, FilePerms, WasiCtxBuilder};

use crate::guest::*;
use crate::polling::{Sub, poll};

fn accept(guest: &mut Guest, fd: u32, flags: u32) -> Result<u32, p1::Error> {
    guest.call(|ctx, memory| p1::sock_accept(ctx, memory, fd, flags, 0))?;
    Ok(u32::from_le_bytes(guest.get(0)))
}

fn receive(guest: &mut Guest, fd: u32, len: usize, flags: u32) -> Result<Vec<u8>, p1::Error> {
    let (list, count) = guest.buffers(&[&vec![0; len]]);
    guest.call(|ctx, memory| p1::sock_recv(ctx, memory, fd, list, count, flags, 0, 4))?;
    let at = u32::from_le_bytes(guest.get(list)) as usize;
    Ok(guest.bytes[at..][..u32::from_le_bytes(guest.get(0)) as usize].to_vec())
}

fn send(guest: &mut Guest, fd: u32, parts: &[&[u8]], flags: u32) -> Result<u32, p1::Error> {
    let (list, count) = guest.buffers(parts);
    guest.call(|ctx, memory| p1::sock_send(ctx, memory, fd, list, count, flags, 0))?;
    Ok(u32::from_le_bytes(guest.get(0)))
}

#[test]
fn a_server_accepts_and_talks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut guest = Guest::new(WasiCtxBuilder::new().preopened_socket(listener).build());
    assert_eq!(guest.fdstat(3).unwrap().0, 6);
    assert_eq!(guest.fstat(3).unwrap().kind, 6);
    guest.set_flags(3, NONBLOCK).unwrap();
    assert_eq!(guest.fdstat(3).unwrap().1, NONBLOCK as u16);
    assert_eq!(errno(accept(&mut guest, 3, 0)), Errno::Again);
    guest.set_flags(3, 0).unwrap();

    let mut peer = TcpStream::connect(address).unwrap();
    assert_eq!(poll(&mut guest, &[Sub::Read(3)]).unwrap()[0].errno, 0);
    assert_eq!(errno(accept(&mut guest, 3, 1)), Errno::Inval);
    let fd = accept(&mut guest, 3, NONBLOCK).unwrap();
    assert_eq!(fd, 4);
    assert_eq!(errno(receive(&mut guest, fd, 9, 0)), Errno::Again);
    guest.set_flags(fd, 0).unwrap();
    peer.write_all(b"hello").unwrap();
    poll(&mut guest, &[Sub::Read(fd)]).unwrap();
    assert_eq!(receive(&mut guest, fd, 2, 1), Ok(b"he".to_vec()));
    assert_eq!(receive(&mut guest, fd, 5, 2), Ok(b"hello".to_vec()));
    assert_eq!(errno(receive(&mut guest, fd, 5, 4)), Errno::Inval);
    assert_eq!(send(&mut guest, fd, &[b"good", b"bye"], 0), Ok(7));
    assert_eq!(errno(send(&mut guest, fd, &[b"x"], 1)), Errno::Inval);
    assert_eq!(guest.write(fd, &[b"!"]), Ok(1));
    guest.call(|ctx, memory| p1::sock_shutdown(ctx, memory, fd, 2)).unwrap();
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "goodbye!");
    assert_eq!(errno(guest.write(fd, &[b"!"])), Errno::Pipe);
    peer.shutdown(Shutdown::Both).unwrap();
    assert_eq!(guest.read(fd, 9), Ok(vec![]));
    assert_eq!(errno(guest.call(|ctx, memory| p1::sock_shutdown(ctx, memory, fd, 0))), Errno::Inval);
    assert_eq!(errno(guest.call(|ctx, memory| p1::sock_shutdown(ctx, memory, fd, 4))), Errno::Inval);
}

#[test]
fn connected_sockets_can_be_given() {
    let (mine, mut peer) = UnixStream::pair().unwrap();
    let mut guest = Guest::new(WasiCtxBuilder::new().preopened_socket(mine).build());
    send(&mut guest, 3, &[b"hi"], 0).unwrap();
    let mut bytes = [0; 2];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hi");
    drop(peer);
    assert_eq!(errno(send(&mut guest, 3, &[b"hi"], 0)), Errno::Pipe);
    assert_eq!(errno(guest.seek(3, 0, 0)), Errno::Spipe);
    assert_eq!(errno(guest.pread(3, 1, 0)), Errno::Spipe);
}

#[test]
fn other_descriptors_are_not_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(&dir, DirPerms::all(), FilePerms::all());
    for fd in [0, 1, 3] {
        assert_eq!(errno(accept(&mut guest, fd, 0)), Errno::Notsock);
        assert_eq!(errno(receive(&mut guest, fd, 1, 0)), Errno::Notsock);
        assert_eq!(errno(send(&mut guest, fd, &[b""], 0)), Errno::Notsock);
        assert_eq!(errno(guest.call(|ctx, memory| p1::sock_shutdown(ctx, memory, fd, 1))), Errno::Notsock);
    }
    assert_eq!(errno(accept(&mut guest, 9, 0)), Errno::Badf);
}
