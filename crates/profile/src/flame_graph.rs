//! A flame graph: one SVG file that shows where CPU time went, with zoom and search.
//!
//! `inferno` draws it (a port of Brendan Gregg's `flamegraph.pl`, <https://www.brendangregg.com/flamegraphs.html>), from
//! lines of frames. The colour shows the kind of a frame. Lines have no escapes, so each frame ends in one of the marks
//! that `flamegraph.pl` knows and hides: the end of a name is then never taken for a count or a mark.

use crate::Profile;
use crate::collapsed::{labels, sanitized};
use crate::frame::{FrameKind, ProfileFrame};
use crate::profile::Tally;
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Marks of frames; in `flamegraph.pl` they mean "just in time", "inlined", "kernel" and "waker".
const GUEST: &str = "_[j]";
const INLINED: &str = "_[i]";
const HOST: &str = "_[k]";
const RUNTIME: &str = "_[w]";

/// The colour of the root.
const ALL: Color = rgb(220, 220, 220);
/// The colour of threads.
const THREAD: Color = rgb(200, 200, 200);

/// From this total on, times are in milliseconds.
const MILLISECONDS_FROM: u64 = 10_000_000_000;

/// Writes a profile as a flame graph. A profile without samples becomes a picture that says so.
pub(crate) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let tallies = profile.tallies();
    let weight = |tally: &Tally| match profile.weight {
        0 => tally.samples,
        // inferno adds entries to it.
        _ => tally.weight.min(u64::MAX / 2 / tallies.len() as u64),
    };
    let mut palette = PaletteMap::default();
    let labels = marked_labels(profile, &mut palette);
    let threads: Vec<String> = profile.threads.iter().map(|t| marked(&sanitized(t.name()), GUEST)).collect();
    // inferno's root box has no name.
    palette.insert("", ALL);
    for thread in &threads {
        palette.insert(thread, THREAD);
    }
    let mut lines = Vec::with_capacity(tallies.len());
    for (&(thread, stack), tally) in &tallies {
        let mut frames: Vec<_> = profile.stacks.walk(stack).collect();
        frames.reverse();
        let mut line = String::new();
        // A box for a single thread would add nothing, unless it is the only box.
        if threads.len() > 1 || frames.is_empty() {
            line.push_str(&threads[thread as usize]);
        }
        for frame in frames {
            line.push_str(if line.is_empty() { "" } else { ";" });
            line.push_str(&labels[frame.0 as usize]);
        }
        write!(line, " {}", weight(tally)).expect("strings take everything");
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(format!("no samples{RUNTIME} 1"));
    }
    let mut options = options(profile);
    options.palette_map = Some(&mut palette);
    from_lines(&mut options, lines.iter().map(String::as_str), out)
}

fn options<'a>(profile: &Profile) -> Options<'a> {
    let mut options = Options::default();
    options.title = match &*svg_text(&profile.title) {
        "" => "CPU time".into(),
        title => format!("CPU time of {title}"),
    };
    options.subtitle = Some(subtitle(profile));
    (options.factor, options.count_name) = match profile.weight {
        0 => (1.0, "samples".into()),
        MILLISECONDS_FROM.. => (1e-6, "ms".into()),
        _ => (1e-3, "µs".into()),
    };
    options.bgcolors = Some(BackgroundColor::Flat(rgb(250, 250, 250)));
    options.text_truncate_direction = TextTruncateDirection::Right;
    options
}

/// Returns the subtitle: the number of samples, and what the colours mean.
fn subtitle(profile: &Profile) -> String {
    let (count, plural) = (profile.sample_count(), if profile.sample_count() == 1 { "" } else { "s" });
    let mut text = format!("{} in {count} sample{plural}", time(profile.weight));
    // The interval that was achieved, which may be longer than the requested one.
    match profile.weight.checked_div(count as u64) {
        Some(interval @ 1..) if count > 1 => text += &format!(", one every {}", time(interval)),
        _ => {}
    }
    if profile.lost > 0 {
        text += &format!("; {} lost", profile.lost);
    }
    // The picture is 170 characters wide.
    text + ". Guest functions are orange, inlined ones yellow, the host's blue, belljar's own work green."
}

/// Formats a time for people.
fn time(nanoseconds: u64) -> String {
    let n = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{:.1} µs", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", n / 1e6),
        _ => format!("{:.2} s", n / 1e9),
    }
}

/// Returns names and marks of all frames, and adds their colours to the palette.
fn marked_labels(profile: &Profile, palette: &mut PaletteMap) -> Vec<String> {
    let label = |(frame, label): (&ProfileFrame, String)| {
        let mark = match frame.kind() {
            FrameKind::Guest if frame.is_inlined() => INLINED,
            FrameKind::Guest => GUEST,
            FrameKind::Host => HOST,
            FrameKind::Runtime => RUNTIME,
        };
        let marked = marked(&label, mark);
        palette.insert(&marked, color(mark, &label));
        marked
    };
    profile.stacks.frames().zip(labels(profile)).map(label).collect()
}

/// Returns a name with its mark. Lines that begin with spaces or a number sign have a special meaning, so these are replaced.
fn marked(name: &str, mark: &str) -> String {
    let name = svg_text(name.trim_start());
    match name.strip_prefix("# ") {
        Some(rest) => format!("#\u{a0}{rest}{mark}"),
        None => name + mark,
    }
}

