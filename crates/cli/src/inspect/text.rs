//! A module's description as text.

use crate::binary::description::{DataSegment, Description, Kind, Layout};
use crate::byte_size::ByteSize;
use belljar::{Counted, OutsideText};
use std::fmt::{self, Display};

/// The most entries of a list to print.
const MAX_LISTED: usize = 60;

/// Formats the text of `belljar inspect`.
pub(super) struct Text<'a>(pub(super) &'a Description);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.0;
        let kind = match d.kind {
            Kind::Module => "module",
            Kind::Component => "component",
            Kind::Unknown => "no wasm binary",
        };
        writeln!(f, "{}: {kind}, {}", printable(&d.file), ByteSize(d.size))?;
        if let Some(name) = &d.name {
            writeln!(f, "name: {}", printable(name))?;
        }
        if let Some(problem) = &d.error {
            writeln!(
                f,
                "problem: {} (at byte {:#x}); what follows is what could be read",
                printable(&problem.message),
                problem.offset
            )?;
        }
        self.sections(f)?;
        let imports = d.imports.iter().map(|i| match &*i.module {
            "" => (printable(&i.name), i.ty.clone()),
            module => (format!("{}::{}", printable(module), printable(&i.name)), i.ty.clone()),
        });
        list(f, "imports", imports.collect())?;
        list(f, "exports", d.exports.iter().map(|e| (printable(&e.name), e.ty.clone())).collect())?;
        self.wit(f)?;
        self.functions(f)?;
        self.memories(f)?;
        self.tables(f)?;
        self.about(f)
    }
}

impl Text<'_> {
    fn sections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.sections.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nsections")?;
        let width = self.0.sections.iter().map(|s| printable(&s.name).chars().count()).max().unwrap_or(0);
        for section in &self.0.sections {
            let size = ByteSize(section.size).to_string();
            write!(f, "  {:#010x}  {:width$}  {size:>10}", section.offset, printable(&section.name))?;
            match section.count {
                Some(1) => writeln!(f, "  1 entry")?,
                Some(n) => writeln!(f, "  {n} entries")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn wit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(wit) = &self.0.wit else { return Ok(()) };
        writeln!(f, "\nas WIT, which `belljar wit` prints with all packages")?;
        wit.lines().try_for_each(|line| writeln!(f, "{}{line}", if line.is_empty() { "" } else { "  " }))
    }

    fn functions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = &self.0.functions;
        if functions.imported + functions.defined == 0 {
            return Ok(());
        }
        write!(f, "\nfunctions: {} imported, {} defined", functions.imported, functions.defined)?;
        if functions.largest_body > 0 {
            write!(f, ", the largest {}", ByteSize(functions.largest_body))?;
        }
        match functions.start {
            Some(start) => writeln!(f, "; function {start} runs at the start"),
            None => writeln!(f),
        }
    }

    fn memories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, memory) in self.0.memories.iter().enumerate() {
            write!(f, "\nmemory {i}: {} at the start", ByteSize(memory.minimum_bytes))?;
            match memory.maximum_bytes {
                Some(maximum) => write!(f, ", at most {}", ByteSize(maximum))?,
                None => write!(f, ", no maximum")?,
            }
            let special = memory.ty.strip_prefix("memory ").filter(|ty| ty.contains(' '));
            special.map_or(Ok(()), |ty| write!(f, " ({ty})"))?;
            provenance(f, memory.imported.as_deref(), &memory.exported)?;
            if let Some(layout) = self.0.layout.as_ref().filter(|_| i == 0) {
                write_layout(f, layout)?;
            }
            let active = |d: &&DataSegment| d.memory == Some(i as u32) && !d.passive;
            let segments = self.0.data.iter().filter(active).collect::<Vec<_>>();
            write_data(f, "data segments", &segments)?;
        }
        write_data(f, "passive data segments", &self.0.data.iter().filter(|d| d.passive).collect::<Vec<_>>())
    }

    fn tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, table) in self.0.tables.iter().enumerate() {
            write!(f, "\ntable {i}: {}", table.ty.strip_prefix("table ").unwrap_or(&table.ty))?;
            provenance(f, table.imported.as_deref(), &table.exported)?;
        }
        if self.0.globals + self.0.element_segments > 0 {
            let (globals, elements) = (self.0.globals, self.0.element_segments);
            writeln!(f, "\nglobals: {globals}; element segments: {elements}")?;
        }
        Ok(())
    }

    fn about(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.0;
        if d.kind == Kind::Module {
            let features: Vec<String> = d
                .features
                .iter()
                .map(|u| format!("{}{}", u.name, if u.supported { "" } else { " (not supported yet)" }))
                .collect();
            let none = "none beyond WebAssembly 1.0".to_string();
            writeln!(f, "\nfeatures: {}", if features.is_empty() { none } else { features.join(", ") })?;
        }
        if !d.target_features.is_empty() {
            writeln!(
                f,
                "target features: {}",
                d.target_features.iter().map(|t| printable(t)).collect::<Vec<_>>().join(", ")
            )?;
        }
        for (field, values) in &d.producers {
            let values = values.iter().map(|p| match &*p.version {
                "" => printable(&p.name),
                version => format!("{} {}", printable(&p.name), printable(version)),
            });
            writeln!(f, "{}: {}", printable(field), values.collect::<Vec<_>>().join(", "))?;
        }
        if d.kind != Kind::Module {
            return Ok(());
        }
        match d.debug.named_functions {
            Some(n) => writeln!(f, "names: a name section, with names of {}", Counted::of(n, "function"))?,
            None => writeln!(f, "names: none")?,
        }
        match (d.debug.dwarf.values().sum::<u64>(), &d.debug.external) {
            (0, None) => writeln!(f, "debug information: none"),
            (0, Some(place)) => writeln!(f, "debug information: in {}", printable(place)),
            (n, _) => {
                writeln!(
                    f,
                    "debug information: DWARF, {} in {}",
                    ByteSize(n),
                    Counted::of(d.debug.dwarf.len(), "section")
                )
            }
        }
    }
}

