//! `belljar cache`: what the user's cache holds, and how it is emptied and checked.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::print;
use crate::progress::{Meter, with_progress};
use anyhow::{Context, Error, anyhow};
use belljar::{ArtifactError, ArtifactInfo, Cache, OutsideText};
use belljar_cache::{ENTRY_SUFFIX, EntryInfo, SealError, Stats};
use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  belljar cache stats                    how many compiled modules there are, and how large
  belljar cache verify                   check every one of them, and remove what is damaged or no compiled module
  belljar cache clear
  BELLJAR_CACHE=off belljar tool.wasm    a run without the cache
  BELLJAR_CACHE=/var/cache/me belljar tool.wasm

Modules that `belljar run` compiles are kept, so that the next start need not compile. What is used least goes first when
the cache is full (2 GiB). Whatever is in it is checked before it is used: nothing in it can do harm.
Exit codes: 0, or 65 if `verify` found something damaged or out of place, 69 if there is no cache.";

/// Look at the cache of compiled modules, empty or check it.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CacheOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Copy, Debug)]
enum Action {
    /// Print what it holds
    Stats,
    /// Remove all of it
    Clear,
    /// Print its directory
    Path,
    /// Check all of it, and remove what is damaged or out of place
    Verify,
}

impl CacheOptions {
    /// Does what is asked. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where there is no cache, or it cannot be read.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let cache = Cache::of_user().with_exit_code(ExitCode::CannotStart)?;
        let Some(cache) = cache else {
            return Err(Failure::new(
                ExitCode::CannotStart,
                anyhow!("BELLJAR_CACHE says that there is no cache"),
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
                    1 => ", and 1 thing that is no file".into(),
                    n => format!(", and {n} things that are no files"),
                };
                let (entries, size) = (removed.entries, ByteSize(removed.bytes));
                print(&format!("removed {entries} modules, {size}{others}\n"))?;
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

/// Checks all entries, removes what is damaged or out of place. Returns the exit code.
fn verify(cache: &Cache) -> Result<u8, Failure> {
    let entries: Vec<_> = cache.entries().with_exit_code(ExitCode::Unreadable)?.collect();
    let bad = with_progress(
        || format!("checking {} modules", entries.len()),
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
        tell(&key.to_string(), &format!("{error:#}"), removed)?;
    }
    let misplaced = cache.misplaced().with_exit_code(ExitCode::Unreadable)?;
    for found in &misplaced {
        let removed = cache.remove_misplaced(found).with_exit_code(ExitCode::Unwritable)?;
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.strip_suffix(ENTRY_SUFFIX).unwrap_or(&name);
        tell(name, &format!("expected a file, found {}", found.what), removed)?;
    }
    let count = bad.len() + misplaced.len();
    print(&format!("{} good, {count} damaged\n", entries.len() - bad.len()))?;
    Ok(if count == 0 { ExitCode::Success } else { ExitCode::BadModule } as u8)
}

fn tell(name: &str, what: &str, removed: bool) -> Result<(), Failure> {
    print(&format!("{name}: {what}{}\n", if removed { ": removed" } else { "" }))
}

fn check(cache: &Cache, found: &EntryInfo) -> Result<(), Error> {
    let limit = cache.size_limit();
    if found.length > limit {
        return Err(anyhow!("expected at most {}, found {}", ByteSize(limit), ByteSize(found.length)));
    }
    let entry = cache.find(&found.key).context("it cannot be read")?;
    let info = ArtifactInfo::read(&entry.file)?;
    let sealed = match info.seal() {
        // What is for another release is of no use here, and no damage either.
        Err(ArtifactError::Seal(SealError::UnknownVersion { .. })) => return Ok(()),
        sealed => sealed?.identity,
    };
    let found =
        [Some(sealed), info.identity()].into_iter().flatten().find(|found| *found != entry.identity());
    match found {
        None => Ok(()),
        Some(found) => Err(anyhow!("expected {}, found {found}", entry.identity())),
    }
}
