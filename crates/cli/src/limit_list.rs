//! Parses `--limits`: `KEY=VALUE` pairs, separated by commas.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use crate::time_span::TimeSpan;
use belljar::{
    CompileLimit, CompileLimitExceeded, CompileLimits, Error, Limit, LimitUnit, OutsideText, similar_name,
};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The value of one `--limits` option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitList {
    /// Asks for the list of keys.
    Help,
    /// The limits that it sets, in order.
    Amounts(Vec<(Key, Option<u64>)>),
}

/// A resource that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A resource of the running guest.
    Run(Limit),
    /// A resource of its compilation.
    Compile(CompileLimit),
}

impl Key {
    fn all() -> impl Iterator<Item = Self> {
        let run = Limit::ALL.iter().copied().map(Self::Run);
        run.chain(CompileLimit::ALL.iter().copied().map(Self::Compile))
    }

    fn unit(self) -> LimitUnit {
        match self {
            Self::Run(limit) => limit.unit(),
            Self::Compile(limit) => limit.unit(),
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Run(limit) => limit.meaning(),
            Self::Compile(limit) => limit.meaning(),
        }
    }

    fn default_amount(self) -> Option<u64> {
        match self {
            Self::Run(limit) => limit.default_amount(),
            Self::Compile(limit) => limit.default_amount(),
        }
    }
}

/// Prints the key's name on the command line.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(limit) => f.write_str(&limit.name().replace('_', "-")),
            Self::Compile(limit) => write!(f, "compile-{}", limit.name().replace('_', "-")),
        }
    }
}

/// The value that sets all defaults.
const UNTRUSTED: &str = "untrusted";
/// The amount that removes a limit.
const NONE: &str = "none";

fn amount(limit: Key, text: &str) -> Result<Option<u64>, String> {
    if text == NONE {
        return Ok(None);
    }
    let amount = match limit.unit() {
        LimitUnit::Bytes => ByteSize::from_str(text)?.0,
        LimitUnit::Time => u64::try_from(TimeSpan::from_str(text)?.0.as_nanos()).unwrap_or(u64::MAX),
        _ => text.parse().map_err(|_| {
            format!("expected a whole number up to 2^64 - 1, found `{}`", OutsideText::new(text))
        })?,
    };
    Ok(Some(amount))
}

fn setting(text: &str) -> Result<Vec<(Key, Option<u64>)>, String> {
    if text == UNTRUSTED {
        let all = Key::all().map(|limit| (limit, limit.default_amount()));
        return Ok(all.filter(|(_, amount)| amount.is_some()).collect());
    }
    let (name, value) = text.split_once('=').ok_or_else(|| {
        let text = OutsideText::new(text);
        format!("expected KEY=VALUE, `{UNTRUSTED}` or `help`, found `{text}`: the keys are {}", keys())
    })?;
    let limit = Key::all().find(|limit| limit.to_string() == name);
    let limit = limit.ok_or_else(|| {
        let known: Vec<String> = Key::all().map(|key| key.to_string()).collect();
        let advice = match similar_name(name, known.iter().map(|key| &**key)) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("the keys are {}", keys()),
        };
        format!("there is no limit `{}`: {advice}", OutsideText::new(name))
    })?;
    Ok(vec![(limit, amount(limit, value).map_err(|why| format!("{name}: {why}"))?)])
}

fn keys() -> String {
    Key::all().map(|limit| limit.to_string()).collect::<Vec<_>>().join(", ")
}

impl FromStr for LimitList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "help" {
            return Ok(Self::Help);
        }
        let mut all = Vec::new();
        for part in text.split(',') {
            all.extend(setting(part)?);
        }
        Ok(Self::Amounts(all))
    }
}

