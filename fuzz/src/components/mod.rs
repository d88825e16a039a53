//! Chains of guests that pass values on, of arbitrary types: what the host gets from them, and what it passes to them, is
//! compared with Wasmtime.
//!
//! The host calls the first guest, each guest calls the next one, and the last one calls the host. A chain of one guest is
//! a component; a longer one is a component that contains others, which may encode strings differently. Guests may change
//! what they pass on to something invalid.

mod belljar;
mod guest;
mod types;
mod wasmtime;

use crate::generate::lengthened;
use arbitrary::{Result, Unstructured};
use guest::Guest;
use std::sync::Arc;
use types::Signature;

/// A chain, and what it is called with.
pub(crate) struct Case {
    ty: Signature,
    guests: Vec<Guest>,
    /// The number of calls; of these, the one in which the host fails.
    calls: u8,
    fails_at: Option<u8>,
    /// Whether belljar uses adapters.
    adapters: bool,
    /// From which values are made.
    values: Vec<u8>,
}

/// What happens in a run.
#[derive(PartialEq, Debug)]
pub(crate) enum Event {
    /// What a guest's allocator was asked for before the guest was called, as a sum.
    Asked(u64),
    /// What the host was called with.
    Seen(String),
    /// A resource was destroyed.
    Dropped(u32),
    /// What the host's call returned.
    Returned(String),
    /// The host's call failed.
    Failed,
    /// A limit of an engine's was reached, which differ.
    Exhausted,
}

impl Case {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let ty = Signature::arbitrary(u)?;
        let is_faulty = u.arbitrary()?;
        let guests = (0..u.int_in_range(1..=3)?).map(|_| Guest::arbitrary(u, is_faulty));
        let mut guests = guests.collect::<Result<Vec<_>>>()?;
        let adapters = u.ratio(3, 4)?;
        if !adapters {
            guests.iter_mut().for_each(Guest::allocate_well);
        }
        let calls = u.int_in_range(1..=3)?;
        Ok(Self {
            ty,
            guests,
            calls,
            fails_at: u.ratio(1, 16)?.then(|| u.int_in_range(1..=calls)).transpose()?,
            adapters,
            values: u.bytes(u.len())?.to_vec(),
        })
    }
}

/// Returns an arbitrary component, as text.
pub fn component(u: &mut Unstructured<'_>) -> Result<String> {
    let ty = Signature::arbitrary(u)?;
    let guests =
        (0..u.int_in_range(1..=3)?).map(|_| Guest::arbitrary(u, true)).collect::<Result<Vec<_>>>()?;
    Ok(guest::write(&ty, &guests))
}

/// Runs the same chain in belljar and Wasmtime. Panics if they differ.
pub fn against_wasmtime(bytes: &[u8]) {
    let bytes = lengthened(bytes);
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(&bytes)).map(Arc::new) else { return };
    let text = guest::write(&case.ty, &case.guests);
    if let Some(file) = std::env::var_os("FUZZ_MODULE") {
        std::fs::write(file, &text).expect("the file can be written");
    }
    let binary = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let theirs = wasmtime::run(&case, &binary);
    if theirs.contains(&Event::Exhausted) {
        return;
    }
    let ours = belljar::run(&case, &binary);
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        // Without adapters, strings are UTF-8 on the way, which takes other allocations. What invalid addresses point to
        // depends on them.
        if let (false, Event::Asked(_), Event::Asked(_)) = (case.adapters || ours == theirs, ours, theirs) {
            return;
        }
        assert_eq!(ours, theirs, "event {i}");
    }
    assert_eq!(ours.len(), theirs.len(), "how many events");
}
