//! `wasi:random`.

use super::failure::ends;
use super::interface::Interfaces;
use super::view::WasiCtxView;
use crate::random::HostRandom;
use belljar::{Result, ensure};

/// The most bytes of one call: those of WASI 0.2 pass through the host's memory.
const MAX_BYTES: u64 = 64 << 20;

/// Bytes that are made between two checks whether the guest must end.
const PIECE: usize = 64 << 10;

#[derive(Clone, Copy)]
enum Kind {
    Secure,
    Insecure,
}

fn fill(view: &WasiCtxView<'_>, kind: Kind, bytes: &mut [u8]) -> Result<()> {
    for piece in bytes.chunks_mut(PIECE) {
        view.ctx.check_interrupt().map_err(ends)?;
        let mut random = match kind {
            Kind::Secure => view.ctx.random(),
            Kind::Insecure => view.ctx.insecure_random(),
        };
        view.ctx.restart(|| random.fill(piece)).map_err(ends)?;
    }
    Ok(())
}

fn bytes(view: &WasiCtxView<'_>, kind: Kind, count: u64) -> Result<Vec<u8>> {
    let most = view.ctx.max_random_size().min(MAX_BYTES);
    ensure!(
        count <= most,
        "the guest asked for {count} random bytes at once, and may ask for {most} (WasiCtxBuilder::max_random_size)"
    );
    let mut bytes = vec![0; count as usize];
    fill(view, kind, &mut bytes)?;
    Ok(bytes)
}

fn number(view: &WasiCtxView<'_>, kind: Kind) -> Result<u64> {
    let mut bytes = [0; 8];
    fill(view, kind, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn add<T: 'static>(interfaces: &mut Interfaces<'_, T>) -> Result<()> {
    let mut random = interfaces.add("wasi:random/random")?;
    random.func("get-random-bytes", |view, (count,): (u64,)| bytes(view, Kind::Secure, count))?;
    random.func("get-random-u64", |view, (): ()| number(view, Kind::Secure))?;

    let mut insecure = interfaces.add("wasi:random/insecure")?;
    insecure
        .func("get-insecure-random-bytes", |view, (count,): (u64,)| bytes(view, Kind::Insecure, count))?;
    insecure.func("get-insecure-random-u64", |view, (): ()| number(view, Kind::Insecure))?;

    interfaces.add("wasi:random/insecure-seed")?.func("insecure-seed", |view, (): ()| {
        Ok(match view.ctx.insecure_seed() {
            Some(seed) => (seed as u64, (seed >> 64) as u64),
            None => (number(view, Kind::Insecure)?, number(view, Kind::Insecure)?),
        })
    })
}
