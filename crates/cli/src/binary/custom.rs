//! Custom sections: names, producers, DWARF.

use super::description::{Description, Producer};
use std::collections::BTreeMap;
use wasmparser::{BinaryReader, CustomSectionReader, KnownCustom, Name};

/// Reads a custom section into the description. Names of globals are added to `global_names`.
pub(super) fn read(
    section: &CustomSectionReader<'_>,
    out: &mut Description,
    global_names: &mut BTreeMap<u32, Vec<String>>,
) -> wasmparser::Result<()> {
    match section.as_known() {
        KnownCustom::Name(names) => {
            out.debug.named_functions.get_or_insert(0);
            for name in names {
                match name? {
                    Name::Module { name, .. } => out.name = Some(name.into()),
                    Name::Function(map) => out.debug.named_functions = Some(map.count()),
                    Name::Global(map) => {
                        for naming in map {
                            let naming = naming?;
                            global_names.entry(naming.index).or_default().push(naming.name.into());
                        }
                    }
                    _ => {}
                }
            }
        }
        KnownCustom::ComponentName(names) => {
            for name in names {
                if let wasmparser::ComponentName::Component { name, .. } = name? {
                    out.name = Some(name.into());
                }
            }
        }
        KnownCustom::Producers(fields) => {
            for field in fields {
                let field = field?;
                for value in field.values {
                    let value = value?;
                    let producer = Producer { name: value.name.into(), version: value.version.into() };
                    out.producers.entry(field.name.into()).or_default().push(producer);
                }
            }
        }
        _ => other(section, out)?,
    }
    Ok(())
}

fn other(section: &CustomSectionReader<'_>, out: &mut Description) -> wasmparser::Result<()> {
    let name = section.name();
    if name.starts_with(".debug_") {
        *out.debug.dwarf.entry(name.into()).or_default() += section.data().len() as u64;
        return Ok(());
    }
    let mut reader = BinaryReader::new(section.data(), section.data_offset());
    match name {
        "sourceMappingURL" | "external_debug_info" => out.debug.external = Some(reader.read_string()?.into()),
        "target_features" => {
            for _ in 0..reader.read_var_u32()? {
                // `+` used, `-` must not be used, `=` required.
                let prefix = char::from(reader.read_u8()?);
                out.target_features.push(format!("{prefix}{}", reader.read_string()?));
            }
        }
        _ => {}
    }
    Ok(())
}
