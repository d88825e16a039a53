//! Calls with the values of the component model.

use crate::bench::binary::{Binaries, Binary};
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, FigureSource, Item};
use crate::cargo::target;
use anyhow::{Context, Result};
use bench_runner::{ComponentCall, Figure};
use std::process::Command;

/// The group's name.
pub(crate) const NAME: &str = "components";

pub(crate) fn items(_: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let item = |(_, name, figure): (ComponentCall, &str, Figure)| {
        let words = [NAME.into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, FigureSource::Figure(figure)))
    };
    let compiled = ["python", "javascript"].map(|name| {
        let file = target().join("real-components").join(name).with_extension("wasm");
        let shown = format!("compile {name}");
        if !file.exists() {
            let reason = "`cargo xtask real-components` makes it".into();
            return Entry::Skipped { name: shown, reason };
        }
        let words = ["compile".into(), file.display().to_string(), "1".into()];
        Entry::Item(Item::of_runners(shown, contenders, &words, FigureSource::Figure(Figure::Compile)))
    });
    Ok(ComponentCall::ALL.map(item).into_iter().chain(compiled).collect())
}

/// Prints how long calls with 1 MiB take, compared with copies of as many bytes.
pub(crate) fn facts(binaries: &Binaries<'_>) -> Result<()> {
    let program = binaries.path(Binary::BenchBelljar)?;
    let figure = |figure: Figure| {
        let output = Command::new(&program).args([NAME, figure.name()]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        figure.read(&text).with_context(|| format!("no figure {figure}"))
    };
    for (call, copy, name) in [
        (Figure::ComponentTakeBytes, Figure::CopyBytes, "list<u8> 1 MiB to guest"),
        (Figure::ComponentGiveBytes, Figure::CopyNewBytes, "list<u8> 1 MiB from guest, into new memory"),
        (Figure::ComponentBytes, Figure::CopyBytes, "between: list<u8> 1 MiB"),
    ] {
        // In turn, so that a longer disturbance affects both.
        let pairs = (0..5).map(|_| Ok((figure(call)?, figure(copy)?))).collect::<Result<Vec<_>>>()?;
        let best = |all: &mut dyn Iterator<Item = f64>| all.fold(f64::INFINITY, f64::min);
        let (ours, copies) =
            (best(&mut pairs.iter().map(|pair| pair.0)), best(&mut pairs.iter().map(|pair| pair.1)));
        println!("{name}: {:.2} of a copy, {:.1} µs", ours / copies, ours / 1000.0);
    }
    Ok(())
}
