//! Calls every function with arbitrary arguments and an arbitrary memory: an errno, an exit or a trap, never a panic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use belljar_wasi::p1::{Error, FUNCTIONS};
use belljar_wasi::{
    DirPerms, FilePerms, GuestMemory, HostMonotonicClock, HostRandom, MemoryInputPipe, MemoryOutputPipe,
    SeededRandom, WasiCtx, WasiCtxBuilder,
};

/// A clock that moves only when the guest waits.
struct Virtual(AtomicU64);

impl HostMonotonicClock for Virtual {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn advance(&self, by: Duration) -> bool {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        true
    }
}

const MEMORY: usize = 8192;

/// Numbers of the interesting kinds: small ones, addresses near the memory's end, and arbitrary ones.
fn number(random: &mut SeededRandom) -> u64 {
    let mut bytes = [0; 9];
    random.fill(&mut bytes).unwrap();
    let value = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    match bytes[8] % 8 {
        0..=2 => value % 8,
        3 | 4 => value % MEMORY as u64,
        5 => MEMORY as u64 - value % 64,
        6 => value % 512,
        _ => value,
    }
}

fn call(
    name: &str,
    ctx: &WasiCtx,
    memory: &mut GuestMemory<'_>,
    args: &mut impl FnMut() -> u64,
) -> Result<(), Error> {
    macro_rules! dispatch {
        ($(fn $name:ident $params:tt -> $result:ty = $p1:path $(| $unstable:path)?;)*) => {
            match name {
                $(stringify!($name) => {
                    $(if args() & 1 == 1 { return invoke!($unstable, $params); })?
                    invoke!($p1, $params)
                })*
                _ => unreachable!(),
            }
        };
    }
    macro_rules! invoke {
        ($function:path, ($($param:ident: $ty:ident),*)) => {
            $function(ctx, memory, $(invoke!(@arg $param $ty)),*)
        };
        (@arg $param:ident i32) => { args() as u32 };
        (@arg $param:ident i64) => { args() };
    }
    belljar_wasi::p1_functions!(dispatch)
}

#[test]
fn nothing_a_guest_passes_panics() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = SeededRandom::new(1);
    for round in 0..60 {
        let mut builder = WasiCtxBuilder::new();
        builder.args(&["a", "bc"]).env("x", "y").max_descriptors(32);
        builder.stdin(MemoryInputPipe::new([7; 100])).stdout(MemoryOutputPipe::new(1000));
        builder.monotonic_clock(Virtual(AtomicU64::new(0))).secure_random(SeededRandom::new(round));
        builder.preopened_dir(dir.path(), "/", (DirPerms::all(), FilePerms::all())).unwrap();
        let ctx = builder.build();
        let mut bytes = vec![0; MEMORY];
        random.fill(&mut bytes).unwrap();
        // Useful contents: names, and lists and subscriptions made of small numbers.
        for (i, name) in ["a", "b/c", "..", ".", "a/../b", "/", "", "d"].iter().enumerate() {
            bytes[i * 8..][..name.len()].copy_from_slice(name.as_bytes());
        }
        for word in bytes[512..6144].chunks_mut(4) {
            word.copy_from_slice(&(number(&mut random) as u32 % 700).to_le_bytes());
        }
        for _ in 0..3000 {
            let function = FUNCTIONS[number(&mut random) as usize % FUNCTIONS.len()];
            let mut memory = GuestMemory::new(&mut bytes);
            let _ = call(function.name, &ctx, &mut memory, &mut || number(&mut random));
        }
    }
}

#[test]
fn the_table_has_the_functions_of_both_modules() {
    assert_eq!(FUNCTIONS.len(), 46);
    assert_eq!(FUNCTIONS.iter().filter(|function| function.unstable).count(), 45);
    let silent: Vec<_> = FUNCTIONS.iter().filter(|function| !function.returns).map(|f| f.name).collect();
    assert_eq!(silent, ["proc_exit"]);
    let open = FUNCTIONS.iter().find(|function| function.name == "path_open").unwrap();
    assert_eq!(open.params.len(), 9);
}
