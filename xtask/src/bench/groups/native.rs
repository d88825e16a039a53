//! Comparison with native code.

use crate::bench::binary::Binary;
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::groups::exec;
use crate::bench::item::{Attempt, Entry};
use crate::bench::ubench;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let native = match ubench::build_native(dirs) {
        Ok(native) => native,
        Err(error) => {
            return Ok(vec![Entry::Skipped { name: "native".into(), reason: format!("{error:#}") }]);
        }
    };
    exec::kernels(dirs, contenders).into_iter().map(|entry| beside_native(entry, &native)).collect()
}

/// Adds the native program to an item, unless it does a different task: compilers do not agree on every last bit
/// of floating point.
fn beside_native(entry: Entry, native: &Path) -> Result<Entry> {
    let Entry::Item(mut item) = entry else { return Ok(entry) };
    let words = vec![item.name.clone()];
    let output = Command::new(native).args(&words).output().context("the native kernels cannot be run")?;
    if item
        .expected
        .stdout
        .as_ref()
        .is_some_and(|expected| expected.trim_ascii() != output.stdout.trim_ascii())
    {
        let reason = "what the C compiler here makes of it computes something else".into();
        return Ok(Entry::Skipped { name: item.name, reason });
    }
    item.attempts.push(Attempt::new(Contender::Native, Binary::NativeUbench, &words));
    Ok(Entry::Item(item))
}
