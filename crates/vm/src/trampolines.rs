//! Trampolines: code that converts between a buffer of values and a signature that does not fit into registers, compiled
//! or copied from a module's file on first use.
//!
//! A trampoline belongs to its function type: the type's registration finds it and drops it ([`TypeTrampolines`]).
//! Trampolines lie in areas. An area is one mapping and one row of the code table, and holds a few hundred trampolines.
//! Each trampoline starts on a page of its own, because a page that was ever executable is never written again.

use crate::code_table::{self, RegisteredText};
use crate::sys::page_size;
use crate::trampoline_text::TrampolineText;
use belljar_abi::TrampolineKind;
use belljar_core::Context;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The size of the address space of an area, for a few hundred trampolines.
const AREA_SIZE: usize = 1 << 20;

/// Code that exists while this value lives.
#[derive(Debug)]
struct Trampoline {
    address: usize,
    /// The area is dropped with the last of its trampolines.
    _area: Arc<RegisteredText>,
}

/// The areas in which trampolines are placed.
#[derive(Debug, Default)]
pub(crate) struct TrampolineAreas {
    filling: Mutex<Option<Arc<RegisteredText>>>,
}

impl TrampolineAreas {
    fn place(&self, code: &[u8]) -> belljar_core::Result<Trampoline> {
        const NO_MEMORY: &str = "no memory for a trampoline";
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(area) = &*filling
            && let Some(address) = area.add(code).context(NO_MEMORY)?
        {
            return Ok(Trampoline { address, _area: area.clone() });
        }
        let length = AREA_SIZE.max(code.len().next_multiple_of(page_size()));
        let area = Arc::new(code_table::register_text(TrampolineText::new(length).context(NO_MEMORY)?));
        let address = area.add(code).context(NO_MEMORY)?.context("an empty area has room")?;
        *filling = Some(area.clone());
        Ok(Trampoline { address, _area: area })
    }
}

/// The trampolines of one function type that were needed so far.
#[derive(Debug, Default)]
pub(crate) struct TypeTrampolines([LazyTrampoline; 2]);

#[derive(Debug, Default)]
struct LazyTrampoline {
    made: OnceLock<Trampoline>,
    /// Held by the thread that creates it.
    making: Mutex<()>,
}

