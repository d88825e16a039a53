//! Adds the functions of WASI 0.1 to a linker: both modules, from one table.

use belljar::{Caller, Extern, Linker, SharedMemory};

use crate::p1::{Errno, Error, Result, WasmResult};
use crate::{GuestMemory, SharedBytes, WasiCtx};

/// What finds the context in a store's data.
pub(crate) trait Find<T>: Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static {}

impl<T, F: Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static> Find<T> for F {}

/// Defines a function. A trait's method would need a type for each number of parameters, so this is a macro.
macro_rules! define {
    ($linker:ident, $ctx:ident, $module:literal, $name:ident, ($($param:ident: $ty:ty),*), $result:ty, $function:path) => {
        $linker.func_wrap(
            $module,
            stringify!($name),
            move |mut caller: Caller<'_, T>, $($param: $ty),*| -> belljar::Result<$result> {
                call(&mut caller, $ctx, |ctx, memory| $function(ctx, memory, $($param.cast_unsigned()),*))
            },
        )?
    };
}

/// Defines every function of `wasi_snapshot_preview1` and `wasi_unstable` in the linker.
///
/// `ctx` finds the context in the store's data. Instances must export their memory as `memory`.
///
/// # Errors
/// Returns an error if the linker already has one of the functions and does not allow shadowing.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    ctx: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> belljar::Result<()> {
    add_to_linker_sync(linker, ctx)?;
    add_unstable_to_linker(linker, ctx)
}

/// Defines every function of `wasi_snapshot_preview1`, and not those of its predecessor: see [`add_to_linker`], and
/// [`p0::add_to_linker_sync`](crate::p0::add_to_linker_sync) for the others.
///
/// # Errors
/// Returns an error as [`add_to_linker`] does.
pub fn add_to_linker_sync<T: 'static>(
    linker: &mut Linker<T>,
    ctx: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> belljar::Result<()> {
    macro_rules! bind {
        ($(fn $name:ident $params:tt -> $result:ty = $p1:path $(| $unstable:path)?;)*) => {
            $(define!(linker, ctx, "wasi_snapshot_preview1", $name, $params, $result, $p1);)*
        };
    }
    crate::p1_functions!(bind);
    Ok(())
}

/// Defines every function of `wasi_unstable`, which programs built before 2020 import.
///
/// # Errors
/// Returns an error as [`p1::add_to_linker`](crate::p1::add_to_linker) does.
pub(crate) fn add_unstable_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    ctx: impl Find<T>,
) -> belljar::Result<()> {
    macro_rules! bind {
        ($(fn $name:ident $params:tt -> $result:ty = $p1:path $(| $unstable:path)?;)*) => {
            $($(define!(linker, ctx, "wasi_unstable", $name, $params, $result, $unstable);)?)*
        };
    }
    crate::p1_functions!(bind);
    Ok(())
}

fn call<T: 'static, R: WasmResult>(
    caller: &mut Caller<'_, T>,
    ctx: impl Find<T>,
    function: impl FnOnce(&WasiCtx, &mut GuestMemory<'_>) -> Result,
) -> belljar::Result<R> {
    let store = caller.store_id();
    let handle = ctx(caller.data_mut()).is_new_caller(store).then(|| caller.kill_handle());
    if let Some(handle) = handle {
        ctx(caller.data_mut()).set_caller(handle);
    }
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => {
            let (bytes, data) = memory.copied_data_and_store_mut(caller);
            finish(function(ctx(data), &mut GuestMemory::new(bytes)))
        }
        Some(Extern::SharedMemory(memory)) => {
            finish(function(ctx(caller.data_mut()), &mut GuestMemory::shared(&memory)))
        }
        // Not every call needs a memory; a call that does treats a missing one as empty.
        _ => match function(ctx(caller.data_mut()), &mut GuestMemory::new(&mut [])) {
            Err(Error::Errno(Errno::Fault)) => Err(belljar::Error::msg(
                "a WASI function was called by an instance that exports no memory named `memory`: export its memory under \
                 this name",
            )),
            outcome => finish(outcome),
        },
    }
}

impl SharedBytes for SharedMemory {
    fn len(&self) -> usize {
        self.data_size()
    }

    // The ranges were checked, and no memory shrinks, so neither can fail.
    fn read(&self, at: usize, out: &mut [u8]) {
        let _ = self.data().read(at, out);
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let _ = self.data().write(at, bytes);
    }
}

fn finish<R: WasmResult>(outcome: Result) -> belljar::Result<R> {
    match outcome {
        Ok(()) => Ok(R::from_errno(Errno::Success)),
        Err(Error::Errno(errno)) => Ok(R::from_errno(errno)),
        Err(Error::Exit(exit)) => Err(exit.into()),
        Err(Error::Trap(message)) => Err(belljar::Error::msg(message)),
    }
}
