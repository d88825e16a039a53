//! Code in the format of perf's `/tmp/perf-PID.map`.

use belljar_vm::CodePiece;
use std::fmt::Write;

/// Returns the addresses and names of code, a line `START SIZE NAME` for each piece with hexadecimal numbers: the format that
/// `tools/perf/Documentation/jit-interface.txt` of the Linux kernel describes.
pub fn perf_map<'a>(pieces: impl IntoIterator<Item = CodePiece<'a>>) -> String {
    let mut lines = String::new();
    for CodePiece { name, address, code, .. } in pieces {
        writeln!(lines, "{address:x} {:x} {name}", code.len()).expect("strings take everything");
    }
    lines
}
