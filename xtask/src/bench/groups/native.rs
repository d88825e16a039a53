//! The distance to native code.

use crate::bench::binary::Binary;
use crate::bench::contender::Contender;
use crate::bench::groups::exec;
use crate::bench::item::{Attempt, Entry};
use crate::bench::place::Place;
use anyhow::Result;

pub(crate) fn items(place: &Place, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let mut entries = exec::kernels(place, contenders);
    for entry in &mut entries {
        if let Entry::Item(item) = entry {
            let words = vec![item.name.clone()];
            let native = Attempt { contender: Contender::Native, binary: Binary::NativeUbench, words };
            item.attempts.push(native);
        }
    }
    Ok(entries)
}