/// Writes a titled, aligned list of names with types.
fn list(f: &mut fmt::Formatter<'_>, title: &str, entries: Vec<(String, String)>) -> fmt::Result {
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title} ({})", entries.len())?;
    let shown = &entries[..entries.len().min(MAX_LISTED)];
    // A single very long name must not push all types out of view.
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(50);
    for (name, ty) in shown {
        writeln!(f, "  {name:width$}  {ty}")?;
    }
    match entries.len() - shown.len() {
        0 => Ok(()),
        n => writeln!(f, "  … and {n} more, which --json lists"),
    }
}

fn provenance(f: &mut fmt::Formatter<'_>, imported: Option<&str>, exported: &[String]) -> fmt::Result {
    if let Some(name) = imported {
        write!(f, "; imported as {}", printable(name))?;
    }
    if !exported.is_empty() {
        let names = exported.iter().map(|name| printable(name)).collect::<Vec<_>>();
        write!(f, "; exported as {}", names.join(", "))?;
    }
    writeln!(f)
}

fn write_layout(f: &mut fmt::Formatter<'_>, layout: &Layout) -> fmt::Result {
    for region in &layout.regions {
        match region.end {
            Some(end) => {
                let size = ByteSize(end.saturating_sub(region.start));
                writeln!(f, "  {:#010x}..{end:#010x}  {:5}  {size}", region.start, region.what)?;
            }
            None => writeln!(f, "  {:#010x}..            {}", region.start, region.what)?,
        }
    }
    for symbol in &layout.symbols {
        let guessed = if symbol.guessed { " (a guess: it has no name)" } else { "" };
        writeln!(f, "  {:16} = {:#x}{guessed}", OutsideText::new(&symbol.name), symbol.address)?;
    }
    Ok(())
}

fn write_data(f: &mut fmt::Formatter<'_>, title: &str, segments: &[&DataSegment]) -> fmt::Result {
    if segments.is_empty() {
        return Ok(());
    }
    let total = ByteSize(segments.iter().map(|s| s.size).sum());
    writeln!(f, "  {title}: {}, {total}", segments.len())?;
    for segment in segments.iter().take(MAX_LISTED / 4) {
        let size = ByteSize(segment.size);
        match (segment.address, segment.passive) {
            (Some(address), _) => writeln!(f, "    {address:#010x}  {size}")?,
            (None, true) => writeln!(f, "    {size}")?,
            (None, false) => writeln!(f, "    at a place computed at the start, {size}")?,
        }
    }
    match segments.len().saturating_sub(MAX_LISTED / 4) {
        0 => Ok(()),
        n => writeln!(f, "    … and {n} more, which --json lists"),
    }
}

/// Escapes a name from the module.
fn printable(name: &str) -> String {
    OutsideText::new(name).to_string()
}
