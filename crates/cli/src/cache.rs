//! `belljar cache`: shows, empties and verifies the user's cache.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::print;
use crate::progress::{Meter, with_progress};
use belljar::error::Context;
use belljar::{ArtifactError, ArtifactInfo, ByteCount, Cache, Counted, Error, OutsideText, format_err};
use belljar_cache::{ENTRY_SUFFIX, EntryInfo, SealError, Stats};
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  belljar cache stats                    the number of compiled modules and their size
  belljar cache verify                   check all of them, and remove what is damaged or misplaced
  belljar cache clear
  BELLJAR_CACHE=off belljar tool.wasm    a run without the cache
  BELLJAR_CACHE=/var/cache/me belljar tool.wasm

Modules that `belljar run` compiles are cached, so that the next start need not compile them. When the \
cache is full (2 GiB), the least recently used modules are evicted. Every entry is checked before it is used, so no \
entry can do harm.

Exit codes: 0, or 65 if `verify` found something damaged or misplaced, 69 if there is no cache.";

/// Show, verify or empty the cache of compiled modules.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CacheOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Copy, Debug)]
enum Action {
    /// Print how many modules it holds, and their size
    Stats,
    /// Remove all modules; they are compiled again when they are next run
    Clear,
    /// Print its directory
    Path,
    /// Check every module, and remove those that are damaged or misplaced
    Verify,
}

impl CacheOptions {
    /// Executes the subcommand. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no cache, or if it cannot be read.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let cache = Cache::of_user().with_exit_code(ExitCode::CannotStart)?;
        let Some(cache) = cache else {
            return Err(Failure::new(
                ExitCode::CannotStart,
                format_err!("BELLJAR_CACHE says that there is no cache"),
            ));
        };
        match self.action {
            Action::Stats => {
                let stats = cache.stats().with_exit_code(ExitCode::Unreadable)?;
                print(&format_stats(&cache, &stats))?;
            }
            Action::Clear => {
                let removed = cache.clear().with_exit_code(ExitCode::Unwritable)?;
                let others = match removed.misplaced {
                    0 => String::new(),
                    1 => ", and 1 thing that is not a file".into(),
                    n => format!(", and {n} things that are not files"),
                };
                let (entries, size) = (removed.entries, ByteSize(removed.bytes));
                print(&format!("removed {}, {size}{others}\n", Counted(entries, "module")))?;
            }
            Action::Path => print(&format!("{}\n", OutsideText::new(cache.directory())))?,
            Action::Verify => return verify(&cache),
        }
        Ok(ExitCode::Success as u8)
    }
}

fn format_stats(cache: &Cache, stats: &Stats) -> String {
    format!(
        "directory  {}\nmodules    {}\nsize       {} of at most {}\n",
        OutsideText::new(cache.directory()),
        stats.entries,
        ByteSize(stats.bytes),
        ByteSize(cache.size_limit()),
    )
}

/// Verifies all entries, and removes those that are damaged or misplaced. Returns the exit code.
fn verify(cache: &Cache) -> Result<u8, Failure> {
    let entries: Vec<_> = cache.entries().with_exit_code(ExitCode::Unreadable)?.collect();
    let bad = with_progress(
        || format!("checking {}", Counted::of(entries.len(), "module")),
        &Meter::default(),
        || {
            entries
                .iter()
                .filter_map(|entry| Some((entry.key, check(cache, entry).err()?)))
                .collect::<Vec<_>>()
        },
    );
    for (key, error) in &bad {
        let removed = cache.remove(key).with_exit_code(ExitCode::Unwritable)?;
        report_problem(&key.to_string(), &format!("{error:#}"), removed)?;
    }
    let misplaced = cache.misplaced().with_exit_code(ExitCode::Unreadable)?;
    for found in &misplaced {
        let removed = cache.remove_misplaced(found).with_exit_code(ExitCode::Unwritable)?;
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.strip_suffix(ENTRY_SUFFIX).unwrap_or(&name);
        report_problem(name, &format!("expected a file, found {}", found.what), removed)?;
    }
    let count = bad.len() + misplaced.len();
    print(&format!("{} good, {count} damaged\n", entries.len() - bad.len()))?;
    Ok(if count == 0 { ExitCode::Success } else { ExitCode::BadModule } as u8)
}

fn report_problem(name: &str, what: &str, removed: bool) -> Result<(), Failure> {
    print(&format!("{name}: {what}{}\n", if removed { ": removed" } else { "" }))
}

fn check(cache: &Cache, found: &EntryInfo) -> Result<(), Error> {
    let limit = cache.size_limit();
    if found.length > limit {
        let [limit, found] = ByteCount::in_one_unit([limit, found.length]);
        return Err(format_err!("expected at most {limit}, found {found}"));
    }
    let entry = cache.find(&found.key).context("it cannot be read")?;
    let info = ArtifactInfo::read(&entry.file)?;
    let sealed = match info.seal() {
        // An entry of another release is useless here, but not damaged.
        Err(ArtifactError::Seal(SealError::UnknownVersion { .. })) => return Ok(()),
        sealed => sealed?.identity,
    };
    let found =
        [Some(sealed), info.identity()].into_iter().flatten().find(|found| *found != entry.identity());
    match found {
        None => Ok(()),
        Some(found) => Err(format_err!("expected {}, found {found}", entry.identity())),
    }
}
