//! Code as `perf` wants to be told of it in `/tmp/perf-PID.map`.

use belljar_vm::CodePiece;
use std::fmt::Write;

/// Where code lies and what it is called, a line `START SIZE NAME` for each piece, the numbers in hexadecimal: the format that
/// `tools/perf/Documentation/jit-interface.txt` of the Linux kernel describes.
pub fn perf_map<'a>(pieces: impl IntoIterator<Item = CodePiece<'a>>) -> String {
    let mut lines = String::new();
    for CodePiece { name, address, code, .. } in pieces {
        writeln!(lines, "{address:x} {:x} {name}", code.len()).expect("strings take everything");
    }
    lines
}
