//! The format of jitdump records, version 1, from which `perf inject --jit` takes code
//! (`tools/perf/Documentation/jitdump-specification.txt` of the Linux kernel). This module only produces bytes; it does
//! not access the file.
//!
//! ```text
//! header │ lines of a function │ the function │ lines of a function │ the function │ … │ close
//! ```
//!
//! Numbers are in the machine's byte order, times in nanoseconds of the monotonic clock. Lines belong to the function
//! that follows, so both are written to the file together.

/// A function or other code, as reported to profilers.
#[derive(Clone, Debug)]
pub struct CodePiece<'a> {
    /// Its name, without control characters.
    pub name: String,
    /// Its address.
    pub address: usize,
    /// Its bytes.
    pub code: &'a [u8],
    /// The source positions of its instructions, by ascending address; empty if unknown or not requested.
    pub lines: Vec<CodeLine>,
}

/// The source line of the code from an address on.
#[derive(Clone, Debug)]
pub struct CodeLine {
    /// The address of the first instruction.
    pub address: usize,
    /// The source file, without control characters.
    pub file: std::sync::Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 if unknown.
    pub column: u32,
}

/// The writer and the time of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamp {
    /// The process.
    pub(crate) process: u32,
    /// The thread.
    pub(crate) thread: u32,
    /// Nanoseconds of the monotonic clock.
    pub(crate) time: u64,
}

/// `JiTD`, as a number of the machine that wrote the file.
const MAGIC: u32 = 0x4A69_5444;
const VERSION: u32 = 1;
const HEADER_SIZE: u32 = 40;
/// The machine's number in ELF files.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };

const LOAD: u32 = 0;
const DEBUG_INFO: u32 = 2;
const CLOSE: u32 = 3;

/// The largest size of one function's lines in bytes: sizes are 32 bits wide, and readers read a record as a whole.
const LARGEST_LINES: usize = 64 << 20;

/// Returns the start of a dump.
pub(crate) fn header(timestamp: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    add_u32s([MAGIC, VERSION, HEADER_SIZE, MACHINE, 0, timestamp.process], &mut out);
    // No flags: the times are not those of the processor's own counter.
    add_u64s([timestamp.time, 0], &mut out);
    out
}

/// Adds the records of a piece of code. Its number must be unique in the dump.
pub(crate) fn add_code(piece: &CodePiece<'_>, number: u64, timestamp: Timestamp, out: &mut Vec<u8>) {
    if !piece.lines.is_empty() {
        record(DEBUG_INFO, timestamp, out, |out| add_lines(piece, out));
    }
    record(LOAD, timestamp, out, |out| {
        add_u32s([timestamp.process, timestamp.thread], out);
        let address = piece.address as u64;
        // The address where it runs, and the address of its bytes, which is the same.
        add_u64s([address, address, piece.code.len() as u64, number], out);
        add_text(&piece.name, out);
        out.extend(piece.code);
    });
}

/// Adds the last record.
pub(crate) fn add_close(timestamp: Timestamp, out: &mut Vec<u8>) {
    record(CLOSE, timestamp, out, |_| ());
}

fn add_lines(piece: &CodePiece<'_>, out: &mut Vec<u8>) {
    add_u64s([piece.address as u64], out);
    let count_at = out.len();
    add_u64s([0], out);
    let mut count = 0_u64;
    let mut add = |address: usize, line: &CodeLine, out: &mut Vec<u8>| {
        add_u64s([address as u64], out);
        add_u32s([line.line, line.column], out);
        add_text(&line.file, out);
        count += 1;
    };
    for line in &piece.lines {
        if out.len() - count_at > LARGEST_LINES {
            break;
        }
        add(line.address, line, out);
    }
    // For perf, the last entry marks the end of the last line.
    if let Some(last) = piece.lines.last() {
        add(piece.address + piece.code.len(), last, out);
    }
    out[count_at..count_at + 8].copy_from_slice(&count.to_ne_bytes());
}

fn add_u32s<const N: usize>(numbers: [u32; N], out: &mut Vec<u8>) {
    out.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
}

fn add_u64s<const N: usize>(numbers: [u64; N], out: &mut Vec<u8>) {
    out.extend(numbers.into_iter().flat_map(u64::to_ne_bytes));
}

/// Adds a text. It ends at its first zero byte, so all others are removed.
fn add_text(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().filter(|&byte| byte != 0));
    out.push(0);
}

/// Adds a record: kind, size and time, then what `add_rest` adds.
fn record(kind: u32, timestamp: Timestamp, out: &mut Vec<u8>, add_rest: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    add_u32s([kind, 0], out);
    add_u64s([timestamp.time], out);
    add_rest(out);
    // The code of a function has less than 2 GiB, and lines are limited.
    let size = (out.len() - start) as u32;
    out[start + 4..start + 8].copy_from_slice(&size.to_ne_bytes());
}
