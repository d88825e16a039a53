//! The minimal cost of a kill on a machine: a signal from one thread to another, whose handler only sets a flag.
#![allow(unsafe_code)]

use anyhow::Result;
use bench_runner::Kills;
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn tell(_: i32) {
    TOLD.store(true, Relaxed);
}

fn main() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(tell), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler only does what a signal handler may do.
    unsafe { sigaction(Signal::SIGUSR1, &action)? };
    let spins = pthread_self();
    let killer = || {
        TOLD.store(false, Relaxed);
        move || pthread_kill(spins, Signal::SIGUSR1).is_ok()
    };
    let run = || {
        while !TOLD.load(Relaxed) {
            spin_loop();
        }
        Ok(())
    };
    let kills = Kills::measure(1000, killer, run)?;
    println!("{}", kills.tell("from a bare signal to the end of a loop", ""));
    Ok(())
}
