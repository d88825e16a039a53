//! Tests of [`Error`]: what it shows, and what is found in it.

use super::*;
use crate::{Trap, bail, ensure, format_err};
use std::io;

/// An error with a source of its own.
#[derive(Debug)]
struct Outer(io::Error);

impl Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn outer() -> Outer {
    Outer(io::Error::other("inner"))
}

#[test]
fn it_is_one_pointer_wide() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
}

#[test]
fn the_last_context_is_the_reason() {
    let error = Error::new(outer()).context("first").attach("detail").context("second".to_string());
    assert_eq!(error.to_string(), "second");
    assert_eq!(format!("{error:#}"), "second: first: outer: inner");
    let debug = format!("{error:?}");
    let expected = "second\n\nCaused by:\n    0: first\n    1: outer\n    2: inner\n\ndetail";
    assert!(debug.starts_with(expected), "{debug}");
    assert_eq!(error.root_cause().to_string(), "inner");
    assert!(error.root_cause().is::<io::Error>());
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    assert_eq!(chain, ["second", "first", "outer", "inner"]);
}

#[test]
fn a_detail_on_top_does_not_hide_the_reason() {
    let error = Error::msg("reason").attach(5).attach(6);
    assert_eq!(format!("{error:#}"), "reason");
    assert!(format!("{error:?}").starts_with("reason\n\n6\n\n5"));
    // The one that was added last.
    assert_eq!(error.downcast_ref::<i32>(), Some(&6));
    let std: &dyn StdError = error.as_ref();
    assert_eq!(std.to_string(), "reason");
    assert!(std.source().is_none());
}

#[test]
fn every_part_is_found_by_its_type() {
    let mut error = Error::new(outer()).context(Trap::StackOverflow).context("c").attach(7u64);
    assert!(error.is::<Outer>() && error.is::<Trap>() && error.is::<&str>() && error.is::<u64>());
    // The source of an error belongs to the error.
    assert!(!error.is::<io::Error>());
    *error.downcast_mut::<u64>().unwrap() += 1;
    assert_eq!(error.downcast_ref::<u64>(), Some(&8));
    let error = error.downcast::<u8>().unwrap_err();
    assert_eq!(format!("{error:#}"), format!("c: {}: outer: inner", Trap::StackOverflow));
    assert_eq!(error.downcast::<Trap>().unwrap(), Trap::StackOverflow);
    assert_eq!(Error::new(outer()).context("c").downcast::<Outer>().unwrap().to_string(), "outer");
}

#[test]
fn causes_of_several_lines_are_indented() {
    let error = Error::msg("a\nb").context("c");
    assert!(format!("{error:?}").starts_with("c\n\nCaused by:\n    a\n    b"));
}

#[test]
fn boxes_keep_what_they_hold() {
    let boxed: Box<dyn StdError + Send + Sync> = Error::new(outer()).into();
    assert!(boxed.is::<Outer>());
    let error = Error::from_boxed(boxed);
    assert_eq!(format!("{error:#}"), "outer: inner");
    assert!(error.into_boxed_dyn_error().is::<Outer>());
    let boxed: Box<dyn StdError> = Error::new(outer()).context("c").attach("d").into();
    assert_eq!(boxed.to_string(), "c");
    assert!(format!("{boxed:?}").contains("\n\nd"));
    assert_eq!(boxed.source().unwrap().to_string(), "outer");
    let boxed: Box<dyn StdError + Send> = Error::msg("m").into();
    assert_eq!(boxed.to_string(), "m");
}

#[test]
fn macros_take_formats_errors_and_messages() {
    fn failing(which: u32) -> Result<u32> {
        ensure!(which != 0);
        ensure!(which != 1, "{which} is {}", "one");
        ensure!(which != 2, Trap::IntegerOverflow);
        if which == 3 {
            bail!("{which}");
        }
        if which == 4 {
            bail!(Error::msg("four").context("an error stays one"));
        }
        if which == 5 {
            bail!(String::from("five"));
        }
        Ok(which)
    }
    let text = |which| format!("{:#}", failing(which).unwrap_err());
    assert_eq!(text(0), "condition failed: `which != 0`");
    assert_eq!(text(1), "1 is one");
    assert!(failing(2).unwrap_err().is::<Trap>());
    assert_eq!(text(3), "3");
    assert_eq!(text(4), "an error stays one: four");
    assert_eq!(text(5), "five");
    assert_eq!(failing(6).unwrap(), 6);
    assert!(format_err!("fixed").is::<&str>());
}

#[test]
fn an_error_about_a_guest_never_captures_the_hosts_stack() {
    let status = Error::of_guest(Trap::StackOverflow).context("c").backtrace().status();
    assert_eq!(status, std::backtrace::BacktraceStatus::Disabled);
}

#[cfg(feature = "anyhow")]
#[test]
fn anyhow_and_back() {
    let error = Error::new(outer()).context(Trap::StackOverflow).attach(7u64).context("c");
    let error = anyhow::Error::from(error);
    assert!(error.is::<Outer>() && error.is::<Trap>() && error.is::<u64>() && error.is::<&str>());
    assert_eq!(error.to_string(), "c");
    let error = Error::from_anyhow(error).context("d");
    assert_eq!(error.to_string(), "d");
    assert_eq!(error.root_cause().to_string(), "inner");
    assert!(error.is::<anyhow::Error>());
    assert!(error.downcast::<anyhow::Error>().unwrap().is::<Trap>());
}
