//! Standard streams.

use super::{input, run};
use belljar_wasi::p2::pipe::ClosedOutputStream;
use belljar_wasi::{InputFile, OutputFile};
use std::io::{Read, Write};

#[test]
fn text_goes_through() {
    let outcome = run(&["cat"], input("some text"));
    outcome.prints(&["some text"]);
    assert_eq!(outcome.stderr, "SOME TEXT");
}

#[test]
fn streams_do_what_their_functions_say() {
    let outcome = run(&["streams"], input("0123456789abcdefghij"));
    outcome.prints(&[
        "Ok([]) Ok(3)",
        "Ok(2)",
        r#"Ok("56789abcdefghij")"#,
        r#"Err("closed") Err("closed")"#,
        "true",
        "written",
        &("x".repeat(4096) + "\0\0\0\0\0"),
    ]);
    assert_eq!(outcome.stderr, "to stderr");
}

#[test]
fn streams_are_spliced() {
    let text = "a".repeat(100_000);
    run(&["splice"], input(&text)).prints(&[&(text.clone() + " 4 99996")]);
}

#[test]
fn closed_streams_are_told() {
    let outcome = run(&["closed"], |builder| _ = builder.stdout(ClosedOutputStream));
    assert_eq!(outcome.stderr, "closed\n");
}

#[test]
fn writing_more_than_allowed_is_a_trap() {
    let message = run(&["too-much"], |_| ()).message();
    assert!(message.contains("more bytes than `check-write` has allowed"), "{message}");
}

/// Pipes of the host: what is not there yet is waited for, and what does not fit waits.
#[test]
fn pipes_block_only_whoever_waits() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (from, mut to) = std::io::pipe().unwrap();
    let text = "b".repeat(300_000);
    let sent = text.clone();
    let fed = std::thread::spawn(move || {
        for piece in sent.as_bytes().chunks(10_000) {
            to.write_all(piece).unwrap();
        }
    });
    let read = std::thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        all
    });
    let file = |fd: std::os::fd::OwnedFd| std::fs::File::from(fd);
    let outcome = run(&["splice"], |builder| {
        builder.stdin(InputFile::new(file(from.into()))).stdout(OutputFile::new(file(writer.into())));
    });
    assert!(matches!(outcome.result, Ok(Ok(()))), "{:?} {}", outcome.result, outcome.stderr);
    fed.join().unwrap();
    let all = read.join().unwrap();
    assert!(all.starts_with(&text), "{} bytes", all.len());
}

#[test]
fn a_guest_waits_for_the_first_of_several() {
    let outcome = run(&["poll"], input("ready"));
    outcome.prints(&["[1]", "[1]", r#"Ok("ready")"#, "[0, 2]"]);
}

#[test]
fn bytes_are_counted() {
    let outcome = run(&["cat"], |builder| {
        input("some text")(builder);
        builder.max_bytes_read(4);
    });
    assert!(outcome.result.is_err());
    assert_eq!(
        outcome.limits,
        ["bytes_read: the guest wanted more than its limit of 4 bytes (Limits::bytes_read)"]
    );
    let outcome = run(&["splice"], |builder| {
        input("some text")(builder);
        builder.max_bytes_written(5);
    });
    assert_eq!(outcome.stdout, "some ");
    assert_eq!(
        outcome.limits,
        ["bytes_written: the guest wanted more than its limit of 5 bytes (Limits::bytes_written)"]
    );
}
