//! Profiles for the tests of several formats.

use crate::{Profile, ProfileBuilder, ProfileFormat, ProfileFrame};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Six samples of two threads, a millisecond each; with recursion, an inlined function, a host function and the
/// collector.
pub(crate) fn tool() -> Profile {
    let mut builder = ProfileBuilder::new("tool.wasm", ms(1)).started_at(UNIX_EPOCH + ms(1500));
    let guest = |name| ProfileFrame::guest(name).in_module("tool.wasm");
    let start = builder.frame(guest("_start"));
    let sort = builder.frame(guest("sort").at("src/sort.rs", Some(20)));
    let again = builder.frame(guest("sort").at("src/sort.rs", Some(25)));
    let swap = builder.frame(guest("swap").at("src/swap.rs", Some(3)).inlined());
    let write = builder.frame(ProfileFrame::host("fd_write"));
    let collect = builder.frame(ProfileFrame::runtime("garbage collection"));
    builder.thread(41, "main");
    builder.thread(42, "worker");
    builder.sample(ms(1), 41, ms(1), &[start]);
    builder.sample(ms(2), 41, ms(1), &[swap, sort, start]);
    builder.sample(ms(2), 42, ms(1), &[write, start]);
    builder.sample(ms(3), 41, ms(1), &[swap, sort, start]);
    builder.sample(ms(4), 41, ms(1), &[collect, again, sort, start]);
    builder.sample(ms(4), 42, ms(1), &[]);
    builder.finish()
}

/// Names that a malicious module could have, all in one stack.
pub(crate) fn hostile() -> Profile {
    let long = "<&\"'>;".repeat(100_000);
    let names = [
        "",
        " ",
        "-",
        "--",
        ";",
        "a;b\nc;d 12",
        "two 3 4",
        "# comment",
        "\u{0}\u{1b}[31m\u{7f}\u{85}\u{2028}\u{fffe}\u{ffff}\u{202e}",
        "</title></svg><script>alert(1)</script>",
        "]]>&lt;&#0;",
        "\"},{\"\\",
        "f_[k]",
        "(all)",
        &long,
        "_ZN4core9panicking5panic17h0123456789abcdefE",
    ];
    let mut builder = ProfileBuilder::new("</text>\n;\u{ffff} tool", ms(1));
    let frames =
        names.map(|name| builder.frame(ProfileFrame::guest(name).in_module(name).at(name, Some(u32::MAX))));
    builder.thread(u64::MAX, "thr;ead\n</g>\u{fffe} 7");
    builder.sample(Duration::MAX, u64::MAX, Duration::MAX, &frames);
    builder.finish()
}

pub(crate) fn written(profile: &Profile, format: ProfileFormat) -> Vec<u8> {
    let mut out = Vec::new();
    profile.write_to(format, &mut out).unwrap();
    out
}
