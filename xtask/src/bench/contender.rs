//! The measured engines.

use super::binary::Binary;
use clap::ValueEnum;
use serde::Serialize;

/// A measured engine. The first of an item is belljar, and ratios are its time over another's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Contender {
    #[value(skip)]
    Belljar,
    Wasmtime,
    Wasmi,
    #[value(skip)]
    Native,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Belljar => "belljar",
            Self::Wasmtime => "wasmtime",
            Self::Wasmi => "wasmi",
            Self::Native => "native",
        }
    }

    /// The program that implements the commands of `bench-runner`; `None` for native code, which needs none.
    pub(crate) fn runner(self) -> Option<Binary> {
        match self {
            Self::Belljar => Some(Binary::BenchBelljar),
            Self::Wasmtime => Some(Binary::RivalWasmtime),
            Self::Wasmi => Some(Binary::RivalWasmi),
            Self::Native => None,
        }
    }
}