impl TypeTrampolines {
    /// Returns the address of a trampoline. If there is none yet, `compile` creates it while threads that need the same
    /// one wait; other types are not blocked. `loaded` is called with its code once that is in memory.
    ///
    /// # Errors
    ///
    /// Returns the error of `compile`, or an error if there is no memory for it.
    pub(crate) fn get_or_make(
        &self,
        kind: TrampolineKind,
        areas: &TrampolineAreas,
        compile: impl FnOnce() -> belljar_core::Result<Vec<u8>>,
        loaded: impl FnOnce(usize, &[u8]),
    ) -> belljar_core::Result<usize> {
        let own = &self.0[kind as usize];
        if let Some(made) = own.made.get() {
            return Ok(made.address);
        }
        let _making = own.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = own.made.get() {
            return Ok(made.address);
        }
        let code = compile()?;
        let placed = areas.place(&code)?;
        loaded(placed.address, &code);
        Ok(own.made.get_or_init(|| placed).address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Runtime;
    use crate::runtime::TrampolineSource;
    use crate::trampoline_text::FILLER;
    use belljar_abi::CompiledFunction;
    use belljar_core::{FuncType, ValType};
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Creates code of a given length, and counts how often.
    struct Source {
        length: usize,
        made: Arc<AtomicUsize>,
        /// A barrier for all threads that create a trampoline at the same time.
        meeting: Option<Barrier>,
    }

    impl TrampolineSource for Source {
        fn trampoline(&self, _: TrampolineKind, _: &FuncType) -> belljar_core::Result<CompiledFunction> {
            self.made.fetch_add(1, Ordering::Relaxed);
            if let Some(meeting) = &self.meeting {
                meeting.wait();
            }
            Ok(CompiledFunction { code: vec![0xc3; self.length], ..CompiledFunction::default() })
        }
    }

    fn runtime(length: usize, meeting: Option<Barrier>) -> (Arc<Runtime>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let source = Source { length, made: made.clone(), meeting };
        let runtime = Runtime::new(crate::runtime::RuntimeSettings::default(), Box::new(source));
        (runtime.expect("a runtime"), made)
    }

    /// Returns the type with this number.
    fn ty(mut i: usize) -> FuncType {
        let mut params = Vec::new();
        while i > 0 {
            params.push([ValType::I32, ValType::I64, ValType::F32, ValType::F64][i % 4]);
            i /= 4;
        }
        FuncType::new(params, [ValType::I32])
    }

    /// Counts the mappings of the process that lie in one of these ranges.
    fn mappings(ranges: &BTreeSet<usize>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let starts = maps.lines().filter_map(|line| usize::from_str_radix(line.split('-').next()?, 16).ok());
        let is_within =
            |at: &usize| ranges.range(..=*at).next_back().is_some_and(|start| *at < start + AREA_SIZE);
        starts.filter(is_within).count()
    }

    #[test]
    fn many_signatures_take_few_mappings_and_rows_and_go_with_their_types() {
        const COUNT: usize = 20_000;
        let (runtime, made) = runtime(150, None);
        let types: Vec<_> = (0..COUNT).map(|i| runtime.types.register_func(&ty(i)).unwrap()).collect();
        let address = |i: usize| runtime.trampoline(TrampolineKind::Exit, types[i].ids()[0]).unwrap();
        let addresses: Vec<_> = (0..COUNT).map(address).collect();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), COUNT);
        assert_eq!(
            (0..COUNT).step_by(777).map(address).zip(addresses.iter().step_by(777)).find(|(a, b)| a != *b),
            None
        );
        assert_eq!(made.load(Ordering::Relaxed), COUNT);
        let rows: BTreeSet<_> = addresses.iter().map(|at| code_table::row_start(*at).unwrap()).collect();
        let areas = COUNT.div_ceil(AREA_SIZE / page_size());
        assert_eq!(rows.len(), areas);
        // At most the executable pages and an unused rest.
        assert!(mappings(&rows) <= 2 * areas, "{} mappings", mappings(&rows));
        let first =
            code_table::with_text(addresses[0], |text, base| text[addresses[0] - base..][..151].to_vec());
        assert_eq!(first.unwrap(), [vec![0xc3; 150], vec![FILLER]].concat());
        drop(types);
        // Except for the area that the next one would be placed in.
        let left = addresses.iter().filter_map(|at| code_table::row_start(*at)).collect::<BTreeSet<_>>();
        assert!(left.len() <= 1, "{left:x?}");
    }

    #[test]
    fn a_trampoline_may_be_larger_than_an_area() {
        let (runtime, _) = runtime(AREA_SIZE + 1, None);
        let types = runtime.types.register_func(&ty(5)).unwrap();
        let entry = runtime.trampoline(TrampolineKind::Entry, types.ids()[0]).unwrap();
        let exit = runtime.trampoline(TrampolineKind::Exit, types.ids()[0]).unwrap();
        assert_ne!(entry, exit);
        assert_eq!(
            code_table::with_text(entry + AREA_SIZE, |text, base| text[entry - base + AREA_SIZE]),
            Some(0xc3)
        );
    }

    /// Each waits until the other has started as well.
    #[test]
    fn two_signatures_are_compiled_at_the_same_time() {
        let (runtime, made) = runtime(10, Some(Barrier::new(2)));
        let types = [7, 8].map(|i| runtime.types.register_func(&ty(i)).unwrap());
        std::thread::scope(|scope| {
            for types in &types {
                scope.spawn(|| runtime.trampoline(TrampolineKind::Entry, types.ids()[0]).unwrap());
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn one_signature_is_compiled_once() {
        let (runtime, made) = runtime(10, None);
        let types = runtime.types.register_func(&ty(9)).unwrap();
        let seen = std::thread::scope(|scope| {
            let get = || runtime.trampoline(TrampolineKind::Entry, types.ids()[0]).unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!((seen.len(), made.load(Ordering::Relaxed)), (1, 1));
    }
}