/// Returns the colour of a kind of frame, with a shade for each name so that neighbours can be distinguished.
fn color(mark: &str, name: &str) -> Color {
    // Not a hash of the standard library: a name has the same shade in all pictures, in all releases.
    let shade = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 40;
    let shade = shade as u8;
    match mark {
        GUEST => rgb(245 - shade / 4, 140 + shade, 70 + shade / 2),
        INLINED => rgb(250 - shade / 4, 200 + shade / 2, 90 + shade),
        HOST => rgb(100 + shade, 160 + shade, 235),
        _ => rgb(110 + shade, 190 + shade / 2, 110 + shade),
    }
}

const fn rgb(r: u8, g: u8, b: u8) -> Color {
    Color { r, g, b }
}

/// Replaces characters that XML 1.0 forbids (<https://www.w3.org/TR/xml/#charsets>), as far as names still contain
/// them.
fn svg_text(name: &str) -> String {
    name.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_profiles::{hostile, ms, tool, written};
    use crate::{ProfileBuilder, ProfileFormat};
    use roxmltree::Document;

    fn svg(profile: &Profile) -> String {
        String::from_utf8(written(profile, ProfileFormat::FlameGraph)).unwrap()
    }

    /// Returns the tooltips of the boxes, and their colours.
    fn boxes(svg: &str) -> Vec<(String, String)> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = Document::parse_with_options(svg, options).unwrap();
        let groups = document.descendants().filter(|n| n.has_tag_name("g"));
        let tip = |g: &roxmltree::Node<'_, '_>| {
            let child = |name| g.children().find(|c| c.has_tag_name(name));
            Some((child("title")?.text()?.into(), child("rect")?.attribute("fill")?.into()))
        };
        groups.filter_map(|g| tip(&g)).collect()
    }

    #[test]
    fn boxes_have_names_times_and_the_colour_of_their_kind() {
        let svg = svg(&tool());
        assert!(svg.contains("CPU time of tool.wasm"));
        let boxes = boxes(&svg);
        let fill = |tip: &str| {
            let found = boxes.iter().find(|(t, _)| t == tip);
            found.unwrap_or_else(|| panic!("{tip}: {boxes:?}")).1.clone()
        };
        assert_eq!(fill("all (6,000 µs, 100%)"), "rgb(220,220,220)");
        assert_eq!(fill("main (4,000 µs, 66.67%)"), "rgb(200,200,200)");
        let fills = [
            (fill("sort (3,000 µs, 50.00%)"), GUEST, "sort"),
            (fill("swap (2,000 µs, 33.33%)"), INLINED, "swap"),
            (fill("fd_write (1,000 µs, 16.67%)"), HOST, "fd_write"),
            (fill("garbage collection (1,000 µs, 16.67%)"), RUNTIME, "garbage collection"),
        ];
        for (fill, mark, name) in fills {
            let Color { r, g, b } = color(mark, name);
            assert_eq!(fill, format!("rgb({r},{g},{b})"));
        }
    }

    #[test]
    fn the_subtitle_says_how_much_was_seen() {
        let text = svg(&tool());
        assert!(text.contains(">6.0 ms in 6 samples, one every 1.0 ms. Guest"), "{text}");
        let mut builder = ProfileBuilder::new("", ms(0));
        builder.sample(ms(1), 1, ms(2500), &[]);
        builder.lost(7);
        assert!(svg(&builder.finish()).contains(">2.50 s in 1 sample; 7 lost. Guest"));
        assert_eq!([1, 1500, 999_949, 1 << 30].map(time), ["1 ns", "1.5 µs", "999.9 µs", "1.07 s"]);
    }

    #[test]
    fn hostile_names_are_names() {
        let boxes = boxes(&svg(&hostile()));
        assert_eq!(boxes.len(), 1 + hostile().samples().next().unwrap().stack().count(), "{boxes:?}");
        assert!(boxes.iter().any(|(tip, _)| tip.contains("</title></svg><script>")));
        assert!(boxes.iter().any(|(tip, _)| tip.starts_with("f_[k] (") || tip.contains("!f_[k] (")));
    }

    #[test]
    fn lines_that_look_like_others_are_drawn() {
        for name in ["# comment", "  # comment", "", " ", "f 1 2", "--", "x;", "_[j]"] {
            let mut builder = ProfileBuilder::new(name, ms(1));
            let frame = builder.frame(ProfileFrame::guest(name));
            builder.sample(ms(1), 1, ms(1), &[frame]);
            assert_eq!(boxes(&svg(&builder.finish())).len(), 2, "{name:?}");
        }
    }

    #[test]
    fn nothing_and_no_time_are_pictures_too() {
        let mut builder = ProfileBuilder::new("", ms(1));
        assert!(boxes(&svg(&ProfileBuilder::new("", ms(1)).finish()))[1].0.starts_with("no samples"));
        let frame = builder.frame(ProfileFrame::guest("f"));
        builder.sample(ms(1), 1, ms(0), &[frame]);
        assert!(svg(&builder.finish()).contains("f (1 samples, 100.00%)"));
    }
}
