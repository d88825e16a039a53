//! WASI 0.0: the functions of `wasi_unstable`, which programs built before 2020 import.

use crate::WasiCtx;
use crate::p1::add_unstable_to_linker;
use belljar::Linker;

/// Defines every function of `wasi_unstable`, and none of `wasi_snapshot_preview1`. [`p1::add_to_linker`] defines both.
///
/// `ctx` finds the context in the store's data. Instances must export their memory as `memory`.
///
/// # Errors
/// Returns an error if the linker already has one of the functions and does not allow shadowing.
///
/// [`p1::add_to_linker`]: crate::p1::add_to_linker
pub fn add_to_linker_sync<T: 'static>(
    linker: &mut Linker<T>,
    ctx: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> belljar::Result<()> {
    add_unstable_to_linker(linker, ctx)
}
