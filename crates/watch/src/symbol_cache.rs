//! Caches the debug information of the modules that were looked up last.
//!
//! A backtrace has hundreds of positions, and a host may see many traps of one module, so its DWARF is opened
//! only once. Entries do not keep their module alive; those of dropped modules are removed at the next call.

use crate::dwarf::Dwarf;
use belljar_module::Module;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Modules whose debug information is kept open. Its tables can be as large as the module.
const CAPACITY: usize = 8;

struct Entry {
    module: Weak<Module>,
    /// `None` if the module has no debug information.
    dwarf: Option<Arc<Mutex<Dwarf>>>,
}

/// Ordered from the least to the most recently used.
static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Calls `read` with the module's debug information, if it has any.
pub(crate) fn with_dwarf<R>(module: &Arc<Module>, read: impl FnOnce(&mut Dwarf) -> R) -> Option<R> {
    let dwarf = find(module).unwrap_or_else(|| insert(module, Dwarf::open(module)))?;
    let mut dwarf = dwarf.lock().unwrap_or_else(PoisonError::into_inner);
    Some(read(&mut dwarf))
}

fn find(module: &Arc<Module>) -> Option<Option<Arc<Mutex<Dwarf>>>> {
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    entries.retain(|e| e.module.strong_count() > 0);
    let at = entries.iter().position(|e| e.module.as_ptr() == Arc::as_ptr(module))?;
    let entry = entries.remove(at);
    let dwarf = entry.dwarf.clone();
    entries.push(entry);
    Some(dwarf)
}

fn insert(module: &Arc<Module>, dwarf: Option<Dwarf>) -> Option<Arc<Mutex<Dwarf>>> {
    let dwarf = dwarf.map(|d| Arc::new(Mutex::new(d)));
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    if entries.len() == CAPACITY {
        entries.remove(0);
    }
    entries.push(Entry { module: Arc::downgrade(module), dwarf: dwarf.clone() });
    dwarf
}
