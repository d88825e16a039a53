//! Maps.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{
    FlatSink, FlatValues, LiftContext, LowerContext, allocate, check_aligned, load_pair, pointer, range,
    size_of_list, store_pair,
};
use crate::types::{Tuple, Type};
use belljar_core::{Context, Result};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Returns the type of an entry, with the types of its key and its value.
fn entry(ty: &Type) -> Result<(&Tuple, &Type, &Type)> {
    match ty {
        Type::Map(map) => match map.entry().types() {
            [key, value] => Ok((map.entry(), key, value)),
            _ => expected("a map", ty),
        },
        _ => expected("a map", ty),
    }
}

/// Returns where the parts of an entry lie, counted from its begin.
fn places(entry: &Tuple, cx: crate::types::AddressType) -> (u64, u64) {
    match entry.offsets(cx) {
        [key, value] => (u64::from(*key), u64::from(*value)),
        _ => (0, 0),
    }
}

fn lift<K: Lift + Eq + Hash, V: Lift, S: BuildHasher + Default>(
    cx: &mut LiftContext<'_>,
    ty: &Type,
    at: u64,
    count: u64,
) -> Result<HashMap<K, V, S>> {
    let (entry, key_ty, value_ty) = entry(ty)?;
    let address = cx.address();
    let layout = entry.layout(address);
    let (key_at, value_at) = places(entry, address);
    let size = size_of_list(count, layout.size, "map")?;
    range(cx.memory()?, at, size)?;
    check_aligned(at, layout.align)?;
    // A hash table is at most half empty, and has a byte more for each place.
    cx.charge(count.saturating_mul(2 * size_of::<(K, V)>() as u64 + 2))?;
    let mut map = HashMap::with_capacity_and_hasher(count as usize, S::default());
    for i in 0..count {
        let at = at + i * u64::from(layout.size);
        // If a key is there twice, the last one counts.
        map.insert(K::load(cx, key_ty, at + key_at)?, V::load(cx, value_ty, at + value_at)?);
    }
    Ok(map)
}

fn lower<K: Lower, V: Lower, S>(
    map: &HashMap<K, V, S>,
    cx: &mut LowerContext<'_>,
    ty: &Type,
) -> Result<(u64, u64)> {
    let (entry, key_ty, value_ty) = entry(ty)?;
    let address = cx.address();
    let layout = entry.layout(address);
    let (key_at, value_at) = places(entry, address);
    let size = size_of_list(map.len() as u64, layout.size, "map")?;
    let at = allocate(cx, layout.align, size)?;
    for (i, (key, value)) in map.iter().enumerate() {
        let at = at + i as u64 * u64::from(layout.size);
        key.store(cx, key_ty, at + key_at)?;
        value.store(cx, value_ty, at + value_at)?;
    }
    Ok((at, map.len() as u64))
}

impl<K: ComponentType, V: ComponentType, S> ComponentType for HashMap<K, V, S> {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        let (_, key, value) = entry(ty)?;
        K::check(key, types).context("the key of a map")?;
        V::check(value, types).context("the value of a map")
    }
}

impl<K: Lift + Eq + Hash, V: Lift, S: BuildHasher + Default> Lift for HashMap<K, V, S> {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        let address = cx.address();
        let (at, count) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
        lift(cx, ty, at, count)
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        let (at, count) = load_pair(cx, at)?;
        lift(cx, ty, at, count)
    }
}

impl<K: Lower, V: Lower, S> Lower for HashMap<K, V, S> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        let (at, count) = lower(self, cx, ty)?;
        flat.push(at)?;
        flat.push(count)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        let lowered = lower(self, cx, ty)?;
        store_pair(cx, at, lowered)
    }
}