/// Returns the last amount that `--limits` sets for a key.
pub(crate) fn last_amount(lists: &[LimitList], key: Key) -> Option<u64> {
    let lists = lists.iter().filter_map(|list| match list {
        LimitList::Amounts(all) => Some(all),
        LimitList::Help => None,
    });
    lists.flatten().rfind(|(of, _)| *of == key).and_then(|(_, amount)| *amount)
}

/// Returns the limits of compilation.
pub(crate) fn compile_limits(lists: &[LimitList]) -> CompileLimits {
    CompileLimit::ALL.iter().fold(CompileLimits::unlimited(), |limits, limit| {
        limits.with(*limit, last_amount(lists, Key::Compile(*limit)))
    })
}

/// Phrases the failure of a compilation that exceeded a limit in terms of the command line.
pub(crate) fn explain(failure: Failure, file: &Path, option_of: impl Fn(CompileLimit) -> String) -> Failure {
    let Some(exceeded) = failure.error.downcast_ref::<CompileLimitExceeded>() else { return failure };
    let code = match exceeded.limit() {
        CompileLimit::Cpu | CompileLimit::Wall => ExitCode::Timeout,
        _ => failure.code,
    };
    let message = format!("{} ({})", exceeded.sentence(), option_of(exceeded.limit()));
    Failure::new(code, Error::msg(message).context(format!("could not compile {}", OutsideText::new(file))))
}

/// Returns the option that sets a limit of compilation.
pub(crate) fn option_of_compile(limit: CompileLimit) -> String {
    format!("--limits {}=…", Key::Compile(limit))
}

/// Prints the keys if one of the options asks for them. Returns whether it did.
///
/// # Errors
///
/// Returns an error if they cannot be printed.
pub(crate) fn print_keys(lists: &[LimitList]) -> Result<bool, Failure> {
    let wanted = lists.contains(&LimitList::Help);
    if wanted {
        print(&help())?;
    }
    Ok(wanted)
}

/// Returns the text that `--limits help` prints.
fn help() -> String {
    let mut text = format!("{:<23}{:<12}LIMITS\n", "KEY", "UNTRUSTED");
    for limit in Key::all() {
        let default = limit.default_amount().map_or(NONE.into(), |amount| limit.unit().show(amount));
        text.push_str(&format!("{:<23}{default:<12}{}\n", limit.to_string(), limit.meaning()));
    }
    text.push_str(
        "\nSizes are written as 65536, 64K, 16M or 2G, times as 250ms, 10s or 2m, other amounts as whole numbers; `none` removes\n\
         a limit. `--limits untrusted` sets all limits to the amounts shown; later keys override some of them:\n\
         --limits untrusted,memory=1G,wall=none. Without this option, the stack is limited to 1M and descriptors to 1024, and\n\
         nothing else is limited. Compilation is not limited either, except that --timeout applies to it, and separately to\n\
         the run.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Key, Option<u64>)>, String> {
        match text.parse()? {
            LimitList::Amounts(all) => Ok(all),
            LimitList::Help => Err("help".into()),
        }
    }

    #[test]
    fn amounts_are_read_by_their_units() {
        assert_eq!(
            read("memory=256M,wall=2s,cpu=1.5s,descriptors=64,table-elements=none,compile-memory=1M"),
            Ok(vec![
                (Key::Run(Limit::Memory), Some(256 << 20)),
                (Key::Run(Limit::Wall), Some(2_000_000_000)),
                (Key::Run(Limit::Cpu), Some(1_500_000_000)),
                (Key::Run(Limit::Descriptors), Some(64)),
                (Key::Run(Limit::TableElements), None),
                (Key::Compile(CompileLimit::Memory), Some(1 << 20)),
            ])
        );
        assert_eq!(
            read("untrusted,memory=1G").unwrap().last(),
            Some(&(Key::Run(Limit::Memory), Some(1 << 30)))
        );
        for bad in [
            "",
            "memory",
            "memory=",
            "memory=x",
            "wall=1d",
            "descriptors=1K",
            "gc_heap=1",
            "memory=1,,wall=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
