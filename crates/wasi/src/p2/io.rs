//! `wasi:io`: errors, waiting and streams.

use super::interface::Interfaces;
use super::poll::{self, DynPollable, subscribe};
use super::streams::{self, DynInputStream, DynOutputStream, IoError, StreamError};
use belljar::Result;
use belljar::component::Resource;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> Result<()> {
    let mut error = interfaces.add("wasi:io/error")?;
    error.resource::<IoError>("error")?;
    error.func("[method]error.to-debug-string", |view, (error,): (Resource<IoError>,)| {
        Ok(view.table.get(&error)?.to_string())
    })?;

    let mut poll = interfaces.add("wasi:io/poll")?;
    poll.resource::<DynPollable>("pollable")?;
    poll.func("[method]pollable.ready", |view, (pollable,): (Resource<DynPollable>,)| {
        poll::is_ready(view, &pollable)
    })?;
    poll.action("[method]pollable.block", |view, (pollable,): (Resource<DynPollable>,)| {
        poll::poll(view, &[pollable]).map(drop)
    })?;
    poll.func("poll", |view, (list,): (Vec<Resource<DynPollable>>,)| poll::poll(view, &list))?;

    let mut io = interfaces.add("wasi:io/streams")?;
    io.resource::<DynInputStream>("input-stream")?;
    io.resource::<DynOutputStream>("output-stream")?;
    for (name, wait) in [("read", false), ("blocking-read", true)] {
        let name = format!("[method]input-stream.{name}");
        io.stream(&name, move |view, (stream, count): (Input, u64)| {
            streams::read(view, &stream, count, wait)
        })?;
    }
    for (name, wait) in [("skip", false), ("blocking-skip", true)] {
        let name = format!("[method]input-stream.{name}");
        io.stream(&name, move |view, (stream, count): (Input, u64)| {
            streams::skip(view, &stream, count, wait)
        })?;
    }
    io.func("[method]input-stream.subscribe", |view, (stream,): (Input,)| subscribe(view.table, &stream))?;
    io.stream("[method]output-stream.check-write", |view, (stream,): (Output,)| {
        streams::check_write(view, &stream)
    })?;
    io.stream("[method]output-stream.write", |view, (stream, bytes): (Output, Vec<u8>)| {
        if bytes.len() as u64 > streams::check_write(view, &stream)? {
            return Err(StreamError::trap("a write of more bytes than `check-write` has allowed"));
        }
        streams::write(view, &stream, bytes.into())
    })?;
    io.stream(
        "[method]output-stream.blocking-write-and-flush",
        |view, (stream, bytes): (Output, Vec<u8>)| streams::blocking_write_and_flush(view, &stream, bytes),
    )?;
    io.stream("[method]output-stream.flush", |view, (stream,): (Output,)| streams::flush(view, &stream))?;
    io.stream("[method]output-stream.blocking-flush", |view, (stream,): (Output,)| {
        streams::blocking_flush(view, &stream)
    })?;
    io.func("[method]output-stream.subscribe", |view, (stream,): (Output,)| subscribe(view.table, &stream))?;
    io.stream("[method]output-stream.write-zeroes", |view, (stream, count): (Output, u64)| {
        streams::write_zeroes(view, &stream, count)
    })?;
    let name = "[method]output-stream.blocking-write-zeroes-and-flush";
    io.stream(name, |view, (stream, count): (Output, u64)| {
        streams::blocking_write_zeroes_and_flush(view, &stream, count)
    })?;
    for (name, wait) in [("splice", false), ("blocking-splice", true)] {
        let name = format!("[method]output-stream.{name}");
        io.stream(&name, move |view, (to, from, count): (Output, Input, u64)| {
            streams::splice(view, &to, &from, count, wait)
        })?;
    }
    Ok(())
}
